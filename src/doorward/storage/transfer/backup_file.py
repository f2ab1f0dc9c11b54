"""Format of backup files: a header line, then rows in compressed frames, optionally encrypted.

A backup has no sessions, so a restore revives none. Passwords and API keys are in it as hashes only.
"""

import hashlib
import secrets
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

import msgspec

from doorward.storage.transfer.tables import Row

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TABLES = ("tenants", "users", "departed", "api_keys", "audit_chains", "audit")
"""Tables of a backup, in an order that satisfies foreign keys."""

FORMAT = 1
_MAGIC = "doorward-backup"
_LARGEST_LINE = 4096
_LARGEST_FRAME = 64 << 20
_FRAME_HEAD = 5
# OWASP: N = 2^15, r = 8, p = 3.
_COST, _BLOCK, _PARALLEL, _MEMORY = 1 << 15, 8, 3, 1 << 26


class NotABackup(Exception):
    """The file is not a backup, is damaged or incomplete, or has another passphrase; the message says which."""


class Header(msgspec.Struct, frozen=True):
    """Header line of a backup. `taken_at` is in milliseconds; `salt` is empty for an unencrypted backup."""

    what: str
    format: int
    schema: int
    taken_at: int
    salt: str


def _key(passphrase: str, salt: bytes) -> bytes:
    return hashlib.scrypt(passphrase.encode(), salt=salt, n=_COST, r=_BLOCK, p=_PARALLEL, maxmem=_MEMORY, dklen=32)


class _FrameCipher:
    """Encrypts frames with AES-256-GCM and a scrypt key; authenticates the position of each, and which is the last."""

    def __init__(self, line: bytes, salt: str, passphrase: str | None) -> None:
        self._line = line
        self._count = 0
        self._cipher = _cipher(_key(passphrase or "", bytes.fromhex(salt))) if salt else None

    def _place(self, *, last: bool) -> tuple[bytes, bytes]:
        self._count += 1
        return self._count.to_bytes(12), self._line + bytes([last])

    def seal(self, frame: bytes, *, last: bool) -> bytes:
        nonce, bound = self._place(last=last)
        return self._cipher.encrypt(nonce, frame, bound) if self._cipher else frame

    def open(self, frame: bytes, *, last: bool) -> bytes:
        nonce, bound = self._place(last=last)
        if self._cipher is None:
            return frame
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as the cipher

        try:
            return self._cipher.decrypt(nonce, frame, bound)
        except InvalidTag:
            raise NotABackup("The passphrase is wrong, or the backup is damaged.") from None


def _cipher(key: bytes) -> "AESGCM":
    # The service reads this module with the rest of the command line; six megabytes are for those who encrypt.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - see above

    return AESGCM(key)


class Writer:
    """Writes a backup into an open file."""

    def __init__(self, file: IO[bytes], *, schema: int, taken_at: int, passphrase: str | None) -> None:
        """Write the header line."""
        self._file = file
        header = Header(_MAGIC, FORMAT, schema, taken_at, secrets.token_hex(16) if passphrase else "")
        line = msgspec.json.encode(header) + b"\n"
        file.write(line)
        self._box = _FrameCipher(line, header.salt, passphrase)
        self._digest = hashlib.sha256(line)

    def add(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Write rows of a table."""
        self._frame([table, columns, rows], last=False)

    def end(self) -> None:
        """Write the last frame; without it, the backup is incomplete."""
        self._frame(["", [self._digest.hexdigest()], []], last=True)

    def _frame(self, content: list[Any], *, last: bool) -> None:
        packed = zlib.compress(msgspec.msgpack.encode(content))
        self._digest.update(packed)
        closed = self._box.seal(packed, last=last)
        self._file.write(bytes([last]) + len(closed).to_bytes(4) + closed)


class Reader:
    """Reads a backup from an open file."""

    def __init__(self, file: IO[bytes]) -> None:
        """Read the header line; NotABackup if there is none."""
        self._file = file
        self._line = file.readline(_LARGEST_LINE)
        try:
            self.header = msgspec.json.decode(self._line, type=Header)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise NotABackup("The file is not a backup of Doorward.") from None
        if self.header.what != _MAGIC:
            raise NotABackup("The file is not a backup of Doorward.")
        if self.header.format != FORMAT:
            raise NotABackup("The backup was made by a newer version of Doorward.")

    @property
    def encrypted(self) -> bool:
        """True if the backup is encrypted."""
        return bool(self.header.salt)

    def frames(self, passphrase: str | None) -> Iterator[tuple[str, list[str], list[Row]]]:
        """Yield table, columns and rows of each frame; NotABackup for a damaged file, at the end at the latest."""
        box, digest = _FrameCipher(self._line, self.header.salt, passphrase), hashlib.sha256(self._line)
        while True:
            begin = self._file.read(_FRAME_HEAD)
            length = int.from_bytes(begin[1:])
            closed = self._file.read(length) if len(begin) == _FRAME_HEAD and length <= _LARGEST_FRAME else b""
            if not closed or len(closed) < length:
                raise NotABackup("The backup is incomplete.")
            packed = box.open(closed, last=bool(begin[0]))
            try:
                table, columns, rows = msgspec.msgpack.decode(zlib.decompress(packed))
            except (zlib.error, msgspec.MsgspecError, ValueError):
                raise NotABackup("The backup is damaged.") from None
            if begin[0]:
                if columns != [digest.hexdigest()] or self._file.read(1):
                    raise NotABackup("The backup is damaged.")
                return
            if table not in TABLES:
                raise NotABackup("The backup is damaged.")
            digest.update(packed)
            yield table, columns, rows
