from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from doorward.storage.accounts import RelationalAccounts
from doorward.storage.counters import RelationalCounters
from doorward.storage.sessions import RelationalSessionStore
from doorward.storage.sqlite import SqliteDatabase


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "doorward.db")
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def accounts(database: SqliteDatabase) -> RelationalAccounts:
    return RelationalAccounts(database)


@pytest.fixture
def sessions(database: SqliteDatabase) -> RelationalSessionStore:
    return RelationalSessionStore(database)


@pytest.fixture
def counters(database: SqliteDatabase) -> RelationalCounters:
    return RelationalCounters(database)
