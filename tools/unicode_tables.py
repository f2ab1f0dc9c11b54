"""Write src/doorward/core/unicode_data.py: the code points that decide which names are accepted.

The tables ship with Doorward, so that a name is accepted or refused alike whatever Python it runs on. To renew them for
another version of Unicode, run this with the oldest Python that Doorward supports and packages that carry the new data:

    python3.11 -m venv /tmp/unicode
    /tmp/unicode/bin/pip install unicodedata2==18.0.0 regex==2026.11.19
    /tmp/unicode/bin/python tools/unicode_tables.py src/doorward/core/unicode_data.py

General category, decompositions and combining classes come from `unicodedata2`, the other properties from `regex`; the
two have to be of one version of Unicode. That of the running Python says which characters are older than all of them.
"""

import sys
import textwrap
import unicodedata as oldest
from collections.abc import Callable, Iterable
from pathlib import Path

import regex
import unicodedata2 as newest

_ALL = [chr(point) for point in range(sys.maxunicode + 1)]
_OLDEST = "14.0.0"
# Control, format, unassigned, private use, surrogate, and the two line separators.
_NOT_GRAPHIC = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_VIRAMA = 9

_HEAD = '''"""Code points by property, of Unicode {version}. Written by tools/unicode_tables.py."""

UNICODE_VERSION = "{version}"
'''


def _property(expression: str) -> Callable[[str], bool]:
    pattern = regex.compile(expression)
    return lambda character: pattern.match(character) is not None


def _unstable() -> set[str]:
    """Return the characters whose NFKC-casefolded form differs between the oldest Python and the newest Unicode.

    Those are newer than that Python, and have a mapping, are reordered, or take part in a composition.
    """
    compose = {
        chr(int(part, 16))
        for character in _ALL
        if (mapping := newest.decomposition(character)) and not mapping.startswith("<")
        for part in mapping.split()
    }
    folds = _property(r"\p{Changes_When_Casefolded}")
    return {
        character
        for character in _ALL
        if newest.category(character) != "Cn" == oldest.category(character)
        if newest.decomposition(character) or newest.combining(character) or character in compose or folds(character)
    }


def _ranges(members: Callable[[str], bool]) -> Iterable[str]:
    first = last = -2
    for point in [point for point, character in enumerate(_ALL) if members(character)] + [-1]:
        if point == last + 1 and last >= 0:
            last = point
            continue
        if first >= 0:
            yield f"{first:04X}" if first == last else f"{first:04X}-{last:04X}"
        first = last = point


def _check_data(version: str) -> None:
    if oldest.unidata_version != _OLDEST:
        sys.exit(f"This Python has Unicode {oldest.unidata_version}; take the one with {_OLDEST}.")
    unassigned = _property(r"\p{Cn}")
    if any(unassigned(character) != (newest.category(character) == "Cn") for character in _ALL):
        sys.exit(f"regex {regex.__version__} is not of Unicode {version}, as unicodedata2 is.")


def main() -> None:
    """Write the tables to the file that the first argument names."""
    version = newest.unidata_version
    _check_data(version)
    unstable = _unstable()
    tables: dict[str, tuple[str, Callable[[str], bool]]] = {
        "DEFAULT_IGNORABLE": ("Default_Ignorable_Code_Point.", _property(r"\p{Default_Ignorable_Code_Point}")),
        "WHITE_SPACE": ("White_Space.", _property(r"\p{White_Space}")),
        "NOT_GRAPHIC": (
            f"General_Category {', '.join(sorted(_NOT_GRAPHIC))}.",
            lambda character: newest.category(character) in _NOT_GRAPHIC,
        ),
        "UNSTABLE": (
            f"Assigned after Unicode {_OLDEST} with an NFKC-casefolded form that older versions do not know.",
            lambda character: character in unstable,
        ),
        "VIRAMA": (
            "Canonical_Combining_Class Virama.",
            lambda character: newest.combining(character) == _VIRAMA,
        ),
        "JOINS_NEXT": ("Joining_Type Left_Joining or Dual_Joining.", _property(r"[\p{jt=L}\p{jt=D}]")),
        "JOINS_PREVIOUS": ("Joining_Type Right_Joining or Dual_Joining.", _property(r"[\p{jt=R}\p{jt=D}]")),
        "JOINS_THROUGH": ("Joining_Type Transparent.", _property(r"\p{jt=T}")),
    }
    parts = [_HEAD.format(version=version)]
    for name, (meaning, members) in tables.items():
        lines = textwrap.wrap(" ".join(_ranges(members)), width=118, break_on_hyphens=False)
        parts.append(f'{name} = """\n' + "\n".join(lines) + f'\n"""\n"""{meaning}"""\n')
    Path(sys.argv[1]).write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
