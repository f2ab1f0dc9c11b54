"""The mutants: each condition is found once, and each mutant runs."""

from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import redis

from doorward.storage.postgres.address import Address
from doorward.storage.postgres.schema import prepare
from doorward.storage.relational import statements
from doorward.storage.relational.statements import Statement, fill_list
from doorward.storage.sqlite.file import connect
from doorward.storage.sqlite.schema import migrate
from mutants import conditions
from mutants.changes import SCRIPTS, STATEMENTS, Mutant
from mutants.guards import guards, is_in_sample
from mutants.sandbox import PACKAGE
from servers import Servers

QUERIES = """
-- name: change
-- WHERE a comment is no condition.
UPDATE t SET a = CASE WHEN b < 1 THEN ' WHERE x' ELSE a END
WHERE id = :id AND (b = 1 OR c BETWEEN 2 AND 3) AND NOT EXISTS (SELECT 1 FROM u WHERE u.id = t.id) RETURNING id

-- name: put
INSERT INTO t (id) VALUES (:id) ON CONFLICT (id) DO UPDATE SET a = 1 WHERE t.a > excluded.a

-- name: page
SELECT id FROM t JOIN u ON u.id = t.id WHERE id IN (:ids) ORDER BY id LIMIT :limit FOR UPDATE
"""


def names(found: list[Mutant]) -> list[str]:
    return [mutant.name for mutant in found]


def test_every_condition_of_a_statement_is_overruled_once() -> None:
    found = conditions.statements("file.sql", QUERIES)
    inner = "NOT EXISTS (SELECT 1 FROM u WHERE u.id = t.id)"
    assert names(found) == [
        "change: always b < 1",
        "change: never b < 1",
        "change: <= in b < 1",
        "change: always id = :id",
        "change: always (b = 1 OR c BETWEEN 2 AND 3)",
        "change: never b = 1",
        "change: never c BETWEEN 2 AND 3",
        f"change: always {inner}",
        "change: always u.id = t.id",
        "put: always t.a > excluded.a",
        "put: >= in t.a > excluded.a",
        *(f"page: always u.id = t.id [{store}]" for store in ("sqlite", "postgresql")),
        *(f"page: always id IN (:ids) [{store}]" for store in ("sqlite", "postgresql")),
        *(f"page: no LIMIT :limit [{store}]" for store in ("sqlite", "postgresql")),
        "page: no FOR UPDATE [postgresql]",
    ]
    [dropped] = [mutant for mutant in found if mutant.change == f"always {inner}"]
    assert f"AND ({inner} OR 1 = 1) RETURNING" in dropped.edit.apply(QUERIES.encode()).decode()


def test_every_condition_of_a_script_is_overruled_once() -> None:
    text = "-- name: step\nlocal a = b == 'x or y' and c or d\nif not a or f(b, 1 == 1) then return a end\nreturn 0\n"
    assert names(conditions.scripts("file.lua", text)) == [
        "step: always b == 'x or y'",
        "step: never b == 'x or y'",
        "step: never not a",
        "step: never f(b, 1 == 1)",
    ]


def test_guards_are_changed_inside_functions_only() -> None:
    source = (
        "LIMIT = 1 if True else 2\nclass A:\n    def f(self, x):\n        if x < 1 and é(x):\n            raise E\n"
    )
    found = guards("file.py", source)
    assert [mutant.edit.apply(source.encode()).decode().splitlines()[3:] for mutant in found] == [
        ["        if (not (x < 1 and é(x))):", "            raise E"],
        ["        if ((é(x))):", "            raise E"],
        ["        if ((x < 1)):", "            raise E"],
        ["        if ((x) <= (1)) and é(x):", "            raise E"],
        ["        if x < 1 and é(x):", "            pass"],
    ]
    assert {mutant.place for mutant in found} == {"A.f"}


def test_a_sample_depends_on_no_other_mutant() -> None:
    found = guards("core/sessions/refresh.py", (PACKAGE / "core/sessions/refresh.py").read_text(encoding="utf-8"))
    sample = [mutant for mutant in found if is_in_sample(mutant, seed=1, share=3)]
    assert 0 < len(sample) < len(found)
    assert sample == [mutant for mutant in sample if is_in_sample(mutant, seed=1, share=3)]
    assert sample != [mutant for mutant in found if is_in_sample(mutant, seed=2, share=3)]


def mutated(marker: str, setup: str) -> Iterator[tuple[str, Statement]]:
    """Yield every mutant of the product's statements, as a database would load it."""
    for path in sorted((PACKAGE / STATEMENTS).glob("*.sql")):
        source = path.read_bytes()
        for mutant in conditions.statements(path.name, source.decode()):
            if mutant.setup in {"", setup}:
                body = dict(sections(mutant.edit.apply(source).decode()))[mutant.place]
                yield mutant.name, statements._number(body, marker)


def sections(text: str) -> Iterator[tuple[str, str]]:
    parts = statements._NAME.split(text)[1:]
    return zip(parts[::2], parts[1::2], strict=True)


def test_every_mutant_is_a_statement_of_sqlite(tmp_path: Path) -> None:
    migrate(tmp_path / "doorward.db")
    connection = connect(tmp_path / "doorward.db", busy=1)
    tried = [
        connection.execute(f"EXPLAIN {fill_list(one, 1)}", [None] * len(one.parameters)).fetchone()
        for _, one in mutated("?", "sqlite")
    ]
    connection.close()
    assert len(tried) > 100


async def test_every_mutant_is_a_statement_of_postgresql(servers: Servers) -> None:
    database = servers.postgresql.make_database()
    try:
        await prepare(Address.read(database.url), wait=5)
        connection = await asyncpg.connect(database.url)
        for name, one in mutated("$", "postgresql"):
            assert await connection.prepare(one.sql), name
        await connection.close()
    finally:
        servers.postgresql.drop(database)


@pytest.mark.parametrize("file", sorted(path.name for path in (PACKAGE / SCRIPTS).glob("*.lua")))
def test_every_mutant_is_a_script_of_redis(servers: Servers, file: str) -> None:
    source = (PACKAGE / SCRIPTS / file).read_bytes()
    found = conditions.scripts(f"{SCRIPTS}/{file}", source.decode())
    with redis.Redis.from_url(f"{servers.redis.url}/0") as client:
        for mutant in found:
            client.script_load(dict(sections(mutant.edit.apply(source).decode()))[mutant.place])
    assert len(found) > 10
