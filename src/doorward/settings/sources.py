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

# Prefix of the variables that OpenTelemetry's library reads itself.
_TELEMETRY = "OTEL_"
# A documented variable of backend-auth, the predecessor, without an equivalent here.
_FORCE_HTTPS = "FORCE_HTTPS"
_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
# Kubernetes and Docker set variables like these in every container, named after each service on the network.
_SERVICE_LINK = re.compile(r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_\w+)?|ENV_\w+|NAME)")
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://.*")
# Common variables of other programs that are one letter away from a setting.
_FOREIGN = {"DATADIR", "HTTP_PORT", "LOGLEVEL"}
# Names in the environment that may be a typo of a setting or another program's variable: they cause a warning only.
_PERHAPS_FOREIGN = {"DATADIR": "DATA_DIR"}
# Words that are one typo away from a one-word setting.
_WORDS = {"DOC", "DOS", "HOSTS", "HOT", "POT"}
_SIMILAR = 0.85
# Control characters except line ends and tabs, which may separate items of a list in a file. Includes byte order marks.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff\ud800-\udfff]")


class GivenSetting(NamedTuple):
    """The text of a setting, and its source: `environment`, `.env` or `file`."""

    text: str
    source: str


class FoundSettings(NamedTuple):
    """Every given setting by name, the files that `<NAME>_FILE` names, and warnings for the log."""

    given: Mapping[str, GivenSetting]
    files: Mapping[str, Path]
    warnings: tuple[str, ...]


def environ(given: Mapping[str, str] | None) -> dict[str, str]:
    """Return a copy of the given environment, by default that of this process."""
    return dict(os.environ if given is None else given)  # noqa: TID251 - the only use


def telemetry(environment: Mapping[str, str] | None = None, folder: Path | None = None) -> dict[str, str]:
    """Return the variables of OpenTelemetry's library, from the same sources as settings."""
    merged = {**read_env_file(folder), **environ(environment)}
    return {name: value for name, value in merged.items() if name.startswith(_TELEMETRY)}


def find(known: Mapping[str, bool], environment: Mapping[str, str] | None, folder: Path | None) -> FoundSettings:
    """Return the `known` settings given in the environment, a .env file and the files that these name.

    `known` has for each name whether its value is a secret. The environment takes precedence over .env. An empty value
    counts as not given. CannotStart, with the setting or the line and never a value, if a source is unusable.
    """
    environment = environ(environment)
    from_env_file = read_env_file(folder)
    names = [*known, *(f"{name}_FILE" for name in known)]
    warnings = [*_check_env_file(names, from_env_file), *_check_environment(names, environment)]
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
            raise CannotStart(f"{name} and {name}_FILE are both set; remove one.")
        if file is not None:
            files[name] = Path(file.text)
            if secret:
                warnings += refuse_open_to_others(f"{name}_FILE", files[name], environment)
            value = GivenSetting(read_setting_file(name, files[name], secret=secret), "file")
        if value is not None and (text := _plain(name, value.text, secret=secret)):
            given[name] = value._replace(text=text)
    return FoundSettings(given, files, tuple(warnings))


def read_setting_file(name: str, path: Path, *, secret: bool) -> str:
    """Return the content of a setting's file; CannotStart if it cannot be read, or a secret is empty."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CannotStart(f"{name}_FILE cannot be read ({describe_error(error)}).") from error
    if secret and not content.strip():
        raise CannotStart(f"{name}_FILE is empty.")
    return content


def _plain(name: str, text: str, *, secret: bool) -> str:
    """Return the text without surrounding spaces; CannotStart for a blank secret and for control characters."""
    plain = text.strip()
    if secret and not plain:
        raise CannotStart(f"{name} is blank; remove it, or give it a value.")
    if _CONTROL.search(plain):
        raise CannotStart(f"{name} contains a control character, or is not UTF-8 text.")
    return plain


def _env_file(folder: Path | None) -> Path:
    return (folder or Path()) / ".env"


def read_env_file(folder: Path | None) -> dict[str, str]:
    """Return the assignments in the .env file of a folder; CannotStart, with the line, for anything else."""
    file = _env_file(folder)
    # A folder of this name is a virtual environment, or was created by Docker for a mount without a source.
    if not file.exists() or file.is_dir():
        return {}
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise CannotStart(f".env cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError:
        raise CannotStart(".env is not UTF-8 text.") from None
    assignments: dict[str, str] = {}
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
            raise CannotStart(f"{binding.key} is in .env twice, on lines {lines[binding.key]} and {line}; remove one.")
        assignments[binding.key], lines[binding.key] = binding.value, line
    return assignments


def _line(binding: Binding) -> int:
    # The parser's line number is that of the first blank line before the assignment.
    before = re.match(r"\s*", binding.original.string)
    return binding.original.line + len(re.findall(r"\r\n|\r|\n", before[0] if before else ""))


def _is_continued(binding: Binding) -> bool:
    # A missing quote is closed by the next one in the file, and all settings in between become part of the value.
    return len(re.split(r"[\r\n]", binding.original.string.strip())) > 1


def _check_env_file(names: Iterable[str], assignments: Mapping[str, str]) -> Iterable[str]:
    """Raise CannotStart for a name in .env that is not a setting; yield warnings."""
    for name, value in assignments.items():
        if name == _FORCE_HTTPS:
            yield from _force_https(value)
        elif name not in names and not name.startswith(_TELEMETRY):
            raise CannotStart(f"{name} in .env is not a setting; {_similar_name(name, names)}")


def _check_environment(names: Iterable[str], environment: Mapping[str, str]) -> Iterable[str]:
    """Raise CannotStart for a misspelt setting; yield warnings.

    The environment also has the variables of other programs and of the platform. A name counts as misspelt only if it
    differs from exactly one setting by one typo (a letter missing, added, wrong, or two swapped), underscores or a
    plural, and no platform or common program is known to use it. A longer form of a setting (JWT_KEY_EXPIRY) causes a
    warning.
    """
    # Names of one word are too common to be rejected.
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
    """Return the one-word setting that a name misspells: a letter left out or doubled, a plural, or two swapped.

    A different letter, as in SORT for PORT, is not considered: too many such words are variables of other programs.
    """
    if name in _WORDS:
        return None
    near = [known for known in settings if _is_typo(name, known)]
    return near[0] if len(near) == 1 else None


def _is_typo(name: str, known: str) -> bool:
    if len(name) == len(known):
        return name != known and _is_one_typo(name, known) and sorted(name) == sorted(known)
    if len(name) < len(known):
        return any(known[:position] + known[position + 1 :] == name for position in range(len(known)))
    return name == f"{known}S" or any(
        known[:position] + known[position - 1 :] == name for position in range(1, len(known) + 1)
    )


def _force_https(value: str) -> Iterable[str]:
    if value.strip().lower() not in {"", "disabled"}:
        yield "FORCE_HTTPS has no effect: plain HTTP is not redirected. HTTP_SERVER=off stops serving it."


def _is_foreign(name: str, value: str) -> bool:
    return (
        name in _FOREIGN
        or name[-1].isdigit()  # such as REDIS_URL_2
        or name.startswith(_TELEMETRY)
        or _SERVICE_LINK.fullmatch(name) is not None
        or _SERVICE_ADDRESS.fullmatch(value) is not None
    )


def _is_service_port(name: str, value: str) -> bool:
    """Return whether a variable is not a setting but the address of a Kubernetes service such as `metrics`."""
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
