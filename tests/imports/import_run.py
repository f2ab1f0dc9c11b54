"""What the tests of moving in share: one import, run as the command runs it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from doorward.core.clock import system_clock
from doorward.core.ports import Clock
from doorward.imports.backend_auth.importer import Importer
from doorward.imports.backend_auth.options import ImportOptions, ImportTarget
from doorward.imports.backend_auth.redis_source import RedisSource
from doorward.imports.backend_auth.report import ImportReport
from doorward.settings import Settings
from doorward.stores import Stores, migrate, select_stores
from legacy_server import Predecessor

Result = TypeVar("Result")


def with_stores(settings: Settings, work: Callable[[Stores], Awaitable[Result]]) -> Result:
    """Open the stores that the settings name, do `work` with them, and close them."""

    async def run() -> Result:
        stores = select_stores(settings)
        await stores.open()
        try:
            return await work(stores)
        finally:
            await stores.close()

    migrate(settings)
    return asyncio.run(run())


def bring_in(
    settings: Settings, predecessor: Predecessor, *, clock: Clock = system_clock, **chosen: Any
) -> ImportReport:
    """Import everything from a predecessor's Redis."""

    async def run(stores: Stores) -> ImportReport:
        async with RedisSource(predecessor.url) as source:
            target = ImportTarget(stores.accounts, stores.sessions, stores.imports)
            return await Importer(source, target, clock, ImportOptions(**chosen)).run()

    return with_stores(settings, run)
