"""The file in which Doorward keeps its master keys, changed while workers use it, and which workers know which keys.

A key is added first, so that every worker accepts what it signs, and activated after, so that it signs; that order, and
a look into the file before any token of an unknown key is refused, leave no moment in which a worker refuses what
another one has just signed.
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
    """The keys cannot be changed like this; the message says why, and never a key."""


def fingerprint(keys: Keys) -> str:
    """Return what stands for keys in their order, and is no way to them."""
    return hashlib.sha256("\n".join(f"{kid}:{key_id(key)}" for kid, key in keys).encode()).hexdigest()[:16]


def key_id(key: str) -> str:
    """Return what stands for one key."""
    return hashlib.sha256(b"doorward/mark/" + key.encode()).hexdigest()[:12]


def with_key_added(keys: Keys) -> Keys:
    """Return the keys with one more, which verifies only."""
    return (*keys, (str(max(int(kid) for kid, _ in keys) + 1), new_key()))


def with_key_activated(keys: Keys, kid: str) -> Keys:
    """Return the keys with this one signing; CannotChange where it is none of them."""
    chosen = tuple(item for item in keys if item[0] == kid)
    if not chosen:
        raise KeyChangeRefused(f"There is no key {kid}.")
    return chosen + tuple(item for item in keys if item[0] != kid)


def with_key_retired(keys: Keys, kid: str) -> Keys:
    """Return the keys without this one; CannotChange where it is none of them, or the one that signs."""
    if keys[0][0] == kid:
        raise KeyChangeRefused(f"Key {kid} signs; activate another one first.")
    if all(kid != known for known, _ in keys):
        raise KeyChangeRefused(f"There is no key {kid}.")
    return tuple(item for item in keys if item[0] != kid)


class KeyFile:
    """The key file of one installation, and the folder in which its workers say which keys they know.

    `given`: it is somebody else's, named by JWT_KEY_FILE, and only read here.
    """

    def __init__(self, path: Path, folder: Path, *, given: bool) -> None:
        """Name the file and the folder."""
        self.path = path
        self.folder = folder
        self.given = given
        self._seen: tuple[int, int, int] | None = None

    @classmethod
    def of(cls, settings: Settings) -> "KeyFile | None":
        """Return the file that the settings lead to, None where the keys are given by JWT_KEY itself."""
        folder = Path(settings.data_dir)
        if settings.given_keys is not None:
            return cls(settings.given_keys, folder, given=True)
        if settings.jwt_key or settings.on_postgresql or settings.redis_url:
            return None
        return cls(settings.kept_key, folder, given=False)

    def read(self) -> Keys:
        """Return the keys; CannotStart where the file cannot be used."""
        return keys_from_file(self.path) if self.given else read_keys(self.path)

    def changed(self) -> Keys | None:
        """Return the keys if the file is another one than when this was last asked, else None.

        Whoever replaces the file may as well replace a link on the way to it. A file that cannot be used is told of in
        the log, and then is as one that did not change: a service goes on with the keys it has.
        """
        now = self._stand()
        if now == self._seen:
            return None
        self._seen = now
        try:
            return self.read()
        except CannotStart as reason:
            log.error("the old master keys stay", extra={"reason": str(reason)})  # noqa: TRY400 - the reason says it all
            return None

    def _stand(self) -> tuple[int, int, int] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return self._seen  # it is being replaced
        # Also when only its mode changes, it may be readable now.
        return stat.st_ino, stat.st_ctime_ns, stat.st_size

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let nobody else change the file meanwhile."""
        with (self.path.parent / f".{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def write(self, keys: Keys) -> None:
        """Replace the file's keys in one step that survives a power cut."""
        draft = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                file.writelines(f"{kid}:{key}\n" for kid, key in keys)
                file.flush()
                os.fsync(file.fileno())
            owner = self.path.stat()
            # Whoever runs the command may be root, and the service must still read its file.
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
    """CannotStart where workers could not say which keys they know, and have to."""
    file = KeyFile.of(settings)
    if file is not None and not file.given:
        WorkerRegistration(file.folder).check()


class WorkerRegistration:
    """Says, as long as its process lives, which keys that process knows: a locked file, whose lock dies with it."""

    def __init__(self, folder: Path) -> None:
        """Be present among the workers of `folder`."""
        self._folder = folder / "workers"
        self._file: IO[str] | None = None
        self._path = self._folder / f"{os.getpid()}-{secrets.token_hex(4)}"

    def publish(self, keys: Keys) -> None:
        """Say that these are the keys from now on."""
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            # Locked before it has the name by which it is looked for: nobody must take it for a dead worker's.
            draft = self._folder / f".{self._path.name}"
            self._file = draft.open("w", encoding="ascii")
            fcntl.flock(self._file, fcntl.LOCK_EX)
            draft.rename(self._path)
        self._file.seek(0)
        self._file.truncate()
        self._file.write(fingerprint(keys))
        self._file.flush()

    def check(self) -> None:
        """CannotStart where no worker could say anything, because the folder cannot be written."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            draft = self._folder / f".{self._path.name}"
            draft.touch()
            draft.unlink()
        except OSError as error:
            raise CannotStart(
                f"DATA_DIR: {self._folder} cannot be written ({error.strerror}); it has to belong to the user that "
                "runs Doorward."
            ) from error

    def close(self) -> None:
        """Be present no more."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            self._file.close()
            self._file = None


def live_registrations(folder: Path) -> Mapping[str, str]:
    """Return, by process id, the fingerprint of the keys of every worker that lives."""
    found: dict[str, str] = {}
    for path in sorted((folder / "workers").glob("[0-9]*")):
        with suppress(FileNotFoundError), path.open("r", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                found[path.name.partition("-")[0]] = file.read()
            else:
                path.unlink(missing_ok=True)  # its process died without saying so
    return found
