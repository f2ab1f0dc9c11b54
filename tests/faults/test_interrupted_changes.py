"""Interrupted changes leave the more restrictive state."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from doorward.core.audit.operator_events import operator_caller
from harness import PASSWORD, Service, Tenant
from internals import carry_out, put, services

Act = Callable[[Tenant], httpx.Response]
USER = {"email": "user@example.org", "sub": "sub-1"}


class DoomedAccounts:
    """The real accounts, which keep a change, and then everything ends: nothing that comes after it happens."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def change_user(self, *given: Any, **more: Any) -> None:
        assert await self._real.change_user(*given, **more)
        raise PowerFailure

    async def put_user(self, *given: Any, **more: Any) -> None:
        await self._real.put_user(*given, **more)
        raise PowerFailure

    async def change_tenant(self, *given: Any, **more: Any) -> None:
        assert await self._real.change_tenant(*given, **more)
        raise PowerFailure


class PowerFailure(Exception):
    pass


def doom(service: Service) -> None:
    """Let nothing happen any more after a user or a tenant was changed."""
    found = services(service)
    for use_cases in (found.users, found.user_passwords, found.tenants):
        put(use_cases, "accounts", DoomedAccounts(use_cases.accounts))


def request(method: str, path: str, body: Any) -> Act:
    return lambda tenant: tenant.http.request(method, path, json=body, headers=tenant.headers)


def redeem(tenant: Tenant) -> httpx.Response:
    code = tenant.post("/user/alice/password/reset", {}).json()["code"]
    return tenant.post("/auth/reset", {"code": code, "password": "new"})


SHUT_OUT: dict[str, Act] = {
    "a password that is set": request("PATCH", "/user/alice", {"password": "new"}),
    "a password that is changed": request("POST", "/user/alice/password", {"current": "pw", "password": "new"}),
    "a password that is reset": redeem,
    "a replacement with another password": request("PUT", "/user/alice", {**USER, "password": "new"}),
    "a user disabled": request("PATCH", "/user/alice", {"disabled": True}),
}


@pytest.mark.parametrize("change", SHUT_OUT)
def test_DU1_TK14_who_is_shut_out_has_no_session_left_if_everything_ends_in_the_middle(
    service: Service, change: str
) -> None:
    tenant = service.tenant()
    assert tenant.create("alice", "pw", **USER).status_code == 200
    token = tenant.session()
    doom(service)
    assert SHUT_OUT[change](tenant).status_code == 500
    assert tenant.login("alice", "pw").status_code == 403, "the change was not kept, so nothing was tried"
    assert tenant.verify(token).status_code == 400


def test_DU1_TK14_a_tenants_new_password_leaves_no_other_session_if_everything_ends_in_the_middle(
    service: Service,
) -> None:
    tenant = service.tenant()
    again = tenant.http.post("/tenant/login", json={"email": tenant.email, "password": PASSWORD})
    doom(service)
    change = tenant.post("/tenant/password", {"current": PASSWORD, "password": "Another-Horse-9"})
    assert change.status_code == 500
    assert tenant.http.post("/tenant/verify", json={"token": again.json()["token"]}).status_code == 400
    assert tenant.http.post("/tenant/verify", json={"token": tenant.token}).status_code == 200


def test_DU1_TK14_of_a_disabled_tenant_nothing_lives_on_if_everything_ends_in_the_middle(service: Service) -> None:
    tenant = service.tenant()
    assert tenant.create("alice", "pw").status_code == 200
    token = tenant.session()
    assert tenant.verify(token).status_code == 200
    doom(service)
    with pytest.raises(PowerFailure):
        carry_out(service, services(service).tenants.disable(operator_caller(tenant.id), disabled=True))
    assert tenant.get("/user").status_code == 401
    assert tenant.verify(token).status_code == 401
