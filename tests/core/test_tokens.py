"""The codec against hostile tokens, each signed with the right key where the fault is elsewhere."""

import base64
import hmac
import json
import os
from collections.abc import Mapping
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc import jwt as jose_jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from doorward.core.model import Session, SessionKind
from doorward.core.tokens.codec import LEEWAY, MAX_TOKEN_BYTES, Codec, TenantClaims, UserClaims
from doorward.core.tokens.signing import encode_segment, new_session_id, new_session_key, signing_key, spell

EXAMPLES = 5_000 if os.environ.get("DOORWARD_TORTURE") else 200
MASTER = b"zIsRPtR3xGdd0CqNEwZ9Bq1vX2mWv7JkLhTyUo4sQfA="
CODEC = Codec({"1": MASTER}, "doorward")
NOW = 1_800_000_000
"""Seconds; the codec is told milliseconds."""
WEEK = 604_800

USER = Session(
    "Vd8m1JQkq3TzY5cWb7sXaw",
    SessionKind.USER,
    "tenant-a",
    "user-a",
    "laptop",
    b"u" * 32,
    NOW * 1000,
    (NOW + WEEK) * 1000,
)
TENANT = Session("p0Qm4cXr9zLh2sVd6tBnYg", SessionKind.TENANT, "tenant-a", None, None, b"t" * 32, NOW * 1000, None)
BRIEF_TENANT = TENANT._replace(expires_at=(NOW + WEEK) * 1000)

HEADER: dict[str, Any] = {"alg": "HS256", "typ": "JWT", "kid": "1"}
USER_CLAIMS: dict[str, Any] = {
    "id": "user-a",
    "login": "alice",
    "tenant": "tenant-a",
    "scope": {"read": True},
    "deviceId": "laptop",
    "sub": "sub-1",
    "aud": "doorward",
    "jti": USER.id,
    "iat": NOW,
    "exp": NOW + WEEK,
}
TENANT_CLAIMS: dict[str, Any] = {
    "id": "tenant-a",
    "login": "tenant:shop@example.org",
    "aud": "doorward",
    "jti": TENANT.id,
    "iat": NOW,
    "isTenant": True,
}


def segment(part: bytes | Mapping[str, Any]) -> bytes:
    """Encode a part of a token; a mapping becomes JSON in the order it has."""
    return encode_segment(part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":")).encode())


def seal(signed: bytes, session: Session = USER, *, key: bytes | None = None, digest: str = "sha256") -> bytes:
    """Put a MAC under two segments, with the session's own key unless another is given."""
    mac = hmac.digest(signing_key(MASTER, session) if key is None else key, signed, digest)
    return signed + b"." + encode_segment(mac)


def forge(
    header: bytes | Mapping[str, Any] = HEADER,
    claims: bytes | Mapping[str, Any] | None = None,
    session: Session = USER,
    **how: Any,
) -> bytes:
    """Make a token as somebody would who holds every key of the service."""
    if claims is None:
        claims = USER_CLAIMS if session.kind == SessionKind.USER else TENANT_CLAIMS
    return seal(segment(header) + b"." + segment(claims), session, **how)


def accepts(token: bytes, session: Session = USER, *, now: int = NOW, codec: Codec = CODEC) -> bool:
    """Tell whether the door named after the session's kind lets the token in."""
    parsed = codec.parse_user(token) if session.kind == SessionKind.USER else codec.parse_tenant(token)
    return parsed is not None and codec.check(parsed, session, now * 1000)


def without(claims: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in claims.items() if key != name}


def issue(session: Session = USER, codec: Codec = CODEC, **claims: Any) -> bytes:
    """Let the service itself make a token."""
    made: UserClaims | TenantClaims
    if session.kind == SessionKind.USER:
        made = UserClaims(**{**USER_CLAIMS, "jti": session.id, **claims})
    else:
        made = TenantClaims(**{**TENANT_CLAIMS, "jti": session.id, **claims})
    return codec.sign(made, session).encode()


TOKEN = issue()


def test_what_the_service_signs_it_accepts() -> None:
    assert accepts(issue(USER), USER)
    assert accepts(issue(TENANT), TENANT)
    assert accepts(issue(BRIEF_TENANT, exp=NOW + WEEK), BRIEF_TENANT)


def test_the_forge_of_these_tests_makes_exactly_the_tokens_of_the_service() -> None:
    # Without this, a vector below could be refused for a fault of the forge.
    assert forge() == issue(USER)
    assert forge(session=TENANT) == issue(TENANT)


def test_the_signing_key_is_hkdf_sha256_of_the_master_key_and_the_session_key() -> None:
    for session in (USER, TENANT, USER._replace(key=os.urandom(32), tenant_id="ünï/código")):
        info = f"auth/v1/{session.kind}/{session.tenant_id}/{session.id}".encode()
        derived = HKDF(algorithm=SHA256(), length=32, salt=session.key, info=info).derive(MASTER)
        assert signing_key(MASTER, session) == derived


# --- algorithms ---------------------------------------------------------------------------------------------------

ALGORITHMS = [
    *(
        "none",
        "None",
        "NONE",
        "nOnE",
        "HS384",
        "HS512",
        "RS256",
        "PS256",
        "ES256",
        "EdDSA",
        "hs256",
        "HS256 ",
        "HS2560",
    ),
    *("", "A256GCMKW", "dir", ["HS256"], {"alg": "HS256"}, None, True, 256),
]


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
@pytest.mark.parametrize("session", [USER, TENANT], ids=["user", "tenant"])
def test_TK1_only_HS256_is_accepted_whatever_the_mac(algorithm: object, session: Session) -> None:
    header = {**HEADER, "alg": algorithm}
    unsigned = forge(header, session=session).rpartition(b".")[0]
    assert not accepts(forge(header, session=session), session)
    assert not accepts(unsigned + b".", session)
    assert not accepts(unsigned, session)
    for digest in ("sha384", "sha512", "sha1", "md5"):
        assert not accepts(forge(header, session=session, digest=digest), session)


@pytest.mark.parametrize("digest", ["sha1", "sha224", "sha384", "sha512", "sha3_256", "md5"])
def test_TK1_the_right_header_over_another_digest_is_refused(digest: str) -> None:
    assert not accepts(forge(digest=digest))


def test_TK1_a_header_without_alg_is_refused() -> None:
    assert not accepts(forge(without(HEADER, "alg")))
    assert not accepts(forge({}))


def test_TK1_asymmetric_tokens_of_another_library_are_refused() -> None:
    def signed(algorithm: str, key: OctKey | RSAKey | ECKey) -> bytes:
        claims = json.dumps(USER_CLAIMS, separators=(",", ":")).encode()
        return jws.serialize_compact({**HEADER, "alg": algorithm}, claims, key, algorithms=[algorithm]).encode()

    # The same token with a MAC is accepted, so only the algorithm can be what refuses the others.
    assert accepts(signed("HS256", OctKey.import_key(signing_key(MASTER, USER))))
    assert not accepts(signed("RS256", RSAKey.generate_key(2048)))
    assert not accepts(signed("ES256", ECKey.generate_key("P-256")))


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"none","alg":"HS256","typ":"JWT","kid":"1"}',
        b'{"alg":"HS256","alg":"none","typ":"JWT","kid":"1"}',
        b'{"alg":"HS256","typ":"JWT","kid":"1","kid":"1"}',
        b'{"typ":"JWT","alg":"HS256","kid":"1"}',
        b'{"alg": "HS256", "typ": "JWT", "kid": "1"}',
        b'{"alg":"HS256","typ":"JWT","kid":"1"} ',
        b'\xef\xbb\xbf{"alg":"HS256","typ":"JWT","kid":"1"}',
        b'{"\\u0061lg":"HS256","typ":"JWT","kid":"1"}',
        b'{"alg":"HS256","typ":"JWT"}',
        b'{"alg":"HS256"}',
        b"{}",
        b"[]",
        b"null",
        b'"HS256"',
        b"",
        b"\x00",
        json.dumps(HEADER).encode("utf-16"),
    ],
)
def test_TK1_the_header_has_one_spelling(header: bytes) -> None:
    assert not accepts(forge(header))


# --- no session, no MAC -------------------------------------------------------------------------------------------


def guesses_with_the_master_key(session: Session) -> list[bytes]:
    """What somebody can try who stole the master key but no session's key."""
    empty = session._replace(key=b"")
    zeros = session._replace(key=bytes(32))
    texts = [b"", b":", b":null", b":None", b":undefined", b":" + session.id.encode(), session.id.encode()]
    return [
        *(MASTER + text for text in texts),
        base64.b64decode(MASTER),
        signing_key(MASTER, empty),
        signing_key(MASTER, zeros),
        signing_key(MASTER, session._replace(key=b"null")),
        hmac.digest(b"", MASTER, "sha256"),
        hmac.digest(bytes(32), MASTER, "sha256"),
        HKDF(algorithm=SHA256(), length=32, salt=None, info=b"").derive(MASTER),
        HKDF(
            algorithm=SHA256(),
            length=32,
            salt=b"",
            info=f"auth/v1/{session.kind}/{session.tenant_id}/{session.id}".encode(),
        ).derive(MASTER),
        hmac.digest(MASTER, session.id.encode(), "sha256"),
    ]


def guesses_with_the_database(session: Session) -> list[bytes]:
    """What somebody can try who stole the database but not the master key."""
    return [
        session.key,
        base64.b64encode(session.key),
        session.key.hex().encode(),
        b":" + session.key,
        *(signing_key(master, session) for master in (b"", bytes(32), b"null", b"None", b"secret", session.key)),
        hmac.digest(session.key, session.id.encode(), "sha256"),
    ]


@pytest.mark.parametrize("session", [USER, TENANT], ids=["user", "tenant"])
def test_TK2_TK11_the_master_key_alone_forges_nothing(session: Session) -> None:
    assert accepts(forge(session=session), session)
    for key in guesses_with_the_master_key(session):
        assert not accepts(forge(session=session, key=key), session)


@pytest.mark.parametrize("session", [USER, TENANT], ids=["user", "tenant"])
def test_TK11_the_database_alone_forges_nothing(session: Session) -> None:
    for key in guesses_with_the_database(session):
        assert not accepts(forge(session=session, key=key), session)


@pytest.mark.parametrize(
    "change", [{"id": "x" * 22}, {"tenant_id": "tenant-b"}, {"kind": SessionKind.TENANT}, {"key": b"v" * 32}]
)
def test_TK11_a_session_key_copied_to_another_row_signs_nothing_there(change: dict[str, Any]) -> None:
    other = USER._replace(**change)
    assert signing_key(MASTER, other) != signing_key(MASTER, USER)
    assert not accepts(forge(key=signing_key(MASTER, other)))


# --- key material out of the header -------------------------------------------------------------------------------

JWK = {"kty": "oct", "k": base64.urlsafe_b64encode(b"attacker" * 4).rstrip(b"=").decode()}
KEY_SOURCES: list[dict[str, Any]] = [
    {"jwk": JWK},
    {"jku": "http://127.0.0.1:9/jwks.json"},
    {"x5u": "http://127.0.0.1:9/cert.pem"},
    {"x5c": ["MIIB"]},
    {"x5t": "AAAA"},
    {"x5t#S256": "AAAA"},
    {"crit": ["b64"], "b64": False},
    {"crit": []},
    {"zip": "DEF"},
    {"cty": "JWT"},
    {"enc": "A256GCM"},
]


@pytest.mark.parametrize("extra", KEY_SOURCES, ids=lambda extra: next(iter(extra)))
def test_TK3_a_header_that_brings_its_own_key_is_refused_under_either_key(extra: dict[str, Any]) -> None:
    for header in ({**HEADER, **extra}, {**extra, **HEADER}, {"alg": "HS256", "typ": "JWT", **extra}):
        assert not accepts(forge(header))
        assert not accepts(forge(header, key=b"attacker" * 4))


KIDS: list[Any] = [
    *("", "0", "01", "1 ", " 1", "1\n", "1\x00", "2", "-1", "1.0", "\uff11", "null", "/dev/null", "../../../dev/null"),
    *("|sleep 10", "x' UNION SELECT '1';--", "' OR 1=1 --", "${jndi:ldap://127.0.0.1/a}", "k" * 10_000),
    *(1, 1.0, True, None, ["1"], {"kid": "1"}),
]


@pytest.mark.parametrize("kid", KIDS, ids=lambda kid: repr(kid)[:24])
def test_TK3_KR5_a_kid_that_names_no_key_is_refused_under_any_guess_of_a_key(kid: object) -> None:
    header = {**HEADER, "kid": kid}
    for key in (None, b"", b"\x00", b"1", MASTER):
        assert not accepts(forge(header, key=key))


@pytest.mark.parametrize("typ", ["jwt", "at+jwt", "JWE", "refresh", "", None, 1, ["JWT"]], ids=repr)
def test_TK6_another_typ_is_refused(typ: object) -> None:
    assert not accepts(forge({**HEADER, "typ": typ}))
    assert not accepts(forge(without(HEADER, "typ")))


# --- one token, one string ----------------------------------------------------------------------------------------

_head, _body, _mac = TOKEN.split(b".")
SPELLINGS = {
    "padded signature": TOKEN + b"=",
    "twice padded signature": TOKEN + b"==",
    "padded header": b".".join([_head + b"=", _body, _mac]),
    "leading space": b" " + TOKEN,
    "trailing space": TOKEN + b" ",
    "trailing newline": TOKEN + b"\n",
    "leading newline": b"\n" + TOKEN,
    "leading tab": b"\t" + TOKEN,
    "trailing NUL": TOKEN + b"\x00",
    "byte order mark": b"\xef\xbb\xbf" + TOKEN,
    "bearer": b"Bearer " + TOKEN,
    "quoted": b'"' + TOKEN + b'"',
    "one segment": TOKEN.replace(b".", b""),
    "two segments": _head + b"." + _body,
    "four segments": TOKEN + b".x",
    "five segments": TOKEN + b".x.y",
    "fourth segment empty": TOKEN + b".",
    "first segment empty": b"." + TOKEN,
    "doubled dot": _head + b".." + _body + b"." + _mac,
    "no header": b"." + _body + b"." + _mac,
    "no payload": _head + b".." + _mac,
    "no signature": _head + b"." + _body + b".",
    "only dots": b"..",
    "nothing": b"",
    "percent encoded dot": TOKEN.replace(b".", b"%2E"),
    "full width dot": TOKEN.replace(b".", "\uff0e".encode()),
    "upper case": TOKEN.upper(),
    "lower case": TOKEN.lower(),
    "twice": TOKEN + TOKEN,
    "UTF-16": TOKEN.decode().encode("utf-16"),
    "flattened JSON": json.dumps(
        {"protected": _head.decode(), "payload": _body.decode(), "signature": _mac.decode()}
    ).encode(),
    "general JSON": json.dumps(
        {"payload": _body.decode(), "signatures": [{"protected": _head.decode(), "signature": _mac.decode()}]}
    ).encode(),
    "truncated signature": TOKEN[:-1],
    "half a signature": _head + b"." + _body + b"." + _mac[:22],
    "lengthened signature": TOKEN + b"A",
    "doubled signature": TOKEN + _mac,
    "zero signature": _head + b"." + _body + b"." + encode_segment(bytes(32)),
    "hexadecimal signature": _head + b"." + _body + b"." + base64.urlsafe_b64decode(_mac + b"=").hex().encode(),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_TK4_TK5_a_token_has_one_spelling(name: str) -> None:
    assert accepts(TOKEN)
    assert not accepts(SPELLINGS[name])


def alike(encoded: bytes) -> list[bytes]:
    """Return other texts that a lenient decoder takes for the same bytes."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    unused = {0: 0, 2: 4, 3: 2}[len(encoded) % 4]
    last = alphabet.index(encoded[-1:])
    flipped = [encoded[:-1] + alphabet[last ^ bits : (last ^ bits) + 1] for bits in range(1, 1 << unused)]
    return [
        *flipped,
        encoded + b"=",
        encoded + b"==",
        encoded + b"=" * (-len(encoded) % 4),
        *(
            encoded[:5] + inside + encoded[5:]
            for inside in (b" ", b"\n", b"\r\n", b"?", b"=", b"!", b"\x00", b"\xc2\xa0", b"    ", b"!!!!", b"====")
        ),
    ]


@pytest.mark.parametrize("filler", range(6))
def test_TK4_a_payload_has_one_spelling_even_for_who_can_sign(filler: int) -> None:
    # Six lengths, so that every number of unused bits and of padding characters occurs.
    honest = segment({**USER_CLAIMS, "login": "a" * (filler + 1)})
    assert accepts(seal(_head + b"." + honest))
    for spelling in alike(honest):
        if spelling != honest:
            assert not accepts(seal(_head + b"." + spelling)), spelling[-8:]


@pytest.mark.parametrize("filler", range(6))
def test_TK4_foreign_alphabets_of_base64_are_refused_even_for_who_can_sign(filler: int) -> None:
    claims = {**USER_CLAIMS, "login": "a" * filler + "???>>>~~~ÿÿÿ"}
    honest = encode_segment(spell(claims))
    assert accepts(seal(_head + b"." + honest))
    assert b"-" in honest or b"_" in honest
    assert not accepts(seal(_head + b"." + honest.replace(b"-", b"+").replace(b"_", b"/")))
    for codec in (base64.b32encode, base64.b16encode, base64.b85encode):
        assert not accepts(seal(_head + b"." + codec(spell(claims))))


def test_TK4_other_spellings_of_the_signature_are_refused() -> None:
    for spelling in alike(_mac):
        assert not accepts(_head + b"." + _body + b"." + spelling)
    assert not accepts(_head + b"." + _body + b"." + base64.b64encode(base64.urlsafe_b64decode(_mac + b"=")))


EDITS = st.tuples(
    st.sampled_from(["change", "insert", "delete"]),
    st.integers(min_value=0),
    st.one_of(st.sampled_from(b"=.-_+/ \n\x00Aa0"), st.integers(0, 255)),
)


@settings(max_examples=EXAMPLES)
@given(st.sampled_from([USER, TENANT]), EDITS)
def test_TK4_any_change_of_one_character_is_refused(session: Session, edit: tuple[str, int, int]) -> None:
    token = issue(session)
    how, place, value = edit
    place %= len(token) + (how == "insert")
    byte = bytes([value])
    edited = {
        "change": token[:place] + byte + token[place + 1 :],
        "insert": token[:place] + byte + token[place:],
        "delete": token[:place] + token[place + 1 :],
    }[how]
    assert accepts(edited, session) == (edited == token)


@pytest.mark.parametrize("place", range(len(TOKEN)))
def test_TK4_every_single_bit_of_a_token_counts(place: int) -> None:
    for bit in range(8):
        assert not accepts(TOKEN[:place] + bytes([TOKEN[place] ^ 1 << bit]) + TOKEN[place + 1 :])


def test_TK5_parts_of_two_live_tokens_make_no_third() -> None:
    one, two = issue(USER, login="alice").split(b"."), issue(USER, login="mallory").split(b".")
    assert not accepts(b".".join([one[0], one[1], two[2]]))
    assert not accepts(b".".join([two[0], two[1], one[2]]))


@pytest.mark.parametrize(
    "key", [b"", b"\x00", b"u" * 32, MASTER, signing_key(MASTER[:-1], USER), signing_key(MASTER + b"\n", USER)]
)
def test_TK5_a_wrong_key_is_refused(key: bytes) -> None:
    assert not accepts(forge(key=key))


# --- kinds --------------------------------------------------------------------------------------------------------


def test_TK6_a_tenants_token_is_no_users_and_a_users_no_tenants() -> None:
    assert CODEC.parse_user(issue(TENANT)) is None
    assert CODEC.parse_tenant(issue(USER)) is None


def test_TK6_claims_of_the_other_kind_are_refused_even_when_the_session_signed_them() -> None:
    posing_user = {**USER_CLAIMS, "id": "tenant-a", "jti": TENANT.id, "tenant": "tenant-a"}
    user = CODEC.parse_user(forge(claims=posing_user, session=TENANT))
    assert user is not None
    assert not CODEC.check(user, TENANT, NOW * 1000)
    posing_tenant = {**TENANT_CLAIMS, "jti": USER.id, "exp": NOW + WEEK}
    tenant = CODEC.parse_tenant(forge(claims=posing_tenant, session=USER))
    assert tenant is not None
    assert not CODEC.check(tenant, USER, NOW * 1000)


@pytest.mark.parametrize("value", [False, None, 1, "true", [True]], ids=repr)
def test_TK6_isTenant_is_true_and_nothing_else(value: object) -> None:
    assert not accepts(forge(claims={**TENANT_CLAIMS, "isTenant": value}, session=TENANT), TENANT)
    assert not accepts(forge(claims=without(TENANT_CLAIMS, "isTenant"), session=TENANT), TENANT)


@pytest.mark.parametrize(
    "audience",
    ["", "other", "Doorward", "doorward ", "doorward\x00", ["doorward"], ["doorward", "x"], None, 1],
    ids=repr,
)
@pytest.mark.parametrize("session", [USER, TENANT], ids=["user", "tenant"])
def test_TK6_another_audience_is_refused(audience: object, session: Session) -> None:
    claims = USER_CLAIMS if session is USER else TENANT_CLAIMS
    assert not accepts(forge(claims={**claims, "aud": audience}, session=session), session)
    assert not accepts(forge(claims=without(claims, "aud"), session=session), session)


@pytest.mark.parametrize(
    "claims",
    [
        {"id": "user-b"},
        {"tenant": "tenant-b"},
        {"deviceId": "phone"},
        {"jti": TENANT.id},
        {"jti": USER.id.lower()},
        {"jti": ""},
        {"iss": "somebody"},
        {"nbf": NOW - 1},
        {"isTenant": True},
        {"isTenant": False},
        {"typ": "refresh"},
        {"kind": "recovery"},
        {"__proto__": {}},
    ],
    ids=lambda claims: next(iter(claims)),
)
def test_TK6_claims_that_are_not_the_sessions_are_refused(claims: dict[str, Any]) -> None:
    assert not accepts(forge(claims={**USER_CLAIMS, **claims}))


@pytest.mark.parametrize(
    "claims", [{"id": "tenant-b"}, {"jti": USER.id}, {"tenant": "tenant-a"}, {"scope": None}], ids=repr
)
def test_TK6_claims_that_are_not_the_tenants_are_refused(claims: dict[str, Any]) -> None:
    assert not accepts(forge(claims={**TENANT_CLAIMS, **claims}, session=TENANT), TENANT)


# --- times --------------------------------------------------------------------------------------------------------

INSANE_TIMES: list[Any] = [
    *(str(NOW + WEEK), True, None, [], {}, float(NOW + WEEK), NOW + 0.5, -1, -NOW, -(10**30), 10**30),
    *((NOW + WEEK) * 1000, 2**63, 2**64),
]


@pytest.mark.parametrize("value", [NOW - 1, NOW, 0, NOW + WEEK + 1, *INSANE_TIMES], ids=repr)
def test_TK7_an_exp_that_is_past_or_insane_is_refused(value: object) -> None:
    assert not accepts(forge(claims={**USER_CLAIMS, "exp": value}))
    brief = {**TENANT_CLAIMS, "exp": value}
    assert not accepts(forge(claims=brief, session=BRIEF_TENANT), BRIEF_TENANT)


@pytest.mark.parametrize(
    "number",
    [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"1e9", b"0x7", b"01", b"+1", b"1_0", b"9" * 4000, b"9" * 5000],
)
@pytest.mark.parametrize("claim", [b"iat", b"exp"])
def test_TK7_a_time_that_is_no_plain_whole_number_is_refused(number: bytes, claim: bytes) -> None:
    honest = spell(USER_CLAIMS)
    before, _, rest = honest.partition(b'"%s":' % claim)
    assert not accepts(forge(claims=before + b'"%s":' % claim + number + rest.lstrip(b"0123456789")))


def test_TK7_a_users_token_needs_an_exp() -> None:
    assert not accepts(forge(claims=without(USER_CLAIMS, "exp")))
    assert not accepts(forge(claims={**USER_CLAIMS, "exp": 0}))


def test_TK7_an_exp_where_the_tenants_session_has_none_is_refused_and_the_other_way_round() -> None:
    assert not accepts(forge(claims={**TENANT_CLAIMS, "exp": NOW + 60}, session=TENANT), TENANT)
    assert not accepts(forge(session=BRIEF_TENANT), BRIEF_TENANT)


@pytest.mark.parametrize("value", [NOW + LEEWAY + 1, NOW + WEEK, *INSANE_TIMES], ids=repr)
@pytest.mark.parametrize("session", [USER, TENANT], ids=["user", "tenant"])
def test_TK7_an_iat_in_the_future_or_insane_is_refused(value: object, session: Session) -> None:
    claims = USER_CLAIMS if session is USER else TENANT_CLAIMS
    assert not accepts(forge(claims={**claims, "iat": value}, session=session), session)


@pytest.mark.parametrize("session", [USER, TENANT], ids=["user", "tenant"])
def test_TK7_a_clock_that_lags_by_the_leeway_is_forgiven(session: Session) -> None:
    claims = {**(USER_CLAIMS if session is USER else TENANT_CLAIMS), "iat": NOW + 1}
    token = forge(claims=claims, session=session)
    assert accepts(token, session, now=NOW + 1 - LEEWAY)
    assert not accepts(token, session, now=NOW - LEEWAY)


@pytest.mark.parametrize("step", [10, 7_200, 30 * 86_400], ids=["10 s", "2 h", "30 d"])
@pytest.mark.parametrize("session", [USER, TENANT], ids=["user", "tenant"])
def test_TK7_F2_after_the_clock_was_set_back_a_token_is_as_good_as_its_session(session: Session, step: int) -> None:
    claims = USER_CLAIMS if session is USER else TENANT_CLAIMS
    assert accepts(issue(session), session, now=NOW - step)
    later = forge(claims={**claims, "iat": NOW + LEEWAY + 1}, session=session)
    assert not accepts(later, session, now=NOW - step), "it is dated later than its session"
    refreshed = session._replace(refreshed_at=(NOW + 60) * 1000)
    assert accepts(later, refreshed, now=NOW - step)


@pytest.mark.parametrize("step", [7_200, 30 * 86_400], ids=["2 h", "30 d"])
def test_TK17_F2_a_session_lives_no_longer_from_when_the_clock_was_set_back_than_at_first(step: int) -> None:
    codec, since = Codec({"1": MASTER}, "doorward"), (NOW - step) * 1000
    codec.follow_clock(lambda: since)
    brief = USER._replace(expires_at=(NOW + 3600) * 1000, seen_at=NOW * 1000)
    token = issue(brief, exp=NOW + 3600)
    for session, life in (
        (brief, 3600),
        (brief._replace(idle=60_000), 60),
        (brief._replace(lifetime=600_000), 600),
        # It was used since, so it is idle since then.
        (brief._replace(idle=60_000, seen_at=since + 50_000), 110),
    ):
        assert accepts(token, session, codec=codec, now=NOW - step + life - 1)
        assert not accepts(token, session, codec=codec, now=NOW - step + life)
    key = Session(
        "k", SessionKind.KEY, "tenant-a", None, None, b"d" * 32, NOW * 1000, (NOW + 3600) * 1000, seen_at=NOW * 1000
    )
    assert not codec.is_expired(key, (NOW + 3599) * 1000)
    assert not codec.is_expired(key, (NOW - step) * 1000 + 3_600_000), "its end is a date that the tenant chose"


@pytest.mark.parametrize(
    ("session", "claims"), [(USER, {}), (BRIEF_TENANT, {"exp": NOW + WEEK})], ids=["user", "tenant"]
)
def test_TK7_a_token_dies_at_its_exp_to_the_millisecond(session: Session, claims: dict[str, Any]) -> None:
    token = issue(session, **claims)
    parsed = CODEC.parse_user(token) if session is USER else CODEC.parse_tenant(token)
    assert parsed
    end = (NOW + WEEK) * 1000
    assert CODEC.check(parsed, session, end - 1)
    assert not CODEC.check(parsed, session, end)
    assert not CODEC.check(parsed, session, end + WEEK * 1000)


def test_TK7_a_token_that_ends_before_its_session_ends_when_it_says() -> None:
    assert not accepts(issue(USER, exp=NOW + 60), USER, now=NOW + 60)
    assert not accepts(issue(BRIEF_TENANT, exp=NOW + 60), BRIEF_TENANT, now=NOW + 60)


# --- the claims' JSON ---------------------------------------------------------------------------------------------

_TEXT = spell(USER_CLAIMS)
ODD_JSON: dict[str, bytes] = {
    "the same key twice": _TEXT[:-1] + b',"login":"alice"}',
    "another login first": b'{"login":"mallory",' + _TEXT[1:],
    "the same key twice in scope": _TEXT.replace(b'{"read":true}', b'{"read":false,"read":true}'),
    "byte order mark": b"\xef\xbb\xbf" + _TEXT,
    "UTF-16": _TEXT.decode().encode("utf-16"),
    "UTF-16 without mark": _TEXT.decode().encode("utf-16-le"),
    "UTF-32": _TEXT.decode().encode("utf-32"),
    "Latin-1": _TEXT.replace(b"alice", b"al\xefce"),
    "overlong UTF-8": _TEXT.replace(b"alice", b"\xc1\xa1lice"),
    "lone surrogate, escaped": _TEXT.replace(b"alice", b"\\ud800"),
    "lone surrogate, raw": _TEXT.replace(b"alice", b"\xed\xa0\x80"),
    "needless escape": _TEXT.replace(b"alice", b"\\u0061lice"),
    "escaped slash": _TEXT.replace(b"alice", b"a\\/b"),
    "raw control character": _TEXT.replace(b"alice", b"a\nb"),
    "space after colon": _TEXT.replace(b'"login":', b'"login": '),
    "space in front": b" " + _TEXT,
    "newline behind": _TEXT + b"\n",
    "trailing bytes": _TEXT + b"{}",
    "trailing NUL": _TEXT + b"\x00",
    "trailing comma": _TEXT[:-1] + b",}",
    "comment": b"/**/" + _TEXT,
    "single quotes": _TEXT.replace(b'"', b"'"),
    "another order of claims": spell(dict(reversed(list(USER_CLAIMS.items())))),
    "a list around it": b"[" + _TEXT + b"]",
    "a string of it": json.dumps(_TEXT.decode()).encode(),
    "number spelled otherwise": _TEXT.replace(b"true", b"1.50"),
    "number of another size": _TEXT.replace(b"true", b"1E2"),
    "number out of range": _TEXT.replace(b"true", b"1e400"),
    "list": b"[]",
    "null": b"null",
    "string": b'"x"',
    "number": b"1",
    "empty object": b"{}",
    "half an object": _TEXT[: len(_TEXT) // 2],
    "not JSON": b"id=user-a&login=alice",
    "nothing": b"",
}


@pytest.mark.parametrize("name", ODD_JSON)
def test_TK8_claims_that_are_not_spelled_as_the_service_spells_them_are_refused(name: str) -> None:
    assert accepts(forge(claims=_TEXT))
    assert ODD_JSON[name] != _TEXT
    assert not accepts(forge(claims=ODD_JSON[name]))


ANOTHER_TYPE: tuple[Any, ...] = (None, True, 1.5, [], ["a"], {"a": 1})


@pytest.mark.parametrize("claim", list(without(USER_CLAIMS, "scope")))
def test_TK8_a_claim_of_another_type_is_refused(claim: str) -> None:
    for value in (*ANOTHER_TYPE, [USER_CLAIMS[claim]]):
        assert not accepts(forge(claims={**USER_CLAIMS, claim: value}))


def test_TK8_a_scope_is_of_any_type() -> None:
    for value in (*ANOTHER_TYPE, "a"):
        assert accepts(forge(claims={**USER_CLAIMS, "scope": value}))


@pytest.mark.parametrize("claim", [name for name in USER_CLAIMS if name not in {"scope", "sub", "login"}])
def test_TK8_a_claim_that_is_missing_is_missed(claim: str) -> None:
    assert not accepts(forge(claims=without(USER_CLAIMS, claim)))


@pytest.mark.parametrize("claim", list(TENANT_CLAIMS))
def test_TK8_a_claim_of_a_tenant_that_is_missing_is_missed(claim: str) -> None:
    assert not accepts(forge(claims=without(TENANT_CLAIMS, claim), session=TENANT), TENANT)


def test_TK8_claims_nested_to_any_depth_never_raise() -> None:
    for depth in (8, 100, *range(900, 1100, 7), 2_000, 3_000):
        for nest in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
            accepts(forge(claims=_TEXT.replace(b'{"read":true}', nest)))
    assert not accepts(forge(claims=_TEXT.replace(b'{"read":true}', b"[" * 10_000 + b"]" * 10_000)))
    assert not accepts(forge(claims=b"[" * 4_000))


# --- size ---------------------------------------------------------------------------------------------------------


# A key number of three digits, because base64 leaves out every fourth length and with it these two are there.
ROOMY = Codec({"100": MASTER}, "doorward")


def of_length(length: int) -> bytes:
    """Return a token in perfect order of exactly this many characters."""
    header = {**HEADER, "kid": "100"}
    room = (length - len(forge(header, claims=b""))) * 3 // 4
    token = forge(header, {**USER_CLAIMS, "login": "a" * (room - len(spell({**USER_CLAIMS, "login": ""})))})
    assert len(token) == length
    return token


def test_TK9_a_token_of_8192_characters_is_read_and_one_more_is_refused() -> None:
    assert MAX_TOKEN_BYTES == 8192
    assert accepts(of_length(8192), codec=ROOMY)
    assert not accepts(of_length(8193), codec=ROOMY)


class Untouchable(bytes):
    """A text that tells when something in it is looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"looked at {name}")

    def __getitem__(self, place: Any) -> Any:
        raise AssertionError("looked inside")

    def __iter__(self) -> Any:
        raise AssertionError("looked inside")


@pytest.mark.parametrize("size", [8193, 9_000, 100_000, 1_000_000])
def test_TK9_an_oversized_token_is_refused_before_anything_in_it_is_looked_at(size: int) -> None:
    huge = Untouchable(forge(claims=b'{"id":"' + b"a" * size + b'"}'))
    codec = Codec({"1": MASTER}, "doorward")
    assert codec.parse_user(huge) is None
    assert codec.parse_tenant(huge) is None
    with pytest.raises(AssertionError, match="looked"):
        codec.parse_user(Untouchable(TOKEN))


NO_IDS = ["", "x" * 37, "x" * 5000, "{}", "a}b", "a b", "a:b", "a\x00", "ä", "*", "../x"]


@pytest.mark.parametrize("made_up", NO_IDS, ids=lambda text: ascii(text[:8]))
def test_S17_a_token_with_an_id_of_another_form_is_refused_before_any_store(made_up: str) -> None:
    for claims, parse in ((USER_CLAIMS, CODEC.parse_user), (TENANT_CLAIMS, CODEC.parse_tenant)):
        assert parse(forge(claims=claims)) is not None
        assert parse(forge(claims={**claims, "id": made_up})) is None
        assert parse(forge(claims={**claims, "jti": made_up})) is None


@pytest.mark.parametrize("length", [21, 23, 36])
def test_S17_a_sessions_id_has_its_length(length: int) -> None:
    assert CODEC.parse_user(forge(claims={**USER_CLAIMS, "jti": "x" * length})) is None


def test_TK2_what_was_true_with_one_session_is_not_true_with_another() -> None:
    codec = Codec({"1": MASTER}, "doorward")
    token = issue()
    for _ in range(3):
        assert accepts(token, codec=codec)
        for other in (
            USER._replace(key=b"k" * 32),
            USER._replace(kind=SessionKind.TENANT),
            USER._replace(tenant_id="somebody-else"),
            USER._replace(user_id="somebody-else"),
            USER._replace(id="another-session"),
            USER._replace(device_id="another"),
            USER._replace(expires_at=NOW * 1000),
        ):
            parsed = codec.parse_user(token)
            assert parsed
            assert not codec.check(parsed, other, NOW * 1000)
        assert not accepts(token, codec=codec, now=NOW + WEEK)
        assert not accepts(token[:-1] + (b"A" if token[-1:] != b"A" else b"B"), codec=codec)


def test_remembered_tokens_are_bounded_and_the_oldest_are_taken_apart_again() -> None:
    codec = Codec({"1": MASTER}, "doorward")
    tokens = [issue(sub=f"sub-{number}") for number in range(3_000)]
    for _ in range(2):
        assert all(accepts(token, codec=codec) for token in tokens)
    assert len(codec._known_users) <= 2_048


# --- identifiers --------------------------------------------------------------------------------------------------


def chi_square(observed: list[int], expected: float) -> float:
    return sum((count - expected) ** 2 / expected for count in observed)


@pytest.mark.parametrize(
    ("make", "size"),
    [(lambda: base64.urlsafe_b64decode(new_session_id() + "=="), 16), (new_session_key, 32)],
    ids=["id", "key"],
)
def test_TK10_identifiers_and_keys_are_uniform_random_bytes(make: Any, size: int) -> None:
    made = [make() for _ in range(10_000)]
    assert {len(one) for one in made} == {size}
    assert len(set(made)) == len(made)
    total = [sum(one[bit // 8] >> bit % 8 & 1 for one in made) for bit in range(size * 8)]
    # Each term is chi-square of one degree; six standard deviations beyond the mean of the sum, no honest source gets.
    bits = sum(chi_square([count, len(made) - count], len(made) / 2) for count in total)
    assert abs(bits - size * 8) < 6 * (2 * size * 8) ** 0.5
    counts = [0] * 256
    for one in made:
        for byte in one:
            counts[byte] += 1
    assert abs(chi_square(counts, len(made) * size / 256) - 255) < 6 * (2 * 255) ** 0.5


def test_TK10_a_session_id_is_22_characters_of_base64url() -> None:
    for _ in range(1_000):
        made = new_session_id()
        assert len(made) == 22
        assert encode_segment(base64.urlsafe_b64decode(made + "==")).decode() == made


# --- several master keys ------------------------------------------------------------------------------------------

NEXT = b"Qm9yLTItZGlmZmVyZW50LWtleS1mb3ItdGVzdHMtb25seQ=="


def test_KR1_a_new_key_signs_while_the_old_one_still_verifies() -> None:
    old, both = CODEC, Codec({"2": NEXT, "1": MASTER}, "doorward")
    token = issue(USER, codec=both)
    assert json.loads(base64.urlsafe_b64decode(token.partition(b".")[0] + b"==")) == {**HEADER, "kid": "2"}
    assert accepts(token, codec=both)
    assert accepts(issue(USER, codec=old), codec=both)


def test_KR1_a_key_can_be_distributed_before_it_signs() -> None:
    prepared = Codec({"1": MASTER, "2": NEXT}, "doorward")
    activated = Codec({"2": NEXT, "1": MASTER}, "doorward")
    assert accepts(issue(USER, codec=activated), codec=prepared)
    assert accepts(issue(USER, codec=prepared), codec=activated)
    assert issue(USER, codec=prepared) == TOKEN


def test_KR2_a_retired_key_takes_its_tokens_along_and_no_others() -> None:
    both, retired = Codec({"2": NEXT, "1": MASTER}, "doorward"), Codec({"2": NEXT}, "doorward")
    assert not accepts(issue(USER, codec=CODEC), codec=retired)
    assert accepts(issue(USER, codec=both), codec=retired)


def test_KR1_a_key_that_is_not_known_is_looked_for_once_more() -> None:
    codec = Codec({"1": MASTER}, "doorward")
    looked: list[str] = []

    def look() -> None:
        looked.append("once more")
        codec.replace_keys({"1": MASTER, "2": MASTER[::-1]})

    codec.on_unknown_key(look)
    assert codec.knows("1")
    assert looked == []
    assert codec.knows("2")
    assert len(looked) == 1
    assert not codec.knows("3")


def test_KR5_a_token_under_one_kid_with_the_mac_of_another_is_refused() -> None:
    both = Codec({"2": NEXT, "1": MASTER}, "doorward")
    assert accepts(forge({**HEADER, "kid": "2"}, key=signing_key(NEXT, USER)), codec=both)
    assert not accepts(forge({**HEADER, "kid": "2"}, key=signing_key(MASTER, USER)), codec=both)
    assert not accepts(forge({**HEADER, "kid": "1"}, key=signing_key(NEXT, USER)), codec=both)
    assert not accepts(forge({**HEADER, "kid": "3"}, key=signing_key(NEXT, USER)), codec=both)


def test_KR5_the_same_number_with_another_key_behind_it_accepts_nothing_old() -> None:
    assert not accepts(TOKEN, codec=Codec({"1": NEXT}, "doorward"))


# --- other libraries ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("session", [USER, TENANT], ids=["user", "tenant"])
def test_other_libraries_verify_our_tokens_with_the_derived_key(session: Session) -> None:
    token = issue(session).decode()
    key = signing_key(MASTER, session)
    expected = USER_CLAIMS if session is USER else TENANT_CLAIMS
    unclocked: Any = {"verify_exp": False, "verify_iat": False}
    assert jwt.decode(token, key, algorithms=["HS256"], audience="doorward", options=unclocked) == expected
    decoded = jose_jwt.decode(token, OctKey.import_key(key), algorithms=["HS256"])
    assert decoded.claims == expected
    assert decoded.header == HEADER
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, MASTER, algorithms=["HS256"], audience="doorward", options=unclocked)


@pytest.mark.parametrize("session", [USER, TENANT], ids=["user", "tenant"])
def test_tokens_other_libraries_sign_with_the_derived_key_in_our_spelling_are_accepted(session: Session) -> None:
    claims = USER_CLAIMS if session is USER else TENANT_CLAIMS
    key = signing_key(MASTER, session)
    theirs = jws.serialize_compact(HEADER, spell(claims), OctKey.import_key(key), algorithms=["HS256"])
    assert accepts(theirs.encode(), session)
    signed = issue(session).rpartition(b".")[0]
    mac = jwt.get_algorithm_by_name("HS256").sign(signed, key)
    assert accepts(signed + b"." + encode_segment(mac), session)


def test_TK4_tokens_other_libraries_sign_in_their_own_spelling_are_refused() -> None:
    token = jwt.encode(USER_CLAIMS, signing_key(MASTER, USER), "HS256", headers={"kid": "1"})
    assert jwt.decode(
        token, signing_key(MASTER, USER), algorithms=["HS256"], audience="doorward", options={"verify_iat": False}
    )
    assert not accepts(token.encode())


# --- properties ---------------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=EXAMPLES)
@given(st.one_of(st.just(msgspec.UNSET), JSON), WORDS, WORDS, WORDS, st.integers(1, 3650 * 86_400))
def test_claims_of_any_content_come_back_as_they_were_signed(
    scope: Any, login: str, device: str, sub: str, life: int
) -> None:
    session = USER._replace(device_id=device, expires_at=(NOW + life) * 1000)
    raw = scope if scope is msgspec.UNSET else msgspec.Raw(spell(scope))
    token = issue(session, login=login, deviceId=device, sub=sub, scope=raw, exp=NOW + life)
    parsed = CODEC.parse_user(token)
    assert parsed is not None
    assert CODEC.check(parsed, session, NOW * 1000)
    assert (parsed.claims.login, parsed.claims.deviceId, parsed.claims.sub) == (login, device, sub)
    assert parsed.claims.scope == scope
    told = json.loads(parsed.payload)
    assert ("scope" in told) == (scope is not msgspec.UNSET)
    assert told.get("scope", msgspec.UNSET) == scope


@settings(max_examples=EXAMPLES)
@given(WORDS)
def test_any_email_of_a_tenant_comes_back_as_it_was_signed(email: str) -> None:
    token = issue(TENANT, login=f"tenant:{email}")
    assert accepts(token, TENANT)
    assert jwt.decode(token, options={"verify_signature": False})["login"] == f"tenant:{email}"


NOISE = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=200).map(lambda noise: _head + b"." + noise),
    st.binary(max_size=200).map(lambda noise: _head + b"." + encode_segment(noise) + b"." + noise),
    JSON.map(lambda value: seal(_head + b"." + encode_segment(spell(value)))),
    st.dictionaries(st.sampled_from([*USER_CLAIMS, *TENANT_CLAIMS]), JSON).map(
        lambda claims: seal(_head + b"." + encode_segment(spell(claims)))
    ),
)


@settings(max_examples=EXAMPLES)
@given(NOISE)
def test_TK8_no_bytes_whatever_raise_or_are_accepted(noise: bytes) -> None:
    assert not accepts(noise, USER)
    assert not accepts(noise, TENANT)
