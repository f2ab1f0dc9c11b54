"""`doorward selftest`: attacks a running installation and reports the findings."""

import json
import signal
import ssl
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from types import FrameType
from urllib.parse import urlsplit

import click

from doorward.cli.context import PROBLEM_FOUND, as_json, example, exit_with_error, print_done
from doorward.core.error_text import describe_error
from doorward.selftest.client import Client, ServiceAddress
from doorward.selftest.findings import PROMISES, Check, Finding, State
from doorward.selftest.fixture import CannotRun, Fixture
from doorward.selftest.invariants import ResponseInvariants
from doorward.selftest.runner import CATALOGUE, run_checks

_COLOURS = {State.PASSED: "green", State.FAILED: "red", State.NOT_TRIED: "yellow"}
_PORTS = {"http": 80, "https": 443}
_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def _url(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in _PORTS and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.username is not None or parts.query or parts.fragment:
        raise click.BadParameter("not the URL of a service, such as https://auth.example.org.")
    return value


@click.command(
    epilog=example(
        "doorward selftest --url http://127.0.0.1:3000\n"
        "doorward selftest --url https://auth.example.org --json | jq -r 'select(.state == \"failed\")'\n"
        "doorward selftest --url https://auth.example.org:3444 --ca ca.pem --cert me.pem --key me.key"
    )
)
@click.option("--url", required=True, callback=_url, help="URL of the service.")
@click.option("--ca", metavar="FILE", help="Certificate authority (PEM) of the service's certificate.")
@click.option("--cert", metavar="FILE", help="Client certificate (PEM), which the maintenance listener requires.")
@click.option("--key", metavar="FILE", help="Private key (PEM) of the client certificate. Default: the file of --cert.")
@click.option(
    "--tenants",
    type=click.File(encoding="utf-8-sig"),
    help='File of two empty tenants to use and remove, one line {"email": ..., "password": ...} each; - for standard '
    "input. Default: register two.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 600),
    default=10.0,
    show_default=True,
    help="Seconds to wait for a response.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, 100_000),
    default=4.0,
    show_default=True,
    help="Requests a second without a tenant credential; the default stays below THROTTLER_MAX. 0: no limit.",
)
@click.option(
    "--no-load",
    is_flag=True,
    help="Skip the checks that load the service for some seconds, as a noisy neighbour would.",
)
@click.option("--verbose", is_flag=True, help="Also list the checks that passed.")
@as_json
def selftest(
    *,
    url: str,
    tenants: Iterable[str] | None,
    no_load: bool,
    verbose: bool,
    as_json: bool,
    **options: str | float | None,
) -> None:
    """Attack a running installation with two temporary tenants, and report the findings.

    The tenants are created through the API and removed at the end, also after an interruption. Data of other tenants is
    not touched. Run it after each upgrade. Exit code 3: a check failed; 1: the self-test could not run.
    """
    address = _service_address(url, options)
    invariants = ResponseInvariants(tls=address.tls is not None)
    client = Client(
        address,
        timeout=float(options["timeout"] or 0),
        rate=float(options["rate"] or 0),
        invariants=invariants,
    )
    fixture = Fixture(client, _read(tenants) if tenants else ())
    catalogue = [check for check in CATALOGUE if not (no_load and check.load)]
    with _interrupted_once():
        findings, stop_reason = _run(fixture, catalogue, as_json=as_json)
        if not as_json:
            _print(findings, verbose=verbose)
        _exit(findings, stop_reason)


def _run(fixture: Fixture, catalogue: Sequence[Check], *, as_json: bool) -> tuple[Sequence[Finding], str]:
    """Run the checks; return the findings, and the reason if it stop_reason early."""
    findings: list[Finding] = []
    bar = click.progressbar(length=len(catalogue) + 1, label="Attacking", file=sys.stderr)
    with bar if sys.stderr.isatty() and not as_json else nullcontext() as progress:

        def report(finding: Finding) -> None:
            findings.append(finding)
            if as_json:
                click.echo(json.dumps(finding._asdict()))
            if progress is not None:
                progress.update(1)

        try:
            run_checks(fixture, report, catalogue)
        except CannotRun as reason:
            return findings, f"The self-test cannot run. {reason}"
        except KeyboardInterrupt:
            return findings, "The self-test was interrupted."
    return findings, ""


@contextmanager
def _interrupted_once() -> Iterator[None]:
    """Interrupt the block on the first terminating signal and ignore later ones, so that the tenants are removed.

    Signals that were ignored before, as under nohup, stay ignored. After an interruption all of them are ignored until
    the process exits.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    watched = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    interrupted = False

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        for number in watched:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    try:
        for number in watched:
            signal.signal(number, interrupt)
        yield
    finally:
        for number in () if interrupted else watched:
            signal.signal(number, before[number])


def _service_address(url: str, options: dict[str, str | float | None]) -> ServiceAddress:
    parts = urlsplit(url)
    host, port = str(parts.hostname), parts.port or _PORTS[parts.scheme]
    if parts.scheme == "http":
        return ServiceAddress(host, port, parts.path.rstrip("/"))
    try:
        context = ssl.create_default_context(cafile=_text(options["ca"]))
        if options["cert"]:
            context.load_cert_chain(str(options["cert"]), _text(options["key"]))
    except (OSError, ssl.SSLError) as error:
        exit_with_error(f"--ca, --cert or --key cannot be read ({describe_error(error)}).")
    return ServiceAddress(host, port, parts.path.rstrip("/"), context)


def _text(value: str | float | None) -> str | None:
    return None if value is None else str(value)


def _read(lines: Iterable[str]) -> Sequence[tuple[str, str]]:
    try:
        tenants = [json.loads(line) for line in lines if line.strip()]
        pairs = [(tenant["email"], tenant["password"]) for tenant in tenants]
    except UnicodeDecodeError:
        exit_with_error("The file of --tenants is not UTF-8 text.")
    except (ValueError, KeyError, TypeError):
        pairs = []
    if len(pairs) != 2 or not all(isinstance(word, str) for pair in pairs for word in pair):  # noqa: PLR2004 - two
        raise click.UsageError('--tenants takes two lines, each {"email": ..., "password": ...}.')
    return pairs


def _print(findings: Sequence[Finding], *, verbose: bool) -> None:
    """Print the findings, grouped by their main promise."""
    for promise, says in PROMISES.items():
        group = [finding for finding in findings if finding.promises[0] == promise]
        if not group:
            continue
        passed = sum(finding.state is State.PASSED for finding in group)
        worst = _worst(group)
        count = click.style(f"{passed} of {len(group)}".rjust(9), fg=_COLOURS[worst])
        click.echo(f"{click.style(promise.ljust(4), bold=True)} {count}  {says}")
        for finding in group:
            if verbose or finding.state is not State.PASSED:
                target = click.style(finding.state.ljust(9), fg=_COLOURS[finding.state])
                why = f" {finding.why}" if finding.why else ""
                click.echo(f"     {target}  {finding.check}.{why}")


def _worst(group: Sequence[Finding]) -> State:
    states = {finding.state for finding in group}
    return next(state for state in (State.FAILED, State.NOT_TRIED, State.PASSED) if state in states)


def _exit(findings: Sequence[Finding], stop_reason: str) -> None:
    count = {state: sum(finding.state is state for finding in findings) for state in State}
    if findings:
        totals = ", ".join(f"{number} {state}" for state, number in count.items())
        print_done(f"{len(findings)} checks: {totals}.")
    if stop_reason:
        exit_with_error(stop_reason)
    if count[State.FAILED]:
        sys.exit(PROBLEM_FOUND)
