"""The image, as docs/image.md describes it."""

import json
from collections.abc import Iterator

import pytest

from doorward import __version__
from image.machine import Machine
from image.walking import (
    EMAIL,
    IMAGE_PAGE,
    PASSWORD,
    TOUR,
    Tenant,
    block,
    check_confinement,
    check_doctor,
    inspect,
    take_tour,
    until,
    wait_until_healthy,
)

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(1800)]
NAME = "doorward"
IMAGE = f"doorward:{__version__}"


@pytest.fixture(scope="module")
def container(engine: Machine) -> Iterator[str]:
    """The container of the page's command, with the page's tenant in it."""
    engine.run(engine.translate(block(IMAGE_PAGE, "docker run --detach")))
    try:
        wait_until_healthy(engine, NAME)
        prompts = {"Password: ": PASSWORD, "confirmation: ": PASSWORD}
        engine.type(engine.translate(block(IMAGE_PAGE, "tenant create")), prompts)
        yield NAME
    finally:
        engine.run(f"{engine.engine} rm --force --volumes {NAME}; {engine.engine} volume rm {NAME}")


@pytest.fixture
def tenant(engine: Machine, container: str) -> Tenant:
    assert container
    tenant = Tenant(engine)
    tenant.log_in()
    return tenant


def test_the_tour_works_with_the_tenant_that_was_created_in_the_container(engine: Machine, container: str) -> None:
    created, verified, logged_out, refused, deleted = take_tour(engine)
    assert container
    assert created["login"] == verified["decoded"]["login"] == "alice"
    assert logged_out == deleted == {"result": 1}
    assert refused["code"] == "invalid_token"


def test_N5_registration_from_outside_the_container_is_refused(engine: Machine, container: str) -> None:
    assert container
    status, answer = Tenant(engine).call("POST", "/tenant", {"email": "b@example.org", "password": PASSWORD})
    assert (status, answer["code"]) == (403, "forbidden")


def test_a_container_is_confined_and_writes_to_its_volume(engine: Machine, container: str) -> None:
    check_confinement(engine, container)
    assert engine.run(f"{engine.engine} exec {container} sh -c 'touch /data/x && rm /data/x && id -u'") == "10001\n"


def test_doctor_finds_nothing_to_change(engine: Machine, container: str) -> None:
    check_doctor(engine.run(f"{engine.engine} exec {container} doorward doctor --json"))


def test_a_container_that_is_stopped_ends_by_itself_and_goes_on_where_it_was(engine: Machine, tenant: Tenant) -> None:
    assert tenant.create_user("bob")[0] == 200
    session = tenant.open_session("bob")
    engine.run(f"{engine.engine} stop {NAME}")
    state = inspect(engine, NAME)["State"]
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
    assert '"event": "stopped"' in engine.run(f"{engine.engine} logs {NAME} 2>&1")
    engine.run(f"{engine.engine} start {NAME}")
    until(lambda: tenant.call("GET", "/health/ready")[0] == 200)
    assert tenant.verifies(session)


def test_a_container_that_is_killed_goes_on_where_it_was(engine: Machine, tenant: Tenant) -> None:
    assert tenant.create_user("carol")[0] == 200
    session = tenant.open_session("carol")
    engine.run(f"{engine.engine} kill {NAME}")
    until(lambda: inspect(engine, NAME)["State"]["ExitCode"] == 137)
    engine.run(f"{engine.engine} start {NAME}")
    until(lambda: tenant.call("GET", "/health/ready")[0] == 200)
    assert tenant.verifies(session)
    assert tenant.create_user("carol")[0] == 409


def test_the_image_says_how_it_is_run(engine: Machine) -> None:
    config = inspect(engine, IMAGE)["Config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["doorward"]
    assert config["Cmd"] == ["serve"]
    assert config["StopSignal"] in ("SIGTERM", "15")
    assert list(config["Volumes"]) == ["/data"]
    assert config["Labels"]["org.opencontainers.image.version"] == __version__
    assert "healthcheck.py" in str(config.get("Healthcheck") or inspect(engine, IMAGE)["Healthcheck"])


def test_the_image_holds_what_its_lists_name_and_no_build_tool(engine: Machine) -> None:
    run = f"{engine.engine} run --rm --entrypoint /bin/sh {IMAGE} -c"
    materials = json.loads(engine.run(f"{run} 'cat /opt/doorward/sbom.cdx.json'"))
    names = {component["name"] for component in materials["components"]}
    assert {"starlette", "uvicorn", "argon2-cffi"} <= names
    assert names & {"pip", "hatchling", "setuptools"} == set()
    licences = engine.run(f"{run} 'cat /opt/doorward/LICENCES.txt'").splitlines()
    assert {line.split()[0] for line in licences} == names
    assert engine.run(f"{run} 'ls /opt/doorward/bin | grep -c pip || true'").strip() == "0"
    assert "TENANT_WHITE_LIST" in engine.run(f"{engine.engine} run --rm {IMAGE} settings")


def test_the_image_holds_no_secret_of_the_build_or_of_an_installation(engine: Machine) -> None:
    script = "find / -xdev \\( -name pip.conf -o -name ca.pem -o -name master.key -o -name .env \\) -print; ls /data"
    assert engine.run(f"{engine.engine} run --rm --user 0 --entrypoint /bin/sh {IMAGE} -c '{script}'") == ""
    address = engine.run("sed -n 's/^[a-z-]*index-url = *//p' $HOME/.config/pip/pip.conf").split()
    history = engine.run(f"{engine.engine} history --no-trunc {IMAGE}")
    assert [part for part in address if part in history] == []


def test_the_image_for_traces_has_their_library(engine: Machine) -> None:
    command = f"{engine.engine} run --rm --entrypoint python {IMAGE}-otel -c 'import opentelemetry.sdk.trace'"
    assert engine.run(command) == ""


def test_the_tenant_of_the_page_is_the_tenant_of_the_tests() -> None:
    assert EMAIL in block(IMAGE_PAGE, "tenant create")
    assert f'{{"email": "{EMAIL}", "password": "{PASSWORD}"}}' in TOUR
