"""`doorward selftest` as an operator runs it: output, exit codes, cleanup."""

import json
import os
import pty
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from certificates import Authority, Pair
from doorward.cli import main
from doorward.selftest.client import Client, ServiceAddress
from doorward.selftest.findings import Finding, State
from doorward.selftest.fixture import Fixture
from doorward.selftest.runner import CATALOGUE, run_checks
from harness import PASSWORD, Service, read_settings, running, serving
from selftest import holes
from selftest.relay import Asked, Forward, Said, relaying

pytestmark = [pytest.mark.slow, pytest.mark.long]

ALL = len([check for check in CATALOGUE if not check.load]) + 1


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(read_settings(tmp_path_factory.mktemp("data"))) as service:
        yield service


def run(url: str, *words: str, typed: str | None = None) -> Result:
    """Run the self test, without what loads the service: that takes longer than all the rest."""
    return run_whole(url, "--no-load", *words, typed=typed)


def run_whole(url: str, *words: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(main, ["selftest", "--url", url, "--rate", "0", *words], input=typed)


def read(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def tenants_of(service: Service) -> list[Any]:
    """Return the tenants that a service has, as its operator sees them."""
    environment = {"DATA_DIR": str(service.settings.data_dir), "JWT_KEY": service.settings.jwt_key[0][1]}
    listed = CliRunner().invoke(main, ["tenant", "list", "--json"], env=environment)
    assert listed.exit_code == 0
    return listed.stdout.splitlines()


def test_TI1_TK14_a_sound_installation_passes_and_nothing_is_left_of_the_tenants(service: Service) -> None:
    result = run(service.url)
    assert result.exit_code == 0, result.output
    assert result.stderr == f"{ALL} checks: {ALL} passed, 0 failed, 0 not tried.\n"
    lines = result.stdout.splitlines()
    assert re.fullmatch(r"TI1 +(\d+) of \1  At every endpoint another tenant's object .*", lines[0])
    assert not any(line.startswith(" ") for line in lines)
    assert "\x1b" not in result.output
    assert tenants_of(service) == []


def test_what_passed_is_listed_when_asked_for(service: Service) -> None:
    result = run(service.url, "--verbose")
    assert len(re.findall(r"^     passed     ", result.stdout, re.MULTILINE)) == ALL


def test_TI2_TR5_a_hole_is_told_under_its_promise_and_ends_with_3(service: Service) -> None:
    with relaying(service.port, holes.ending_for_anybody()) as url:
        result = run(url)
    assert result.exit_code == 3
    first, _, second = result.stdout.partition("TI2 ")
    assert re.search(r"\n     failed +POST /auth/logout: another .* changed: .*user's token", first)
    assert re.match(r" +0 of 1 .*\n     failed +Another tenant's user is neither .*\n", second)
    assert tenants_of(service) == []


def test_as_json_there_is_an_object_for_each_check_and_no_secret_in_any(service: Service) -> None:
    with relaying(service.port, holes.believing_claims()) as url:
        result = run(url, "--json")
    assert result.exit_code == 3
    found = read(result)
    assert len(found) == ALL
    for one in found:
        assert list(one) == ["check", "promises", "state", "why"]
        assert one["state"] in {"passed", "failed", "not tried"}
        assert (one["why"] == "") == (one["state"] == "passed")
    assert {"TK1", "TK4", "TK5"} <= {one["promises"][0] for one in found if one["state"] == "failed"}
    assert not re.search(r"eyJ|dw_[\w-]{8}|dr_[\w-]{8}|Correct-Horse", result.output)


def test_a_service_that_is_away_is_told_from_one_that_fails() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        result = run(f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "cannot be reached: connection refused; check the host and the port in --url" in result.stderr


def test_a_wrong_url_says_which_part_may_be_wrong(service: Service, tmp_path: Path) -> None:
    said = run(f"https://127.0.0.1:{service.port}")
    assert (said.exit_code, "check whether this port serves https" in said.stderr) == (1, True), said.stderr
    assert "check the host in --url" in run("http://nowhere.invalid").stderr
    said = run("https://127.0.0.1:1", "--ca", str(tmp_path / "missing.pem"))
    assert said.stderr == "--ca, --cert or --key cannot be read (no such file or directory).\n"


def test_what_is_no_doorward_is_told_so(service: Service) -> None:
    with relaying(service.port, lambda *_: Said(200, (), b'{"hello": "world"}')) as url:
        result = run(url)
    assert result.exit_code == 1
    assert "are not those of Doorward" in result.stderr


@pytest.mark.parametrize(
    "url", ["127.0.0.1:3000", "ftp://a", "http://", "http://u:p@a", "http://a:99999", "http://a?b"]
)
def test_what_is_no_url_is_a_wrong_use(url: str) -> None:
    assert run(url).exit_code == 2


def test_CF6_where_the_address_may_not_register_it_says_what_to_do(tmp_path: Path) -> None:
    with running(read_settings(tmp_path, {"TENANT_WHITE_LIST": "192.0.2.1"})) as service:
        result = run(service.url)
        assert result.exit_code == 1
        for way in ("TENANT_WHITE_LIST", "--cert", "--tenants"):
            assert way in result.stderr
        prepared = []
        for email in ("a@example.org", "b@example.org"):
            environment = {"DATA_DIR": str(tmp_path), "JWT_KEY": service.settings.jwt_key[0][1]}
            made = CliRunner().invoke(main, ["tenant", "create", email], input=f"{PASSWORD}\n", env=environment)
            assert made.exit_code == 0, made.output
            prepared.append(json.dumps({"email": email, "password": PASSWORD}))
        result = run(service.url, "--json", "--tenants", "-", typed="\n".join(prepared))
        assert result.exit_code == 0, result.output
        untried = [one["check"] for one in read(result) if one["state"] == "not tried"]
        assert untried
        assert all(check.startswith("POST /tenant: ") for check in untried)
        assert tenants_of(service) == []


def test_TI1_a_tenant_that_may_be_somebodys_is_not_taken_and_not_removed(service: Service) -> None:
    full, empty = service.tenant("full@example.org"), service.tenant("empty@example.org")
    full.create()
    lines = [json.dumps({"email": one.email, "password": one.password}) for one in (empty, full)]
    for prepared in (lines, lines[::-1]):
        result = run(service.url, "--tenants", "-", typed="\n".join(prepared))
        assert result.exit_code == 1
        assert "full@example.org has users or API keys" in result.stderr
    assert "are the same one" in run(service.url, "--tenants", "-", typed=f"{lines[0]}\n{lines[0]}").stderr
    for tenant in (full, empty):
        assert tenant.get("/tenant").status_code == 200
        tenant.http.request("DELETE", "/tenant", json={"password": tenant.password}, headers=tenant.headers)


@pytest.mark.parametrize(
    "typed", ["", "{}", "[1]\n[2]", '{"email": "a", "password": 1}\n{"email": "a", "password": "b"}']
)
def test_a_file_of_anything_but_two_tenants_is_a_wrong_use(typed: str) -> None:
    assert run("http://127.0.0.1:9", "--tenants", "-", typed=typed).exit_code == 2


def test_it_stays_within_the_budgets_of_a_service(tmp_path: Path) -> None:
    # Everything as by default but for the clock: ten times as many, ten times as fast.
    budgets = {"THROTTLER_MAX": "50", "BUDGET_LOGIN": "10:30", "BUDGET_WRITE": "50:100", "LOGIN_FAILURE_TIME": "200"}
    with serving(tmp_path, {**budgets, "WORKERS": "2", "ACCESS_LOG": "on"}) as process:
        result = CliRunner().invoke(main, ["selftest", "--url", process.url, "--rate", "40", "--no-load", "--json"])
        log = process.log()
    assert {one["state"] for one in read(result)} == {"passed"}, result.output
    assert result.exit_code == 0
    assert '"too_many_requests"' not in log
    assert '"too_many_attempts"' in log


WHEN = {
    "Ctrl-C": ([signal.SIGINT], "POST /auth/refresh"),
    "a service manager": ([signal.SIGTERM], "POST /auth/refresh"),
    "a terminal that is closed": ([signal.SIGHUP], "POST /auth/refresh"),
    "a shutdown": ([signal.SIGHUP, signal.SIGTERM, signal.SIGINT], "POST /auth/refresh"),
    "while the tenants are removed": ([signal.SIGTERM, signal.SIGHUP], "DELETE /tenant"),
}


@pytest.mark.parametrize("name", WHEN)
def test_PR2_N9_whoever_stops_it_gets_the_tenants_removed(service: Service, name: str) -> None:
    signals, where = WHEN[name]
    reached: list[str] = []

    def hole(asked: Asked, forward: Forward) -> Said:
        if f"{asked.method} {asked.path}" == where:
            reached.append(asked.path)
            time.sleep(0.5)
        return forward(asked)

    with relaying(service.port, hole) as url:
        command = [sys.executable, "-m", "doorward", "selftest", "--url", url, "--rate", "0", "--no-load"]
        # Who runs the tests in the background lets them ignore Ctrl-C, and what is ignored is inherited.
        before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGHUP)}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for number, handler in before.items():
            signal.signal(number, handler)
        service.eventually(lambda: reached, 60)
        for number in signals:
            process.send_signal(number)
            time.sleep(0.1)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert "The self-test was interrupted." in err
    assert re.search(r"^PR2 +1 of 1 ", out, re.MULTILINE)
    assert tenants_of(service) == []


def test_on_a_terminal_there_are_a_bar_and_colours(service: Service) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "doorward", "selftest", "--url", service.url, "--rate", "0", "--no-load"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    said = b""
    while True:
        try:
            said += os.read(ours, 65_536)
        except OSError:
            # How the end of a terminal looks on Linux.
            break
    os.close(ours)
    assert process.wait(60) == 0
    assert b"Attacking" in said
    assert b"100%" in said
    assert b"\x1b[32m" in said


def test_TR5_over_tls_with_an_authority_and_at_the_maintenance_listener(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.issue("server", file="server")
    operator = authority.issue("operator")
    settings = {
        "TENANT_WHITE_LIST": "192.0.2.1",
        "MAINTAIN_TLS_PORT": "0",
        "MAINTAIN_TLS_PEM": server.both,
        "MAINTAIN_TLS_CA": authority.file,
        "MAINTAIN_TLS_CA_CN": "operator",
    }
    with serving(tmp_path, settings) as process:
        line = next(line for line in process.log().splitlines() if line.strip().startswith("maintenance "))
        url = f"https://localhost:{int(line.split('(')[0].strip().rpartition(':')[2])}"
        shown = ["--ca", authority.file, "--cert", operator.certificate, "--key", operator.key]
        result = run(url, *shown)
        assert result.exit_code == 0, result.output
        beside = _beside_silent_handshakes(url, authority.file, operator)
        assert (beside.state, beside.why.startswith("Alone: verify")) == (State.PASSED, True), beside.why
        strange = run(url, "--cert", operator.certificate, "--key", operator.key)
        assert (strange.exit_code, "certificate is not trusted" in strange.stderr) == (1, True)
        unknown = run(url, "--ca", authority.file)
        assert unknown.exit_code == 1
        missing = run(url, "--ca", str(tmp_path / "nothing"))
        assert (missing.exit_code, "cannot be read" in missing.stderr) == (1, True)


def _beside_silent_handshakes(url: str, authority: str, operator: Pair) -> Finding:
    """Run the check of a neighbour that holds TLS connections, which cannot be tried over HTTP."""
    context = ssl.create_default_context(cafile=authority)
    context.load_cert_chain(operator.certificate, operator.key)
    client = Client(ServiceAddress("localhost", int(url.rpartition(":")[2]), tls=context), timeout=10, rate=0)
    findings: list[Finding] = []
    run_checks(Fixture(client), findings.append, [check for check in CATALOGUE if "without a handshake" in check.name])
    return findings[0]


def test_a_service_below_a_path_is_reached_there(service: Service) -> None:
    def hole(asked: Asked, forward: Forward) -> Said:
        if not asked.target.startswith("/auth-service/"):
            return Said(404, (), b"")
        return forward(Asked(asked.method, asked.target.removeprefix("/auth-service"), asked.headers, asked.body))

    with relaying(service.port, hole) as url:
        result = run(f"{url}/auth-service/")
    assert result.exit_code == 0, result.output


def test_the_page_names_every_option_and_exit_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
    told = page.partition("## Self-test")[2]
    for option in main.commands["selftest"].params:
        assert f"`{option.opts[-1]}" in page or f"{option.opts[-1]} " in page, option.name
    assert "selftest-...@selftest.invalid" in told
    assert "`audit verify`, `selftest` |" in page
