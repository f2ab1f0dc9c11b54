"""Loader of the SQL statements in `queries/` and of the migrations, for SQLite and PostgreSQL."""

import re
from collections.abc import Mapping
from importlib import resources
from string import Template
from typing import NamedTuple

_FOLDER = resources.files("doorward.storage.relational")
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")
_LIST = re.compile(r" IN \(:([a-z_]+)\)")
_LOCK = re.compile(r" FOR (?:KEY SHARE|UPDATE)\b")
_SHORT_LIST = 3
_COMMENT = re.compile(r"^--.*$", re.MULTILINE)
_MIGRATION = re.compile(r"(\d{4})_\w+(?:\.(\w+))?\.sql")


class Statement(NamedTuple):
    """SQL with numbered parameters, and the names of the parameters in the order of their numbers."""

    sql: str
    parameters: tuple[str, ...]

    def arguments(self, values: Mapping[str, object]) -> tuple[object, ...]:
        """Return the values in the order of the parameters."""
        return tuple([values[name] for name in self.parameters])


def load_statements(marker: str) -> dict[str, Statement]:
    """Return every statement of `queries/` by name. `marker` begins a parameter: `?` (SQLite) or `$` (PostgreSQL).

    A list, `IN (:name)`, becomes an array for `$`, and is left to `fill_list` for `?`. Row locks such as `FOR UPDATE`
    are removed for `?`, since SQLite has one writer at a time.
    """
    found: dict[str, Statement] = {}
    for file in _FOLDER.joinpath("queries").iterdir():
        parts = _NAME.split(file.read_text(encoding="utf-8"))[1:]
        found |= {name: _number(body, marker) for name, body in zip(parts[::2], parts[1::2], strict=True)}
    return found


def _number(body: str, marker: str) -> Statement:
    sql = _COMMENT.sub("", body).strip()
    if marker == "?":
        sql = _LOCK.sub("", sql)
    if _LIST.search(sql):
        return Statement(_LIST.sub(" = ANY ($1)", sql) if marker == "$" else sql, tuple(_LIST.findall(sql)))
    names = tuple(dict.fromkeys(_PARAMETER.findall(sql)))
    return Statement(_PARAMETER.sub(lambda match: f"{marker}{names.index(match[1]) + 1}", sql), names)


def fill_list(statement: Statement, length: int) -> str:
    """Return the SQL of a statement on a list with a parameter for each item.

    A short list becomes a UNION ALL of look-ups by key. For `IN`, SQLite creates a temporary table, which costs a
    seventh of a verification (docs/measurements/0012-verify-performance.md).
    """
    if length <= _SHORT_LIST:
        return "\nUNION ALL\n".join([_LIST.sub(" = ?", statement.sql)] * length)
    return _LIST.sub(f" IN ({', '.join('?' * length)})", statement.sql)


class Migration(NamedTuple):
    """Migration of the schema: its version, and its statements in order."""

    version: int
    statements: tuple[str, ...]


def load_migrations(database: str, words: Mapping[str, str]) -> list[Migration]:
    """Return the migrations of a database in order, with its `words` in place of the placeholders.

    A file `0001_name.sql` applies to every database, `0001_name.<database>.sql` to one.
    """
    folder = _FOLDER.joinpath("migrations")
    steps = []
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        match = _MIGRATION.fullmatch(file.name)
        if match and match[2] in {None, database}:
            steps.append(Migration(int(match[1]), _split(Template(file.read_text(encoding="utf-8")).substitute(words))))
    return steps


def newest_version() -> int:
    """Return the newest schema version of this program; it is the same for every database."""
    names = [file.name for file in _FOLDER.joinpath("migrations").iterdir()]
    return max(int(match[1]) for name in names if (match := _MIGRATION.fullmatch(name)))


def _split(script: str) -> tuple[str, ...]:
    return tuple(statement for part in _COMMENT.sub("", script).split(";\n") if (statement := part.strip(" ;\n")))
