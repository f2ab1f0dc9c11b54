"""docs/gateways.md and the configurations that it shows match."""

import re
from pathlib import Path

import pytest

from harness import Tenant

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "gateways.md").read_text(encoding="utf-8")
SHIPPED = sorted((ROOT / "deploy" / "gateways").iterdir())


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_every_configuration_is_on_the_page_and_holds_no_key(file: Path) -> None:
    assert f"(../deploy/gateways/{file.name})" in PAGE
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"dw_\w{4}", text)
    assert "docs/gateways.md" in text or file.name == "traefik-dynamic.yml"


def test_every_header_of_an_answer_is_on_the_page(tenant: Tenant) -> None:
    tenant.create("alice", scope=["x"])
    headers = {"Authorization": f"Bearer {tenant.session('alice')}", "X-Doorward-Key": tenant.token}
    told = {name for name in tenant.http.get("/forward-auth", headers=headers).headers if name.startswith("x-auth-")}
    assert told == {name.lower() for name in re.findall(r"^\| `(X-Auth-[\w-]+)` \|", PAGE, re.MULTILINE)}
