"""`CATALOGUE` of all checks of the self-test, and `run_checks`, which runs them in order and reports findings."""

from collections.abc import Callable, Sequence
from functools import partial

from doorward.selftest.checks import authentication, isolation, matrix, noisy_neighbours, responses, revocation, tokens
from doorward.selftest.client import RateLimited, Unreachable
from doorward.selftest.findings import Check, Finding, State
from doorward.selftest.fixture import CannotRun, Fixture
from doorward.selftest.outcomes import Failed, NotRun, require
from doorward.selftest.tenants import Tenant

ReportFinding = Callable[[Finding], None]

_ALL = (
    *matrix.checks(),
    *isolation.checks(),
    *authentication.checks(),
    *tokens.checks(),
    *revocation.checks(),
    *responses.checks(),
    *noisy_neighbours.checks(),
    *responses.closing_checks(),
)

CATALOGUE: Sequence[Check] = sorted(_ALL, key=lambda check: not check.harmless)
"""Every check, in the order in which they run. The checks of endpoints are made from the endpoint table."""

LAST = Check("Both tenants were removed, and their credentials are rejected", ("PR2", "TK14"), lambda _: None)
"""The check that always runs last, also after a failure or an interruption."""


def run_checks(fixture: Fixture, report: ReportFinding, catalogue: Sequence[Check] = CATALOGUE) -> None:
    """Run the checks, report each finding, and remove the tenants in any case.

    Raises:
        CannotRun: The service cannot be reached, or the tenants cannot be created.
    """
    try:
        fixture.build()
        for check in catalogue:
            finding = _run_check(check, fixture)
            fixture.doubtful |= check.harmless and finding.state is State.FAILED
            report(finding)
    finally:
        try:
            _remove_tenants(fixture, report)
        except KeyboardInterrupt:
            # The second attempt removes the tenants that the interrupted one left.
            _remove_tenants(fixture, report)
            raise
        finally:
            fixture.client.close()


def _remove_tenants(fixture: Fixture, report: ReportFinding) -> None:
    tenants = fixture.tenants
    if tenants:
        report(_run_check(Check(LAST.name, LAST.promises, partial(_require_removed, tenants)), fixture))


def _run_check(check: Check, fixture: Fixture) -> Finding:
    try:
        figures = check.run(fixture)
    except Failed as reason:
        return Finding(check.name, check.promises, State.FAILED, _sentence(reason))
    except NotRun as reason:
        return Finding(check.name, check.promises, State.NOT_TRIED, _sentence(reason))
    except RateLimited as reason:
        return Finding(check.name, check.promises, State.NOT_TRIED, f"A rate limit was exhausted. {_sentence(reason)}")
    except Unreachable as reason:
        if not _is_reachable(fixture):
            raise CannotRun(f"The service stopped responding: {reason}.") from None
        return Finding(check.name, check.promises, State.FAILED, f"There was no response: {reason}.")
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        # A response that differs from the published schema makes the check fail.
        why = f"A response does not match the published schema ({type(error).__name__})."
        return Finding(check.name, check.promises, State.FAILED, why)
    return Finding(check.name, check.promises, State.PASSED, figures or "")


def _is_reachable(fixture: Fixture) -> bool:
    try:
        fixture.client.request("GET", "/health/live", fresh=True)
    except (Unreachable, RateLimited):
        return False
    return True


def _sentence(reason: Exception) -> str:
    return f"{str(reason).rstrip('.')}."


def _require_removed(tenants: Sequence[Tenant], fixture: Fixture) -> None:
    left = fixture.remove()
    require(not left, f"Not removed: {', '.join(left)}. Remove them with doorward tenant delete")
    fixture.verify_removed(tenants)
