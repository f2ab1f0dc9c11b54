"""Header values and methods in the spellings of gateways, proxies and other clients."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from harness import Service, Tenant, read_settings, running
from raw_http import Reply, exchange, request

pytestmark = pytest.mark.one_setup

FORM = "application/x-www-form-urlencoded"
METHODS = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "ACL",
    "BIND",
    "CHECKOUT",
    "COPY",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MOVE",
    "M-SEARCH",
    "NOTIFY",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SOURCE",
    "SUBSCRIBE",
    "UNBIND",
    "UNLINK",
    "UNLOCK",
    "UNSUBSCRIBE",
]
"""Methods that the parser knows, but for CONNECT."""


class Behind(NamedTuple):
    """A service behind a proxy that terminates TLS, a tenant, its API key, and a token of its user."""

    service: Service
    tenant: Tenant
    key_id: str
    key: str
    token: str

    def ask(self, method: str, path: str, fields: dict[str, str], body: bytes = b"") -> Reply:
        return exchange(self.service.port, request(method, path, fields, body))

    def forward_auth(self, method: str = "GET", path: str = "/forward-auth", **fields: str) -> Reply:
        return self.ask(method, path, {"X-Doorward-Key": self.key, **fields})

    def introspect(self, authorization: str, media: str = FORM) -> Reply:
        fields = {"Authorization": authorization, "Content-Type": media}
        return self.ask("POST", "/oauth/introspect", fields, f"token={self.token}".encode())

    def verify(self, authorization: str, **fields: str) -> Reply:
        body = json.dumps({"token": self.token}).encode()
        given = {"Content-Type": "application/json", **fields, "Authorization": authorization}
        return self.ask("POST", "/auth/verify", given, body)


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    environment = {"FORWARD_AUTH_COOKIE": "sid", "PUBLIC_URL": "https://Auth.example:443/login/"}
    with running(read_settings(tmp_path_factory.mktemp("behind"), environment)) as service:
        tenant = service.tenant()
        tenant.create("alice")
        key = tenant.post("/tenant/key", {"name": "gateway", "permissions": ["verify"]}).json()
        yield Behind(service, tenant, key["id"], key["key"], tenant.session("alice"))


def test_F17_every_method_is_answered_alike_for_a_gateway(behind: Behind) -> None:
    bearer = f"Bearer {behind.token}"
    for method in METHODS:
        for path in ("/forward-auth", "/forward-auth/a/b"):
            answer = behind.forward_auth(method, path, Authorization=bearer)
            assert (answer.status, answer.header("x-auth-login")) == (200, "alice"), method
            # An answer to HEAD has no body, and `Reply` would wait for it.
            assert method == "HEAD" or behind.forward_auth(method, path).status == 401, method


@pytest.mark.parametrize("method", ["FOO", "get", "VERSION-CONTROL", "DESCRIBE", "X" * 64, "!#$%&'*+.^_`|~"])
@pytest.mark.parametrize("path", ["/forward-auth", "/user", "/nowhere"])
def test_F17_a_method_that_the_parser_does_not_know_is_400(behind: Behind, method: str, path: str) -> None:
    answer = behind.ask(method, path, {"Authorization": f"Bearer {behind.token}"})
    assert (answer.status, answer.code, answer.header("connection")) == (400, "bad_request", "close")


def test_F18_the_lines_of_Cookie_are_one_list(behind: Behind) -> None:
    good, other, bad = f"sid={behind.token}", "theme=dark", "sid=x"

    def ask(*cookies: str) -> int:
        sent = request("GET", "/forward-auth", {"X-Doorward-Key": behind.key})
        lines = "".join(f"Cookie: {cookie}\r\n" for cookie in cookies).encode()
        return exchange(behind.service.port, sent.replace(b"\r\n\r\n", b"\r\n" + lines + b"\r\n", 1)).status

    for cookies in ((good, other), (other, good), (other, good, "b=2"), ("", good), (good, bad)):
        assert ask(*cookies) == 200, cookies
    # The first cookie of a name counts, on whichever line it is.
    for cookies in ((bad, good), (other, f"{bad}; {good}"), (other, "sid="), ("si", f"d={behind.token}")):
        assert ask(*cookies) == 401, cookies


def test_F19_one_or_more_spaces_follow_the_scheme(behind: Behind) -> None:
    basic = base64.b64encode(f"{behind.key_id}:{behind.key}".encode()).decode()
    for spaces in (" ", "  ", " " * 9):
        for end in ("", " "):
            for scheme in ("Bearer", "bearer", "BEARER"):
                assert behind.verify(f"{scheme}{spaces}{behind.key}{end}").status == 200
                assert behind.introspect(f"{scheme}{spaces}{behind.key}{end}").status == 200
                assert behind.forward_auth(Authorization=f"{scheme}{spaces}{behind.token}{end}").status == 200
            for scheme in ("Basic", "BASIC"):
                assert behind.introspect(f"{scheme}{spaces}{basic}{end}").json()["active"] is True


@pytest.mark.parametrize("between", ["", "\t", " \t", "\t ", ",", "\u00a0", "="])
def test_F19_nothing_else_separates_a_scheme_from_its_credentials(behind: Behind, between: str) -> None:
    basic = base64.b64encode(f"{behind.key_id}:{behind.key}".encode()).decode()
    assert behind.verify(f"Bearer{between}{behind.key}").status == 401
    assert behind.introspect(f"Bearer{between}{behind.key}").status == 401
    assert behind.introspect(f"Basic{between}{basic}").status == 401
    assert behind.forward_auth(Authorization=f"Bearer{between}{behind.token}").status == 401


PARAMETERS = ["", ";", " ;", "; charset=utf8", ";charset=UTF-8", "; charset=iso-8859-1", "; v=1; q", ' ; x="a;b"']


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_F20_parameters_of_a_media_type_are_ignored(behind: Behind, parameters: str) -> None:
    bearer = f"Bearer {behind.key}"
    assert behind.verify(bearer, **{"Content-Type": f"application/json{parameters}"}).status == 200
    assert behind.introspect(bearer, f"{FORM}{parameters}").status == 200
    # The body has to be UTF-8, whatever they say.
    owner = {**behind.tenant.headers, "Content-Type": f"application/json{parameters}"}
    for path in ("/auth/verify", "/auth/verify/batch", "/user"):
        for body in ('{"token":"é"}'.encode("latin-1"), '{"token":"x"}'.encode("utf-16")):
            assert behind.ask("POST", path, owner, body).code == "malformed_json"


def test_C15_a_refused_media_type_is_told_the_one_that_is_wanted(behind: Behind) -> None:
    form = behind.introspect(f"Bearer {behind.key}", "application/json")
    assert form.status == 415
    assert form.json() == {
        "error": "unsupported_media_type",
        "error_description": f"The body has to be {FORM}, not compressed",
    }
    asked = behind.verify(f"Bearer {behind.key}", **{"Content-Type": FORM})
    assert asked.json()["error"] == "The body has to be application/json in UTF-8, not compressed"
    rows = behind.ask("GET", "/users/export", {**behind.tenant.headers, "Accept": "application/json"})
    assert (rows.status, rows.json()["error"]) == (406, "Only application/x-ndjson can be given")


@pytest.mark.parametrize("accept", ["", " ", ",", " , "])
def test_F37_an_empty_Accept_accepts_everything(behind: Behind, accept: str) -> None:
    assert behind.verify(f"Bearer {behind.key}", Accept=accept).status == 200
    assert behind.ask("GET", "/users/export", {**behind.tenant.headers, "Accept": accept}).status == 200


def test_F27_the_origin_of_PUBLIC_URL_is_the_services_own(behind: Behind) -> None:
    host = {"Host": "127.0.0.1:3000"}
    own = behind.verify(f"Bearer {behind.key}", **host, Origin="https://auth.example")
    assert (own.status, own.header("access-control-allow-origin")) == (200, None)
    for origin in ("http://auth.example", "https://auth.example:444", "https://auth.example.evil.example", "null", ""):
        refused = behind.verify(f"Bearer {behind.key}", **host, Origin=origin)
        assert (refused.status, refused.code) == (403, "origin_not_allowed"), origin


def test_F27_without_PUBLIC_URL_only_the_address_that_was_asked_is_its_own(tmp_path: Path) -> None:
    with running(read_settings(tmp_path, {"CORS_ORIGINS": "https://App.example:443,http://[::1]:80"})) as service:
        for origin, status in (
            (f"http://127.0.0.1:{service.port}", 200),
            ("https://app.example", 200),
            ("http://[::1]", 200),
            ("https://auth.example", 403),
            ("", 403),
        ):
            sent = request("GET", "/health/live", {"Host": f"127.0.0.1:{service.port}", "Origin": origin})
            assert exchange(service.port, sent).status == status, origin
