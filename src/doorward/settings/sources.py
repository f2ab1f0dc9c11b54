"""Where settings are found: the environment, a .env file, and files that settings name."""

import difflib
import os
import stat
from collections.abc import Mapping
from dataclasses import Field
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from doorward.core.errors import CannotStart

# Not DOORWARD_, DATABASE_ or REDIS_: orchestrators put names like REDIS_PORT into every environment.
_FAMILIES = ("JWT_", "THROTTLER_", "TENANT_", "MAINTAIN_", "HTTPS_", "HASH_", "LOGIN_", "BUDGET_", "LEGACY_")
# The variables of OpenTelemetry's library are its own to understand.
_TELEMETRY = "OTEL_"
_ALIKE = 0.85


def environ(given: Mapping[str, str] | None) -> dict[str, str]:
    """Return the environment of this process, unless another one is given."""
    return dict(os.environ if given is None else given)  # noqa: TID251 - this is its one home


def telemetry(environment: Mapping[str, str] | None = None, folder: Path | None = None) -> dict[str, str]:
    """Return the variables of OpenTelemetry's library, from where settings come from too."""
    merged = {**written(folder), **environ(environment)}
    return {name: value for name, value in merged.items() if name.startswith(_TELEMETRY)}


def written(folder: Path | None) -> dict[str, str]:
    """Return what stands in the .env file of a folder."""
    file = (folder or Path()) / ".env"
    return {name: value or "" for name, value in dotenv_values(file, interpolate=False).items()}


def refuse_unknown(known: Mapping[str, Any], written: Mapping[str, str], given: Mapping[str, str]) -> None:
    """CannotStart where a name is a mistake, or looks like one of ours misspelled."""
    names = {*known, *(f"{name}_FILE" for name in known)}
    for name in written:
        if name not in names and not name.startswith(_TELEMETRY):
            raise CannotStart(f"{name} in .env is not a setting{_guess(name, names)}.")
    for name in given:
        if name in names or name.startswith(_TELEMETRY):
            continue
        # An environment is full of other people's names: only what looks like ours can be a mistake.
        likely = difflib.get_close_matches(name, names, n=1, cutoff=_ALIKE) if name.isupper() else []
        if name.startswith(_FAMILIES) or (likely and name not in {"HOSTS", "HOSTNAME"}):
            raise CannotStart(f"{name} is not a setting{_guess(name, names)}.")


def _guess(name: str, names: set[str]) -> str:
    close = difflib.get_close_matches(name, sorted(names), n=1)
    return f"; did you mean {close[0]}?" if close else "; `doorward settings` lists them all"


def read_one(name: str, item: "Field[Any]", merged: Mapping[str, str]) -> Any:
    """Return the value of a setting, from itself, its file or its default; CannotStart where it is wrong."""
    value, from_file = merged.get(name), merged.get(f"{name}_FILE")
    if value is not None and from_file:
        raise CannotStart(f"{name} and {name}_FILE are both set; keep one.")
    if from_file:
        value = content_of(name, Path(from_file), secret=item.metadata["secret"])
    try:
        return item.metadata["read"](item.metadata["default"] if value is None else value.strip())
    except ValueError as error:
        raise CannotStart(f"{name} has to be {error}.") from None


def content_of(name: str, path: Path, *, secret: bool) -> str:
    """Return what is in the file of a setting; CannotStart where it cannot be read, or a secret is everybody's."""
    try:
        if secret and stat.S_IMODE(path.stat().st_mode) & 0o007:
            raise CannotStart(f"{name}_FILE can be read by everybody on this machine; chmod 600 it.")
        content = path.read_text(encoding="utf-8")
        if secret and not content.strip():
            raise CannotStart(f"{name}_FILE is empty.")
    except (OSError, UnicodeDecodeError) as error:
        raise CannotStart(f"{name}_FILE cannot be read ({type(error).__name__}).") from error
    return content
