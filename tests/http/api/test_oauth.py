"""`/oauth`: introspection, revocation and metadata, with a real client library."""

import json
from pathlib import Path
from urllib.parse import quote, unquote, urlencode

import httpx
import msgspec
import pytest
from authlib.integrations.httpx_client import OAuth2Client
from hypothesis import example, given
from hypothesis import strategies as st

from api_contract import assert_oauth_error
from doorward.http.api.handlers import gateway
from harness import Service, Tenant, read_settings, running
from raw_http import exchange, request

Key = dict[str, str]


@pytest.fixture
def key(tenant: Tenant) -> Key:
    made: Key = tenant.post("/tenant/key", {"name": "rs", "permissions": ["verify", "sessions"]}).json()
    return made


def introspect(tenant: Tenant, key: Key, **form: str) -> httpx.Response:
    return tenant.http.post("/oauth/introspect", data=form, auth=(key["id"], key["key"]))


def test_RFC7662_a_live_token_is_active_with_its_claims(tenant: Tenant, key: Key) -> None:
    user = tenant.create("alice", scope="read write").json()
    token = tenant.session("alice")
    claims = tenant.verify(token).json()["decoded"]
    assert introspect(tenant, key, token=token, token_type_hint="access_token").json() == {
        "active": True,
        "token_type": "Bearer",
        "client_id": tenant.id,
        "username": "alice",
        "sub": "sub-1",
        "aud": ["doorward", key["id"]],
        "jti": claims["jti"],
        "iat": claims["iat"],
        "exp": claims["exp"],
        "user_id": user["id"],
        "device_id": "laptop",
        "scope": "read write",
    }
    bearer = tenant.http.post(
        "/oauth/introspect", data={"token": token}, headers={"Authorization": f"Bearer {key['key']}"}
    )
    assert bearer.json()["active"] is True


def test_RFC7662_what_is_dead_foreign_or_no_token_is_inactive_and_nothing_more(
    tenant: Tenant, other: Tenant, key: Key
) -> None:
    tenant.create("alice", scope={"a": 1})
    other.create("alice")
    dead = tenant.session("alice")
    tenant.logout(dead)
    for token in (dead, other.session("alice"), tenant.token, key["key"], "x", "dr_x.y", "é"):
        assert introspect(tenant, key, token=token).text == '{"active":false}'
    live = introspect(tenant, key, token=tenant.session("alice")).json()
    assert "scope" not in live
    assert live["scope_data"] == {"a": 1}


def test_RFC7662_a_refresh_token_is_active_for_callers_that_manage_sessions_only(tenant: Tenant, key: Key) -> None:
    tenant.create("alice")
    pair = tenant.post("/auth", {"login": "alice", "password": "pw", "deviceId": "d", "refresh": True}).json()
    resource_server = tenant.post("/tenant/key", {"name": "orders API", "permissions": ["verify"]}).json()
    # A resource server that looks at `active` alone lets the access token in, and the refresh token out.
    assert introspect(tenant, resource_server, token=pair["accessToken"]).json()["token_type"] == "Bearer"
    refused = introspect(tenant, resource_server, token=pair["refreshToken"], token_type_hint="refresh_token")
    assert (refused.status_code, refused.text) == (200, '{"active":false}')
    unknown = introspect(tenant, resource_server, token="dr_x.y")
    assert {**refused.headers, "x-request-id": "", "date": ""} == {**unknown.headers, "x-request-id": "", "date": ""}
    own = tenant.http.post("/oauth/introspect", data={"token": pair["refreshToken"]}, headers=tenant.headers).json()
    assert own == introspect(tenant, key, token=pair["refreshToken"]).json()
    assert own["active"] is True
    assert "token_type" not in own
    # It was not used up by any of these.
    assert tenant.post("/auth/refresh", {"refreshToken": pair["refreshToken"]}).status_code == 200


def test_RFC7662_a_refresh_token_is_active_until_it_is_spent(tenant: Tenant, key: Key) -> None:
    tenant.create("alice")
    pair = tenant.post("/auth", {"login": "alice", "password": "pw", "deviceId": "d", "refresh": True}).json()
    assert introspect(tenant, key, token=pair["refreshToken"]).json()["active"] is True
    tenant.post("/auth/refresh", {"refreshToken": pair["refreshToken"]})
    assert introspect(tenant, key, token=pair["refreshToken"]).json() == {"active": False}


@pytest.mark.one_setup
def test_RFC6749_errors_are_those_of_section_5_2(tenant: Tenant, key: Key) -> None:
    ask = tenant.http.post
    refused = ask("/oauth/introspect", data={"token": "x"})
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert refused.headers["www-authenticate"]
    for auth in ((key["id"], "wrong"), ("wrong", key["key"]), (key["key"], key["id"])):
        assert ask("/oauth/introspect", data={"token": "x"}, auth=auth).json()["error"] == "invalid_client"
    for content in (b"", b"token=", b"tok=x", b"token=a&token=b", b"token=%ff", b"&" * 100):
        answer = ask(
            "/oauth/introspect",
            content=content,
            auth=(key["id"], key["key"]),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), content
    as_json = ask("/oauth/introspect", json={"token": "x"}, auth=(key["id"], key["key"]))
    assert as_json.status_code == 415
    narrow = tenant.post("/tenant/key", {"name": "x", "permissions": ["users:read"]}).json()
    assert introspect(tenant, narrow, token="x").json()["error"] == "unauthorized_client"


def test_RFC7009_revoking_ends_the_session_and_unknown_tokens_are_as_good_as_revoked(
    tenant: Tenant, other: Tenant, key: Key
) -> None:
    tenant.create("alice")
    other.create("alice")
    pair = tenant.post("/auth", {"login": "alice", "password": "pw", "deviceId": "d", "refresh": True}).json()
    plain, foreign = tenant.session("alice"), other.session("alice")

    def revoke(token: str) -> httpx.Response:
        return tenant.http.post("/oauth/revoke", data={"token": token}, auth=(key["id"], key["key"]))

    for token in (plain, plain, "x", foreign):
        assert revoke(token).status_code == 200
    assert tenant.verify(plain).status_code == 400
    assert other.verify(foreign).status_code == 200
    assert revoke(pair["refreshToken"]).status_code == 200
    assert tenant.verify(pair["accessToken"]).status_code == 400
    assert tenant.http.post("/oauth/revoke", data={"token": "x"}).status_code == 401


def test_RFC8414_the_description_is_true(shared: Service, tenant: Tenant, key: Key) -> None:
    found = shared.client().get("/.well-known/oauth-authorization-server").json()
    issuer = found["issuer"]
    assert issuer.startswith("http")
    for name in ("introspection_endpoint", "revocation_endpoint"):
        path = found[name].removeprefix(issuer)
        methods = ["client_secret_basic", "client_secret_post"]
        assert found[f"{name}_auth_methods_supported"] == methods
        form = {"token": "x", "client_id": key["id"], "client_secret": key["key"]}
        assert tenant.http.post(path, data={"token": "x"}, auth=(key["id"], key["key"])).status_code == 200
        assert tenant.http.post(path, data=form).status_code == 200
    assert found["response_types_supported"] == []
    assert shared.client().get(found["service_documentation"].removeprefix(issuer)).status_code == 200


def test_C16_the_metadata_names_no_page_that_is_switched_off(tmp_path: Path) -> None:
    with running(read_settings(tmp_path, {"DOCS": "off"})) as own:
        assert "service_documentation" not in own.client().get("/.well-known/oauth-authorization-server").json()


def credentials(key: Key) -> dict[str, str]:
    return {"client_id": key["id"], "client_secret": key["key"]}


@pytest.mark.parametrize("path", ["/oauth/introspect", "/oauth/revoke"])
def test_C7_a_client_authenticates_in_the_form(tenant: Tenant, other: Tenant, key: Key, path: str) -> None:
    tenant.create("alice")
    token = tenant.session("alice")
    answer = tenant.http.post(path, data={"token": token, **credentials(key)})
    assert answer.status_code == 200
    assert answer.json().get("active") is (True if path == "/oauth/introspect" else None)
    assert (tenant.verify(token).status_code == 200) == (path == "/oauth/introspect")
    foreign = other.post("/tenant/key", {"name": "rs", "permissions": ["verify", "sessions"]}).json()
    for wrong in (
        {},
        {"client_id": key["id"]},
        {"client_secret": key["key"]},
        {**credentials(key), "client_secret": ""},
        {**credentials(key), "client_id": ""},
        {**credentials(key), "client_id": foreign["id"]},
        {**credentials(key), "client_secret": "dw_x"},
        {**credentials(key), "client_secret": "é"},
        {"client_id": tenant.id, "client_secret": tenant.token},
        {"client_assertion": "x", "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
    ):
        assert_oauth_error(tenant.http.post(path, data={"token": token, **wrong}), 401, "invalid_client")


@pytest.mark.one_setup
@pytest.mark.parametrize("path", ["/oauth/introspect", "/oauth/revoke"])
def test_C7_a_client_uses_one_authentication_method(tenant: Tenant, key: Key, path: str) -> None:
    basic, bearer = httpx.BasicAuth(key["id"], key["key"]), {"Authorization": f"Bearer {tenant.token}"}
    both = {"token": "x", **credentials(key)}
    assertion = {"token": "x", "client_assertion": "x"}
    for refused in (
        tenant.http.post(path, data=both, auth=basic),
        tenant.http.post(path, data=both, headers=bearer),
        tenant.http.post(path, data=both, headers={"Authorization": "Bearer x"}),
        tenant.http.post(path, data=both, auth=("x", "y")),
        tenant.http.post(path, data={**both, "client_secret": "x"}, auth=basic),
        tenant.http.post(path, data=assertion, auth=basic),
        tenant.http.post(path, data={**both, **assertion}),
    ):
        assert_oauth_error(refused, 400, "invalid_request")
    for accepted in ({}, {"client_id": key["id"]}, {"client_id": "", "client_secret": ""}):
        assert tenant.http.post(path, data={"token": "x", **accepted}, auth=basic).status_code == 200
    # A client that names another one than it authenticates as.
    another = tenant.http.post(path, data={"token": "x", "client_id": "another"}, auth=basic)
    assert_oauth_error(another, 401, "invalid_client")


@pytest.mark.one_setup
def test_C7_faults_of_a_form_are_reported_to_its_authenticated_client_only(tenant: Tenant, key: Key) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    def send(content: str, **headers: str) -> httpx.Response:
        return tenant.http.post("/oauth/introspect", content=content, headers={**form, **headers})

    known = urlencode(credentials(key))
    for content in (
        known,
        f"{known}&token=",
        f"{known}&token=a&token=b",
        f"{known}&x=1&x=2&token=a",
        f"{known}&{known}",
    ):
        assert_oauth_error(send(content), 400, "invalid_request")
    twice = "token=x&client_id=a&client_id=b"
    assert_oauth_error(send(twice, Authorization=f"Bearer {key['key']}"), 400, "invalid_request")
    assert_oauth_error(send(f"{known}&token=x", Accept="text/html"), 406, "not_acceptable")
    for content in (f"{known}&token=x&client_id=y", f"{known}&token=x&client_secret=y", f"{known}&token=%ff"):
        assert_oauth_error(send(content), 401, "invalid_client")
    narrow = tenant.post("/tenant/key", {"name": "x", "permissions": ["users:read"]}).json()
    assert_oauth_error(send(urlencode(credentials(narrow)) + "&token=x"), 400, "unauthorized_client")


@pytest.mark.one_setup
def test_C7_a_client_secret_in_the_url_is_refused_like_a_token_there(tenant: Tenant, key: Key) -> None:
    query = urlencode(credentials(key))
    answer = tenant.http.post(f"/oauth/introspect?{query}", data={"token": "x"})
    assert (answer.status_code, answer.json()["code"]) == (400, "token_in_url")


def test_C7_two_authentication_methods_are_charged_to_the_address(tmp_path: Path) -> None:
    budget = {"THROTTLER_MAX": "3", "THROTTLER_INTERVAL": "60000"}
    with running(read_settings(tmp_path, budget)) as own:
        http = own.client()
        both = {"token": "x", "client_id": "x", "client_secret": "y"}
        assert [http.post("/oauth/introspect", data=both, auth=("a", "b")).status_code for _ in range(8)][-1] == 429


@pytest.mark.parametrize(
    ("scope", "text"),
    [
        (["orders:read"], "orders:read"),
        (
            ["orders:read", "https://api.example.org/orders", "!#[]~"],
            "orders:read https://api.example.org/orders !#[]~",
        ),
        (["orders read"], None),
        (["orders:read", ""], None),
        (["orders:read\n"], None),
        (['"quoted"'], None),
        (["back\\slash"], None),
        (["ä"], None),
        (["orders:read", 1], None),
        ([["orders:read"]], None),
        ([], None),
        ({"orders": "read"}, None),
        (None, None),
    ],
)
def test_C6_a_list_of_scope_tokens_is_a_scope_as_well(
    tenant: Tenant, key: Key, scope: object, text: str | None
) -> None:
    tenant.create("alice", scope=scope)
    found = introspect(tenant, key, token=tenant.session("alice")).json()
    assert found["scope_data"] == scope
    assert found.get("scope") == text


def test_C8_the_audience_names_the_client_that_asks(tenant: Tenant, key: Key) -> None:
    tenant.create("alice")
    token = tenant.session("alice")
    second = tenant.post("/tenant/key", {"name": "rs2", "permissions": ["verify"]}).json()
    for one in (key, second):
        assert introspect(tenant, one, token=token).json()["aud"] == ["doorward", one["id"]]
    own = tenant.http.post("/oauth/introspect", data={"token": token}, headers=tenant.headers).json()
    assert own["aud"] == ["doorward", tenant.id]
    # The token itself is as it was.
    assert tenant.verify(token).json()["decoded"]["aud"] == "doorward"


def test_C8_a_tenant_chooses_the_audience_of_introspection(tenant: Tenant, other: Tenant, key: Key) -> None:
    tenant.create("alice")
    token = tenant.session("alice")
    chosen = ["https://api.example.org", "orders"]

    def choose(audience: object) -> httpx.Response:
        settings = {"settings": {"introspectionAudience": audience}}
        return tenant.http.patch("/tenant", json=settings, headers=tenant.headers)

    assert choose(chosen).json()["settings"]["introspectionAudience"] == chosen
    assert tenant.get("/tenant").json()["settings"]["introspectionAudience"] == chosen
    assert other.get("/tenant").json()["settings"]["introspectionAudience"] is None
    assert introspect(tenant, key, token=token).json()["aud"] == chosen
    for wrong in ([], ["a"] * 11, "orders", [1], [""], ["a\u202eb"], ["a" * 257], [None]):
        assert choose(wrong).status_code == 422, wrong
    assert introspect(tenant, key, token=token).json()["aud"] == chosen
    assert choose(None).json()["settings"]["introspectionAudience"] is None
    assert introspect(tenant, key, token=token).json()["aud"] == ["doorward", key["id"]]


def test_authlib_introspects_and_revokes(shared: Service, tenant: Tenant, key: Key) -> None:
    tenant.create("alice")
    token = tenant.session("alice")
    with OAuth2Client(key["id"], key["key"], token_endpoint_auth_method="client_secret_basic") as client:
        answer = client.introspect_token(f"{shared.url}/oauth/introspect", token=token, token_type_hint="access_token")
        assert json.loads(answer.text)["username"] == "alice"
        assert client.revoke_token(f"{shared.url}/oauth/revoke", token=token).status_code == 200
        gone = client.introspect_token(f"{shared.url}/oauth/introspect", token=token)
        assert json.loads(gone.text) == {"active": False}


def test_a_gateway_learns_who_a_requests_user_is(tenant: Tenant, key: Key) -> None:
    user = tenant.create("Jürgen %", scope={"roles": ["ä"]}).json()
    token = tenant.session("Jürgen %", device="my phone")
    headers = {"Authorization": f"Bearer {token}", "X-Doorward-Key": key["key"]}
    for method, path in (
        ("GET", "/forward-auth"),
        ("POST", "/forward-auth/some/path?x=1"),
        ("DELETE", "/forward-auth/"),
    ):
        answer = tenant.http.request(method, path, headers=headers)
        assert (answer.status_code, answer.text) == (200, "")
        assert answer.headers["x-auth-user-id"] == user["id"]
        assert answer.headers["x-auth-login"] == quote("Jürgen %", safe=" ")
        assert answer.headers["x-auth-tenant"] == tenant.id
        assert json.loads(answer.headers["x-auth-scope"]) == {"roles": ["ä"]}
        assert answer.headers["x-auth-device"] == "my phone"


def test_a_gateway_hears_401_for_everybody_who_is_none(tenant: Tenant, other: Tenant, key: Key) -> None:
    tenant.create("alice")
    other.create("alice")
    dead = tenant.session("alice")
    tenant.logout(dead)

    def ask(**headers: str) -> httpx.Response:
        return tenant.http.get(
            "/forward-auth", headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    for token in (dead, other.session("alice"), tenant.token, "x"):
        answer = ask(Authorization=f"Bearer {token}", X_Doorward_Key=key["key"])
        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert ask(X_Doorward_Key=key["key"]).json()["code"] == "not_authenticated"
    live = f"Bearer {tenant.session('alice')}"
    assert ask(Authorization=live).json()["code"] == "not_authorized"
    assert ask(Authorization=live, X_Doorward_Key="dw_x").json()["code"] == "not_authorized"


@pytest.mark.one_setup
def test_TR11_a_token_in_the_url_of_a_gateways_request_is_none(tenant: Tenant, key: Key) -> None:
    tenant.create("alice")
    token = tenant.session("alice")
    headers = {"X-Doorward-Key": key["key"]}
    for name in ("token", "access_token"):
        # The query is the application's: its parameters of such names are neither taken nor objected to.
        assert tenant.http.get(f"/forward-auth/a?{name}={token}", headers=headers).status_code == 401
        with_token = {**headers, "Authorization": f"Bearer {token}"}
        assert tenant.http.get(f"/forward-auth/a?{name}=1&{name}=2", headers=with_token).status_code == 200


@pytest.mark.parametrize(
    "target",
    [
        "/forward-auth",
        "/forward-auth/",
        "/forward-auth/a//b/../%00/%ff",
        "/forward-auth?a=1&a=%ff",
    ],
)
def test_a_gateways_request_belongs_to_the_application_behind_it(tmp_path: Path, target: str) -> None:
    with running(
        read_settings(tmp_path, {"ALLOWED_HOSTS": "auth.example", "CORS_ORIGINS": "https://app.example"})
    ) as own:
        shop = own.client(headers={"Host": "auth.example"})
        owner = Tenant.register(shop, "shop@example.org")
        owner.create("alice")
        secret = owner.post("/tenant/key", {"name": "gateway", "permissions": ["verify"]}).json()["key"]
        fields = {"X-Doorward-Key": secret, "Authorization": f"Bearer {owner.session('alice')}"}
        for origin in ("https://shop.example", "null", "https://app.example", "https://auth.example"):
            for method in ("GET", "POST", "OPTIONS", "PROPFIND"):
                sent = request(method, target, {"Host": "shop.example", "Origin": origin, **fields})
                answer = exchange(own.port, sent)
                assert answer.status == 200, (method, origin)
                # No page learns anything from an answer that is meant for a gateway.
                assert answer.header("access-control-allow-origin") is None
        # Everywhere else the rules hold, and there is no way around them that begins like this path.
        for elsewhere in ("/user", "/forward-authx", "/forward-auth-x/", "//forward-auth", "/user?/forward-auth/"):
            foreign = exchange(own.port, request("GET", elsewhere, {"Host": "shop.example", **fields}))
            assert (foreign.status, foreign.code) == (400, "bad_host"), elsewhere
            page = {"Host": "auth.example", "Origin": "https://evil.example", **fields}
            assert exchange(own.port, request("GET", elsewhere, page)).code == "origin_not_allowed"
        twice = request("GET", target, {"Host": "a", "host": "b", **fields})
        assert exchange(own.port, twice).status == 400


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_gateway_that_proves_itself_never_pays_for_its_users_bad_tokens(tmp_path: Path, method: str) -> None:
    budget = {"THROTTLER_MAX": "3", "THROTTLER_INTERVAL": "60000", "THROTTLER_WHITE_LIST": "192.0.2.1"}
    with running(read_settings(tmp_path, budget)) as own:
        owner = own.tenant()
        owner.create("alice")
        secret = owner.post("/tenant/key", {"name": "gateway", "permissions": ["verify"]}).json()["key"]
        live = owner.session("alice")

        def ask(key: str, token: str) -> int:
            fields = {"X-Doorward-Key": key, "Authorization": f"Bearer {token}"}
            return exchange(own.port, request(method, "/forward-auth", fields)).status

        assert {ask(secret, "x") for _ in range(20)} == {401}
        unproven = [ask("dw_x", live) for _ in range(8)]
        assert unproven[0] == 401
        assert unproven[-1] == 429
        # Whoever shares the address of the one without a key is let through with one.
        assert ask(secret, live) == 200


NAMES = ["Jürgen", "100%", "%0d%0a", "a b", "a, b; c", "日本", "a: b", '"a"']


@pytest.mark.parametrize("name", NAMES)
def test_TR10_a_gateway_reads_every_name_as_it_is(tenant: Tenant, key: Key, name: str) -> None:
    scope = {name: [name, "\r\nX-Auth-Tenant: evil", "\x00", None, 1e3]}
    user = tenant.create(name, scope=scope, sub=f"{name}/17").json()
    headers = {"X-Doorward-Key": key["key"], "Authorization": f"Bearer {tenant.session(name, device=name)}"}
    for method in ("GET", "POST"):
        answer = exchange(tenant.http.base_url.port or 0, request(method, "/forward-auth", headers))
        told = {part: answer.header(f"x-auth-{part}") or "" for part in ("login", "sub", "device", "scope", "tenant")}
        assert unquote(told["sub"]) == f"{name}/17"
        assert unquote(told["login"]) == user["login"]
        assert unquote(told["device"]) == name
        assert json.loads(told["scope"]) == scope
        assert told["tenant"] == tenant.id
        assert all(value == value.strip() and value.isascii() and value.isprintable() for value in told.values())


@given(st.text(max_size=40))
@example("a\r\nX-Auth-Tenant: evil")
@example("  ")
@example("\x7f\x00\x1b[31m\x85\u2028")
def test_TR10_no_name_splits_or_forges_a_header_for_a_gateway(name: str) -> None:
    # Names that no request could make today may have come with an imported user.
    told = gateway._text(name).decode("ascii")
    assert told.isprintable()
    assert told == told.strip()
    assert unquote(told) == name


@given(st.recursive(st.none() | st.integers(-(2**63), 2**63) | st.text(max_size=9), st.lists, max_leaves=5))
def test_TR10_no_scope_splits_or_forges_a_header_for_a_gateway(scope: object) -> None:
    for text in (json.dumps(scope), json.dumps(scope, ensure_ascii=False), json.dumps([scope], indent="\r\n\t")):
        told = gateway._json(msgspec.Raw(text.encode())).decode("ascii")
        assert told.isprintable()
        assert json.loads(told) == json.loads(text)


def test_a_cookie_carries_the_token_among_whatever_else_there_is(tmp_path: Path) -> None:
    with running(read_settings(tmp_path, {"FORWARD_AUTH_COOKIE": "sid"})) as own:
        owner = own.tenant()
        owner.create("alice")
        secret = owner.post("/tenant/key", {"name": "gateway", "permissions": ["verify"]}).json()["key"]
        live = owner.session("alice")

        def ask(cookie: str, **more: str) -> int:
            fields = {"X-Doorward-Key": secret, "Cookie": cookie, **more}
            answers = {exchange(own.port, request(how, "/forward-auth", fields)).status for how in ("GET", "PUT")}
            assert len(answers) == 1
            return answers.pop()

        for cookie in (
            f"sid={live}", f"a=1; sid={live}; b=2", f"a=1;sid={live};b", f'sid="{live}"', f"sid={live}; sid=x",
            f'json={{"x":[1,"y"]}}; sid={live}', f'a=é"; sid={live}', f"; =; ;a==;sid={live}", f"Sid=x; sid={live}",
        ):  # fmt: skip
            assert ask(cookie) == 200, cookie
        for cookie in (
            "sid=x",
            "sid=",
            "sid",
            "",
            f"xsid={live}",
            f"SID={live}",
            f"sid=x; sid={live}",
            f"a=sid={live}",
            live,
        ):
            assert ask(cookie) == 401, cookie
        # A credential in the header is the one that counts; one of another scheme is the application's.
        assert ask(f"sid={live}", Authorization="Bearer x") == 401
        assert ask("sid=x", Authorization=f"Bearer {live}") == 200
        assert ask(f"sid={live}", Authorization="Basic dGVzdDp0ZXN0") == 200
