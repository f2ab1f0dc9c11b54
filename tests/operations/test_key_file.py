"""JWT_KEY_FILE is followed on every store configuration: as a file, and as links that orchestrators swap."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from doorward.operations.master_keys import KeyFile
from doorward.settings import Settings
from doorward.settings.keys import new_key
from harness import UNTHROTTLED, Service, Tenant, running
from servers import Servers
from store_configs import SETUPS
from terminal import Operator

OLD, NEW = new_key(), new_key()


def put(path: Path, content: str) -> None:
    """Replace a file in one step."""
    draft = path.with_name("draft")
    draft.write_text(content)
    draft.chmod(0o600)
    draft.replace(path)


def project(folder: Path, content: str) -> None:
    """Keep a file as Kubernetes does: `jwt_key` leads over a link, which is swapped, into a folder of its own."""
    generation = folder / f"..{new_key()[:6].replace('/', '_')}"
    generation.mkdir(parents=True)
    (generation / "jwt_key").write_text(content)
    (generation / "jwt_key").chmod(0o640)
    before = (folder / "..data").readlink() if (folder / "..data").is_symlink() else None
    (folder / "..data_tmp").symlink_to(generation.name)
    (folder / "..data_tmp").rename(folder / "..data")
    if before:
        shutil.rmtree(folder / before)
    elif not (folder / "jwt_key").exists():
        (folder / "jwt_key").symlink_to("..data/jwt_key")


def given(path: Path, data: Path) -> KeyFile:
    file = KeyFile.of(Settings.read({"JWT_KEY_FILE": str(path), "DATA_DIR": str(data)}, data))
    assert file is not None
    return file


SWAPS: dict[str, Callable[[Path, str], None]] = {
    "a file": lambda folder, content: put(folder / "jwt_key", content),
    "links": project,
}


@pytest.mark.parametrize("name", SWAPS)
def test_a_file_that_is_swapped_is_read_once(tmp_path: Path, name: str) -> None:
    SWAPS[name](tmp_path, OLD)
    file = given(tmp_path / "jwt_key", tmp_path)
    assert file.changed() == (("1", OLD),)
    assert file.changed() is None
    SWAPS[name](tmp_path, f"2:{NEW}\n1:{OLD}\n")
    assert file.changed() == (("2", NEW), ("1", OLD))
    assert file.changed() is None


BROKEN: dict[str, Callable[[Path], object]] = {
    "weak": lambda path: put(path, "changeme"),
    "empty": lambda path: put(path, ""),
    "cut short": lambda path: put(path, f"1:{OLD},2"),
    "everybody's": lambda path: path.chmod(0o644),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_cannot_be_used_changes_nothing_and_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    path = tmp_path / "jwt_key"
    put(path, OLD)
    file = given(path, tmp_path)
    file.changed()
    BROKEN[name](path)
    assert [file.changed() for _ in range(3)] == [None] * 3
    [told] = caplog.records
    assert told.message == "master keys not reloaded, the old ones stay"
    assert "JWT_KEY" in told.reason  # type: ignore[attr-defined]
    assert OLD not in told.reason  # type: ignore[attr-defined]
    path.unlink()
    assert file.changed() is None
    put(path, NEW)
    assert file.changed() == (("1", NEW),)


def test_a_file_whose_mode_is_mended_is_read(tmp_path: Path) -> None:
    path = tmp_path / "jwt_key"
    put(path, OLD)
    file = given(path, tmp_path)
    put(path, NEW)
    path.chmod(0o644)
    assert file.changed() is None
    path.chmod(0o600)
    assert file.changed() == (("1", NEW),)


@dataclass
class Instance:
    """One of several instances of a service, each with its own copy of the secret."""

    secret: Path
    operator: Operator
    service: Service

    def follow(self, content: str) -> None:
        """Give it the keys, and wait until the command says that its workers work with them."""
        project(self.secret, content)
        wanted = "1 of 1 running workers have loaded exactly these keys.\n"
        self.service.eventually(lambda: self.operator.do("key", "list").stderr == wanted)

    def tenant(self, tenant: Tenant) -> int:
        return self.service.client().get("/tenant", headers=tenant.headers).status_code

    def log_in(self, tenant: Tenant) -> Tenant:
        answer = self.service.client().post("/tenant/login", json={"email": tenant.email, "password": tenant.password})
        assert answer.status_code == 200, answer.text
        return Tenant(tenant.http, tenant.id, tenant.email, tenant.password, answer.json()["token"])


@pytest.fixture
def instances(setup: str, servers: Servers, tmp_path: Path) -> Iterator[tuple[Instance, Instance]]:
    """Two instances on the same stores."""
    with ExitStack() as stack:
        chosen = stack.enter_context(SETUPS[setup](servers))
        store = {"DATABASE_URL": f"sqlite:///{tmp_path}/doorward.db", **chosen}
        made = []
        for name in ("one", "two"):
            data, secret = tmp_path / name, tmp_path / f"secret-{name}"
            project(secret, OLD)
            environment = {**store, "DATA_DIR": str(data), "JWT_KEY_FILE": str(secret / "jwt_key")}
            data.mkdir()
            settings = Settings.read({**UNTHROTTLED, **environment}, data)
            operator = Operator(data, {**environment, "JWT_KEY": ""})
            operator.do("migrate")
            made.append(Instance(secret, operator, stack.enter_context(running(settings))))
        yield made[0], made[1]


def test_KR1_KR2_KR6_two_instances_follow_their_files_and_refuse_nothing_in_between(
    instances: tuple[Instance, Instance],
) -> None:
    one, two = instances
    old = one.service.tenant()
    assert two.tenant(old) == 200
    add = one.operator.do("key", "add").stdout.strip()
    assert add.startswith(f"1:{OLD},2:")
    for instance in instances:
        instance.follow(add)
    activate = one.operator.do("key", "activate", "2").stdout.strip()
    one.follow(activate)
    # One signs with the new key, the other still with the old one: each believes both.
    fresh = {name: instance.log_in(old) for name, instance in (("one", one), ("two", two))}
    for tenant in (old, *fresh.values()):
        assert [one.tenant(tenant), two.tenant(tenant)] == [200, 200]
    two.follow(activate)
    said = one.operator.do("key", "retire", "1", "--yes")
    assert str(one.secret / "jwt_key") in said.stderr
    for instance in instances:
        instance.follow(said.stdout.strip())
    for tenant, status in ((old, 401), (fresh["two"], 401), (fresh["one"], 200)):
        assert [one.tenant(tenant), two.tenant(tenant)] == [status, status]


def test_KR6_one_instance_looks_into_the_file_before_it_refuses_a_key_it_does_not_know(
    instances: tuple[Instance, Instance],
) -> None:
    one, two = instances
    tenant = one.service.tenant()
    one.follow(f"2:{NEW},1:{OLD}")
    project(two.secret, f"2:{NEW},1:{OLD}")
    assert two.tenant(one.log_in(tenant)) == 200


def test_KR3_a_file_with_a_new_key_alone_ends_every_session(instances: tuple[Instance, Instance]) -> None:
    one, two = instances
    tenant = one.service.tenant()
    for instance in instances:
        instance.follow(f"2:{NEW}")
    assert [one.tenant(tenant), two.tenant(tenant)] == [401, 401]
    assert two.tenant(one.log_in(tenant)) == 200


def test_without_a_folder_of_its_own_a_service_follows_the_file_all_the_same(
    setup: str, servers: Servers, tmp_path: Path
) -> None:
    with SETUPS[setup](servers) as chosen:
        store = {"DATABASE_URL": f"sqlite:///{tmp_path}/doorward.db", **chosen}
        (tmp_path / "data").write_text("where a folder cannot be made")
        project(tmp_path / "secret", OLD)
        environment = {**store, "DATA_DIR": str(tmp_path / "data"), "JWT_KEY_FILE": str(tmp_path / "secret/jwt_key")}
        Operator(tmp_path, {**environment, "JWT_KEY": ""}).do("migrate")
        with running(Settings.read({**UNTHROTTLED, **environment}, tmp_path)) as service:
            tenant = service.tenant()
            project(tmp_path / "secret", f"2:{NEW}")
            service.eventually(lambda: tenant.get("/tenant").status_code == 401)
