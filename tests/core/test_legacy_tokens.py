"""Tokens of the predecessor, and texts that are none."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.core.errors import InvalidToken, NotAuthorized
from doorward.core.model import Permission, Session, SessionKind, Tenant
from doorward.core.sessions.service import SessionLifetimes, SessionService
from doorward.core.tokens.codec import Codec, TenantClaims, UserClaims
from doorward.core.tokens.legacy import LegacyTokenCodec
from doorward.storage.relational.sessions import RelationalSessionStore
from harness import TurnableClock
from legacy_server import HEADER, JWT_KEY, segment, sign

MASTER = b"zIsRPtR3xGdd0CqNEwZ9Bq1vX2mWv7JkLhTyUo4sQfA="
CODEC = LegacyTokenCodec({"1": MASTER}, "doorward", JWT_KEY)
IAT = 1_799_999_000_000
NOW = 1_800_000_000_000
WEEK = 604_800
SHOP = "b62ec294-cc90-4667-b8b2-a86630c1d96b"
OTHER = "7441f734-92e4-432c-afb1-99b68bdc2e18"
BOB = "8e676bba-620a-49a1-883f-e6b2adda13fc"
KEY = "9cfce9c3-b6ec-43f1-a614-505c35fbd52a"

USER_CLAIMS: dict[str, Any] = {
    "id": BOB,
    "login": "bob",
    "scope": {"company": ["read"], "n": 1e21},
    "deviceId": "dev:with:colons",
    "jti": f"{BOB}dev:with:colons{IAT}",
    "iat": IAT,
    "sub": "sub-bob",
    "aud": "jincor.com",
    "exp": IAT + WEEK,
}
TENANT_CLAIMS: dict[str, Any] = {
    "id": SHOP,
    "login": "tenant:shop@example.org",
    "jti": f"{SHOP}{IAT}",
    "iat": IAT,
    "aud": "jincor.com",
    "isTenant": True,
}
USER = Session(
    USER_CLAIMS["jti"], SessionKind.IMPORTED_USER, SHOP, BOB, "dev:with:colons", KEY.encode(), IAT, NOW + 60_000, IAT
)
TENANT = Session(TENANT_CLAIMS["jti"], SessionKind.IMPORTED_TENANT, SHOP, None, None, KEY.encode(), IAT, None, IAT)


def without(claims: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if name not in names}


def accepts(token: str, session: Session = USER, *, now: int = NOW, codec: Codec = CODEC) -> bool:
    parse = codec.parse_user if session.user_id else codec.parse_tenant
    parsed = parse(token.encode())
    return parsed is not None and codec.check(parsed, session, now)


@pytest.mark.parametrize(
    ("claims", "session"),
    [
        (USER_CLAIMS, USER),
        (without(USER_CLAIMS, "scope"), USER),
        ({**USER_CLAIMS, "scope": None}, USER),
        (without(USER_CLAIMS, "login", "scope"), USER),
        ({**USER_CLAIMS, "sub": "тема 😀 \u2028"}, USER),
        (dict(reversed(USER_CLAIMS.items())), USER),
        (TENANT_CLAIMS, TENANT),
    ],
)
def test_a_token_as_the_predecessor_made_it_is_true_and_its_claims_are_as_signed(
    claims: dict[str, Any], session: Session
) -> None:
    token = sign(claims, KEY)
    assert accepts(token, session)
    parsed = CODEC.parse_user(token.encode()) or CODEC.parse_tenant(token.encode())
    assert parsed
    assert json.loads(parsed.payload) == claims


@pytest.mark.parametrize("session", [USER, TENANT], ids=["user", "tenant"])
def test_TK2_a_token_signed_without_the_sessions_key_is_refused(session: Session) -> None:
    claims = USER_CLAIMS if session.user_id else TENANT_CLAIMS
    for guessed in (None, "", "undefined", "None", "null", OTHER):
        assert not accepts(sign(claims, guessed), session)
    assert not accepts(sign(claims, KEY, key=""), session)
    assert not accepts(sign(claims, KEY, key="another"), session)
    assert not accepts(sign(claims, KEY, key=MASTER.decode()), session)


FAULTS: dict[str, dict[str, Any]] = {
    "another user": {"id": OTHER},
    "another session": {"jti": f"{BOB}another{IAT}"},
    "another device": {"deviceId": "another"},
    "no device": {"deviceId": ""},
    "another time": {"iat": IAT + 1},
    "a time in seconds": {"iat": IAT // 1000},
    "a fraction": {"iat": IAT + 0.5},
    "a time as text": {"iat": str(IAT)},
    "a claim that it never makes": {"tenant": SHOP},
    "a tenant's claim": {"isTenant": True},
    "an id that is a number": {"id": 1},
    "an end that is a text": {"exp": "never"},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_claims_that_do_not_fit_their_session_are_refused_though_they_are_signed(fault: str) -> None:
    assert not accepts(sign({**USER_CLAIMS, **FAULTS[fault]}, KEY))


@pytest.mark.parametrize(
    "claims",
    [
        {**USER_CLAIMS, **FAULTS[fault]}
        for fault in ("another user", "another session", "another device", "another time")
    ]
    + [{**USER_CLAIMS, "id": "x" * 3000, "jti": f"{'x' * 3000}dev:with:colons{IAT}"}],
)
def test_S17_a_token_whose_session_is_not_named_after_it_is_refused_before_any_store(claims: dict[str, Any]) -> None:
    assert CODEC.parse_user(sign(claims, KEY).encode()) is None


@pytest.mark.parametrize("claims", [{**TENANT_CLAIMS, "jti": "another"}, {**TENANT_CLAIMS, "id": OTHER}])
def test_S17_so_is_a_tenants(claims: dict[str, Any]) -> None:
    assert CODEC.parse_tenant(sign(claims, KEY).encode()) is None


@pytest.mark.parametrize("name", ["id", "jti", "iat", "deviceId", "aud", "exp"])
def test_a_user_token_without_a_claim_it_always_makes_is_refused(name: str) -> None:
    assert not accepts(sign(without(USER_CLAIMS, name), KEY))


@pytest.mark.parametrize(
    "claims", [{**TENANT_CLAIMS, "isTenant": False}, without(TENANT_CLAIMS, "isTenant"), {**TENANT_CLAIMS, "exp": 1}]
)
def test_TK6_a_tenant_token_says_so(claims: dict[str, Any]) -> None:
    assert not accepts(sign(claims, KEY), TENANT)


HEADERS = [
    {"typ": "JWT", "alg": "HS256"},
    {"alg": "HS256"},
    {"alg": "none", "typ": "JWT"},
    {"alg": "HS384", "typ": "JWT"},
    {"alg": "HS256", "typ": "JWT", "kid": ""},
    {"alg": "HS256", "typ": "JWT", "kid": "1"},
    b'{"alg": "HS256", "typ": "JWT"}',
    b'{"alg":"HS256","typ":"JWT"} ',
]


@pytest.mark.parametrize("header", HEADERS, ids=repr)
def test_TK1_only_the_predecessors_one_header_is_taken(header: object) -> None:
    assert not accepts(sign(USER_CLAIMS, KEY, header=header))


@pytest.mark.parametrize(
    "text",
    [
        b" %b",
        b"%b ",
        b"\xef\xbb\xbf%b",
        b'{"id":"x",%b',
        b"[%b]",
        b'{"\\u0069d":"x",%b',
    ],
    ids=repr,
)
def test_TK8_claims_with_white_space_or_a_name_twice_are_refused_though_they_are_signed(text: bytes) -> None:
    plain = json.dumps(USER_CLAIMS, separators=(",", ":")).encode()
    assert accepts(sign(plain, KEY))
    assert not accepts(sign(text % (plain[1:] if text.startswith(b"{") else plain), KEY))


def test_TK4_a_token_has_one_spelling() -> None:
    token = sign(USER_CLAIMS, KEY)
    head, payload, mac = token.split(".")
    for other in (
        token + "=",
        f"{head}=.{payload}.{mac}",
        f"{head}.{payload}=.{mac}",
        f" {token}",
        f"{token}\n",
        f"{token}.",
        f"{head}.{payload}.{mac}.{mac}",
        f"{head}.{payload}",
        f"{head}.{payload}.",
        f"{head}.{payload}.{mac.replace('-', '+').replace('_', '/')}"
        if set(mac) & set("-_")
        else f"{head}.{payload}.{mac}+",
    ):
        assert not accepts(other)
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for character in last:
        assert accepts(f"{token[:-1]}{character}") == (character == token[-1])


@given(place=st.integers(min_value=0), byte=st.integers(min_value=0, max_value=255))
@settings(max_examples=200)
def test_any_changed_byte_kills_a_token(place: int, byte: int) -> None:
    token = bytearray(sign(USER_CLAIMS, KEY).encode())
    place %= len(token)
    same = token[place] == byte
    token[place] = byte
    parsed = CODEC.parse_user(bytes(token))
    assert same or parsed is None or not CODEC.check(parsed, USER, NOW)


def test_TK9_a_token_that_is_too_long_is_refused() -> None:
    def sized(length: int) -> str:
        return sign({**USER_CLAIMS, "scope": "x" * length}, KEY)

    assert accepts(sized(5_000))
    assert len(sized(6_000)) > 8_192
    assert not accepts(sized(6_000))


def test_TK17_a_token_ends_with_its_session_and_not_by_its_claims() -> None:
    token = sign({**USER_CLAIMS, "exp": 1}, KEY)
    assert accepts(token, now=NOW + 59_999)
    assert not accepts(token, now=NOW + 60_000)
    assert accepts(sign(TENANT_CLAIMS, KEY), TENANT, now=NOW * 2)


def test_TK6_native_and_imported_sessions_are_not_interchangeable() -> None:
    legacy = sign(USER_CLAIMS, KEY)
    for kind in (SessionKind.USER, SessionKind.TENANT, SessionKind.KEY, SessionKind.IMPORTED_TENANT):
        assert not accepts(legacy, USER._replace(kind=kind))
    native = UserClaims(
        BOB, "bob", SHOP, {}, USER.device_id or "", "s", "doorward", "x" * 22, NOW // 1000, NOW // 1000 + 9
    )
    own = USER._replace(kind=SessionKind.USER, id="x" * 22)
    imported = own._replace(kind=SessionKind.IMPORTED_USER)
    token = CODEC.sign(native, own)
    assert accepts(token, own)
    assert not accepts(token, imported)
    assert not accepts(CODEC.sign(native, imported), imported)
    claims = TenantClaims(SHOP, "tenant:x@y", "doorward", "x" * 22, NOW // 1000, isTenant=True)
    session = TENANT._replace(id="x" * 22)
    assert not accepts(CODEC.sign(claims, session), session)
    assert CODEC.parse_tenant(legacy.encode()) is None
    assert CODEC.parse_user(sign(TENANT_CLAIMS, KEY).encode()) is None


def test_the_legacy_key_signs_nothing_and_without_it_nothing_of_the_predecessors_is_taken() -> None:
    plain = Codec({"1": MASTER}, "doorward")
    claims = UserClaims(BOB, "bob", SHOP, jti="x" * 22, deviceId="d", aud="doorward", iat=1, exp=2)
    session = USER._replace(id="x" * 22, kind=SessionKind.USER, device_id="d")
    assert CODEC.sign(claims, session) == plain.sign(claims, session)
    assert plain.parse_user(sign(USER_CLAIMS, KEY).encode()) is None
    parsed = CODEC.parse_user(sign(USER_CLAIMS, KEY).encode())
    assert parsed
    assert not plain.check(parsed, USER, NOW)


@pytest.fixture
def door(sessions: RelationalSessionStore, clock: TurnableClock) -> SessionService:
    return SessionService(sessions, CODEC, clock, SessionLifetimes())


async def token_of(door: SessionService, tenant_id: str) -> bytes:
    issued = await door.open_tenant_session(Tenant(tenant_id, f"{tenant_id}@example.org", "x", 1, 0))
    return issued.token.encode()


async def test_imported_tokens_pass_their_doors_and_only_their_own_tenants(door: SessionService) -> None:
    await door.session_store.open_many([USER, TENANT])
    user, tenant = sign(USER_CLAIMS, KEY).encode(), sign(TENANT_CLAIMS, KEY).encode()
    assert (await door.verify_tenant_token(tenant)).session == TENANT
    assert await door.authenticate_tenant(tenant, Permission.USERS_WRITE) == TENANT
    native = await token_of(door, SHOP)
    for credential in (tenant, native):
        assert (await door.verify_user_token(credential, user)).session == USER
        assert [
            one.session if one else None for one in (await door.verify_user_tokens(credential, [user, tenant]))[1]
        ] == [
            USER,
            None,
        ]
    foreign = await token_of(door, OTHER)
    with pytest.raises(InvalidToken):
        await door.verify_user_token(foreign, user)
    with pytest.raises(InvalidToken):
        await door.verify_tenant_token(user)
    with pytest.raises(InvalidToken):
        await door.verify_user_token(native, tenant)
    with pytest.raises(NotAuthorized):
        await door.verify_user_token(user, user)


async def test_no_session_no_imported_token(door: SessionService) -> None:
    native = await token_of(door, SHOP)
    for key in (KEY, None):
        with pytest.raises(InvalidToken):
            await door.verify_user_token(native, sign(USER_CLAIMS, key).encode())


async def test_a_session_of_no_tenant_goes_to_the_first_tenant_that_shows_its_token_for_good(
    door: SessionService,
) -> None:
    orphan = USER._replace(tenant_id="")
    await door.session_store.open_many([orphan])
    token = sign(USER_CLAIMS, KEY).encode()
    ours, theirs = await token_of(door, SHOP), await token_of(door, OTHER)
    with pytest.raises(InvalidToken):
        await door.verify_user_token(theirs, sign(USER_CLAIMS, None).encode())
    assert (await door.verify_user_token(ours, token)).session.tenant_id == SHOP
    assert (await door.verify_user_token(ours, token)).session.tenant_id == SHOP
    with pytest.raises(InvalidToken):
        await door.verify_user_token(theirs, token)
    await door.session_store.revoke_users_of(SHOP)
    with pytest.raises(InvalidToken):
        await door.verify_user_token(ours, token)


async def test_a_batch_may_show_the_token_of_a_session_of_no_tenant_twice(door: SessionService) -> None:
    await door.session_store.open_many([USER._replace(tenant_id="")])
    token = sign(USER_CLAIMS, KEY).encode()
    ours, theirs = await token_of(door, SHOP), await token_of(door, OTHER)
    _, found = await door.verify_user_tokens(ours, [token, token])
    assert [one.session.tenant_id if one else None for one in found] == [SHOP, SHOP]
    assert (await door.verify_user_tokens(theirs, [token]))[1] == [None]


async def test_what_standards_want_of_an_imported_token_is_in_seconds_and_complete(door: SessionService) -> None:
    await door.session_store.open_many([USER])
    claims = without(USER_CLAIMS, "login", "sub", "scope")
    verified = await door.verify_user_token(await token_of(door, SHOP), sign(claims, KEY).encode())
    assert verified.decoded_claims() == {
        **claims,
        "login": "",
        "sub": "",
        "tenant": SHOP,
        "iat": IAT // 1000,
        "exp": (NOW + 60_000) // 1000,
    }


async def test_a_master_key_that_equals_the_legacy_key_changes_nothing(door: SessionService) -> None:
    same = replace(door, codec=LegacyTokenCodec({"1": JWT_KEY.encode()}, "doorward", JWT_KEY))
    await same.session_store.open_many([USER])
    ours = await token_of(same, SHOP)
    assert (await same.verify_user_token(ours, sign(USER_CLAIMS, KEY).encode())).session == USER
    with pytest.raises(NotAuthorized):
        await same.authenticate_tenant(f"{segment(HEADER)}.{ours.decode().partition('.')[2]}".encode(), None)
