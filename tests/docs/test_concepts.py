"""Tenant settings apply when the page about concepts says."""

import re
from pathlib import Path
from typing import Any

from doorward.http.api.schemas import PasswordPolicyInput, TenantSettingsInput
from harness import PASSWORD, Service, Tenant, TurnableClock

PAGE = (Path(__file__).parents[2] / "docs" / "concepts.md").read_text(encoding="utf-8")


def choose(tenant: Tenant, **settings: Any) -> None:
    answer = tenant.http.patch("/tenant", json={"settings": settings}, headers=tenant.headers)
    assert answer.status_code == 200, answer.text


def test_every_setting_of_a_tenant_is_in_the_table_and_nothing_else() -> None:
    table = PAGE.partition("## Tenant settings")[2].partition("\n## ")[0]
    policy = {f"passwordPolicy.{name}" for name in PasswordPolicyInput.__struct_fields__}
    settings = set(TenantSettingsInput.__struct_fields__) - {"passwordPolicy"} | policy
    assert set(re.findall(r"^\| `([\w.]+)` \|", table, re.MULTILINE)) == settings


def test_bounds_on_sessions_count_at_once_for_open_ones(service: Service, clock: TurnableClock) -> None:
    tenant = service.tenant()
    tenant.create("alice", "pw")
    old = tenant.session()
    clock.turn(seconds=100)
    fresh = tenant.session(device="phone")
    choose(tenant, sessionLifetime=60)
    assert [tenant.verify(token).status_code for token in (old, fresh)] == [400, 200]
    choose(tenant, sessionLifetime=None, sessionIdle=10)
    clock.turn(seconds=11)
    assert tenant.verify(fresh).status_code == 400


def test_the_number_of_sessions_counts_at_the_next_login(service: Service, clock: TurnableClock) -> None:
    tenant = service.tenant()
    tenant.create("alice", "pw")
    tokens = []
    for device in ("laptop", "phone"):
        tokens.append(tenant.session(device=device))
        clock.turn(seconds=1)
    choose(tenant, sessionsPerUser=1)
    assert [tenant.verify(token).status_code for token in tokens] == [200, 200]
    last = tenant.session(device="tablet")
    assert [tenant.verify(token).status_code for token in (*tokens, last)] == [400, 400, 200]


def test_the_lifetime_of_the_tenants_own_sessions_counts_at_its_next_login(
    service: Service, clock: TurnableClock
) -> None:
    tenant = service.tenant()
    choose(tenant, tenantSessionLifetime=60)
    account = {"email": tenant.email, "password": PASSWORD}
    bounded = tenant.http.post("/tenant/login", json=account).json()["token"]
    clock.turn(seconds=61)
    verdicts = [tenant.http.post("/tenant/verify", json={"token": token}) for token in (tenant.token, bounded)]
    assert [answer.status_code for answer in verdicts] == [200, 400]


def test_a_policy_counts_for_new_passwords_only(service: Service) -> None:
    tenant = service.tenant()
    tenant.create("alice", "pw")
    choose(tenant, passwordPolicy={"minLength": 15, "blockCommon": True})
    assert tenant.login("alice", "pw").status_code == 200
    assert tenant.create("bob", "pw").status_code == 422
    assert tenant.create("bob", "aaaaaaaaaaaaaaaaaaaa").status_code == 422
    assert tenant.create("bob", "twenty odd words of it").status_code == 200
