"""Master keys as texts: which are refused, and the file in which the service keeps those it has made for itself."""

import base64
import os
import re
import secrets
import stat
from pathlib import Path

from doorward.core.errors import CannotStart
from doorward.settings.sources import content_of

Keys = tuple[tuple[str, str], ...]
"""Number and key of each; the first signs, all verify."""

_MIN_KEY_BYTES = 32
_MIN_KEY_VARIETY = 10
# What tutorials and compose files use, the predecessor's own default among them; compared without case and punctuation.
_KNOWN_KEYS = re.compile(
    r"changeme|changethis|replaceme|yoursecret|mysecret|supersecret|topsecret|secretkey|jwtsecret|jwtkey|password|"
    r"insecure|example|default|qwerty|abcdefgh|0123456789abcdef|1234567890|deadbeef|shhhhh|keyboardcat|am3f13l4g"
)


def new_key() -> str:
    """Return a new master key: 32 random bytes as base64."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


def master_keys(value: str) -> Keys:
    """Read one key, or several with their numbers, the signing one first; ValueError for one that can be guessed."""
    keys: list[tuple[str, str]] = []
    items = [part.strip() for part in re.split(r"[,\n]", value) if part.strip()]
    for item in items:
        match = re.fullmatch(r"([0-9]{1,6}):(\S+)", item)
        kid, key = (match[1], match[2]) if match else ("1", item)
        if len(items) > 1 and not match:
            raise ValueError("one key, or several as <number>:<key> separated by commas, the signing one first")
        if any(kid == known for known, _ in keys):
            raise ValueError("keys with different numbers")
        _refuse_weak(key)
        keys.append((kid, key))
    return tuple(keys)


def _refuse_weak(key: str) -> None:
    plain = re.sub(r"[^a-z0-9]", "", key.lower())
    if len(key.encode()) < _MIN_KEY_BYTES:
        raise ValueError("at least 32 bytes; make one with: openssl rand -base64 32")
    if len(set(key)) < _MIN_KEY_VARIETY or _KNOWN_KEYS.search(plain) or _repeats(plain):
        raise ValueError("random, this one can be guessed; make one with: openssl rand -base64 32")


def _repeats(text: str) -> bool:
    # A text that occurs inside its own doubling before the end is made of repetitions.
    return (text + text).find(text, 1) < len(text)


def kept_keys(path: Path) -> Keys:
    """Return the master keys of a file, which is made, with one key, where there is none; CannotStart as below."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _make_key(path)
    except OSError as error:
        raise CannotStart(f"DATA_DIR: {path} cannot be made or read ({error.strerror}).") from error
    return read_keys(path)


def read_keys(path: Path) -> Keys:
    """Return the master keys of a file that the service keeps; CannotStart where it cannot be used."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise CannotStart(f"JWT_KEY: {path} can be read by others; chmod 600 it.")
        keys = master_keys(path.read_text(encoding="ascii"))
    except OSError as error:
        raise CannotStart(f"DATA_DIR: {path} cannot be made or read ({error.strerror}).") from error
    except ValueError as error:
        raise CannotStart(f"JWT_KEY: {path} does not hold a key, it has to be {error}.") from None
    if not keys:
        raise CannotStart(f"JWT_KEY: {path} is empty.")
    return keys


def given_keys(path: Path) -> Keys:
    """Return the master keys of the file that JWT_KEY_FILE names; CannotStart where it cannot be used."""
    try:
        return master_keys(content_of("JWT_KEY", path, secret=True).strip())
    except ValueError as error:
        raise CannotStart(f"JWT_KEY has to be {error}.") from None


def _make_key(path: Path) -> None:
    # Written in full under another name and then linked: who starts at the same moment sees no key or a whole one.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(f"1:{new_key()}\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
