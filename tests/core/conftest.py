from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from doorward.storage.relational.accounts import RelationalAccountStore
from doorward.storage.relational.counters import RelationalCounterStore
from doorward.storage.relational.sessions import RelationalSessionStore
from doorward.storage.sqlite.database import SqliteDatabase


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "doorward.db")
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def accounts(database: SqliteDatabase) -> RelationalAccountStore:
    return RelationalAccountStore(database)


@pytest.fixture
def sessions(database: SqliteDatabase) -> RelationalSessionStore:
    return RelationalSessionStore(database)


@pytest.fixture
def counters(database: SqliteDatabase) -> RelationalCounterStore:
    return RelationalCounterStore(database)
