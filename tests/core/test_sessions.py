"""Authentication of callers and verification of tokens, on the embedded database."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from doorward.core.errors import InvalidToken, NotAuthorized, Refusal
from doorward.core.model import Session, Tenant, User
from doorward.core.sessions.service import IssuedToken, SessionLifetimes, SessionService
from doorward.core.tokens.codec import Codec
from doorward.core.tokens.signing import encode_segment, new_session_id, new_session_key, signing_key
from doorward.storage.relational.sessions import RelationalSessionStore
from harness import TurnableClock

MASTER = b"zIsRPtR3xGdd0CqNEwZ9Bq1vX2mWv7JkLhTyUo4sQfA="
SHOP = Tenant("tenant-a", "shop@example.org", "x", 1, 0)
OTHER = Tenant("tenant-b", "other@example.org", "x", 1, 0)


def user(tenant: Tenant = SHOP, login: str = "alice", **more: Any) -> User:
    row: dict[str, Any] = {
        "id": f"{login}-of-{tenant.id}",
        "tenant_id": tenant.id,
        "login": login,
        "email": "u@example.org",
        "company": None,
        "sub": "sub-1",
        "scope": None,
        "password_hash": "x",
        "credentials": 1,
        "registration_date": 0,
        "last_activity": 0,
        **more,
    }
    return User(**row)


@pytest.fixture
def door(sessions: RelationalSessionStore, clock: TurnableClock) -> SessionService:
    return SessionService(sessions, Codec({"1": MASTER}, "doorward"), clock, SessionLifetimes())


async def close_user(door: SessionService, credential: bytes | None, token: bytes) -> Session:
    session = (await door.verify_user_token(credential, token)).session
    if not await door.session_store.revoke(session):
        raise InvalidToken
    return session


async def close_tenant(door: SessionService, token: bytes) -> None:
    if not await door.session_store.revoke((await door.verify_tenant_token(token)).session):
        raise InvalidToken


def claims_of(issued: IssuedToken) -> dict[str, Any]:
    payload = issued.token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


async def refuses(asking: Awaitable[object], refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        await asking


# --- what is issued -----------------------------------------------------------------------------------------------


async def test_PR5_a_users_token_says_what_is_published_and_nothing_else(
    door: SessionService, clock: TurnableClock
) -> None:
    issued = await door.open_user_session(user(scope='{"read":true}'), "laptop")
    now = clock() // 1000
    assert claims_of(issued) == {
        "id": "alice-of-tenant-a",
        "login": "alice",
        "tenant": "tenant-a",
        "scope": {"read": True},
        "deviceId": "laptop",
        "sub": "sub-1",
        "aud": "doorward",
        "jti": issued.session.id,
        "iat": now,
        "exp": now + 604_800,
    }
    assert issued.expires_in == 604_800


@pytest.mark.parametrize("scope", [None, "null", "false", "0", '""', "[]", "{}", '{"a":[1,2.5,"\xe9"]}'])
async def test_a_scope_is_in_the_token_as_it_was_given_or_not_at_all(door: SessionService, scope: str | None) -> None:
    tenant = await door.open_tenant_session(SHOP)
    issued = await door.open_user_session(user(scope=scope), "laptop")
    told = json.loads((await door.verify_user_token(tenant.token.encode(), issued.token.encode())).claims)
    assert ("scope" in told) == (scope is not None)
    assert told.get("scope") == json.loads(scope or "null")


async def test_a_tenants_token_says_what_is_published_and_lives_until_it_is_revoked(
    door: SessionService, clock: TurnableClock
) -> None:
    issued = await door.open_tenant_session(SHOP)
    assert claims_of(issued) == {
        "id": "tenant-a",
        "login": "tenant:shop@example.org",
        "aud": "doorward",
        "jti": issued.session.id,
        "iat": clock() // 1000,
        "isTenant": True,
    }
    assert issued.session.expires_at is None
    clock.turn(seconds=10 * 365 * 86_400)
    assert (await door.authenticate_tenant(issued.token.encode(), None)).tenant_id == "tenant-a"


async def test_TK10_sessions_of_one_user_share_nothing(door: SessionService) -> None:
    issued = [await door.open_user_session(user(), "laptop") for _ in range(50)]
    assert len({one.session.id for one in issued}) == 50
    assert len({one.session.key for one in issued}) == 50
    assert len({one.token for one in issued}) == 50
    for one in issued:
        for word in ("alice", "laptop", "tenant-a"):
            assert word not in one.session.id


async def test_TK11_the_session_key_is_not_in_the_token(door: SessionService) -> None:
    issued = await door.open_user_session(user(), "laptop")
    text = b"".join(base64.urlsafe_b64decode(part + "==") for part in issued.token.split("."))
    for secret in (issued.session.key, MASTER, signing_key(MASTER, issued.session)):
        assert secret not in text


# --- who may pass -------------------------------------------------------------------------------------------------

NO_TOKENS = [
    None,
    b"",
    b" ",
    b".",
    b"..",
    b"null",
    b"undefined",
    b"dw_0123456789abcdef",
    b"eyJhbGciOiJub25lIn0.e30.",
    b"\xff\xfe",
    b"x" * 10_000,
]


@pytest.mark.parametrize("credential", NO_TOKENS, ids=lambda token: repr(token)[:24])
async def test_what_is_no_token_passes_no_door(door: SessionService, credential: bytes | None) -> None:
    tenant = (await door.open_tenant_session(SHOP)).token.encode()
    live = (await door.open_user_session(user(), "laptop")).token.encode()
    await refuses(door.authenticate_tenant(credential, None), NotAuthorized)
    await refuses(door.verify_user_token(credential, live), NotAuthorized)
    await refuses(close_user(door, credential, live), NotAuthorized)
    if credential is not None:
        await refuses(door.verify_tenant_token(credential), InvalidToken)
        await refuses(close_tenant(door, credential), InvalidToken)
        await refuses(door.verify_user_token(tenant, credential), InvalidToken)
        await refuses(close_user(door, tenant, credential), InvalidToken)
    assert (await door.verify_user_token(tenant, live)).session.device_id == "laptop"


async def test_TK6_every_door_refuses_tokens_of_the_other_kind(door: SessionService) -> None:
    tenant = (await door.open_tenant_session(SHOP)).token.encode()
    alice = (await door.open_user_session(user(), "laptop")).token.encode()
    await refuses(door.authenticate_tenant(alice, None), NotAuthorized)
    await refuses(door.verify_tenant_token(alice), InvalidToken)
    await refuses(close_tenant(door, alice), InvalidToken)
    await refuses(door.verify_user_token(alice, alice), NotAuthorized)
    await refuses(close_user(door, alice, alice), NotAuthorized)
    await refuses(door.verify_user_token(tenant, tenant), InvalidToken)
    await refuses(close_user(door, tenant, tenant), InvalidToken)
    # And none of these attempts ended anything.
    assert (await door.verify_user_token(tenant, alice)).session.user_id == "alice-of-tenant-a"


async def test_TI2_a_tenant_neither_recognises_nor_ends_the_sessions_of_another(door: SessionService) -> None:
    shop, other = (
        (await door.open_tenant_session(SHOP)).token.encode(),
        (await door.open_tenant_session(OTHER)).token.encode(),
    )
    theirs = (await door.open_user_session(user(OTHER), "laptop")).token.encode()
    await refuses(door.verify_user_token(shop, theirs), InvalidToken)
    await refuses(close_user(door, shop, theirs), InvalidToken)
    assert (await door.verify_user_token(other, theirs)).session.tenant_id == "tenant-b"


async def test_the_caller_is_judged_before_the_token_it_asks_about(door: SessionService) -> None:
    tenant = (await door.open_tenant_session(SHOP)).token.encode()
    alice = (await door.open_user_session(user(), "laptop")).token.encode()
    await close_tenant(door, tenant)
    for asked in (alice, tenant, b"garbage", b""):
        await refuses(door.verify_user_token(tenant, asked), NotAuthorized)
        await refuses(close_user(door, tenant, asked), NotAuthorized)


def forged(session: Session, claims: dict[str, Any], key: bytes) -> bytes:
    """Sign claims with any key, in the spelling of the service."""
    import hmac

    header = b'{"alg":"HS256","typ":"JWT","kid":"1"}'
    signed = encode_segment(header) + b"." + encode_segment(json.dumps(claims, separators=(",", ":")).encode())
    assert session.id == claims["jti"]
    return signed + b"." + encode_segment(hmac.digest(key, signed, "sha256"))


async def test_TK2_a_session_that_is_not_there_is_refused_whatever_signed_the_token(door: SessionService) -> None:
    tenant = (await door.open_tenant_session(SHOP)).token.encode()
    issued = await door.open_user_session(user(), "laptop")
    for session_key in (b"", b"null", b"None", b"undefined", bytes(32), new_session_key()):
        ghost = issued.session._replace(id=new_session_id(), key=session_key)
        claims = {**claims_of(issued), "jti": ghost.id}
        for key in (MASTER, MASTER + b":" + session_key, signing_key(MASTER, ghost)):
            await refuses(door.verify_user_token(tenant, forged(ghost, claims, key)), InvalidToken)
            boss = {
                "id": "tenant-a",
                "login": "tenant:x",
                "aud": "doorward",
                "jti": ghost.id,
                "iat": 1,
                "isTenant": True,
            }
            await refuses(door.authenticate_tenant(forged(ghost, boss, key), None), NotAuthorized)


async def test_TK6_a_token_that_names_the_session_of_the_other_kind_is_refused(door: SessionService) -> None:
    tenant = await door.open_tenant_session(SHOP)
    alice = await door.open_user_session(user(), "laptop")
    boss = {**claims_of(tenant), "jti": alice.session.id}
    await refuses(
        door.authenticate_tenant(forged(alice.session, boss, signing_key(MASTER, alice.session)), None), NotAuthorized
    )
    poser = {**claims_of(alice), "id": "tenant-a", "jti": tenant.session.id}
    token = forged(tenant.session, poser, signing_key(MASTER, tenant.session))
    await refuses(door.verify_user_token(tenant.token.encode(), token), InvalidToken)


# --- how sessions end ---------------------------------------------------------------------------------------------


async def test_TK13_a_closed_session_is_dead_and_cannot_be_closed_again(door: SessionService) -> None:
    tenant = (await door.open_tenant_session(SHOP)).token.encode()
    alice, phone = [(await door.open_user_session(user(), device)).token.encode() for device in ("laptop", "phone")]
    assert (await close_user(door, tenant, alice)).device_id == "laptop"
    await refuses(door.verify_user_token(tenant, alice), InvalidToken)
    await refuses(close_user(door, tenant, alice), InvalidToken)
    assert (await door.verify_user_token(tenant, phone)).session.device_id == "phone"
    await close_tenant(door, tenant)
    await refuses(door.authenticate_tenant(tenant, None), NotAuthorized)
    await refuses(door.verify_tenant_token(tenant), InvalidToken)
    await refuses(close_tenant(door, tenant), InvalidToken)


async def test_of_many_who_close_one_session_at_once_one_succeeds(door: SessionService) -> None:
    tenant = (await door.open_tenant_session(SHOP)).token.encode()
    alice = (await door.open_user_session(user(), "laptop")).token.encode()
    outcomes = await asyncio.gather(*(close_user(door, tenant, alice) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(outcome, Session) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, InvalidToken) for outcome in outcomes) == 19


async def test_of_many_who_close_a_tenants_session_at_once_one_succeeds(door: SessionService) -> None:
    tenant = (await door.open_tenant_session(SHOP)).token.encode()
    outcomes = await asyncio.gather(*(close_tenant(door, tenant) for _ in range(20)), return_exceptions=True)
    assert sum(outcome is None for outcome in outcomes) == 1
    assert sum(isinstance(outcome, InvalidToken) for outcome in outcomes) == 19


async def test_TK17_a_session_expires_by_the_callers_clock_to_the_second(
    door: SessionService, clock: TurnableClock
) -> None:
    door = replace(door, lifetimes=SessionLifetimes(user=60, tenant=600))
    tenant = await door.open_tenant_session(SHOP)
    alice = await door.open_user_session(user(), "laptop")
    assert (tenant.expires_in, alice.expires_in) == (600, 60)
    pair = tenant.token.encode(), alice.token.encode()
    clock.turn(milliseconds=59_999)
    assert (await door.verify_user_token(*pair)).session.user_id
    clock.turn(milliseconds=1)
    await refuses(door.verify_user_token(*pair), InvalidToken)
    await refuses(close_user(door, *pair), InvalidToken)
    clock.turn(seconds=539, milliseconds=999)
    await refuses(door.verify_user_token(*pair), InvalidToken)
    assert await door.authenticate_tenant(pair[0], None)
    clock.turn(milliseconds=1)
    await refuses(door.authenticate_tenant(pair[0], None), NotAuthorized)
    await refuses(door.verify_tenant_token(pair[0]), InvalidToken)
    await refuses(door.verify_user_token(*pair), NotAuthorized)


async def test_TK17_a_lifetime_ends_at_a_whole_second_whenever_it_began(
    door: SessionService, clock: TurnableClock
) -> None:
    door = replace(door, lifetimes=SessionLifetimes(user=1))
    clock.turn(milliseconds=999)
    tenant, alice = await door.open_tenant_session(SHOP), await door.open_user_session(user(), "laptop")
    assert alice.session.expires_at == claims_of(alice)["exp"] * 1000
    clock.turn(milliseconds=1)
    await refuses(door.verify_user_token(tenant.token.encode(), alice.token.encode()), InvalidToken)


async def live_devices(door: SessionService, tenant: IssuedToken, issued: list[IssuedToken]) -> list[str]:
    devices = []
    for one in issued:
        try:
            verified = await door.verify_user_token(tenant.token.encode(), one.token.encode())
        except InvalidToken:
            continue
        devices.append(verified.session.device_id or "")
    return devices


async def test_TK16_one_session_more_than_allowed_ends_the_oldest(door: SessionService, clock: TurnableClock) -> None:
    door = replace(door, lifetimes=SessionLifetimes(per_user=3))
    tenant = await door.open_tenant_session(SHOP)
    bystander = await door.open_user_session(user(login="bob"), "bystander")
    issued = []
    for n in range(5):
        issued.append(await door.open_user_session(user(), f"device-{n}"))
        clock.turn(seconds=1)
    assert await live_devices(door, tenant, issued) == ["device-2", "device-3", "device-4"]
    assert await live_devices(door, tenant, [bystander]) == ["bystander"]


async def test_TK16_parallel_logins_never_exceed_the_cap(door: SessionService) -> None:
    door = replace(door, lifetimes=SessionLifetimes(per_user=10))
    tenant = await door.open_tenant_session(SHOP)
    issued = await asyncio.gather(*(door.open_user_session(user(), f"device-{n}") for n in range(60)))
    assert len(await live_devices(door, tenant, list(issued))) == 10


async def test_TK16_a_second_login_on_a_device_ends_nothing(door: SessionService) -> None:
    tenant = await door.open_tenant_session(SHOP)
    issued = [await door.open_user_session(user(), "browser") for _ in range(2)]
    assert await live_devices(door, tenant, issued) == ["browser", "browser"]


async def test_a_tenant_may_have_any_number_of_sessions(door: SessionService) -> None:
    door = replace(door, lifetimes=SessionLifetimes(per_user=1))
    issued = [await door.open_tenant_session(SHOP) for _ in range(5)]
    for one in issued:
        assert await door.authenticate_tenant(one.token.encode(), None)


Ending = Callable[[RelationalSessionStore], Awaitable[None]]
ENDINGS: dict[str, tuple[Ending, set[str]]] = {
    "one user": (lambda sessions: sessions.revoke_user("tenant-a", "alice-of-tenant-a"), {"bob", "foreigner", "shop"}),
    "all users": (lambda sessions: sessions.revoke_users_of("tenant-a"), {"foreigner", "shop"}),
    "the tenant": (lambda sessions: sessions.revoke_tenant("tenant-a"), {"foreigner"}),
}


@pytest.mark.parametrize("name", ENDINGS)
async def test_TK14_ending_many_sessions_at_once_ends_exactly_those(door: SessionService, name: str) -> None:
    end, survivors = ENDINGS[name]
    shop, other = await door.open_tenant_session(SHOP), await door.open_tenant_session(OTHER)
    alice, bob = await door.open_user_session(user(), "alice"), await door.open_user_session(user(login="bob"), "bob")
    foreigner = await door.open_user_session(user(OTHER), "foreigner")
    sessions = door.session_store
    assert isinstance(sessions, RelationalSessionStore)
    await end(sessions)
    alive = set(await live_devices(door, other, [foreigner]))
    try:
        await door.authenticate_tenant(shop.token.encode(), None)
    except NotAuthorized:
        shop = await door.open_tenant_session(SHOP)
        assert set(await live_devices(door, shop, [alice, bob])) == {"alice", "bob"}
    else:
        alive |= {"shop", *await live_devices(door, shop, [alice, bob])}
    assert alive == survivors
    # What was ended stays so when its owner comes back.
    again = await door.open_user_session(user(), "again")
    shop = await door.open_tenant_session(SHOP)
    expected = {"one user": ["again", "bob"], "all users": ["again"], "the tenant": ["again", "alice", "bob"]}[name]
    assert sorted(await live_devices(door, shop, [alice, bob, again])) == expected


async def test_KR2_a_door_without_the_old_key_refuses_what_it_signed(door: SessionService) -> None:
    tenant = (await door.open_tenant_session(SHOP)).token.encode()
    rotated = replace(door, codec=Codec({"2": b"n" * 32}, "doorward"))
    await refuses(rotated.authenticate_tenant(tenant, None), NotAuthorized)
    both = replace(door, codec=Codec({"2": b"n" * 32, "1": MASTER}, "doorward"))
    assert await both.authenticate_tenant(tenant, None)
    assert await rotated.authenticate_tenant((await both.open_tenant_session(SHOP)).token.encode(), None)
