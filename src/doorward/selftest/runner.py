"""One self test from beginning to end: the tenants come, everything is tried, the tenants go."""

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
"""Everything that is tried, in this order. What stands for an endpoint comes from the table of endpoints."""

LAST = Check("Both tenants were removed, and nothing of them is alive", ("PR2", "TK14"), lambda _: None)
"""What is looked at in any case, also after a failure or an interruption."""


def run_checks(fixture: Fixture, tell: ReportFinding, catalogue: Sequence[Check] = CATALOGUE) -> None:
    """Try everything, telling of each check as it ends, and remove the tenants whatever happens.

    CannotRun where there is nothing to run on, or not any more.
    """
    try:
        fixture.build()
        for check in catalogue:
            finding = _run_check(check, fixture)
            fixture.doubtful |= check.harmless and finding.state is State.FAILED
            tell(finding)
    finally:
        try:
            _end(fixture, tell)
        except KeyboardInterrupt:
            # It came too late to stop anything: what is left is removed all the same.
            _end(fixture, tell)
            raise
        finally:
            fixture.client.close()


def _end(fixture: Fixture, tell: ReportFinding) -> None:
    tenants = fixture.tenants
    if tenants:
        tell(_run_check(Check(LAST.name, LAST.promises, partial(_remove, tenants)), fixture))


def _run_check(check: Check, fixture: Fixture) -> Finding:
    try:
        measured = check.run(fixture)
    except Failed as reason:
        return Finding(check.name, check.promises, State.FAILED, _sentence(reason))
    except NotRun as reason:
        return Finding(check.name, check.promises, State.NOT_TRIED, _sentence(reason))
    except RateLimited as reason:
        return Finding(check.name, check.promises, State.NOT_TRIED, f"A budget was empty. {_sentence(reason)}")
    except Unreachable as reason:
        if not _answers(fixture):
            raise CannotRun(f"The service went away: {reason}.") from None
        return Finding(check.name, check.promises, State.FAILED, f"There was no answer: {reason}.")
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        # An answer of another shape than the published one is a finding like any other.
        said = f"An answer has another shape than the published one ({type(error).__name__})."
        return Finding(check.name, check.promises, State.FAILED, said)
    return Finding(check.name, check.promises, State.PASSED, measured or "")


def _answers(fixture: Fixture) -> bool:
    try:
        fixture.client.request("GET", "/health/live", fresh=True)
    except (Unreachable, RateLimited):
        return False
    return True


def _sentence(reason: Exception) -> str:
    return f"{str(reason).rstrip('.')}."


def _remove(tenants: Sequence[Tenant], fixture: Fixture) -> None:
    left = fixture.remove()
    require(not left, f"Still there: {', '.join(left)}. Remove them with doorward tenant delete")
    fixture.verify_removed(tenants)
