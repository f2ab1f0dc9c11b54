"""Hostile input: every response is well-formed and repeats none of it."""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api_contract import (
    BODIES,
    FORMS,
    assert_error_shape,
    assert_malformed,
    assert_oauth_error,
    assert_refused,
    assert_token_missing,
    credential_for,
    email,
    encode,
    example,
    faults,
    logins,
    media,
    named,
    place,
    send,
)
from doorward.http.api.endpoint import Endpoint
from doorward.http.api.routes import ENDPOINTS
from doorward.http.validation import alternatives
from harness import Service, Tenant

TOO_LARGE = (413, "payload_too_large", "The body is too large")
INVISIBLE = "must not contain invisible characters"
EXAMPLES = 1250 if os.environ.get("DOORWARD_TORTURE") else 25
CANARY = "kanarienvogel"
BY_NAME = {named(endpoint): endpoint for endpoint in BODIES}

RELAXED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def chunks(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 1000):
        yield body[start : start + 1000]


def padded(endpoint: Endpoint, size: int) -> bytes:
    """Return a body that an endpoint takes, of exactly `size` bytes."""
    body = encode(endpoint, {**example(endpoint), "padding": "x"})
    return body.replace(b"padding", b"padding" + b"x" * (size - len(body)))


@pytest.mark.one_setup
@pytest.mark.parametrize("endpoint", [*BODIES, *FORMS], ids=named)
def test_IN1_a_body_of_the_largest_size_is_read_and_one_byte_more_is_not(tenant: Tenant, endpoint: Endpoint) -> None:
    assert endpoint.max_body_bytes == (1 << 20 if endpoint.path in {"/auth/verify/batch", "/users/import"} else 16_384)
    if endpoint.path == "/user":
        tenant.delete(endpoint.example["login"])
    largest = padded(endpoint, endpoint.max_body_bytes)
    assert len(largest) == endpoint.max_body_bytes
    assert send(tenant.http, endpoint, tenant, largest).status_code != 413
    credential = credential_for(endpoint, tenant)
    headers = {"Content-Type": media(endpoint), **({"Authorization": credential} if credential else {})}
    path = place(endpoint.path)
    for content in (largest + b" ", chunks(largest + b" "), chunks(b"x" * (endpoint.max_body_bytes + 100_000))):
        answer = tenant.http.request(endpoint.method, path, content=content, headers=headers)
        remedy = ", send fewer rows in each request" if endpoint.max_body_bytes > 16_384 else ""
        assert_refused(answer, *TOO_LARGE[:2], TOO_LARGE[2] + remedy)
        assert answer.headers["connection"] == "close"
    answer = tenant.http.request(endpoint.method, path, content=chunks(largest), headers=headers)
    assert answer.status_code != 413


HOSTILE_FORMS = {
    "nothing": b"",
    "no token": b"token_type_hint=access_token",
    "an empty token": b"token=",
    "two tokens": b"token=a&token=b",
    "a field twice": b"token=a&x=1&x=1",
    "bytes that are no text": b"token=%ff%fe",
    "raw bytes": b"token=\xff",
    "too many fields": b"token=a&" + b"&".join(b"f%d=1" % number for number in range(40)),
    "JSON": b'{"token":"' + CANARY.encode() + b'"}',
    "another case": b"Token=" + CANARY.encode(),
    "a name alone": b"token",
    "a NUL in the name": b"token%00=a",
}


@pytest.mark.one_setup
@pytest.mark.parametrize("endpoint", FORMS, ids=named)
@pytest.mark.parametrize("kind", HOSTILE_FORMS)
def test_IN2_a_hostile_form_is_an_invalid_request_and_not_repeated(
    tenant: Tenant, endpoint: Endpoint, kind: str
) -> None:
    answer = send(tenant.http, endpoint, tenant, HOSTILE_FORMS[kind])
    assert_oauth_error(answer, 400, "invalid_request")
    assert CANARY not in answer.text
    anybody = tenant.http.post(
        endpoint.path, content=HOSTILE_FORMS[kind], headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert_oauth_error(anybody, 401, "invalid_client")


HOSTILE_JSON = {
    "duplicate names": b'{"%s":"a","%s":"b"}',
    "NaN": b'{"%s":NaN,"x":"%s"}',
    "Infinity": b'{"x":Infinity,"%s":"%s"}',
    "-Infinity": b'{"x":-Infinity,"%s":"%s"}',
    "a number out of range": b'{"x":1e400,"%s":"%s"}',
    "5000 digits": b'{"x":' + b"9" * 5000 + b',"%s":"%s"}',
    "bottomless nesting": b'{"%s":' + b"[" * 8000,
    "bottomless objects": b'{"%s":' + b'{"a":' * 3000,
    "deep and closed": b'{"x":' + b"[" * 7000 + b"]" * 7000 + b',"%s":"%s"}',
    "a lone surrogate": b'{"%s":"\\ud800%s"}',
    "a low surrogate first": b'{"%s":"\\udc00\\ud800%s"}',
    "a lone surrogate in a name": b'{"\\uDFFF":1,"%s":"%s"}',
    "a byte order mark": b'\xef\xbb\xbf{"%s":"%s"}',
    "UTF-16": '{"a":"b"}'.encode("utf-16"),
    "UTF-16-LE": '{"a":"b"}'.encode("utf-16-le"),
    "UTF-32": '{"a":"b"}'.encode("utf-32"),
    "trailing bytes": b'{"%s":"%s"} {}',
    "a trailing NUL": b'{"%s":"%s"}\x00',
    "latin-1": b'{"%s":"\xe9%s"}',
    "an overlong encoding": b'{"%s":"\xc0\xaf%s"}',
    "a raw control character": b'{"%s":"a\nb%s"}',
    "a comment": b'{"%s":"%s"} // x',
    "single quotes": b"{'%s':'%s'}",
    "hexadecimal": b'{"x":0x10,"%s":"%s"}',
    "a leading zero": b'{"x":01,"%s":"%s"}',
}


@pytest.mark.one_setup
@pytest.mark.parametrize("endpoint", BODIES, ids=named)
@pytest.mark.parametrize("kind", HOSTILE_JSON)
def test_IN2_hostile_json_is_refused_and_not_repeated(tenant: Tenant, endpoint: Endpoint, kind: str) -> None:
    first = next(iter(endpoint.example)).encode()
    body = HOSTILE_JSON[kind]
    # A body without the name of any field is hostile all the same.
    for part in (first, CANARY.encode() if kind != "duplicate names" else first):
        body = body.replace(b"%s", part, 1)
    answer = send(tenant.http, endpoint, tenant, body)
    if answer.status_code == 422:
        assert kind == "deep and closed"
        assert_error_shape(answer)
    else:
        assert_malformed(answer)
    assert CANARY not in answer.text


@pytest.mark.one_setup
def test_IN2_duplicate_names_are_refused_at_every_depth(tenant: Tenant) -> None:
    body = b'{"login":"a","email":"a@b","password":"pw","sub":"s","scope":[{"role":"user","role":"admin"}]}'
    json_headers = {**tenant.headers, "Content-Type": "application/json"}
    assert_malformed(tenant.http.post("/user", content=body, headers=json_headers))
    assert_malformed(
        tenant.http.post("/user", content=body.replace(b'"role":"admin"', b'"\\u0072ole":1'), headers=json_headers)
    )
    assert logins(tenant) == []


SAMPLES: list[tuple[str, Any]] = [
    ("null", None),
    ("bool", True),
    ("bool", False),
    ("int", 7_654_321),
    ("int", 0),
    ("float", 1.5),
    ("str", "7654321"),
    ("list", []),
    ("list", ["7654321"]),
    ("dict", {}),
    ("dict", {"7654321": "7654321"}),
]

_ADMITS: dict[type[msgspec.inspect.Type], set[str]] = {
    msgspec.inspect.StrType: {"str"},
    msgspec.inspect.IntType: {"int"},
    msgspec.inspect.FloatType: {"int", "float"},
    msgspec.inspect.BoolType: {"bool"},
    msgspec.inspect.NoneType: {"null"},
    msgspec.inspect.ListType: {"list"},
    msgspec.inspect.VarTupleType: {"list"},
    msgspec.inspect.DictType: {"dict"},
    msgspec.inspect.StructType: {"dict"},
    msgspec.inspect.RawType: {kind for kind, _ in SAMPLES},
    msgspec.inspect.AnyType: {kind for kind, _ in SAMPLES},
}


def admitted(kind: msgspec.inspect.Type) -> set[str]:
    """Return which JSON types a field takes."""
    if isinstance(kind, msgspec.inspect.Metadata):
        return admitted(kind.type)
    if isinstance(kind, msgspec.inspect.UnionType):
        return set().union(*map(admitted, kind.types))
    if type(kind) not in _ADMITS:
        pytest.fail(f"{type(kind).__name__} is a type of field that this test does not know: add it to _ADMITS.")
    return _ADMITS[type(kind)]


def wrong_types() -> Iterator[tuple[str, str, Any]]:
    for endpoint in BODIES:
        described = msgspec.inspect.type_info(endpoint.request_body)
        assert isinstance(described, msgspec.inspect.StructType)
        for item in described.fields:
            for kind, value in SAMPLES:
                if kind not in admitted(item.type):
                    yield named(endpoint), item.encode_name, value


@pytest.mark.one_setup
def test_IN3_wrong_types_are_refused_naming_the_field_and_not_the_value(tenant: Tenant) -> None:
    tried = 0
    for name, field, value in wrong_types():
        endpoint = BY_NAME[name]
        assert endpoint.request_body
        either = alternatives(endpoint.request_body)
        replaced = either.first if either and field == either.second else field
        body = {known: kept for known, kept in example(endpoint).items() if known != replaced} | {field: value}
        answer = send(tenant.http, endpoint, tenant, json.dumps(body).encode())
        where = (name, field, value)
        if answer.json()["code"] == "token_missing":
            assert (field, not value) == ("token", True), where
        else:
            faults(answer)
            assert {detail["path"][0] for detail in answer.json()["error"]["details"]} == {field}, where
            assert all(detail["type"].endswith(".base") for detail in answer.json()["error"]["details"]), where
        assert "7654321" not in answer.text, where
        tried += 1
    assert tried > 100
    assert logins(tenant) == []


@pytest.mark.one_setup
@pytest.mark.parametrize("endpoint", BODIES, ids=named)
def test_IN3_without_any_field_every_required_one_is_named(tenant: Tenant, endpoint: Endpoint) -> None:
    assert endpoint.request_body
    answer = send(tenant.http, endpoint, tenant, b"{}")
    either = alternatives(endpoint.request_body)
    one_of_two = {either.first} if either and either.required else set()
    fields = msgspec.structs.fields(endpoint.request_body)
    required = [field.encode_name for field in fields if field.required or field.encode_name in one_of_two]
    if not required:
        assert (endpoint.method, answer.status_code) == ("PATCH", 404)
    elif required == ["token"]:
        assert_token_missing(answer)
    else:
        assert faults(answer) == [f'"{name}" is required' for name in required]


NESTED: list[tuple[str, str, Any, list[str]]] = [
    ("/tenant", "settings", {"sessionIdle": "7654321"}, ["settings", "sessionIdle"]),
    ("/tenant", "settings", {"sessionIdle": 1.5}, ["settings", "sessionIdle"]),
    ("/tenant", "settings", {"sessionIdle": True}, ["settings", "sessionIdle"]),
    ("/tenant", "settings", {"sessionsPerUser": ["7654321"]}, ["settings", "sessionsPerUser"]),
    ("/tenant", "settings", {"sessionLifetime": 765432100000}, ["settings", "sessionLifetime"]),
    ("/tenant", "settings", {"passwordPolicy": "7654321"}, ["settings", "passwordPolicy"]),
    ("/tenant", "settings", {"passwordPolicy": []}, ["settings", "passwordPolicy"]),
    ("/tenant", "settings", {"passwordPolicy": {"minLength": 7654321}}, ["settings", "passwordPolicy", "minLength"]),
    ("/tenant", "settings", {"passwordPolicy": {"blockCommon": 1}}, ["settings", "passwordPolicy", "blockCommon"]),
    ("/tenant", "settings", {"passwordPolicy": {"7654321": 1}}, ["settings", "passwordPolicy"]),
    ("/tenant", "settings", {"7654321": 1}, ["settings"]),
    ("/tenant/key", "permissions", ["7654321"], ["permissions", "0"]),
    ("/tenant/key", "permissions", ["verify", None], ["permissions", "1"]),
    ("/tenant/key", "permissions", ["verify", ["verify"]], ["permissions", "1"]),
    ("/tenant/key", "permissions", [{}], ["permissions", "0"]),
    ("/tenant/key", "permissions", ["verify"] * 6, ["permissions"]),
    ("/auth/verify/batch", "tokens", ["7654321"] * 501, ["tokens"]),
]


@pytest.mark.one_setup
@pytest.mark.parametrize(("path", "field", "value", "where"), NESTED)
def test_IN3_what_is_wrong_inside_is_named_by_its_path_and_not_repeated(
    tenant: Tenant, path: str, field: str, value: Any, where: list[str]
) -> None:
    [endpoint] = [it for it in BODIES if it.path == path and field in it.example]
    answer = send(tenant.http, endpoint, tenant, json.dumps({**example(endpoint), field: value}).encode())
    assert len(faults(answer)) == 1
    [detail] = answer.json()["error"]["details"]
    assert detail["path"] == where
    assert "7654321" not in answer.text


UNSEEN = {
    "NUL": "\u0000",
    "a control character": "\u0007",
    "a newline": "\n",
    "DEL": "\u007f",
    "C1": "\u0085",
    "a bidi override": "\u202e",
    "a bidi isolate": "\u2066",
    "a zero-width space": "\u200b",
    "a byte order mark": "\ufeff",
    "a soft hyphen": "\u00ad",
    "a line separator": "\u2028",
    "a tag": "\U000e0061",
    "private use": "\ue000",
    "unassigned": "\u0378",
}


@pytest.mark.one_setup
@pytest.mark.parametrize("kind", UNSEEN)
def test_IN5_names_with_invisible_characters_are_refused(tenant: Tenant, kind: str) -> None:
    for text in (UNSEEN[kind], f"a{UNSEEN[kind]}b", f"ab{UNSEEN[kind]}"):
        assert faults(tenant.create(text)) == [f'"login" {INVISIBLE}']
        assert faults(tenant.login(text)) == [f'"login" {INVISIBLE}']
        assert faults(tenant.login(device=text)) == [f'"deviceId" {INVISIBLE}']
        assert faults(tenant.create(sub=text)) == [f'"sub" {INVISIBLE}']
        assert faults(tenant.create(company=text)) == [f'"company" {INVISIBLE}']
        assert faults(tenant.create(email=f"{text}@b.org")) == ['"email" must be a valid email']
    assert logins(tenant) == []


def test_IN5_names_have_at_most_256_characters(tenant: Tenant) -> None:
    for field in ("login", "email", "sub", "company"):
        long = "a" * 251 + "@b.org" if field == "email" else "a" * 257
        body = {"login": "alice", "email": "a@b", "password": "pw", "sub": "s", field: long}
        message = f'"{field}" length must be less than or equal to 256 characters long'
        assert faults(tenant.post("/user", body)) == [message]
        assert (
            tenant.post(
                "/user", {**body, field: long[1:], **({} if field == "login" else {"login": field})}
            ).status_code
            == 200
        )
    message = '"deviceId" length must be less than or equal to 256 characters long'
    assert faults(tenant.login(device="d" * 257)) == [message]


def test_IN5_names_take_at_most_512_bytes_of_json(tenant: Tenant) -> None:
    assert tenant.create("€" * 170).status_code == 200
    assert faults(tenant.create("€" * 171)) == ['"login" must not take more than 512 bytes']


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ﬁx", "fix"),
        ("Å", "Å"),
        ("①", "1"),
        ("\u017f", "S"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("K", "k"),
        ("㎏", "KG"),
        ("a\u0301", "\u00c1"),
    ],
)
def test_IN5_two_spellings_of_one_canonical_form_are_one_login(tenant: Tenant, one: str, other: str) -> None:
    assert tenant.create(one, "pw").status_code == 200
    assert tenant.create(other, "pw").status_code == 409
    assert tenant.verify(tenant.session(other, "pw")).json()["decoded"]["login"] == one


@pytest.mark.parametrize(("one", "other"), [("аlice", "alice"), ("a lice", "alice"), ("a.lice", "alice"), ("a+b", "a")])
def test_IN5_names_that_only_look_alike_are_two_logins(tenant: Tenant, one: str, other: str) -> None:
    assert tenant.create(one, "pw").status_code == 200
    assert tenant.create(other, "pw").status_code == 200
    assert len(logins(tenant)) == 2


def test_IN5_what_is_normalised_is_judged_after_that(tenant: Tenant) -> None:
    # U+2100 is one visible character that becomes three; U+1D173 is an invisible musical one.
    assert tenant.create("℀").status_code == 200
    assert faults(tenant.create("a\U0001d173")) == [f'"login" {INVISIBLE}']


REDOS = [
    "a" * 50_000 + "!",
    "a" * 15_000 + "!",
    "@" * 10_000,
    "a@" * 5_000,
    "." * 10_000,
    "a." * 5_000 + "@",
    " " * 10_000 + "x",
    '"' * 10_000,
    "%" * 10_000,
    "eyJ" * 4_000,
]


@pytest.mark.one_setup
@pytest.mark.parametrize("text", REDOS, ids=lambda text: f"{text[:3]}x{len(text)}")
def test_IN6_long_repetitive_input_is_refused_at_once(tenant: Tenant, text: str) -> None:
    began = time.monotonic()
    answers = [
        tenant.create(text),
        tenant.create(email=text),
        tenant.create(email=f"{text}@{text}"[-16_000:]),
        tenant.login(text),
        tenant.login(device=text),
        tenant.login(password=text),
        tenant.verify(text[:8000]),
        tenant.get("/user", q=text[:2000]),
        tenant.get("/user", cursor=text[:2000]),
        tenant.get("/user", limit=text[:2000]),
        tenant.http.post("/tenant/login", json={"email": text, "password": "x"}),
        tenant.http.get("/user", headers={"Authorization": f"Bearer x{text[:8000]}x"}),
        tenant.http.get("/user", headers={**tenant.headers, "Accept": f"x{text[:7000]}, {text[:7000]}x"}),
    ]
    assert time.monotonic() - began < 5
    assert {answer.status_code for answer in answers} <= {400, 401, 406, 413, 422}
    for answer in answers:
        assert_error_shape(answer)


METACHARACTERS = [
    "%%%",
    "___",
    "a_c",
    "a%c",
    "***",
    "'''",
    "a'--",
    '"""',
    "\\\\\\",
    "\\%\\",
    "[a-z]",
    "^.*$",
    "(?i)",
    "{0}",
    "$1$",
    ":id",
    "?1?",
    "<!-",
    "&&|",
    "../",
    ";;;",
]


@pytest.mark.parametrize("text", METACHARACTERS)
def test_IN7_metacharacters_are_literals_in_searches_and_logins(tenant: Tenant, text: str) -> None:
    tenant.create("abc")
    tenant.create("aXc")
    assert logins(tenant, q=text) == []
    assert tenant.delete(text).status_code == 404
    assert tenant.login(text).status_code == 404
    assert tenant.create(f"x{text}x").status_code == 200
    assert logins(tenant, q=text) == [f"x{text}x"]
    assert tenant.verify(tenant.session(f"x{text}x")).status_code == 200
    assert tenant.delete(f"x{text}x").status_code == 200
    assert logins(tenant) == ["abc", "aXc"]


def get_raw(http: httpx.Client, method: str, target: bytes, headers: dict[str, str]) -> httpx.Response:
    return http.request(method, http.base_url.copy_with(raw_path=target), headers=headers)


def answered(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """Return the answer, a later one where a busy machine gave the store no second to answer in: no input does that."""
    for _ in range(5):
        answer = ask()
        if answer.status_code != 503 or answer.json()["code"] != "store_unavailable":
            break
    return answer


@pytest.mark.parametrize(
    "target",
    [
        b"/user/%00",
        b"/user/a%00b",
        b"/user/%ff",
        b"/user/%c0%af",
        b"/user/%ed%a0%80",
        b"/user/..%2f..%2fetc%2fpasswd",
        b"/user/%2e%2e",
        b"/user/..",
        b"/user/../user/alice",
        b"/user//alice",
        b"//user/alice",
        b"/user/alice//",
        b"/user/alice;x=1",
        b"/user/alice%20",
        b"/user/alice%",
        b"/user/alice%zz",
        b"/user/" + b"a" * 8000,
        b"/./user/alice",
        b"/user/x/../alice",
        b"/%75ser/alice",
        b"/user/%61lice%2f",
        b"/user\\alice",
        b"/user/alice%0d%0aX: y",
    ],
)  # fmt: skip
def test_IN8_hostile_paths_reach_nothing(tenant: Tenant, target: bytes) -> None:
    tenant.create("alice")
    if b": " in target:
        target = target.replace(b": ", b":%20")
    connection = HTTPConnection("127.0.0.1", tenant.http.base_url.port)
    # This client, unlike others, sends a path just as it is.
    connection.request("DELETE", target.decode(), headers=tenant.headers)
    got = connection.getresponse()
    answer = httpx.Response(got.status, headers=got.getheaders(), content=got.read())
    connection.close()
    assert answer.status_code in {400, 404, 405}, answer.text
    assert_error_shape(answer)
    assert logins(tenant) == ["alice"]


@pytest.mark.one_setup
def test_IN8_a_target_of_more_than_8_kB_is_414(tenant: Tenant) -> None:
    answer = get_raw(tenant.http, "GET", b"/user?q=" + b"a" * 8200, tenant.headers)
    assert_refused(answer, 414, "uri_too_long", "The URL is too long")


def test_IN8_a_percent_encoded_letter_is_that_letter(tenant: Tenant) -> None:
    tenant.create("alice")
    assert get_raw(tenant.http, "DELETE", b"/user/%61l%69ce", tenant.headers).status_code == 200


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = {"a": value}
    return value


def test_IN9_a_scope_nests_at_most_8_levels(tenant: Tenant) -> None:
    assert tenant.create("seven", scope=nested(7)).status_code == 200
    for depth in (8, 9, 100):
        answer = tenant.create("deep", scope=nested(depth))
        if depth == 8:
            assert answer.status_code == 200
        else:
            assert faults(answer) == ['"scope" must not nest deeper than 8 levels']
    wide: Any = [nested(6) for _ in range(50)]
    assert tenant.create("wide", scope=wide).json()["scope"] == wide


def test_IN9_a_scope_takes_at_most_4_kB(tenant: Tenant) -> None:
    assert tenant.create("fits", scope="x" * 4094).status_code == 200
    for scope in ("x" * 4095, ["x" * 4093], {"k" * 4093: 1}, "€" * 1366, [0] * 3000, "\u0000" * 700):
        assert faults(tenant.create("heavy", scope=scope)) == ['"scope" must not take more than 4096 bytes']
    assert logins(tenant) == ["fits"]


@pytest.mark.one_setup
@pytest.mark.parametrize(
    "query", ["q=abc&q=abd", "limit=1&limit=1", "cursor=0&limit=2&cursor=0", "x=1&x=2", "limit=1&%6cimit=2"]
)
def test_IN10_a_repeated_query_parameter_is_422(tenant: Tenant, query: str) -> None:
    answer = tenant.http.get(f"/user?{query}", headers=tenant.headers)
    assert faults(answer) == ["a query parameter is given more than once"]


@pytest.mark.one_setup
@pytest.mark.parametrize(
    ("query", "message"),
    [
        (b"q=%ff%fe%fd", "the query must be readable UTF-8, percent-encoded"),
        (b"q=abc%00", "the query must not contain NUL characters"),
        (b"&".join(b"p%d=1" % number for number in range(60)), "the query must be readable UTF-8, percent-encoded"),
    ],
)
def test_IN10_a_query_that_cannot_be_read_is_422(tenant: Tenant, query: bytes, message: str) -> None:
    answer = get_raw(tenant.http, "GET", b"/user?" + query, tenant.headers)
    assert faults(answer) == [message]


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
TEXTS = st.text(max_size=300).map(lambda text: CANARY + text) | st.sampled_from(
    [
        "",
        CANARY + "\u0000",
        CANARY + "@" + CANARY,
        f"$2b$31${CANARY}" + "a" * 40,
        f"{CANARY}.{CANARY}.{CANARY}",
        CANARY * 200,
        CANARY + "\ud800",
    ]
)


@st.composite
def bodies(draw: st.DrawFn, endpoint: Endpoint) -> bytes:
    """Draw a body that is nearly right, or not at all, or no JSON."""
    names = list(endpoint.example)
    body: dict[str, Any] = {}
    for name in draw(st.permutations(names)):
        choice = draw(st.integers(0, 5))
        if choice == 1:
            continue
        body[name] = draw(TEXTS) if choice < 4 else draw(VALUES) if choice == 4 else example(endpoint)[name]
    body.update(draw(st.dictionaries(st.sampled_from(["scope", "company", CANARY, "id"]), VALUES | TEXTS, max_size=2)))
    text = json.dumps(draw(st.sampled_from([body, [body], {"x": body}, body, body, body])))
    raw = text.encode()
    cut = draw(st.integers(0, 9))
    if cut == 0:
        return raw[: draw(st.integers(0, len(raw)))]
    if cut == 1:
        at = draw(st.integers(0, len(raw)))
        return raw[:at] + draw(st.binary(min_size=1, max_size=4)) + raw[at:]
    return raw


@pytest.mark.timeout(600)
@pytest.mark.parametrize("endpoint", BODIES, ids=named)
def test_IN11_whatever_the_body_the_answer_is_well_formed_and_repeats_nothing(
    tenant: Tenant, endpoint: Endpoint
) -> None:
    @RELAXED
    @given(body=bodies(endpoint))
    def storm(body: bytes) -> None:
        answer = answered(lambda: send(tenant.http, endpoint, tenant, body))
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            assert_error_shape(answer)
            assert CANARY not in answer.text
        else:
            assert answer.status_code in {200, 201}
            assert "argon2" not in answer.text

    storm()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=named)
def test_IN11_whatever_the_path_and_query_the_answer_is_well_formed(tenant: Tenant, endpoint: Endpoint) -> None:
    quoted = st.binary(min_size=1, max_size=20).map(lambda raw: b"".join(b"%%%02x" % byte for byte in raw))
    plain = st.from_regex(rb"[A-Za-z0-9._~!$'()*,;:@%-]{1,20}", fullmatch=True)

    @RELAXED
    @given(
        segment=quoted | plain,
        query=st.lists(
            st.tuples(
                quoted | plain | st.sampled_from([b"q", b"limit", b"cursor", b"deviceId", b"tenant"]), quoted | plain
            ),
            max_size=3,
        ),
    )
    def storm(segment: bytes, query: list[tuple[bytes, bytes]]) -> None:
        path = re.sub(rb"\{\w+\}", lambda _: segment, endpoint.path.encode())
        target = path + (b"?" + b"&".join(name + b"=" + value for name, value in query) if query else b"")
        answer = answered(lambda: get_raw(tenant.http, endpoint.method, target, tenant.headers))
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            assert_error_shape(answer)

    storm()


@pytest.mark.timeout(600)
def test_IN11_a_scope_that_was_taken_comes_back_in_every_token(tenant: Tenant) -> None:
    def is_taken(scope: Any) -> bool:
        """Tell whether a scope is taken; one that is comes back."""
        login = email()
        body = json.dumps({"login": login, "email": "a@b", "password": "pw", "sub": "s", "scope": scope})
        headers = {**tenant.headers, "Content-Type": "application/json"}
        answer = tenant.http.post("/user", content=body.encode(), headers=headers)
        if answer.status_code != 200:
            assert answer.status_code in {400, 422}
            return False
        assert answer.json()["scope"] == scope
        assert tenant.verify(tenant.session(login)).json()["decoded"]["scope"] == scope
        return True

    @RELAXED
    @given(scope=VALUES)
    def storm(scope: Any) -> None:
        is_taken(scope)

    storm()
    # One that is refused proves nothing about the others.
    assert all(map(is_taken, [None, "a", 1, 1.5, True, ["a", {}], {"a": [1]}]))


def test_a_service_that_was_abused_serves_on(shared: Service) -> None:
    assert shared.client().get("/health/ready").json()["status"] == "ready"
