"""Contract of import stores (`doorward.core.ports.ImportStore`)."""

from uuid import uuid4

import pytest

from factories import Workers

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_last_complete_run_of_each_source_is_remembered(workers: Workers) -> None:
    here, elsewhere = workers.one.imports, workers.other.imports
    source, another = str(uuid4()), str(uuid4())
    assert await here.last(source) is None
    await here.record(source, 1_000)
    assert (await elsewhere.last(source), await elsewhere.last(another)) == (1_000, None)
    await elsewhere.record(source, 2_000)
    await here.record(source, 1_500)
    assert await here.last(source) == 2_000
