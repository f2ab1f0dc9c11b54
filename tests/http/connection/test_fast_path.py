"""The fast path and the router give the same response, byte for byte."""

import json
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doorward.http.connection.fast_path import FastPath
from harness import PASSWORD, Service, Tenant, read_settings, running
from raw_http import Reply, Wire, request, wire

# Tests of how a request is read, and not of what is true of a token, are marked `one_setup`.
EXAMPLES = 2_000 if os.environ.get("DOORWARD_TORTURE") else 120
VOLATILE = {"date", "x-request-id"}
PATHS = ["/auth/verify", "/tenant/verify"]
LOGINS = ["/auth", "/tenant/login"]

Send = Callable[[str, dict[str, str], bytes], bytes]


def _by_origin(path: str, fields: dict[str, str], body: bytes) -> bytes:
    return request("POST", path, {**fields, "Origin": "http://localhost"}, body)


def _by_expectation(path: str, fields: dict[str, str], body: bytes) -> bytes:
    return request("POST", path, {**fields, "Expect": "nothing"}, body)


def _by_slash(path: str, fields: dict[str, str], body: bytes) -> bytes:
    return request("POST", path + "/", fields, body)


def _by_chunks(path: str, fields: dict[str, str], body: bytes) -> bytes:
    fields = {"Content-Type": "application/json", **fields, "Transfer-Encoding": "chunked"}
    return request("POST", path, fields) + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


_VALUE = st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=60)

LONG_WAYS: list[Send] = [_by_origin, _by_expectation, _by_slash, _by_chunks]


class Known(NamedTuple):
    """Everybody whose tokens are asked about."""

    service: Service
    tenant: Tenant
    other: Tenant
    tokens: dict[str, str]

    def ask(self, path: str, fields: dict[str, str], body: bytes) -> tuple[Reply, list[Reply]]:
        """Return the answer of the express lane and those of every long way."""
        with wire(self.service.port) as connection:
            ways = [_plain, *LONG_WAYS] if body else [_plain, _by_origin, _by_expectation, _by_slash]
            express, *others = [connection.send(way(path, fields, body)).reply() for way in ways]
        return express, others


def _plain(path: str, fields: dict[str, str], body: bytes) -> bytes:
    return request("POST", path, fields, body)


@pytest.fixture(scope="module")
def known(shared: Service) -> Known:
    tenant, other = (shared.tenant(f"{uuid4().hex}@example.org") for _ in range(2))
    for one in (tenant, other):
        assert one.create("alice", scope={"admin": True, "é": [1, 2.5, None]}).status_code == 200
    tokens = {
        "good": tenant.session("alice"),
        "foreign": other.session("alice"),
        "dead": tenant.session("alice"),
        "tenant": tenant.token,
        "other tenant": other.token,
        "garbage": "x",
        "half": tenant.session("alice").rpartition(".")[0],
        "padded": tenant.session("alice") + "=",
        "huge": "eyJ" + "a" * 9_000 + ".e30.c2ln",
        "dots": "." * 50,
        "empty": "",
    }
    assert tenant.logout(tokens["dead"]).status_code == 200
    return Known(shared, tenant, other, tokens)


def outcome(answer: Reply) -> tuple[int, list[tuple[str, str]], bytes]:
    return answer.status, sorted(pair for pair in answer.headers if pair[0] not in VOLATILE), answer.body


def assert_agreed(express: Reply, others: list[Reply]) -> None:
    for other in others:
        assert outcome(other) == outcome(express)


@pytest.mark.one_setup
def test_an_ordinary_question_takes_the_express_lane(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    # The other tests here would prove nothing if both requests went the same way.
    taken: list[str] = []
    real = FastPath.respond

    def noting(self: FastPath, endpoint: object, *rest: object) -> object:
        taken.append(endpoint.path)  # type: ignore[attr-defined]
        return real(self, endpoint, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(FastPath, "respond", noting)
    for path in PATHS + LOGINS:
        known.ask(path, known.tenant.headers, b'{"token":"x"}')
        assert taken.count(path) == 1


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "caller", ["tenant", "other", "dead user", "user", "garbage", "nobody", "basic", "lower", "two words"]
)
def test_both_lanes_agree_about_every_token_of_every_caller(known: Known, path: str, caller: str) -> None:
    credentials = {
        "tenant": known.tenant.headers,
        "other": known.other.headers,
        "dead user": {"Authorization": f"Bearer {known.tokens['dead']}"},
        "user": {"Authorization": f"Bearer {known.tokens['good']}"},
        "garbage": {"Authorization": "Bearer x"},
        "nobody": {},
        "basic": {"Authorization": "Basic dGVzdDp0ZXN0"},
        "lower": {"Authorization": f"bearer {known.tenant.token}"},
        "two words": {"Authorization": f"Bearer {known.tenant.token} {known.tenant.token}"},
    }[caller]
    for name, token in known.tokens.items():
        express, others = known.ask(path, credentials, json.dumps({"token": token}).encode())
        assert_agreed(express, others)
        expected = {
            ("/auth/verify", "tenant", "good"),
            ("/auth/verify", "lower", "good"),
            ("/auth/verify", "other", "foreign"),
        }
        lives = (path, caller, name) in expected or (path == "/tenant/verify" and name in {"tenant", "other tenant"})
        assert (express.status == 200) == lives, name


BODIES: dict[str, bytes] = {
    "spaces": b' \t\r\n{ "token"\n:\t"{t}" } \r\n',
    "escaped name": b'{"\\u0074oken":"{t}"}',
    "escaped value": b'{"token":"\\u0078{t}"}',
    "another field first": b'{"a":1,"token":"{t}"}',
    "another field last": b'{"token":"{t}","a":[{}]}',
    "the same name twice": b'{"token":"{t}","token":"{t}"}',
    "the same name twice, elsewhere": b'{"token":"{t}","a":1,"a":2}',
    "the same name twice, deep": b'{"token":"{t}","a":{"b":1,"b":2}}',
    "the same name twice, escaped": b'{"token":"{t}","\\u0074oken":"{t}"}',
    "another case": b'{"Token":"{t}"}',
    "a space in the name": b'{"token ":"{t}"}',
    "a space in the value": b'{"token":" {t}"}',
    "a newline in the value": b'{"token":"{t}\n"}',
    "an escaped newline in the value": b'{"token":"{t}\\n"}',
    "a NUL in the value": b'{"token":"{t}\\u0000"}',
    "a lone surrogate": b'{"token":"{t}\\ud800"}',
    "a pair of surrogates": b'{"token":"{t}\\ud83d\\ude00"}',
    "beyond ASCII": '{"token":"{t}é"}'.encode(),
    "not UTF-8": b'{"token":"{t}\xff"}',
    "UTF-16": '{"token":"x"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"token":"{t}"}',
    "nothing after": b'{"token":"{t}"',
    "something after": b'{"token":"{t}"}x',
    "a comma after": b'{"token":"{t}",}',
    "two objects": b'{"token":"{t}"}{"token":"{t}"}',
    "single quotes": b"{'token':'{t}'}",
    "a comment": b'{"token":"{t}"/**/}',
    "a vertical tab": b'{"token":\x0b"{t}"}',
    "a no-break space": b'{"token":\xc2\xa0"{t}"}',
    "a list": b'["token","{t}"]',
    "a string": b'"{t}"',
    "null": b"null",
    "a number": b"1",
    "NaN": b'{"token":"{t}","a":NaN}',
    "infinity": b'{"token":"{t}","a":1e999}',
    "a long number": b'{"token":"{t}","a":' + b"1" * 5_000 + b"}",
    "deep": b'{"token":"{t}","a":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "no token": b"{}",
    "an empty token": b'{"token":""}',
    "a null token": b'{"token":null}',
    "a false token": b'{"token":false}',
    "a zero token": b'{"token":0}',
    "a number for a token": b'{"token":1}',
    "a list for a token": b'{"token":["{t}"]}',
    "an empty list for a token": b'{"token":[]}',
    "an object for a token": b'{"token":{"token":"{t}"}}',
    "only space": b"  ",
    "nothing": b"",
    "not JSON": b"token={t}",
    "just short enough": b'{"token":"{t}"' + b" " * 15_000 + b"}",
    "long": b'{"token":"' + b"x" * 16_000 + b'"}',
}


@pytest.mark.one_setup
@pytest.mark.parametrize("path", PATHS + LOGINS)
@pytest.mark.parametrize("name", BODIES)
def test_both_lanes_agree_about_every_spelling_of_a_body(known: Known, path: str, name: str) -> None:
    token = (known.tokens["good"] if path == "/auth/verify" else known.tenant.token).encode()
    body = BODIES[name].replace(b"{t}", token)
    for credentials in (known.tenant.headers, {}):
        express, others = known.ask(path, credentials, body)
        assert_agreed(express, others)
        assert express.status < 500
    if path in PATHS and name in {
        "spaces",
        "escaped name",
        "another field first",
        "another field last",
        "just short enough",
    }:
        assert known.ask(path, known.tenant.headers, body)[0].status == 200


LOGIN_BODIES: dict[str, dict[str, object]] = {
    "right": {},
    "right, with all that may be said": {"ip": "192.0.2.7", "userAgent": "Firefox", "refresh": True},
    "a wrong password": {"password": "Wrong-Horse-9"},
    "nobody's login": {"login": "nobody"},
    "no password": {"password": None},
    "an empty device": {"deviceId": ""},
    "a number for a device": {"deviceId": 1},
    "somebody's token": {"token": "x"},
    "too long a password": {"password": "x" * 5_000},
}


@pytest.mark.parametrize("name", LOGIN_BODIES)
def test_both_lanes_agree_about_every_login(known: Known, name: str) -> None:
    body = {"login": "alice", "password": "pw", "deviceId": "laptop", **LOGIN_BODIES[name]}
    for credentials in (known.tenant.headers, {}):
        express, others = known.ask("/auth", credentials, json.dumps(body).encode())
        for answer in (express, *others):
            assert (answer.status == 200) == (name.startswith("right") and bool(credentials))
            if answer.status == 200:
                told = json.loads(answer.body)
                assert known.tenant.verify(told["accessToken"]).status_code == 200
                assert set(told) == set(json.loads(express.body))
            else:
                assert outcome(answer) == outcome(express)


@pytest.mark.parametrize("name", ["right", "a wrong password", "nobody's address", "no password"])
def test_both_lanes_agree_about_every_login_of_a_tenant(known: Known, name: str) -> None:
    given = {
        "a wrong password": {"password": "Wrong-Horse-9"},
        "nobody's address": {"email": "nobody@example.org"},
        "no password": {"password": ""},
    }
    body = {"email": known.tenant.email, "password": PASSWORD, **given.get(name, {})}
    express, others = known.ask("/tenant/login", {}, json.dumps(body).encode())
    for answer in (express, *others):
        assert (answer.status == 200) == (name == "right")
        if answer.status != 200:
            assert outcome(answer) == outcome(express)


FIELDS: dict[str, dict[str, str]] = {
    "a charset": {"Content-Type": "application/json; charset=utf-8"},
    "a charset, close": {"Content-Type": "application/json;charset=utf-8"},
    "a charset in capitals": {"Content-Type": "Application/JSON; Charset=UTF-8"},
    "a quoted charset": {"Content-Type": 'application/json; charset="utf-8"'},
    "another charset": {"Content-Type": "application/json; charset=utf-16"},
    "another type": {"Content-Type": "text/plain"},
    "a form": {"Content-Type": "application/x-www-form-urlencoded"},
    "a kindred type": {"Content-Type": "application/problem+json"},
    "no type": {"Content-Type": ""},
    "compressed": {"Content-Encoding": "gzip"},
    "not compressed": {"Content-Encoding": "identity"},
    "accepts anything": {"Accept": "*/*"},
    "accepts JSON": {"Accept": "application/json"},
    "accepts JSON among others": {"Accept": "text/html, application/json;q=0.1"},
    "accepts no JSON": {"Accept": "text/html"},
    "refuses JSON": {"Accept": "application/json;q=0"},
    "accepts nothing": {"Accept": ""},
    "cookies": {"Cookie": "token=x"},
    "a request id": {"X-Request-Id": "mine"},
    "a bad request id": {"X-Request-Id": "mi ne"},
    "an upgrade": {"Upgrade-Insecure-Requests": "1"},
    "a forwarded address": {"X-Forwarded-For": "1.2.3.4", "Forwarded": "for=1.2.3.4"},
    "an override": {"X-HTTP-Method-Override": "DELETE"},
    "a referrer": {"Referer": "https://evil.example"},
    "spaces around": {"Authorization": "   Bearer x   "},
    "a tab": {"Authorization": "Bearer\tx"},
    "two spaces": {"Authorization": "Bearer  {t}"},
    "a space and a tab": {"Authorization": "Bearer \t{t}"},
    "a scheme alone": {"Authorization": "Bearer"},
    "a scheme and a space": {"Authorization": "Bearer "},
    "no credential": {"Authorization": ""},
    "beyond ASCII": {"Authorization": "Bearer \xe9\xff"},
    "an underscore": {"Content_Length": "5", "X_A": "y"},
    "closing": {"Connection": "close"},
    "keeping": {"Connection": "keep-alive"},
    "another connection option": {"Connection": "x-odd"},
    "another host": {"Host": "LOCALHOST:80"},
}


@pytest.mark.one_setup
@pytest.mark.parametrize("path", PATHS + LOGINS)
@pytest.mark.parametrize("name", FIELDS)
def test_both_lanes_agree_about_every_header(known: Known, path: str, name: str) -> None:
    token = known.tokens["good"] if path == "/auth/verify" else known.tenant.token
    fields = {**known.tenant.headers, **FIELDS[name]}
    fields = {key: value.replace("{t}", known.tenant.token) for key, value in fields.items()}
    body = json.dumps({"token": token}).encode()
    answers = []
    for way in [_plain, *([] if name == "another host" else [_by_origin]), _by_expectation, _by_slash, _by_chunks]:
        with wire(known.service.port) as connection:
            answers.append(connection.send(way(path, fields, body)).reply())
    assert_agreed(answers[0], answers[1:])


# ------------------------------------------------------------------------------------------------------ gateways

GATEWAY = "/forward-auth"


def _asked(fields: dict[str, str]) -> bytes:
    return request("GET", GATEWAY, fields)


GATEWAY_LONG_WAYS: dict[str, Callable[[dict[str, str]], bytes]] = {
    "slash": lambda fields: request("GET", GATEWAY + "/", fields),
    "query": lambda fields: request("GET", GATEWAY + "?x=1", fields),
    "below": lambda fields: request("GET", GATEWAY + "/shop/%ff/%00?token=x&a=1&a=2&b=%ff", fields),
    "method": lambda fields: request("DELETE", GATEWAY, fields),
    "preflight": lambda fields: request("OPTIONS", GATEWAY, fields),
    "body": lambda fields: request("GET", GATEWAY, fields, b"not ours"),
    "chunks": lambda fields: (
        request("POST", GATEWAY, {**fields, "Transfer-Encoding": "chunked"}) + b"1\r\nx\r\n0\r\n\r\n"
    ),
    "expectation": lambda fields: request("GET", GATEWAY, {**fields, "Expect": "nothing"}),
}


def _ask_for_gateway(port: int, fields: dict[str, str]) -> tuple[Reply, list[Reply]]:
    with wire(port) as connection:
        express, *others = [connection.send(way(fields)).reply() for way in (_asked, *GATEWAY_LONG_WAYS.values())]
    return express, others


@pytest.fixture(scope="module")
def gateway_key(known: Known) -> str:
    key: str = known.tenant.post("/tenant/key", {"name": "gateway", "permissions": ["verify"]}).json()["key"]
    return key


@pytest.mark.one_setup
def test_a_gateways_question_takes_the_express_lane(
    known: Known, gateway_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    real = FastPath.respond

    def noting(self: FastPath, endpoint: object, *rest: object) -> object:
        taken.append(endpoint.path)  # type: ignore[attr-defined]
        return real(self, endpoint, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(FastPath, "respond", noting)
    fields = {"X-Doorward-Key": gateway_key, "Authorization": f"Bearer {known.tokens['good']}"}
    _ask_for_gateway(known.service.port, fields)
    assert taken == [GATEWAY]
    # Browsers' requests are what gateways ask about.
    _ask_for_gateway(known.service.port, {**fields, "Origin": "https://shop.example", "Accept": "text/html"})
    assert taken == [GATEWAY, GATEWAY]


@pytest.mark.parametrize("caller", ["key", "tenant", "narrow key", "other", "user", "garbage", "nobody"])
def test_both_lanes_tell_gateways_the_same_about_every_token(known: Known, gateway_key: str, caller: str) -> None:
    narrow = known.tenant.post("/tenant/key", {"name": "narrow", "permissions": ["users:read"]}).json()["key"]
    keys = {
        "key": gateway_key,
        "tenant": known.tenant.token,
        "narrow key": narrow,
        "other": known.other.token,
        "user": known.tokens["good"],
        "garbage": "dw_x",
    }
    proof = {"X-Doorward-Key": keys[caller]} if caller in keys else {}
    for name, token in {**known.tokens, "none": None}.items():
        fields = proof if token is None else {**proof, "Authorization": f"Bearer {token}"}
        express, others = _ask_for_gateway(known.service.port, fields)
        assert_agreed(express, others)
        if (caller, name) in {("key", "good"), ("tenant", "good"), ("other", "foreign")}:
            assert (express.status, express.body, express.header("x-auth-login")) == (200, b"", "alice")
        elif name == "huge" or caller == "narrow key":
            assert express.status in {401, 403}
        else:
            assert (express.status, express.header("www-authenticate")) == (401, "Bearer"), name


@pytest.mark.one_setup
@pytest.mark.parametrize("name", FIELDS)
def test_both_lanes_agree_about_every_header_of_a_gateway(known: Known, gateway_key: str, name: str) -> None:
    fields = {"X-Doorward-Key": gateway_key, "Authorization": f"Bearer {known.tokens['good']}", **FIELDS[name]}
    fields = {key: value.replace("{t}", known.tokens["good"]) for key, value in fields.items()}
    answers = []
    for way in (_asked, *GATEWAY_LONG_WAYS.values()):
        with wire(known.service.port) as connection:
            answers.append(connection.send(way(fields)).reply())
    assert_agreed(answers[0], answers[1:])
    # Nothing but the credential decides: the rest is what a browser sends to an application.
    proves = FIELDS[name].get("Authorization", "Bearer {t}").split(" ") in (["Bearer", "{t}"], ["Bearer", "", "{t}"])
    assert (answers[0].status == 200) == proves


@pytest.mark.one_setup
@given(value=_VALUE)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_both_lanes_agree_about_any_key(known: Known, value: str) -> None:
    fields = {"X-Doorward-Key": value, "Authorization": f"Bearer {known.tokens['good']}"}
    with wire(known.service.port) as connection:
        express, other = (connection.send(way(fields)).reply() for way in (_asked, GATEWAY_LONG_WAYS["query"]))
    assert_agreed(express, [other])
    assert express.status == 401


# ------------------------------------------------------------------------------------------------------ anything


@pytest.fixture(scope="module")
def lines(known: Known) -> Iterator[list[Wire]]:
    with wire(known.service.port) as one, wire(known.service.port) as two:
        yield [one, two]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.just("token"), inner, max_size=3)
    ),
    max_leaves=8,
)
_BODY = st.one_of(
    st.binary(min_size=1, max_size=80),
    _JSON.map(lambda value: json.dumps(value).encode()),
    _JSON.map(lambda value: json.dumps({"token": value}, ensure_ascii=False).encode(errors="replace")),
    st.text(alphabet='{}[]":,\\ \t\r\ntoken\x00é', min_size=1, max_size=40).map(str.encode),
    st.from_regex(rb'\A[ \t\r\n]*\{[ \n]*"token"[ ]*:[ ]*"[A-Za-z0-9_.=\\ -]{0,40}"[ ]*\}[ \r\n\x0b]*\Z'),
)


@pytest.mark.one_setup
@given(path=st.sampled_from(PATHS), body=_BODY, proven=st.booleans())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_both_lanes_agree_about_any_body(
    known: Known, lines: list[Wire], path: str, body: bytes, *, proven: bool
) -> None:
    fields = known.tenant.headers if proven else {}
    express, other = (
        line.send(way(path, fields, body)).reply() for line, way in zip(lines, (_plain, _by_origin), strict=True)
    )
    assert_agreed(express, [other])
    assert express.status in {200, 400, 401, 422}


@pytest.mark.one_setup
@given(
    scheme=st.sampled_from(["Bearer ", "bearer ", "BEARER ", "Bearer", "Basic ", "Token ", "", "Bearer  "]),
    value=_VALUE,
)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_both_lanes_agree_about_any_credential(known: Known, lines: list[Wire], scheme: str, value: str) -> None:
    body = json.dumps({"token": known.tokens["good"]}).encode()
    fields = {"Authorization": scheme + value}
    express, other = (
        line.send(way("/auth/verify", fields, body)).reply()
        for line, way in zip(lines, (_plain, _by_origin), strict=True)
    )
    assert_agreed(express, [other])
    assert express.status == 401


def test_both_lanes_count_on_the_same_budgets(store: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    more = {"THROTTLER_MAX": "4", "THROTTLER_INTERVAL": "60000", "BUDGET_VERIFY": "1:4"}
    with running(read_settings(tmp_path_factory.mktemp("budgets"), {**store, **more})) as service:
        tenant = service.tenant(f"{uuid4().hex}@example.org")
        tenant.create("alice")
        body = json.dumps({"token": tenant.session("alice")}).encode()
        for fields, wanted in ((tenant.headers, 200), ({}, 401)):
            with wire(service.port) as connection:
                ways = [_plain, _by_origin] * 4
                answers = [connection.send(way("/auth/verify", fields, body)).reply() for way in ways]
            statuses = [answer.status for answer in answers]
            assert statuses.count(wanted) in {3, 4, 5}
            assert statuses[-2:] == [429, 429]
            assert outcome(answers[-1])[2] == outcome(answers[-2])[2]
