"""Workers hold no session state, and no client gets another's response (docs/security/promises.md)."""

import asyncio
import base64
import json
import os
import random
import threading
from typing import Any

import pytest
import redis

from doorward.core.ports import SessionRef
from faults.client import Client
from harness import Service, Tenant
from internals import put, services
from raw_store import Rows
from servers import Servers

ROUNDS = 500 if os.environ.get("DOORWARD_TORTURE") else 6
TOKENS = 20


def vanish(service: Service, servers: Servers) -> None:
    """Take every session out of the store, as nobody may who asks the service."""
    if service.settings.redis_url:
        with redis.Redis.from_url(service.settings.redis_url) as client:
            client.flushdb()
        return
    Rows(service.settings, servers).run("DELETE FROM sessions WHERE kind = 'user'")


def test_DU6_a_session_that_is_gone_from_the_store_is_dead_for_the_very_next_question(
    service: Service, servers: Servers
) -> None:
    tenant = service.tenant()
    tenant.create()
    token = tenant.session()
    assert [tenant.verify(token).status_code for _ in range(3)] == [200] * 3
    vanish(service, servers)
    # Where the tenant's own session was in the same store, it is the one that is refused.
    assert tenant.verify(token).status_code == (401 if service.settings.redis_url else 400)
    batch = tenant.post("/auth/verify/batch", {"tokens": [token]})
    assert batch.status_code == 401 or batch.json() == {"results": [{"active": False}]}


class Hesitant:
    """The real store of sessions, which keeps the next answer to itself until it is told to go on."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.armed = False
        self.read = threading.Event()
        self.told = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def find_pair(self, tenant: SessionRef, user: SessionRef) -> Any:
        answer = await self._real.find_pair(tenant, user)
        if self.armed:
            self.armed = False
            self.read.set()
            await asyncio.to_thread(self.told.wait, 20)
        return answer


def test_DU6_an_answer_that_was_read_before_a_logout_serves_nobody_who_asks_after_it(service: Service) -> None:
    tenant = service.tenant()
    tenant.create()
    token = tenant.session()
    door = services(service).sessions
    hesitant = Hesitant(door.session_store)
    put(door, "session_store", hesitant)
    hesitant.armed = True
    early: list[int] = []
    http = service.client()
    asking = threading.Thread(
        target=lambda: early.append(
            http.post("/auth/verify", json={"token": token}, headers=tenant.headers).status_code
        )
    )
    asking.start()
    assert hesitant.read.wait(10)
    assert tenant.logout(token).status_code == 200
    assert tenant.verify(token).status_code == 400
    hesitant.told.set()
    asking.join(10)
    # It was asked while the session lived, so it may hear either; who asks now may not.
    assert early in ([200], [400])
    assert [tenant.verify(token).status_code for _ in range(3)] == [400] * 3


def jti(token: str) -> str:
    payload = token.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"])


async def ask_and_leave(port: int, credential: str, tokens: list[str], whims: random.Random) -> int:
    """Let as many clients as there are tokens ask at once, half of them hanging up; return how many heard an answer."""

    async def one(token: str) -> int:
        client = Client(port, credential)
        asking = asyncio.ensure_future(client.ask("POST", "/auth/verify", {"token": token}))
        if whims.random() < 0.5:
            await asyncio.sleep(whims.random() / 100)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            client.close()
            return 0
        reply = await asking
        client.close()
        assert reply.status == 200
        assert reply.body["decoded"]["jti"] == jti(token), "somebody heard about somebody else"
        return 1

    return sum(await asyncio.gather(*(one(token) for token in tokens)))


@pytest.mark.timeout(900)
def test_DU9_who_hangs_up_in_mid_question_leaves_nobody_its_answer(shared: Service, tenant: Tenant) -> None:
    logins = [f"user {number}" for number in range(TOKENS)]
    for login in logins:
        tenant.create(login)
    tokens = [tenant.session(login) for login in logins]
    whims = random.Random(9)

    async def rounds() -> int:
        return sum([await ask_and_leave(shared.port, tenant.token, tokens, whims) for _ in range(ROUNDS)])

    assert asyncio.run(rounds()) > ROUNDS * TOKENS // 4


@pytest.mark.parametrize("other", ["GET", "OPTIONS", "HEAD"])
def test_DU6_no_answer_about_a_token_may_be_stored_on_its_way(tenant: Tenant, other: str) -> None:
    tenant.create()
    answer = tenant.verify(tenant.session())
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert tenant.http.request(other, "/auth/verify", headers=tenant.headers).headers["cache-control"] == "no-store"
