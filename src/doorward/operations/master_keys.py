"""Master key file: rotation, and reload by running workers, which register the keys that they use.

A key is added first, so that every worker accepts its signatures, and activated afterwards. With that order, and a
reload before a token of an unknown key is rejected, no worker ever rejects a token that another one has just signed.
"""

import fcntl
import hashlib
import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from doorward.core.errors import CannotStart
from doorward.settings import Settings
from doorward.settings.keys import Keys, keys_from_file, new_key, read_keys

log = logging.getLogger(__name__)


class KeyChangeRefused(Exception):
    """The keys cannot be changed in this way; the message is the reason, without a key."""


def fingerprint(keys: Keys) -> str:
    """Return a fingerprint of keys in their order."""
    return hashlib.sha256("\n".join(f"{kid}:{key_id(key)}" for kid, key in keys).encode()).hexdigest()[:16]


def key_id(key: str) -> str:
    """Return the fingerprint of one key."""
    return hashlib.sha256(b"doorward/mark/" + key.encode()).hexdigest()[:12]


def with_key_added(keys: Keys) -> Keys:
    """Return the keys with a new one, which only verifies."""
    return (*keys, (str(max(int(kid) for kid, _ in keys) + 1), new_key()))


def with_key_activated(keys: Keys, kid: str) -> Keys:
    """Return the keys with this one signing; raises KeyChangeRefused for an unknown key."""
    activated = tuple(item for item in keys if item[0] == kid)
    if not activated:
        raise KeyChangeRefused(f"There is no key {kid}.")
    return activated + tuple(item for item in keys if item[0] != kid)


def with_key_retired(keys: Keys, kid: str) -> Keys:
    """Return the keys without this one; raises KeyChangeRefused for an unknown key, or the signing one."""
    if keys[0][0] == kid:
        raise KeyChangeRefused(f"Key {kid} signs; activate another one first.")
    if all(kid != known for known, _ in keys):
        raise KeyChangeRefused(f"There is no key {kid}.")
    return tuple(item for item in keys if item[0] != kid)


class KeyFile:
    """The key file of an installation, and the folder in which its workers register their keys.

    `given`: the operator owns the file, named by JWT_KEY_FILE, and the service only reads it.
    """

    def __init__(self, path: Path, folder: Path, *, given: bool) -> None:
        """Set the file and the folder."""
        self.path = path
        self.folder = folder
        self.given = given
        self._last_version: tuple[int, int, int] | None = None

    @classmethod
    def of(cls, settings: Settings) -> "KeyFile | None":
        """Return the file that the settings name, None where JWT_KEY itself has the keys."""
        folder = Path(settings.data_dir)
        if settings.given_keys is not None:
            return cls(settings.given_keys, folder, given=True)
        if settings.jwt_key or settings.on_postgresql or settings.redis_url:
            return None
        return cls(settings.kept_key, folder, given=False)

    def read(self) -> Keys:
        """Return the keys; raises CannotStart where the file cannot be used."""
        return keys_from_file(self.path) if self.given else read_keys(self.path)

    def changed(self) -> Keys | None:
        """Return the keys if the file changed since the last call, else None.

        An operator may replace the file or a link on its path. An unusable file is logged and otherwise treated as
        unchanged, and the present keys stay in use.
        """
        version = self._version()
        if version == self._last_version:
            return None
        self._last_version = version
        try:
            return self.read()
        except CannotStart as reason:
            log.error("master keys not reloaded, the old ones stay", extra={"reason": str(reason)})  # noqa: TRY400 - the reason says it all
            return None

    def _version(self) -> tuple[int, int, int] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return self._last_version  # the file is being replaced
        # A change of the mode counts too: it may have made the file readable.
        return stat.st_ino, stat.st_ctime_ns, stat.st_size

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the file against concurrent changes."""
        with (self.path.parent / f".{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def write(self, keys: Keys) -> None:
        """Replace the keys of the file in one step that survives a power cut."""
        draft = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                file.writelines(f"{kid}:{key}\n" for kid, key in keys)
                file.flush()
                os.fsync(file.fileno())
            owner = self.path.stat()
            # The command may run as root, and the service must still be able to read its file.
            with suppress(PermissionError):
                os.chown(draft, owner.st_uid, owner.st_gid)
            draft.replace(self.path)
        finally:
            draft.unlink(missing_ok=True)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def check_folder(settings: Settings) -> None:
    """Raise CannotStart if workers have to register their keys and cannot."""
    file = KeyFile.of(settings)
    if file is not None and not file.given:
        WorkerRegistration(file.folder).check()


class WorkerRegistration:
    """Publishes the keys of this process in a locked file, whose lock ends with the process."""

    def __init__(self, folder: Path) -> None:
        """Register among the workers of `folder`."""
        self._folder = folder / "workers"
        self._file: IO[str] | None = None
        self._path = self._folder / f"{os.getpid()}-{secrets.token_hex(4)}"

    def publish(self, keys: Keys) -> None:
        """Publish these keys."""
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            # Locked before it gets its final name, so that it is never taken for the file of an exited worker.
            draft = self._folder / f".{self._path.name}"
            self._file = draft.open("w", encoding="ascii")
            fcntl.flock(self._file, fcntl.LOCK_EX)
            draft.rename(self._path)
        self._file.seek(0)
        self._file.truncate()
        self._file.write(fingerprint(keys))
        self._file.flush()

    def check(self) -> None:
        """Raise CannotStart where no worker could register, because the folder is not writable."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            draft = self._folder / f".{self._path.name}"
            draft.touch()
            draft.unlink()
        except OSError as error:
            raise CannotStart(
                f"DATA_DIR: {self._folder} cannot be written ({error.strerror}); make the user that runs Doorward its "
                "owner."
            ) from error

    def close(self) -> None:
        """Remove the registration."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            self._file.close()
            self._file = None


def live_registrations(folder: Path) -> Mapping[str, str]:
    """Return the fingerprint of the keys of every live worker, by process id."""
    fingerprints: dict[str, str] = {}
    for path in sorted((folder / "workers").glob("[0-9]*")):
        with suppress(FileNotFoundError), path.open("r", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                fingerprints[path.name.partition("-")[0]] = file.read()
            else:
                path.unlink(missing_ok=True)  # its process exited without closing it
    return fingerprints
