"""The command line: help, errors and exit codes."""

import contextlib
import json
import logging
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from doorward import __version__
from doorward.cli import main
from doorward.cli.serve import _print_banner
from doorward.runtime.server import listener_configs
from doorward.settings import Settings, describe
from doorward.storage.sqlite.schema import migrate
from harness import KEY, serving

CANARY = "CANARY7f3a9c"
FOREIGN = {"COLUMNS": None, "NO_COLOR": None}


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Put the logging of the test run back after a command that set up its own."""
    root = logging.getLogger()
    handlers, level, raising = list(root.handlers), root.level, logging.raiseExceptions
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = raising


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str, environment: Mapping[str, str | None] | None = None) -> Result:
    return CliRunner().invoke(main, list(words), env={**FOREIGN, **(environment or {})})


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_every_command(option: str) -> None:
    answer = run(option)
    assert answer.exit_code == 0
    for name, command in main.commands.items():
        assert re.search(rf"^  {name} +\w", answer.output, re.MULTILINE), name
        assert command.help
        assert run(name, option).exit_code == 0


def test_version_is_that_of_the_package() -> None:
    answer = run("--version")
    assert (answer.exit_code, answer.output) == (0, f"doorward, version {__version__}\n")


@pytest.mark.parametrize(
    "words",
    [[], ["nonsense"], ["serve", "nonsense"], ["serve", "--port", "1"], ["settings", "-x"], ["--nonsense"]],
    ids=repr,
)
def test_wrong_use_ends_with_2_and_says_how_to_use_it(words: list[str]) -> None:
    answer = run(*words)
    assert answer.exit_code == 2
    assert "Usage: " in answer.output


SECRETS = {"JWT_KEY", "LEGACY_JWT_KEY", "DATABASE_URL", "REDIS_URL"}


@pytest.mark.usefixtures("folder")
def test_settings_lists_every_setting_with_default_and_meaning() -> None:
    answer = run("settings")
    assert answer.exit_code == 0
    listed = re.findall(r"^([A-Z_]+)=(.*)$", answer.output, re.MULTILINE)
    shown = [(item["name"], "not set" if item["name"] in SECRETS else item["default"]) for item in describe()]
    assert listed == shown
    flowing = " ".join(answer.output.split())
    for item in describe():
        assert item["meaning"] in flowing
    assert "<NAME>_FILE" in answer.output


@pytest.mark.usefixtures("folder")
def test_settings_as_json_are_for_scripts() -> None:
    answer = run("settings", "--json")
    assert answer.exit_code == 0
    told = json.loads(answer.output)
    assert [{name: one[name] for name in ("name", "default", "meaning")} for one in told] == describe()
    assert {one["source"] for one in told} == {"default"}


def test_N9_settings_shows_what_is_in_effect_and_where_it_comes_from(folder: Path) -> None:
    (folder / ".env").write_text("PORT=4000\nWORKERS=2\nHOST=\nLOG_LEVEL=debug\n")
    (folder / "lists").write_text("\ufeff10.0.0.0/8,\n192.0.2.1\n", encoding="utf-8")
    environment = {"PORT": "5000", "LOG_LEVEL": "", "TENANT_WHITE_LIST_FILE": "lists", "DATA_DIR": "elsewhere"}
    answer = run("settings", "--json", environment=environment)
    assert answer.exit_code == 0
    told = {one["name"]: (one["value"], one["source"]) for one in json.loads(answer.output)}
    assert told["PORT"] == ("5000", "environment")
    assert told["WORKERS"] == ("2", ".env")
    assert told["LOG_LEVEL"] == ("debug", ".env")
    assert told["TENANT_WHITE_LIST"] == ("10.0.0.0/8, 192.0.2.1", "file")
    assert told["DATA_DIR"] == ("elsewhere", "environment")
    assert told["HOST"] == ("127.0.0.1", "default")
    assert told["JWT_KEY"] == ("not set", "default")
    lines = run("settings", environment=environment).output.splitlines()
    assert "PORT=5000  (environment; default: 3000)" in lines
    assert "HOST=127.0.0.1" in lines


@pytest.mark.parametrize("where", ["environment", ".env", "file"])
def test_CF5_N9_settings_say_of_a_secret_only_whether_it_is_set(folder: Path, where: str) -> None:
    secrets = {"JWT_KEY": KEY, "DATABASE_URL": f"postgresql://u:{CANARY}@h/d", "REDIS_URL": f"redis://:{CANARY}@h"}
    environment: dict[str, str | None] = {}
    if where == "environment":
        environment = {**secrets}
    elif where == ".env":
        (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in secrets.items()))
        (folder / ".env").chmod(0o600)
    else:
        for name, value in secrets.items():
            (folder / name).write_text(value)
            (folder / name).chmod(0o600)
            environment[f"{name}_FILE"] = str(folder / name)
    for words in (["settings"], ["settings", "--json"], ["--help"], ["settings", "--help"]):
        answer = run(*words, environment=environment)
        assert answer.exit_code == 0, answer.output
        assert KEY not in answer.output
        assert CANARY not in answer.output
    told = {one["name"]: one for one in json.loads(run("settings", "--json", environment=environment).output)}
    assert {(told[name]["value"], told[name]["source"]) for name in secrets} == {("set", where)}
    assert (told["LEGACY_JWT_KEY"]["value"], told["LEGACY_JWT_KEY"]["source"]) == ("not set", "default")


REFUSED = {
    "a bad value": (
        {"PORT": CANARY, "WORKERS": "3"},
        "PORT has to be a whole number",
        {"PORT": "invalid", "WORKERS": "3"},
    ),
    "a short key": ({"JWT_KEY": CANARY}, "JWT_KEY has to be at least 32 bytes", {"JWT_KEY": "set"}),
    "a mistyped name": ({"JWT_KEYS": CANARY}, "JWT_KEYS is not a setting", {"PORT": "3000"}),
    "what contradicts itself": ({"HTTPS_SERVER": "on"}, "HTTPS_CERT is missing", {"HTTPS_SERVER": "on"}),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.usefixtures("folder")
def test_N9_settings_lists_them_and_says_what_would_keep_the_service_from_starting(name: str) -> None:
    environment, sentence, shown = REFUSED[name]
    answer = run("settings", "--json", environment=environment)
    assert answer.exit_code == 1
    assert answer.stderr.startswith(sentence)
    told = {one["name"]: one["value"] for one in json.loads(answer.stdout)}
    assert told.items() >= shown.items()
    assert CANARY not in answer.output


CANNOT_START = {
    "a weak key": ({"JWT_KEY": "a" * 64}, "JWT_KEY has to be random"),
    "a short key": ({"JWT_KEY": "short" + CANARY}, "JWT_KEY has to be at least 32 bytes"),
    "a published key": ({"JWT_KEY": "changeme" * 5 + CANARY}, "JWT_KEY has to be random"),
    "a mistyped name": ({"JWT_KEYS": CANARY}, "JWT_KEYS is not a setting; did you mean JWT_KEY"),
    "a bad number": ({"PORT": CANARY}, "PORT has to be a whole number"),
    "a bad network": ({"TENANT_WHITE_LIST": CANARY}, "TENANT_WHITE_LIST has to be addresses or networks"),
    "a hash below the floor": ({"HASH_MEMORY": "8"}, "HASH_MEMORY has to be a whole number from 19456"),
    "a missing file": ({"JWT_KEY_FILE": f"/nowhere/{CANARY}"}, "JWT_KEY_FILE cannot be read"),
    "a data folder that is a file": ({"DATA_DIR": "/dev/null/x"}, "DATA_DIR: "),
    "a database folder that is a file": (
        {"JWT_KEY": KEY, "DATABASE_URL": "sqlite:////dev/null/x.db"},
        "DATA_DIR or DATABASE_URL: /dev/null is not a folder",
    ),
    "an address of another machine": (
        {"JWT_KEY": KEY, "HOST": "192.0.2.1"},
        "HOST and PORT: 192.0.2.1:0 cannot be bound (",
    ),
    "a host that is not there": (
        {"JWT_KEY": KEY, "HOST": "nowhere.invalid"},
        "HOST and PORT: nowhere.invalid:0 cannot be bound (",
    ),
}


@pytest.mark.parametrize("name", CANNOT_START)
@pytest.mark.usefixtures("folder")
def test_CF1_CF4_what_must_not_start_says_why_in_one_sentence_and_ends_with_1(name: str) -> None:
    environment, sentence = CANNOT_START[name]
    answer = run("serve", environment={"PORT": "0", **environment})
    assert answer.exit_code == 1
    assert answer.stderr.startswith(f"doorward cannot start. {sentence}")
    assert answer.stderr.count("\n") == 1
    assert answer.stderr.endswith((".\n", "?\n"))
    assert answer.stdout == ""
    assert CANARY not in answer.output
    assert "Traceback" not in answer.output


@pytest.mark.usefixtures("folder")
def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = run("serve", environment={"JWT_KEY": KEY, "PORT": str(port)})
    assert answer.exit_code == 1
    assert answer.stderr == f"doorward cannot start. HOST and PORT: 127.0.0.1:{port} is in use.\n"


def test_UP5_UP7_a_database_of_a_newer_program_is_not_touched(folder: Path) -> None:
    path = folder / "data" / "doorward.db"
    migrate(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=9999")
    connection.close()
    before = path.read_bytes()
    answer = run("serve", environment={"JWT_KEY": KEY, "PORT": "0"})
    assert answer.exit_code == 1
    assert "9999" in answer.stderr
    assert "newer program" in answer.stderr
    assert path.read_bytes() == before


def test_CF2_what_cannot_start_for_its_settings_leaves_no_files_behind(folder: Path) -> None:
    assert run("serve", environment={"PORT": "x"}).exit_code == 1
    assert list(folder.iterdir()) == []


# --- real processes -----------------------------------------------------------------------------------------------


def plain_environment(**more: str) -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | more


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [[sys.executable, "-m", "doorward"], [str(Path(sys.executable).with_name("doorward"))]],
    ids=["module", "script"],
)
def test_CF1_the_program_refuses_a_weak_key_at_once(folder: Path, command: list[str]) -> None:
    answer = subprocess.run(
        [*command, "serve"],
        env=plain_environment(JWT_KEY="changeme" * 8, PORT="0"),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 1
    assert answer.stderr.startswith("doorward cannot start. JWT_KEY has to be random")
    assert "changeme" not in answer.stdout + answer.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_CF3_CF5_a_started_service_says_where_it_is_and_shows_no_secret(folder: Path) -> None:
    with serving(folder, {"JWT_KEY": KEY}) as service:
        assert httpx.get(f"{service.url}/health/live").status_code == 200
        assert service.url.startswith("http://127.0.0.1:")
        said = service.log()
        assert service.process
        assert KEY.encode() not in Path(f"/proc/{service.process.pid}/cmdline").read_bytes()
    assert f"Doorward {__version__}" in said
    assert "listens on" in said
    assert "master key  JWT_KEY" in said
    assert KEY not in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_CF2_the_command_of_the_welcome_registers_the_first_tenant(folder: Path) -> None:
    with serving(folder) as service:
        said = service.log()
        command = re.search(r"^  try +(curl .*)$", said, re.MULTILINE)
        assert command
        answer = subprocess.run(command[1], shell=True, capture_output=True, text=True, timeout=60, check=False)  # noqa: S602 - as an operator would paste it
        assert json.loads(answer.stdout)["login"] == "tenant:first@example.org", answer.stderr
        key = (folder / "data" / "master.key").read_text().strip().split(":")[1]
        assert str(folder / "data" / "master.key") in said
        assert key not in said


CANNOT_REGISTER_OVER_HTTP = [
    {"TRUSTED_PROXIES": "127.0.0.1"},
    {"TRUSTED_PROXIES": "*"},
    {"TENANT_WHITE_LIST": "10.0.0.0/8"},
    {"TENANT_WHITE_LIST": "none"},
    {"ALLOWED_HOSTS": "auth.example.org"},
    {"ALLOWED_HOSTS": "auth.example.org", "TENANT_WHITE_LIST": "*"},
    {"HTTP_SERVER": "off", "HTTPS_SERVER": "on"},
]
CAN_REGISTER_OVER_HTTP = [
    {},
    {"TENANT_WHITE_LIST": "*", "TRUSTED_PROXIES": "127.0.0.1"},
    {"TENANT_WHITE_LIST": "127.0.0.1"},
    {"ALLOWED_HOSTS": "auth.example.org,127.0.0.1"},
    {"HOST": "0.0.0.0"},  # noqa: S104 - nothing is bound
]


def banner(given: dict[str, str], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    with contextlib.ExitStack() as stack:
        tls = {"HTTPS_CERT": "unused.pem", "JWT_KEY": KEY}
        settings = Settings.read({**tls, **given}, folder)
        listeners = [socket.create_server(("127.0.0.1", 0)) for _ in listener_configs(settings)]
        for listener in listeners:
            stack.enter_context(listener)
        _print_banner(settings, listeners)
    return capsys.readouterr().out


@pytest.mark.parametrize("given", [*CANNOT_REGISTER_OVER_HTTP, *CAN_REGISTER_OVER_HTTP], ids=str)
def test_CF2_the_welcome_shows_a_way_to_register_that_works(
    folder: Path, capsys: pytest.CaptureFixture[str], given: dict[str, str]
) -> None:
    said = banner(given, folder, capsys)
    if given in CAN_REGISTER_OVER_HTTP:
        assert "  try         curl " in said
    else:
        assert "  try         doorward tenant create you@example.org\n" in said
    assert ("allows every client" in said) == (given.get("TENANT_WHITE_LIST") == "*")
    assert ("does not allow this machine" in said) == (given.get("TENANT_WHITE_LIST") in {"10.0.0.0/8", "none"})


def test_the_welcome_shows_the_address_of_the_metrics(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert re.search(
        r"^  metrics     http://127.0.0.1:[0-9]+/metrics$", banner({"METRICS_PORT": "0"}, folder, capsys), re.MULTILINE
    )


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_service_that_is_asked_to_stop_stops_and_can_be_started_again(folder: Path, workers: str) -> None:
    for _ in range(2):
        with serving(folder, {"WORKERS": workers}) as service:
            assert httpx.get(f"{service.url}/health/ready").status_code == 200
            assert service.process
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(35) in {0, -signal.SIGTERM, 128 + signal.SIGTERM}
        assert service.log().count('"event": "stopped"') >= 1
