"""A property of the codec: a session has one token, to the byte, and no text makes the codec raise."""

from doorward.core.model import Session, SessionKind
from doorward.core.tokens.codec import Codec, UserClaims
from doorward.core.tokens.signing import encode_segment, spell

NOW = 1_800_000_000_000
SESSION = Session(
    "Vd8m1JQkq3TzY5cWb7sXaw", SessionKind.USER, "tenant-a", "user-a", "laptop", b"u" * 32, NOW, NOW + 604_800_000
)
CODEC = Codec({"1": b"zIsRPtR3xGdd0CqNEwZ9Bq1vX2mWv7JkLhTyUo4sQfA="}, "doorward")
TOKEN = CODEC.sign(
    UserClaims(
        id="user-a",
        login="alice",
        tenant="tenant-a",
        deviceId="laptop",
        sub="sub-1",
        aud="doorward",
        jti=SESSION.id,
        iat=NOW // 1000,
        exp=NOW // 1000 + 604_800,
    ),
    SESSION,
).encode()
HEADER = TOKEN.partition(b".")[0]


def accepts(text: bytes) -> bool:
    """Tell whether a text passes for the token of the session."""
    parsed = CODEC.parse_user(text)
    return parsed is not None and CODEC.check(parsed, SESSION, NOW)


def check_spellings(data: bytes) -> None:
    """Try a text as it is, spliced into the true token, and as claims that are signed with the right keys.

    Raises AssertionError for a text that is accepted and is not the token.
    """
    place = data[0] % len(TOKEN) if data else 0
    for text in (data, TOKEN[:place] + data, TOKEN[:place] + data + TOKEN[place + len(data) :]):
        if accepts(text) != (text == TOKEN):
            raise AssertionError(f"a second spelling, or none: {text!r}")
        if text == TOKEN and CODEC.parse_tenant(text) is not None:
            raise AssertionError("a user's token passed for a tenant's")
    # Nothing but the claims can refuse it.
    signed = HEADER + b"." + encode_segment(data)
    parsed = CODEC.parse_user(signed + b"." + encode_segment(CODEC.mac("1", SESSION, signed)))
    if parsed is not None and CODEC.check(parsed, SESSION, NOW) and spell(parsed.claims) != data:
        raise AssertionError(f"a second spelling of claims: {data!r}")
