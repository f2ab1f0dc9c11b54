"""Every compose file, as docs/deploying.md describes it: start, first tenant, tour, stop, kill, backup."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from image.machine import WORK, Machine, kill
from image.walking import (
    COMPOSE_FILES,
    COMPOSE_PAGE,
    EMAIL,
    PASSWORD,
    URL,
    Project,
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
LIST_USERS = "docker compose exec -T doorward doorward user list --json --tenant"
REPLICAS = "compose.replicas.yaml"


@pytest.fixture(scope="module", params=COMPOSE_FILES)
def project(engine: Machine, request: pytest.FixtureRequest) -> Iterator[Project]:
    """A project that has come up, with the page's tenant."""
    project = Project(engine, request.param)
    engine.run(engine.translate(block(COMPOSE_PAGE, "make-secrets.sh")))
    try:
        if project.option:
            engine.run(engine.translate(block(COMPOSE_PAGE, f"--file {project.file} up")), timeout=180)
        else:
            project.up()
        for container in project.containers("doorward"):
            wait_until_healthy(engine, container)
        prompts = {"Password: ": PASSWORD, "confirmation: ": PASSWORD}
        engine.type(project.words(block(COMPOSE_PAGE, "tenant create")), prompts)
        yield project
    finally:
        project.run("docker compose down --volumes")


@pytest.fixture
def tenant(project: Project) -> Tenant:
    tenant = Tenant(project.machine)
    tenant.log_in()
    return tenant


def wait_until_ready(tenant: Tenant) -> None:
    """Wait until requests are answered, through the proxy where there is one."""
    until(lambda: tenant.call("GET", "/openapi.json")[0] == 200)


def kill_from_outside(machine: Machine, container: str) -> None:
    """Kill a container's first process as the kernel would when memory runs out, so that its restart policy applies."""
    before = inspect(machine, container)["State"]
    machine.run(f"kill -KILL {before['Pid']}")

    def restarted() -> bool:
        state = inspect(machine, container)["State"]
        return bool(state["Running"] and state["Pid"] and state["StartedAt"] != before["StartedAt"])

    until(restarted)


def test_N5_the_tour_works_with_the_tenant_that_was_created_in_the_container(project: Project) -> None:
    created, verified, logged_out, refused, deleted = take_tour(project.machine)
    assert created["login"] == verified["decoded"]["login"] == "alice"
    assert logged_out == deleted == {"result": 1}
    assert refused["code"] == "invalid_token"


def test_N5_registration_through_the_published_port_is_refused(project: Project) -> None:
    status, answer = Tenant(project.machine).call("POST", "/tenant", {"email": "b@example.org", "password": PASSWORD})
    assert (status, answer["code"]) == (403, "forbidden")


def test_every_container_is_confined(project: Project) -> None:
    for container in project.everything():
        check_confinement(project.machine, container)
        limits = inspect(project.machine, container)["HostConfig"]
        assert limits["Memory"] > 0
        assert limits["PidsLimit"] > 0


def test_doctor_finds_nothing_to_change(project: Project) -> None:
    check_doctor(project.run("docker compose exec -T doorward doorward doctor --json"))


def test_no_secret_is_in_what_the_engine_or_the_machine_shows(project: Project, tenant: Tenant) -> None:
    folder = WORK / "project" / "secrets"
    secrets = [file.read_text() for file in folder.iterdir() if file.name != "valkey.conf"]
    assert len(secrets) > 4
    shown = project.machine.run("ps axww")
    for container in project.everything():
        shown += json.dumps(inspect(project.machine, container))
        shown += project.machine.run(f"{project.machine.engine} logs {container} 2>&1")
        shown += project.machine.run(f"{project.machine.engine} exec {container} cat /proc/1/environ")
    assert len(shown) > 1000
    assert [secret for secret in [*secrets, tenant.token] if secret in shown] == []


def test_the_stores_are_reached_by_doorward_alone(project: Project) -> None:
    for service in ("postgres", "valkey"):
        for container in project.containers(service):
            found = inspect(project.machine, container)
            assert found["HostConfig"]["PortBindings"] in ({}, None)
            assert list(found["NetworkSettings"]["Networks"]) == [f"{project.name}_stores"]
            routes = project.machine.run(f"{project.machine.engine} exec {container} cat /proc/net/route")
            # A route to 0.0.0.0 would lead out.
            assert [line for line in routes.splitlines()[1:] if line.split()[1] == "00000000"] == []


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_no_acknowledged_write_is_lost(project: Project, tenant: Tenant, way: str) -> None:
    with tenant.machine.start(f"python3 tests/image/writer.py {URL} {tenant.token} {way}") as writer:
        assert writer.stdout
        acknowledged = [writer.stdout.readline().strip() for _ in range(5)]
        session = tenant.open_session(acknowledged[0])
        containers = project.containers("doorward")
        if way == "stop":
            project.run("docker compose stop")
            assert {inspect(project.machine, container)["State"]["ExitCode"] for container in containers} == {0}
        else:
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda container: kill_from_outside(project.machine, container), containers))
                wait_until_ready(tenant)
            kill(writer)
        rest, said = writer.communicate(timeout=60)
        assert said == ""
        acknowledged += rest.split()
    if way == "stop":
        project.run("docker compose start")
    wait_until_ready(tenant)
    listed = project.run(f"{LIST_USERS} {EMAIL}").splitlines()
    assert set(acknowledged) - {json.loads(line)["login"] for line in listed} == set()
    assert tenant.verifies(session)


def test_killed_stores_come_back_with_what_they_had(project: Project, tenant: Tenant) -> None:
    stores = [container for service in ("postgres", "valkey") for container in project.containers(service)]
    if not stores:
        pytest.skip("The database is embedded.")
    assert tenant.create_user("dora")[0] == 200
    session = tenant.open_session("dora")
    time.sleep(1.5)  # Valkey syncs its log every second
    for container in stores:
        kill_from_outside(project.machine, container)
    until(lambda: tenant.call("POST", "/auth/verify", {"token": session})[0] == 200)
    assert tenant.create_user("dora")[0] == 409


def test_a_backup_is_restored(project: Project, tenant: Tenant) -> None:
    backup, restore = (
        project.words(block(COMPOSE_PAGE, f"doorward {word} /backups")) for word in ("backup", "restore")
    )
    assert tenant.create_user("eve")[0] == 200
    # The folder of the last compose file's backup: no backup replaces another.
    project.machine.run("rm -rf backups")
    project.machine.run(backup)
    tenant.call("DELETE", "/user/eve")
    assert tenant.create_user("frank")[0] == 200
    project.machine.run(restore)
    listed = project.run(f"{LIST_USERS} {EMAIL}")
    assert '"frank"' not in listed
    tenant.log_in()
    if not project.option:
        project.run(block(COMPOSE_PAGE, "master.key"))
        assert project.machine.run("stat --format=%a $HOME/doorward-master.key") == "600\n"
        assert len(project.machine.run("cat $HOME/doorward-master.key")) > 40


def test_verification_goes_on_while_a_replica_is_stopped_and_another_one_is_killed(
    project: Project, tenant: Tenant
) -> None:
    if project.file != REPLICAS:
        pytest.skip("There is one container.")
    assert tenant.create_user("grace")[0] == 200
    session = tenant.open_session("grace")
    first, second = project.containers("doorward")
    verify = (
        f"curl -s -o /dev/null -w '%{{http_code}}\\n' {URL}/auth/verify -H 'Authorization: Bearer {tenant.token}' "
        f"-H 'Content-Type: application/json' -d '{{\"token\": \"{session}\"}}'"
    )
    with tenant.machine.start(f"until [ -e /run/enough ]; do {verify}; sleep 0.02; done") as verifying:
        project.machine.run(f"{project.machine.engine} stop {first}")
        time.sleep(3)
        project.machine.run(f"{project.machine.engine} start {first}")
        wait_until_healthy(project.machine, first)
        time.sleep(3)
        kill_from_outside(project.machine, second)
        time.sleep(3)
        project.machine.run("touch /run/enough")
        statuses = verifying.communicate(timeout=60)[0].split()
    assert len(statuses) > 50
    assert set(statuses) == {"200"}


def test_health_and_forged_addresses_do_not_pass_the_proxy(project: Project) -> None:
    if project.file != REPLICAS:
        pytest.skip("There is no proxy.")
    assert Tenant(project.machine).call("GET", "/health/ready")[0] == 404
    said = project.machine.run(
        f"curl -s {URL}/tenant -H 'X-Forwarded-For: 127.0.0.1' -H 'Content-Type: application/json' "
        f'-d \'{{"email": "b@example.org", "password": "{PASSWORD}"}}\''
    )
    assert json.loads(said)["code"] == "forbidden"


def test_N5_a_network_that_is_admitted_registers_and_the_data_outlives_the_containers(project: Project) -> None:
    if project.option:
        pytest.skip("The page describes it for compose.yaml.")
    override = WORK / "project" / "compose.override.yaml"
    override.write_text(block(COMPOSE_PAGE, "TENANT_WHITE_LIST", "yaml"))
    try:
        project.machine.run(project.words(block(COMPOSE_PAGE, "docker compose down")))
        stranger = Tenant(project.machine)
        wait_until_ready(stranger)
        status, answer = stranger.call("POST", "/tenant", {"email": "c@example.org", "password": PASSWORD})
        assert status == 200, answer
        Tenant(project.machine).log_in()
    finally:
        project.run("docker compose down")
        override.unlink()
        project.up()
