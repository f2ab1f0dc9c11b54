"""Generated clients compile without a correction, and work."""

import importlib
import os
import pkgutil
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from harness import Tenant, without
from oauth.resource_servers import NODE, NODE_PROGRAMS, blocks

HERE = Path(__file__).parent
COMMANDS = blocks("Generated clients", level=2)["sh"].splitlines()

pytestmark = [pytest.mark.slow, pytest.mark.one_setup]


def command(program: str) -> list[str]:
    """Return the arguments that the page gives a generator."""
    [line] = [line for line in COMMANDS if line.removeprefix("npx ").startswith(f"{program} ")]
    return shlex.split(line.removeprefix("npx "))[1:]


def run(program: list[str], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        program, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def folder(tenant: Tenant, tmp_path: Path) -> Path:
    """A folder with the description that the running service gives."""
    (tmp_path / "openapi.json").write_bytes(tenant.http.get("/openapi.json").content)
    return tmp_path


def test_C10_openapi_typescript_compiles_under_strict(folder: Path) -> None:
    if not (NODE / "openapi-typescript").exists():
        without("openapi-typescript is missing, and what it generates has to be compiled: `make test` installs it")
    path = f"{NODE_PROGRAMS}:{os.environ['PATH']}"
    run([str(NODE / ".bin" / "openapi-typescript"), *command("openapi-typescript")], folder, PATH=path)
    shutil.copy(HERE / "node" / "usage.ts", folder)
    compiler = [str(NODE / ".bin" / "tsc"), "--noEmit", "--strict", "--exactOptionalPropertyTypes", "usage.ts"]
    run(compiler, folder, PATH=path)


@pytest.fixture
def generated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The client that openapi-python-client makes."""
    found = run(
        [str(Path(sys.executable).with_name("openapi-python-client")), *command("openapi-python-client")],
        folder,
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    )
    warnings = [line for line in found.splitlines() if line.startswith("WARNING")]
    assert warnings == ["WARNING parsing GET /users/export within users."]
    (folder / "doorward").rename(folder / "generated_doorward")
    monkeypatch.syspath_prepend(folder)
    yield importlib.import_module("generated_doorward")
    for name in [name for name in sys.modules if name.partition(".")[0] == "generated_doorward"]:
        del sys.modules[name]


def test_C10_openapi_python_client_works(generated: ModuleType, tenant: Tenant) -> None:
    for module in pkgutil.walk_packages(generated.__path__, "generated_doorward."):
        importlib.import_module(module.name)
    models = importlib.import_module("generated_doorward.models")
    api = {
        name: importlib.import_module(f"generated_doorward.api.{name}")
        for name in ("users.create_user", "sessions.login_user", "sessions.verify_user_tokens")
    }
    with generated.AuthenticatedClient(str(tenant.http.base_url), tenant.token) as client:
        user = models.CreateUserRequest(login="alice", email="alice@example.org", sub="17", password="pw")
        assert api["users.create_user"].sync(client=client, body=user).login == "alice"
        wrong, right = (models.LoginRequest(login="alice", password=word, device_id="laptop") for word in ("x", "pw"))
        refused = api["sessions.login_user"].sync(client=client, body=wrong)
        assert type(refused).__name__.startswith("Error403")
        assert refused.code == "incorrect_password"
        token = api["sessions.login_user"].sync(client=client, body=right).access_token
        found = api["sessions.verify_user_tokens"].sync(client=client, body=models.BatchVerifyRequest([token, "x"]))
        assert [type(item) for item in found.results] == [models.ActiveToken, models.InactiveToken]
        assert found.results[0].decoded.login == "alice"
        faulty = api["users.create_user"].sync(
            client=client, body=models.CreateUserRequest("", "alice@example.org", "17")
        )
        assert [fault.context.key for fault in faulty.error.details] == ["login", "password"]


@pytest.mark.skipif(not os.environ.get("DOORWARD_TORTURE"), reason="long: compiles 30,000 lines of Go")
@pytest.mark.timeout(900)
def test_C10_oapi_codegen_compiles_and_works(folder: Path, tenant: Tenant) -> None:
    go = shutil.which("go") or without("go is missing, and what oapi-codegen generates has to be compiled")
    for name in ("go.mod", "go.sum", "main.go"):
        shutil.copy(HERE / "go" / name, folder)
    (folder / "doorward").mkdir()
    run([go, "tool", "oapi-codegen", *command("oapi-codegen")], folder)
    run([go, "vet", "./..."], folder)
    url = str(tenant.http.base_url)
    found = run([go, "run", "."], folder, DOORWARD_URL=url, DOORWARD_TOKEN=tenant.token)
    assert found.splitlines()[-1] == "alice incorrect_password alice true false"
