"""What lies in the database behind a running service, seen and changed as nobody may but its operator."""

from dataclasses import dataclass
from typing import Any

from doorward.settings import Settings
from doorward.storage.sqlite import connect
from servers import Servers


@dataclass(frozen=True)
class Rows:
    """The database that settings name, past every port."""

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
        """Return the tables that hold one of these texts in a row, and which text."""
        found = []
        for table in self.tables():
            rows = "\n".join(str(tuple(row)) for row in self.run(f"SELECT * FROM {table}"))
            found += [(table, text) for text in texts if text in rows]
        return found

    def in_files(self, *texts: str) -> list[tuple[str, str]]:
        """Return the files of the embedded database that hold one of these texts, after a checkpoint."""
        self.run("PRAGMA wal_checkpoint(TRUNCATE)")
        path = self.settings.database_path
        files = [file for file in path.parent.glob(f"{path.name}*") if file.is_file()]
        assert path in files
        return [(file.name, text) for file in files for text in texts if text.encode() in file.read_bytes()]
