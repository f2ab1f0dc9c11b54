"""Guards of the Python client in applications of every framework, with a live service."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, NamedTuple

import flask
import httpx
import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, JsonResponse
from fastapi import Depends, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from client.conftest import NO_CERTIFICATES
from client.scripted_server import Say, Step, stubborn
from doorward_client import AsyncDoorward, Claims, Doorward
from doorward_client.django import DoorwardMiddleware, doorward_required
from doorward_client.fastapi import Guard as FastAPIGuard
from doorward_client.flask import Guard as FlaskGuard
from doorward_client.starlette import DoorwardBackend, on_error
from doorward_client.starlette import Guard as StarletteGuard
from harness import Service, Tenant

COOKIE = "session"
ADMIN = "/admin"
OWN = "/own"


class Asked(NamedTuple):
    """What an application answered."""

    status: int
    headers: httpx.Headers
    body: Any


Ask = Callable[[str, dict[str, str]], Awaitable[Asked]]


def may_admin(scope: Any) -> bool:
    return isinstance(scope, list) and "admin" in scope


def _asked(answer: httpx.Response) -> Asked:
    # Starlette's own refusals are plain text.
    is_json = answer.headers["content-type"].startswith("application/json")
    return Asked(answer.status_code, answer.headers, answer.json() if is_json else answer.text)


async def _ask_asgi(app: Any, path: str, given: dict[str, str]) -> Asked:
    transport = httpx.ASGITransport(app)
    headers = httpx.Headers(given, encoding="latin-1")
    async with httpx.AsyncClient(transport=transport, base_url="http://app.example", verify=NO_CERTIFICATES) as http:
        answer = await http.get(path, headers=headers)
    return _asked(answer)


def _ask_wsgi(app: Any, path: str, headers: dict[str, str]) -> Asked:
    transport = httpx.WSGITransport(app)
    with httpx.Client(transport=transport, base_url="http://app.example", verify=NO_CERTIFICATES) as http:
        answer = http.get(path, headers=headers)
    return _asked(answer)


def starlette_application(url: str, key: str) -> Ask:
    @requires("authenticated", status_code=401)
    async def own(request: Request) -> JSONResponse:
        return JSONResponse({"login": request.user.display_name, "id": request.user.identity})

    @requires(["authenticated", "admin"])
    async def admin(request: Request) -> JSONResponse:
        return JSONResponse({"login": request.user.claims.login})

    async def ask(path: str, headers: dict[str, str]) -> Asked:
        async with httpx.AsyncClient(verify=NO_CERTIFICATES) as http:
            backend = DoorwardBackend(AsyncDoorward(url, key=key, http=http, attempts=1), cookie=COOKIE)
            app = Starlette(
                routes=[Route(OWN, own), Route(ADMIN, admin)],
                middleware=[Middleware(AuthenticationMiddleware, backend=backend, on_error=on_error)],
            )
            return await _ask_asgi(app, path, headers)

    return ask


def fastapi_application(url: str, key: str) -> Ask:
    async def ask(path: str, headers: dict[str, str]) -> Asked:
        async with httpx.AsyncClient(verify=NO_CERTIFICATES) as http:
            guard = FastAPIGuard(AsyncDoorward(url, key=key, http=http, attempts=1), cookie=COOKIE)
            app = FastAPI()

            @app.get(OWN)
            async def own(user: Annotated[Claims, Depends(guard)]) -> dict[str, str]:
                return {"login": user.login, "id": user.id}

            @app.get(ADMIN)
            def admin(user: Annotated[Claims, Depends(guard.requiring(may_admin))]) -> dict[str, str]:
                return {"login": user.login}

            return await _ask_asgi(app, path, headers)

    return ask


def flask_application(url: str, key: str) -> Ask:
    guard = FlaskGuard(Doorward(url, key=key, http=httpx.Client(verify=NO_CERTIFICATES), attempts=1), cookie=COOKIE)
    app = flask.Flask("shop")

    @app.get(OWN)
    @guard
    def own() -> dict[str, str]:
        return {"login": flask.g.doorward_user.login, "id": flask.g.doorward_user.id}

    @app.get(ADMIN)
    @guard.requiring(may_admin)
    def admin() -> dict[str, str]:
        return {"login": flask.g.doorward_user.login}

    async def ask(path: str, headers: dict[str, str]) -> Asked:
        return _ask_wsgi(app, path, headers)

    return ask


@doorward_required
def django_own(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"login": request.doorward_user.login, "id": request.doorward_user.id})


@doorward_required(scope=may_admin)
async def django_admin(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"login": request.doorward_user.login})


def django_public(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"known": request.doorward_user is not None})


class Urls:
    """The URLs of the Django application."""

    urlpatterns: Any = None


def django_application(url: str, key: str) -> Ask:
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import override_settings

    def ask_wsgi(path: str, headers: dict[str, str]) -> Asked:
        with override_settings(DOORWARD={"URL": url, "KEY": key, "COOKIE": COOKIE}):
            return _ask_wsgi(WSGIHandler(), path, headers)

    async def ask(path: str, headers: dict[str, str]) -> Asked:
        import asyncio

        # As under a real WSGI server: in a thread without an event loop.
        return await asyncio.to_thread(ask_wsgi, path, headers)

    return ask


@pytest.fixture(scope="module", autouse=True)
def _django() -> None:
    import django
    from django.urls import path

    Urls.urlpatterns = [path("own", django_own), path("admin", django_admin), path("public", django_public)]
    if not settings.configured:
        settings.configure(
            SECRET_KEY="x",
            ALLOWED_HOSTS=["*"],
            ROOT_URLCONF=Urls,
            MIDDLEWARE=["doorward_client.django.DoorwardMiddleware"],
        )
        django.setup()


APPLICATIONS: dict[str, Callable[[str, str], Ask]] = {
    "starlette": starlette_application,
    "fastapi": fastapi_application,
    "flask": flask_application,
    "django": django_application,
}


@pytest.fixture(params=APPLICATIONS)
def framework(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


class Shop(NamedTuple):
    """An application, and the tokens of two of its users."""

    ask: Ask
    alice: str
    root: str
    tenant: Tenant


@pytest.fixture
def key(tenant: Tenant) -> str:
    made: str = tenant.post("/tenant/key", {"name": "gateway", "permissions": ["verify"]}).json()["key"]
    return made


@pytest.fixture
def shop(framework: str, shared: Service, tenant: Tenant, key: str) -> Shop:
    tenant.create("alice", scope=["orders:read"])
    tenant.create("root", scope=["admin"])
    return Shop(APPLICATIONS[framework](shared.url, key), tenant.session("alice"), tenant.session("root"), tenant)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_live_token_is_its_user(shop: Shop) -> None:
    for headers in (
        bearer(shop.alice),
        {"Authorization": f"bearer  {shop.alice}"},
        {"Cookie": f"{COOKIE}={shop.alice}"},
    ):
        answer = await shop.ask(OWN, headers)
        assert answer.status == 200
        assert answer.body["login"] == "alice"
        assert answer.body["id"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic YTpi"},
        {"Cookie": "other=1"},
        {"Cookie": f"{COOKIE}="},
    ],
    ids=str,
)
async def test_nobody_is_asked_for_a_token(shop: Shop, headers: dict[str, str], framework: str) -> None:
    answer = await shop.ask(OWN, headers)
    assert answer.status == 401
    # Starlette's own `requires` refuses there, and says no more than the status.
    assert framework == "starlette" or answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "headers",
    [bearer("dead"), bearer("a.b.c"), bearer("x" * 9000), bearer("a b"), bearer('"'), {"Cookie": f"{COOKIE}=dead"}],
    ids=lambda headers: str(headers)[:40],
)
async def test_a_text_that_is_no_live_token_is_refused(shop: Shop, headers: dict[str, str]) -> None:
    answer = await shop.ask(OWN, headers)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("framework", ["starlette"], indirect=True)
async def test_a_guard_may_be_called_with_a_request_of_Starlette(shop: Shop, shared: Service) -> None:
    async with httpx.AsyncClient(verify=NO_CERTIFICATES) as http:
        guard = StarletteGuard(AsyncDoorward(shared.url, key=shop.tenant.token, http=http))

        async def own(request: Request) -> JSONResponse:
            return JSONResponse((await guard(request)).login)

        app = Starlette(routes=[Route(OWN, own)])
        assert (await _ask_asgi(app, OWN, bearer(shop.alice))).body == "alice"
        assert (await _ask_asgi(app, OWN, {})).status == 401


async def test_C18_the_guard_of_FastAPI_is_a_security_scheme() -> None:
    async with AsyncDoorward("http://127.0.0.1:9", key="dw_x") as client:
        guard = FastAPIGuard(client, cookie=COOKIE)
        app = FastAPI()

        @app.get(OWN)
        async def own(user: Annotated[Claims, Depends(guard)]) -> str:
            return user.login

        @app.get(ADMIN)
        async def admin(user: Annotated[Claims, Depends(guard.requiring(may_admin))]) -> str:
            return user.login

        @app.get("/open")
        async def unguarded() -> str:
            return ""

        @app.websocket("/ws")
        async def ws(socket: WebSocket, user: Annotated[Claims, Depends(guard)]) -> None:
            await socket.close(reason=user.login)

        document = app.openapi()
        [(name, scheme)] = document["components"]["securitySchemes"].items()
        assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
        for path in (OWN, ADMIN):
            assert document["paths"][path]["get"]["security"] == [{name: []}]
            # The token is no parameter of the view, and the guard's own answer is the only one without it.
            assert "parameters" not in document["paths"][path]["get"]
            assert (await _ask_asgi(app, path, {})).status == 401
        assert "security" not in document["paths"]["/open"]["get"]


@pytest.mark.parametrize("framework", ["starlette", "fastapi"], indirect=True)
async def test_bytes_that_no_token_has_are_refused_too(shop: Shop) -> None:
    answer = await shop.ask(OWN, {"Authorization": "Bearer \xfc"})
    assert answer.status == 401


async def test_a_logged_out_user_is_refused_from_the_next_request_on(shop: Shop) -> None:
    assert (await shop.ask(OWN, bearer(shop.alice))).status == 200
    shop.tenant.logout(shop.alice)
    assert (await shop.ask(OWN, bearer(shop.alice))).status == 401


async def test_a_tenants_own_token_and_another_tenants_user_are_nobody(shop: Shop, other: Tenant) -> None:
    other.create("alice", scope=["admin"])
    for token in (shop.tenant.token, other.token, other.session("alice")):
        assert (await shop.ask(OWN, bearer(token))).status == 401
        assert (await shop.ask(ADMIN, bearer(token))).status == 401


async def test_a_view_may_ask_for_a_scope(shop: Shop, framework: str) -> None:
    assert (await shop.ask(ADMIN, bearer(shop.root))).body == {"login": "root"}
    answer = await shop.ask(ADMIN, bearer(shop.alice))
    assert answer.status == 403
    assert framework == "starlette" or answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope"'


REFUSED = {"error": "no", "status": 0}
OUTAGES: list[tuple[Step, str]] = [
    (Say(503, REFUSED | {"code": "store_unavailable"}, {"Retry-After": "7"}), "7"),
    (Say(429, REFUSED | {"code": "too_many_requests"}, {"Retry-After": "9"}), "9"),
    (Say(401, REFUSED | {"code": "not_authorized"}), "1"),
    (Say(403, REFUSED | {"code": "permission_denied"}), "1"),
    (Say(500, REFUSED | {"code": "internal_error"}), "1"),
    (Say(200, {"decoded": {"login": "alice"}}), "1"),
]


@pytest.mark.parametrize(("outage", "after"), OUTAGES, ids=str)
async def test_while_doorward_is_away_nobody_gets_through(framework: str, outage: Step, after: str) -> None:
    with stubborn(outage) as server:
        ask = APPLICATIONS[framework](server.url, "dw_key")
        for path in (OWN, ADMIN):
            answer = await ask(path, bearer("aaa.bbb.ccc"))
            assert answer.status == 503
            assert answer.headers["retry-after"] == after
            assert "www-authenticate" not in answer.headers


async def test_a_doorward_that_is_gone_lets_nobody_through(framework: str) -> None:
    with stubborn(Say(200, {})) as server:
        url = server.url
    answer = await APPLICATIONS[framework](url, "dw_key")(OWN, bearer("aaa.bbb.ccc"))
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"


async def test_djangos_public_views_know_who_asks_and_let_everybody_in(
    shared: Service, tenant: Tenant, key: str
) -> None:
    ask = django_application(shared.url, key)
    tenant.create("alice")
    assert (await ask("/public", {})).body == {"known": False}
    assert (await ask("/public", bearer("dead"))).body == {"known": False}
    assert (await ask("/public", bearer(tenant.session("alice")))).body == {"known": True}


@pytest.mark.parametrize("chosen", [None, {}, {"URL": "http://127.0.0.1"}, {"KEY": "dw_k"}, "http://127.0.0.1"])
def test_django_is_told_what_is_missing(chosen: Any) -> None:
    from django.test import override_settings

    with override_settings(DOORWARD=chosen), pytest.raises(ImproperlyConfigured, match="DOORWARD"):
        DoorwardMiddleware(lambda _request: JsonResponse({}))


def test_a_django_view_without_the_middleware_is_no_open_door() -> None:
    with pytest.raises(ImproperlyConfigured, match="MIDDLEWARE"):
        django_own(HttpRequest())


async def test_flask_may_guard_every_view_at_once(shared: Service, tenant: Tenant, key: str) -> None:
    guard = FlaskGuard(Doorward(shared.url, key=key, http=httpx.Client(verify=NO_CERTIFICATES)))
    app = flask.Flask("shop")
    app.before_request(guard.check)

    @app.get("/")
    def home() -> dict[str, str]:
        return {"login": flask.g.doorward_user.login}

    tenant.create("alice")
    assert _ask_wsgi(app, "/", {}).status == 401
    assert _ask_wsgi(app, "/", bearer(tenant.session("alice"))).body == {"login": "alice"}
