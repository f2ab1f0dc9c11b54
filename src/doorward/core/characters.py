"""Properties of characters in names: invisible, white space, without a stable canonical form.

Tables that ship with Doorward (`unicode_data`) decide, so the result does not depend on the version of Python.
"""

import re
from array import array
from bisect import bisect_right

from doorward.core import unicode_data

_NON_JOINER = "\u200c"
_JOINERS = frozenset("\u200c\u200d")


class _CodePoints:
    """A set of code points, read from sorted ranges such as `00AD 180B-180F`."""

    def __init__(self, ranges: str) -> None:
        self._bounds = array("I")
        for part in ranges.split():
            first, _, last = part.partition("-")
            self._bounds.extend((int(first, 16), int(last or first, 16) + 1))

    def __contains__(self, character: str) -> bool:
        # Starts and ends of ranges alternate, so an odd number of them precedes a code point inside a range.
        return bisect_right(self._bounds, ord(character)) % 2 == 1


_DEFAULT_IGNORABLE = _CodePoints(unicode_data.DEFAULT_IGNORABLE)
_WHITE_SPACE = _CodePoints(unicode_data.WHITE_SPACE)
_NOT_GRAPHIC = _CodePoints(unicode_data.NOT_GRAPHIC)
_UNSTABLE = _CodePoints(unicode_data.UNSTABLE)
_VIRAMA = _CodePoints(unicode_data.VIRAMA)
_JOINS_NEXT = _CodePoints(unicode_data.JOINS_NEXT)
_JOINS_PREVIOUS = _CodePoints(unicode_data.JOINS_PREVIOUS)
_JOINS_THROUGH = _CodePoints(unicode_data.JOINS_THROUGH)
# Without ink, though neither White_Space nor Default_Ignorable_Code_Point: the Braille pattern, Khitan filler and
# Egyptian hieroglyphs that are blank, and the null notehead.
_BLANK = frozenset("\u2800\U00013441\U00013442\U00016fe4\U0001d159")


_SPACE = f"[{''.join(chr(point) for point in range(0x3001) if chr(point) in _WHITE_SPACE)}]"
_WHITE_SPACE_CHARACTER = re.compile(_SPACE)
_STRAY_SPACE = re.compile(rf"\A{_SPACE}|{_SPACE}{_SPACE}|{_SPACE}\Z")


def has_white_space(text: str) -> bool:
    """Return whether a text has a character with the property White_Space."""
    return _WHITE_SPACE_CHARACTER.search(text) is not None


def has_invisible(identifier: str) -> bool:
    """Return whether an identifier contains an invisible character.

    Those are control, format, private and unassigned characters, all of Default_Ignorable_Code_Point, and some blank
    ones. A zero-width joiner or non-joiner is allowed where RFC 5892 (appendix A.1 and A.2) allows it, since it changes
    the look of its neighbours.
    """
    if identifier.isascii():
        return not identifier.isprintable()
    characters = set(identifier)
    return any(
        character in _NOT_GRAPHIC or character in _DEFAULT_IGNORABLE for character in characters - _JOINERS
    ) or not (
        _BLANK.isdisjoint(characters)
        and all(_may_join(identifier, place) for place in _joiners(identifier, characters))
    )


def has_invisible_in_text(text: str) -> bool:
    """Return whether free text contains a control, format, private or unassigned character.

    A zero-width joiner or non-joiner is allowed inside a word or a sequence of emoji.
    """
    if text.isascii():
        return not text.isprintable()
    characters = set(text)
    return any(character in _NOT_GRAPHIC for character in characters - _JOINERS) or not all(
        _is_inside(text, place) for place in _joiners(text, characters)
    )


def has_unstable(name: str) -> bool:
    """Return whether a name contains a character whose canonical form is newer than the oldest supported Python."""
    return not name.isascii() and any(character in _UNSTABLE for character in set(name))


def has_stray_space(name: str) -> bool:
    """Return whether a name begins or ends with white space, has it doubled, or consists of it."""
    return _STRAY_SPACE.search(name) is not None


def _joiners(name: str, characters: set[str]) -> list[int]:
    if _JOINERS.isdisjoint(characters):
        return []
    return [place for place, character in enumerate(name) if character in _JOINERS]


def _may_join(name: str, place: int) -> bool:
    """Return whether the joiner at `place` is after a virama, or a non-joiner between letters that would join.

    That is RFC 5892, appendix A.1 and A.2.
    """
    if place > 0 and name[place - 1] in _VIRAMA:
        return True
    if name[place] != _NON_JOINER:
        return False
    before, after = place - 1, place + 1
    while before >= 0 and name[before] in _JOINS_THROUGH:
        before -= 1
    while after < len(name) and name[after] in _JOINS_THROUGH:
        after += 1
    return before >= 0 and name[before] in _JOINS_NEXT and after < len(name) and name[after] in _JOINS_PREVIOUS


def _is_inside(text: str, place: int) -> bool:
    """Return whether the joiner at `place` is after a virama, or between two visible characters."""
    before, after = text[place - 1 : place], text[place + 1 : place + 2]
    return (before != "" and before in _VIRAMA) or (_is_visible(before) and _is_visible(after))


def _is_visible(character: str) -> bool:
    return character != "" and character not in _WHITE_SPACE and character not in _NOT_GRAPHIC
