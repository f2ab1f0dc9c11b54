"""Sources of settings: the environment, a .env file, and files that settings name."""

import difflib
import io
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from dotenv.parser import Binding, parse_stream

from doorward.core.error_text import describe_error
from doorward.core.errors import CannotStart
from doorward.settings.secret_files import refuse_open_to_others

# The variables of OpenTelemetry's library are its own to understand.
_TELEMETRY = "OTEL_"
# A variable of backend-auth, the predecessor, that it documents beside those which are settings here.
_FORCE_HTTPS = "FORCE_HTTPS"
_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
# Kubernetes and Docker describe every service on the network to every container in variables named after it.
_SERVICE_LINK = re.compile(r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_\w+)?|ENV_\w+|NAME)")
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://.*")
# Common variables of other programs that are one letter away from a setting.
_FOREIGN = {"DATADIR", "HTTP_PORT", "LOGLEVEL"}
# Names in the environment that are a typo of these or another program's: only a warning names the setting.
_PERHAPS_FOREIGN = {"DATADIR": "DATA_DIR"}
# Words of their own, a typo away from a setting of one word.
_WORDS = {"DOC", "DOS", "HOSTS", "HOT", "POT"}
_SIMILAR = 0.85
# Line ends and tabs may separate the items of a list in a file. A byte order mark inside a text is one too many.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff\ud800-\udfff]")


class GivenSetting(NamedTuple):
    """The text of a setting, and its source: `environment`, `.env` or `file`."""

    text: str
    source: str


class FoundSettings(NamedTuple):
    """Every setting that was given, by name; the files that `<NAME>_FILE` names; sentences worth a line in the log."""

    given: Mapping[str, GivenSetting]
    files: Mapping[str, Path]
    warnings: tuple[str, ...]


def environ(given: Mapping[str, str] | None) -> dict[str, str]:
    """Return the environment of this process, unless another one is given."""
    return dict(os.environ if given is None else given)  # noqa: TID251 - this is its one home


def telemetry(environment: Mapping[str, str] | None = None, folder: Path | None = None) -> dict[str, str]:
    """Return the variables of OpenTelemetry's library, from the same sources as settings."""
    merged = {**read_env_file(folder), **environ(environment)}
    return {name: value for name, value in merged.items() if name.startswith(_TELEMETRY)}


def find(known: Mapping[str, bool], environment: Mapping[str, str] | None, folder: Path | None) -> FoundSettings:
    """Return what the environment, a .env file and the files they name give of the `known` settings.

    `known` tells of each name whether its value is a secret. The environment wins over .env. An empty value counts as
    not given. CannotStart, naming the setting or the line and never a value, for a source that cannot be used.
    """
    environment = environ(environment)
    from_env_file = read_env_file(folder)
    names = [*known, *(f"{name}_FILE" for name in known)]
    warnings = [*_check_written(names, from_env_file), *_check_environment(names, environment)]
    inherited = {name: value for name, value in environment.items() if not _is_service_port(name, value)}
    if any(from_env_file.get(name) for name, secret in known.items() if secret):
        warnings += refuse_open_to_others(".env", _env_file(folder), environment)
    merged = {
        **{name: GivenSetting(text, ".env") for name, text in from_env_file.items() if text},
        **{name: GivenSetting(text, "environment") for name, text in inherited.items() if text},
    }
    given: dict[str, GivenSetting] = {}
    files: dict[str, Path] = {}
    for name, secret in known.items():
        value, file = merged.get(name), merged.get(f"{name}_FILE")
        if value is not None and file is not None:
            raise CannotStart(f"{name} and {name}_FILE are both set; keep one.")
        if file is not None:
            files[name] = Path(file.text)
            if secret:
                warnings += refuse_open_to_others(f"{name}_FILE", files[name], environment)
            value = GivenSetting(read_setting_file(name, files[name], secret=secret), "file")
        if value is not None and (text := _plain(name, value.text, secret=secret)):
            given[name] = value._replace(text=text)
    return FoundSettings(given, files, tuple(warnings))


def read_setting_file(name: str, path: Path, *, secret: bool) -> str:
    """Return what is in the file of a setting; CannotStart where it cannot be read, or a secret is empty."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CannotStart(f"{name}_FILE cannot be read ({describe_error(error)}).") from error
    if secret and not content.strip():
        raise CannotStart(f"{name}_FILE is empty.")
    return content


def _plain(name: str, text: str, *, secret: bool) -> str:
    """Return the text without space at its ends; CannotStart for a blank secret and for characters no text has."""
    plain = text.strip()
    if secret and not plain:
        raise CannotStart(f"{name} is blank; leave it out, or give it a value.")
    if _CONTROL.search(plain):
        raise CannotStart(f"{name} has a control character in it, or is not UTF-8 text.")
    return plain


def _env_file(folder: Path | None) -> Path:
    return (folder or Path()) / ".env"


def read_env_file(folder: Path | None) -> dict[str, str]:
    """Return the assignments of the .env file of a folder; CannotStart, with the line, for anything else in it."""
    file = _env_file(folder)
    # A folder of this name is a virtual environment, or what Docker makes of a mount without a source.
    if not file.exists() or file.is_dir():
        return {}
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise CannotStart(f".env cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError:
        raise CannotStart(".env is not UTF-8 text.") from None
    found: dict[str, str] = {}
    lines: dict[str, int] = {}
    for binding in parse_stream(io.StringIO(text, newline="")):
        line = _line(binding)
        if binding.key is None and not binding.error:
            continue
        if binding.key is None or binding.value is None or not _NAME.fullmatch(binding.key) or _is_continued(binding):
            raise CannotStart(
                f".env, line {line}, is neither NAME=value nor a comment nor blank; a quote has to end on its line."
            )
        if binding.key in lines:
            raise CannotStart(f"{binding.key} is in .env twice, on lines {lines[binding.key]} and {line}; keep one.")
        found[binding.key], lines[binding.key] = binding.value, line
    return found


def _line(binding: Binding) -> int:
    # The parser counts from the blank lines before.
    before = re.match(r"\s*", binding.original.string)
    return binding.original.line + len(re.findall(r"\r\n|\r|\n", before[0] if before else ""))


def _is_continued(binding: Binding) -> bool:
    # The next quote in the file closes a forgotten one, and all settings in between become a part of the value.
    return len(re.split(r"[\r\n]", binding.original.string.strip())) > 1


def _check_written(names: Iterable[str], found: Mapping[str, str]) -> Iterable[str]:
    """Refuse (CannotStart) a name in .env that is not a setting; yield warnings."""
    for name, value in found.items():
        if name == _FORCE_HTTPS:
            yield from _force_https(value)
        elif name not in names and not name.startswith(_TELEMETRY):
            raise CannotStart(f"{name} in .env is not a setting; {_similar_name(name, names)}")


def _check_environment(names: Iterable[str], environment: Mapping[str, str]) -> Iterable[str]:
    """Refuse (CannotStart) a misspelling of a setting; yield warnings.

    The environment is full of other programs' variables, and platforms add more. A name is taken for a misspelling only
    where it is one setting but for one typo (a letter missing, added, wrong, or two swapped), underscores or a plural,
    and no platform or common program is known to use it. A longer form of a setting (JWT_KEY_EXPIRY) gets a warning.
    """
    # Names of one word are too common to guess at.
    short = [known for known in names if "_" not in known]
    long = {known: (known.replace("_", ""), _letters(known)) for known in names if "_" in known.removesuffix("_FILE")}
    for name, value in environment.items():
        if name == _FORCE_HTTPS:
            yield from _force_https(value)
        if name in names or not _NAME.fullmatch(name):
            continue
        if likely := _PERHAPS_FOREIGN.get(name) or _likely_typo(name, short):
            yield _without_effect(name, likely)
        if _is_foreign(name, value):
            continue
        plain, letters = name.replace("_", ""), _letters(name)
        same = [known for known in long if long[known][1] == letters]
        near = same or [known for known in long if _is_one_typo(plain, long[known][0])]
        if len(near) == 1:
            raise CannotStart(f"{name} is not a setting; did you mean {near[0]}?")
        begins = [known for known in long if name.startswith(known)]
        if similar := difflib.get_close_matches(name, begins, n=1, cutoff=_SIMILAR):
            yield _without_effect(name, similar[0])


def _without_effect(name: str, likely: str) -> str:
    return f"{name} in the environment is not a setting and has no effect; did you mean {likely}?"


def _likely_typo(name: str, settings: Iterable[str]) -> str | None:
    """Return the setting of one word that a name is a slip of: a letter left out or doubled, a plural, two swapped.

    Another letter, as in SORT for PORT, makes too many words of other programs.
    """
    if name in _WORDS:
        return None
    near = [known for known in settings if _is_typo(name, known)]
    return near[0] if len(near) == 1 else None


def _is_typo(name: str, known: str) -> bool:
    if len(name) == len(known):
        return name != known and _is_one_typo(name, known) and sorted(name) == sorted(known)
    if len(name) < len(known):
        return any(known[:place] + known[place + 1 :] == name for place in range(len(known)))
    return name == f"{known}S" or any(known[:place] + known[place - 1 :] == name for place in range(1, len(known) + 1))


def _force_https(value: str) -> Iterable[str]:
    if value.strip().lower() not in {"", "disabled"}:
        yield "FORCE_HTTPS has no effect: plain HTTP is not redirected. HTTP_SERVER=off stops serving it."


def _is_foreign(name: str, value: str) -> bool:
    return (
        name in _FOREIGN
        or name[-1].isdigit()  # REDIS_URL_2 is a name of its own
        or name.startswith(_TELEMETRY)
        or _SERVICE_LINK.fullmatch(name) is not None
        or _SERVICE_ADDRESS.fullmatch(value) is not None
    )


def _is_service_port(name: str, value: str) -> bool:
    """Tell whether a variable is not a setting, but the address of a Kubernetes service called `metrics` or `https`."""
    return name.endswith("_PORT") and _SERVICE_ADDRESS.fullmatch(value) is not None


def _letters(name: str) -> str:
    return re.sub(r"(IES|Y)$", "Y", name.replace("_", "")).removesuffix("S")


def _is_one_typo(one: str, other: str) -> bool:
    if abs(len(one) - len(other)) > 1:
        return False
    while one and other and one[0] == other[0]:
        one, other = one[1:], other[1:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    if len(one) <= 1 and len(other) <= 1:
        return True
    return len(one) == len("ab") and one == other[::-1]


def _similar_name(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(names), n=1)
    return f"did you mean {close[0]}?" if close else "`doorward settings` lists them all."
