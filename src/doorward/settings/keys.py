"""Master keys: validation, rejection of guessable keys, and the file of generated keys."""

import base64
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from doorward.core.errors import CannotStart
from doorward.settings.secret_files import mode_of, refuse_open_to_others
from doorward.settings.sources import environ, read_setting_file

Keys = tuple[tuple[str, str], ...]
"""Master keys with their numbers; the first signs, all verify."""

_MIN_KEY_BYTES = 32
_MIN_KEY_VARIETY = 10
# Words of tutorials and compose files; compared without case and punctuation.
_KNOWN_WORDS = re.compile(
    r"changeme|changethis|replaceme|yoursecret|mysecret|supersecret|topsecret|secretkey|stringsecret|jwtsecret|jwtkey|"
    r"password|insecure|example|default|qwerty|abcdefgh|0123456789abcdef|1234567890|deadbeef|shhhhh|keyboardcat|"
    r"am3f13l4g"
)
# Parts of random keys that were published: the default of backend-auth, those of the tutorials of FastAPI and of
# JWT libraries for Spring, and the examples of RFC 7515 and RFC 7520.
_PUBLISHED = re.compile(
    r"6ewpck6akixivgqgusar|09d25e094faa6ca2556c818166b7a956|404e635266556a586e3272357538782f|"
    r"3f4428472b4b6250655368566d597033|5367566b59703373367639792f423f45|3cfa76ef14937c1c0ea519f8fc057a80|"
    r"aym1sysppbydfgzld3umj1qzkobwvmkoqq|hjtxiz2usn5kbqfbttnwbpdmhkv8fjg"
)


def new_key() -> str:
    """Return a new master key: 32 random bytes as base64."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


def master_keys(value: str) -> Keys:
    """Parse one key, or several with their numbers, the signing key first; ValueError if a key can be guessed."""
    keys: list[tuple[str, str]] = []
    items = [part.strip() for part in re.split(r"[,\n]", value) if part.strip()]
    for item in items:
        match = re.fullmatch(r"([0-9]{1,6}):(\S+)", item)
        kid, key = (match[1], match[2]) if match else ("1", item)
        if len(items) > 1 and not match:
            raise ValueError("one key, or several as <number>:<key> separated by commas, the signing one first")
        if any(kid == known for known, _ in keys):
            raise ValueError("keys with different numbers")
        _reject_weak(key)
        keys.append((kid, key))
    if value and not keys:
        raise ValueError("one key or more")
    return tuple(keys)


def _reject_weak(key: str) -> None:
    if len(key.encode()) < _MIN_KEY_BYTES:
        raise ValueError("at least 32 bytes; generate one with: openssl rand -base64 32")
    if is_guessable(key):
        raise ValueError("random, this one can be guessed; generate one with: openssl rand -base64 32")


def is_guessable(key: str) -> bool:
    """Return whether a key of any length was published, contains known words, or has little variety."""
    plain = _plain(key)
    # Without its punctuation, a key that is mostly punctuation is too short to judge.
    candidates = [key, plain] if len(plain) * 2 > len(key) else [key]
    return (
        len(set(key)) < _MIN_KEY_VARIETY
        or any(map(_repeats, candidates))
        or _PUBLISHED.search(plain) is not None
        or any(_KNOWN_WORDS.search(_plain(text)) for text in (key, *_decoded(key)))
    )


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _repeats(text: str) -> bool:
    """Return whether a text repeats a part of itself, or consists mostly of one character."""
    if max(map(text.count, set(text))) * 2 >= len(text):
        return True
    return any(text[period:] == text[:-period] for period in range(1, len(text) // 2 + 1))


def _decoded(key: str) -> Iterator[str]:
    """Yield the text that a key encodes in base64 or hexadecimal: an encoded word is as easy to guess."""
    for decode in (base64.b64decode, base64.urlsafe_b64decode, bytes.fromhex):
        with suppress(ValueError):
            yield decode(key).decode("ascii")


def stored_keys(path: Path, *, create: bool = True) -> Keys:
    """Return the master keys of a file, created with one key if it is missing and `create` is set; else CannotStart."""
    if path.parent.exists() and not path.parent.is_dir():
        raise CannotStart(f"DATA_DIR: {path.absolute().parent} is not a folder.")
    try:
        if create:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            if not create:
                raise CannotStart(
                    f"JWT_KEY is missing, and {path.absolute().parent} has no {path.name}: set DATA_DIR to the folder "
                    "of the service, or give the JWT_KEY that the service runs with."
                )
            _create_key(path)
    except OSError as error:
        raise CannotStart(f"DATA_DIR: {path} cannot be created or read ({error.strerror}).") from error
    return read_keys(path)


def read_keys(path: Path) -> Keys:
    """Return the master keys of the generated file; CannotStart if it is unusable."""
    try:
        if mode_of(path) & 0o077:
            raise CannotStart(f"JWT_KEY: {path} can be read by others; chmod 600 it.")
        content = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CannotStart(f"DATA_DIR: {path} cannot be created or read ({error.strerror}).") from error
    except UnicodeDecodeError:
        raise CannotStart(f"JWT_KEY: {path} is not UTF-8 text.") from None
    if not content.strip():
        raise CannotStart(f"JWT_KEY: {path} is empty.")
    try:
        return master_keys(content.strip())
    except ValueError as error:
        raise CannotStart(f"JWT_KEY: {path} does not contain a valid key, which has to be {error}.") from None


def keys_from_file(path: Path) -> Keys:
    """Return the master keys of the file that JWT_KEY_FILE names; CannotStart if it is unusable."""
    refuse_open_to_others("JWT_KEY_FILE", path, environ(None))
    try:
        return master_keys(read_setting_file("JWT_KEY", path, secret=True).strip())
    except ValueError as error:
        raise CannotStart(f"JWT_KEY has to be {error}.") from None


def _create_key(path: Path) -> None:
    # Written under a temporary name and then linked, so that a process that starts meanwhile never reads a partial key.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(f"1:{new_key()}\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    finally:
        temporary.unlink()
