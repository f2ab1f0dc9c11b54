import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, cast

import httpx
import pytest

from client.waiting import Waiting
from doorward_client import AsyncDoorward, Doorward
from harness import Service, Tenant

# Reading the machine's certificates takes longer than most tests, and there is no TLS here.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

# A busy machine is no outage. Tests of time bring times of their own.
PATIENT = {"timeout": 30.0, "verify_timeout": 30.0}

Connect = Callable[..., Doorward]


@pytest.fixture(scope="module")
def setup() -> str:
    """What the client sees is the same on every store."""
    return "sqlite"


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Makes clients: each test is run with both."""
    with ExitStack() as stack:

        def make_sync(url: str, **options: Any) -> Doorward:
            http = stack.enter_context(httpx.Client(verify=NO_CERTIFICATES))
            return Doorward(url, http=http, **PATIENT | options)

        if request.param == "sync":
            yield make_sync
            return
        runner = stack.enter_context(asyncio.Runner())

        def make_async(url: str, **options: Any) -> Doorward:
            http = httpx.AsyncClient(verify=NO_CERTIFICATES)
            stack.callback(lambda: runner.run(http.aclose()))
            return cast("Doorward", Waiting(AsyncDoorward(url, http=http, **PATIENT | options), runner))

        yield make_async


@pytest.fixture
def doorward(connect: Connect, shared: Service, tenant: Tenant) -> Doorward:
    """A client of a fresh tenant of a live service."""
    return connect(shared.url, token=tenant.token)
