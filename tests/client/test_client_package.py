"""The Python client as a distribution: its wheel, its two flavours, its README, and its handling of secrets."""

import asyncio
import inspect
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

import doorward_client
from client.conftest import Connect
from client.scripted_server import HangUp, Say, Wait, stubborn
from doorward.http.api.endpoint import Auth
from doorward.http.api.routes import ENDPOINTS
from doorward.http.errors import STATUS_OF
from doorward_client import AsyncDoorward, Doorward, DoorwardError, ImportUser, NewKey, Registered, ResetCode, Tokens
from doorward_client import errors as client_errors
from doorward_client.calls import Call
from harness import Service, Tenant

ROOT = Path(__file__).parents[2]
HERE = ROOT / "clients" / "python"
README = (HERE / "README.md").read_text(encoding="utf-8")
PLACES = ("/user/{login}", "/users/{user_id}")
SECRET = "SECRET-zIsRPtR3xGdd0CqNEwZ9Bq1vX2mWv7Jk"


def test_the_synchronous_client_is_the_asynchronous_one_without_waiting() -> None:
    checked = subprocess.run([sys.executable, HERE / "mirror.py", "--check"], check=False, timeout=60)
    assert checked.returncode == 0, "run `make format`"


@pytest.mark.parametrize("part", ["", "users", "sessions", "tenant", "keys"])
def test_both_clients_take_the_same_and_promise_the_same(part: str) -> None:
    def methods(client: Any) -> dict[str, tuple[str, str | None]]:
        found = getattr(client, part) if part else client
        return {
            name.replace("aclose", "close"): (str(inspect.signature(method)).replace("Async", ""), method.__doc__)
            for name, method in inspect.getmembers(found, inspect.ismethod)
            if not name.startswith("_")
        }

    with Doorward("http://127.0.0.1") as client:
        assert len(methods(client)) > 2
        assert methods(client) == methods(AsyncDoorward("http://127.0.0.1"))


def test_every_endpoint_of_a_tenant_has_a_call() -> None:
    called = {(method, re.sub(r"\{[^}]*\}", "{}", path)) for method, path in _calls()}
    wanted = {
        (endpoint.method, re.sub(r"\{\w+\}", "{}", endpoint.path))
        for endpoint in ENDPOINTS
        if endpoint.auth is not Auth.FREE and endpoint.path != "/forward-auth"
    }
    assert wanted <= called


def _calls() -> list[tuple[str, str]]:
    from doorward_client import calls

    # A method that takes a login takes an id as well.
    source = inspect.getsource(calls)
    source = "\n".join(
        source.replace("{_place(login)}", place).replace("_place(login)", f'f"{place}"') for place in PLACES
    )
    literal = r'(?:Call\(\s*"([A-Z]+)", |Call\(\s*"([A-Z]+)",\s*)(?:_query\()?f?"(/[^"]*)"'
    found = [(first or second, path) for first, second, path in re.findall(literal, source)]
    # Where the path has a line of its own.
    named = r'path = (?:_query\()?f?"(/.*?)"[,)\n].*?Call\("([A-Z]+)", path'
    return found + [(method, path) for path, method in re.findall(named, source, re.DOTALL)]


def test_every_code_that_has_a_class_is_a_code_of_the_service() -> None:
    codes = {kind.code for kind in STATUS_OF}
    assert set(client_errors.BY_CODE) - {"invalid_client", "unauthorized_client"} <= codes
    for code, kind in client_errors.BY_CODE.items():
        if kind.for_code == code:
            assert kind.__name__ == next(refusal.__name__ for refusal in STATUS_OF if refusal.code == code)


def test_everything_public_is_named() -> None:
    assert sorted(doorward_client.__all__) == sorted(set(doorward_client.__all__))
    for name in doorward_client.__all__:
        assert getattr(doorward_client, name) is not None


def test_no_framework_is_imported_before_its_guard() -> None:
    script = (
        "import sys, doorward_client\nprint({'starlette', 'fastapi', 'django', 'flask', 'doorward'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout == "set()\n"


@pytest.mark.slow
def test_the_wheel_installs_without_a_network_and_says_what_it_is(tmp_path: Path) -> None:
    def run(*command: str | Path, folder: Path = tmp_path) -> str:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path, folder=HERE)
    [wheel] = tmp_path.glob("*.whl")
    assert wheel.name == f"doorward_client-{doorward_client.__version__}-py3-none-any.whl"
    names = ZipFile(wheel).namelist()
    assert "doorward_client/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"doorward_client"}
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", wheel)
    # What the wheel itself does not bring is httpx: its place in this environment is lent, after the new one's own.
    script = (
        f"import sys; sys.path.append({_site_packages()!r})\n"
        "import doorward_client as d, importlib.metadata as m\n"
        f"assert d.__file__.startswith({str(tmp_path / 'venv')!r}), d.__file__\n"
        "print(d.Doorward('http://127.0.0.1:1', key='dw_k'), m.metadata('doorward-client')['License-Expression'])\n"
        "print([need for need in m.requires('doorward-client')])"
    )
    said = run(python, "-c", script)
    assert said == "Doorward('http://127.0.0.1:1') MIT\n['httpx<1,>=0.27']\n"


def _site_packages() -> str:
    import httpx

    return str(Path(httpx.__file__).parents[1])


BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_the_examples_of_the_readme_run(
    block: str, shared: Service, tenant: Tenant, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tenant.post("/tenant/key", {"name": "shop", "permissions": ["verify"]}).json()["key"]
    names: dict[str, Any] = {"URL": shared.url, "TENANT_TOKEN": tenant.token, "KEY": key, "__name__": "readme"}
    exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - what is run is our own page
    if "main" in names:
        asyncio.run(names["main"]())
    said = capsys.readouterr().out
    if "LoginFailed" in block:
        assert said == "alice ['orders:read']\nalice alice@example.org\nincorrect_password\n"
    if "main" in names:
        assert said == "bob\n"


def test_the_readme_has_an_example_of_each_kind() -> None:
    for name in (
        "with Doorward(",
        "async with AsyncDoorward(",
        "FastAPI()",
        "Starlette(",
        "Flask(",
        "doorward_required(",
    ):
        assert any(name in block for block in BLOCKS), name


@pytest.mark.parametrize(
    "value",
    [
        Tokens(SECRET, 1, SECRET),
        NewKey("1", "n", (), 1, None, None, SECRET),
        ResetCode(SECRET, 1),
        Registered("1", "a@b", "tenant:a@b", SECRET),
        ImportUser("a", "a@b", "s", SECRET),
        Call("POST", "/auth", str, SECRET.encode()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_repr_has_a_secret(value: object) -> None:
    assert SECRET not in repr(value)
    assert SECRET not in str(value)


@pytest.mark.parametrize(
    "step",
    [HangUp(), Wait(), Say(503, b""), Say(401, {"code": "not_authorized", "error": "no"}), Say(200, b"?")],
    ids=str,
)
def test_no_error_and_no_log_line_has_a_secret(connect: Connect, step: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with stubborn(step) as server:
        doorward = connect(server.url, key=SECRET, timeout=0.2, verify_timeout=0.2)
        assert SECRET not in repr(doorward)
        for ask in (
            lambda: doorward.verify(SECRET),
            lambda: doorward.login("a", SECRET, "d"),
            lambda: doorward.users.create("a", "a@b", SECRET, "s"),
            lambda: list(doorward.users.export_users()),
        ):
            with pytest.raises(DoorwardError) as error:
                ask()
            found: BaseException | None = error.value
            while found is not None:
                assert SECRET not in f"{found!r} {found} {vars(found)}"
                assert not hasattr(found, "request")
                found = found.__cause__ or found.__context__
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("", {}),
        ("doorward.example", {}),
        ("ftp://doorward.example", {}),
        (f"https://user:{SECRET}@doorward.example", {}),
        ("https://doorward.example/?a=b", {}),
        ("https://doorward.example/#x", {}),
        ("https://doorward.example:port", {}),
        ("https://doorward.example", {"key": f"{SECRET}\n"}),
        ("https://doorward.example", {"key": f"{SECRET}ü"}),
        ("https://doorward.example", {"token": ""}),
        ("https://doorward.example", {"key": SECRET, "token": SECRET}),
    ],
)
def test_what_cannot_be_an_address_or_a_credential_is_refused_without_repeating_it(
    url: str, options: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match=r"URL|key") as error:
        Doorward(url, **options)  # type: ignore[arg-type]
    assert SECRET not in f"{error.value!r}"
    assert error.value.__cause__ is None
