"""Throws mutated tokens at the codec, guided by coverage: `python fuzz_tokens.py [options of libFuzzer]`.

Needs atheris (requirements/fuzz.txt). What would be a fault: an exception; a text that passes for the token of a session
and is not, to the byte, the one token that the session has.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

with atheris.instrument_imports(include=["doorward.core"]):
    from doorward.core.model import Kind, Session
    from doorward.core.signing import encode_segment, spell
    from doorward.core.tokens import Codec, UserClaims

NOW = 1_800_000_000_000
SESSION = Session(
    "Vd8m1JQkq3TzY5cWb7sXaw", Kind.USER, "tenant-a", "user-a", "laptop", b"u" * 32, NOW, NOW + 604_800_000
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


def one(data: bytes) -> None:
    """Try the text as it is, and spliced into the true token, so that what lies behind its header is reached too."""
    place = data[0] % len(TOKEN) if data else 0
    for text in (data, TOKEN[:place] + data, TOKEN[:place] + data + TOKEN[place + len(data) :]):
        parsed = CODEC.parse_user(text)
        if parsed is not None and CODEC.check(parsed, SESSION, NOW) and text != TOKEN:
            raise AssertionError(f"a second spelling: {text!r}")
        if text == TOKEN and CODEC.parse_tenant(text) is not None:
            raise AssertionError("a user's token passed for a tenant's")
    # Signed by who holds every key, so that nothing but the claims can refuse it.
    signed = HEADER + b"." + encode_segment(data)
    parsed = CODEC.parse_user(signed + b"." + encode_segment(CODEC.mac("1", SESSION, signed)))
    if parsed is not None and CODEC.check(parsed, SESSION, NOW) and spell(parsed.claims) != data:
        raise AssertionError(f"a second spelling of claims: {data!r}")


if __name__ == "__main__":
    true = CODEC.parse_user(TOKEN)
    assert true is not None
    assert CODEC.check(true, SESSION, NOW)
    with TemporaryDirectory() as corpus:
        Path(corpus, "token").write_bytes(TOKEN)
        Path(corpus, "claims").write_bytes(true.payload)
        atheris.Setup([*sys.argv, corpus], one)
        atheris.Fuzz()
