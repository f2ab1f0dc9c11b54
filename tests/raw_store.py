"""Direct access to the stores of a running service."""

from dataclasses import dataclass
from typing import Any

import redis

from doorward.settings import Settings
from doorward.storage.sqlite.file import connect
from servers import Servers


@dataclass(frozen=True)
class Rows:
    """The stores that settings name, past every port."""

    settings: Settings
    servers: Servers

    @property
    def on_sqlite(self) -> bool:
        return not self.settings.on_postgresql

    def run(self, *statements: str) -> list[Any]:
        """Run statements, as the superuser where there is one; return the rows of the last one."""
        if self.on_sqlite:
            connection = connect(self.settings.database_path, busy=5)
            try:
                rows: list[Any] = []
                for statement in statements:
                    rows = connection.execute(statement).fetchall()
                return rows
            finally:
                connection.close()
        name = self.settings.database_url.rpartition("/")[2].partition("?")[0]
        return self.servers.postgresql.run(*statements, database=name)

    def tables(self) -> list[str]:
        if self.on_sqlite:
            found = self.run("SELECT name FROM sqlite_master WHERE type = 'table'")
        else:
            found = self.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return sorted(row[0] for row in found)

    def holding(self, *texts: str) -> list[tuple[str, str]]:
        """Return the tables that hold one of these texts in a row, and which text; of Redis, what its keys are about."""
        found = []
        for table in self.tables():
            rows = "\n".join(str(tuple(row)) for row in self.run(f"SELECT * FROM {table}"))
            found += [(table, text) for text in texts if text in rows]
        return found + [(about, text) for about, held, _ in self._in_redis() for text in texts if text.encode() in held]

    def counters(self) -> int:
        """Return of how many identities failures are counted."""
        return len(self.run("SELECT * FROM attempts")) + [about for about, *_ in self._in_redis()].count("attempts")

    def kept_for_good(self, *texts: str) -> list[str]:
        """Return what Redis would never remove by itself and holds one of these texts, each by what it is about."""
        return [
            about
            for about, held, left in self._in_redis()
            if left < 0 and any(text.encode() in held for text in texts or ("",))
        ]

    def _in_redis(self) -> list[tuple[str, bytes, int]]:
        """Return what each key of Redis is about, its name with its value, and for how many seconds it stays."""
        if not self.settings.redis_url:
            return []
        with redis.Redis.from_url(self.settings.redis_url) as client:
            keys: list[bytes] = client.keys("*")
            return [(_about(key), key + _value(client, key), client.ttl(key)) for key in keys]

    def in_files(self, *texts: str) -> list[tuple[str, str]]:
        """Return the files of the embedded database that hold one of these texts, after a checkpoint."""
        self.run("PRAGMA wal_checkpoint(TRUNCATE)")
        path = self.settings.database_path
        files = [file for file in path.parent.glob(f"{path.name}*") if file.is_file()]
        assert path in files
        return [(file.name, text) for file in files for text in texts if text.encode() in file.read_bytes()]


def _value(client: Any, key: bytes) -> bytes:
    # A dump may be compressed.
    value: bytes | None = client.get(key) if client.type(key) == b"string" else client.dump(key)
    return value or b""


def _about(key: bytes) -> str:
    if b":session:" in key or b":index" in key:
        return "sessions"
    kind = key.split(b":")[1].decode()
    return "endings in Redis" if kind.startswith("{") else kind
