"""The contracts run on every set-up of stores that the HTTP suite runs on, and on a Cluster."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from doorward.stores import select_stores
from factories import Workers
from harness import read_settings
from servers import Servers
from storage.contracts.bystanders import Bystanders
from store_configs import CONTRACTED


@pytest.fixture(scope="module", params=CONTRACTED)
def setup(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def store(setup: str, servers: Servers) -> Iterator[dict[str, str]]:
    with CONTRACTED[setup](servers) as settings:
        yield settings


@pytest.fixture(scope="module", autouse=True)
def patience() -> Iterator[None]:
    """Let servers answer late: no contract is about deadlines, and a busy machine misses those of a service."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("doorward.storage.postgres.database._SECONDS", 20.0)
        patch.setattr("doorward.storage.postgres.database._SERVER_MILLISECONDS", 20_000)
        patch.setattr("doorward.storage.redis.client._SECONDS", 20.0)
        yield


@pytest.fixture(scope="module")
def settled(
    patience: None,  # noqa: ARG001 - it comes first
    store: dict[str, str],
    module_folder: Path,
) -> tuple[Bystanders, dict[str, Any]]:
    """Bystanders in the stores of this module, and what is to be seen of them."""

    async def settle() -> tuple[Bystanders, dict[str, Any]]:
        bystanders, stores = Bystanders(), select_stores(read_settings(module_folder, store))
        await stores.open()
        try:
            await bystanders.settle(stores)
            return bystanders, await bystanders.look(stores)
        finally:
            await stores.close()

    return asyncio.run(settle())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def workers(
    patience: None,  # noqa: ARG001 - it comes first
    store: dict[str, str],
    module_folder: Path,
) -> AsyncIterator[Workers]:
    """Two independent instances of a configuration's stores, opened once for a module: each opens a pool of connections."""
    settings = read_settings(module_folder, store)
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(2):
            stores = select_stores(settings)
            await stores.open()
            stack.push_async_callback(stores.close)
            opened.append(stores)
        yield Workers(*opened)


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def bystanders(settled: tuple[Bystanders, dict[str, Any]], workers: Workers) -> AsyncIterator[None]:
    """Hold each test to leaving everything that is none of its business as it was."""
    yield
    there, before = settled
    assert await there.look(workers.one) == before
