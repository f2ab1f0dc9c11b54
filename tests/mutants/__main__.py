"""`make mutants`: change one condition at a time and see that a test fails."""

import re
import signal
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from time import monotonic

import click

from mutants import conditions
from mutants.changes import SCRIPTS, STATEMENTS, Mutant
from mutants.guards import guards, is_in_sample
from mutants.sandbox import PACKAGE, ROOT, Sandbox, sandboxes
from mutants.selection import Recording

GUARDED = ("core/**/*.py", "http/*.py", "http/api/*.py", "http/api/handlers/**/*.py", "http/connection/**/*.py")
"""The modules whose guards are sampled: those that decide. What only describes is left out."""
SEED = 1
SHARE = 10
SUITES = (
    *(
        "tests/core",
        "tests/storage/contracts",
        "tests/storage/redis/test_redis_sessions.py",
        "tests/storage/redis/test_redis_counters.py",
    ),
    *(
        "tests/http",
        "tests/security",
        "tests/imports",
        "tests/cli",
        "tests/operations",
        "tests/storage/test_sweeping.py",
    ),
    *("tests/observability/test_metrics.py", "tests/observability/test_access_log.py"),
)
_SURVIVORS = Path(__file__).with_name("survivors.toml")
_FOLDER = ROOT / "build" / "mutants"


def every_mutant() -> list[Mutant]:
    """Return the mutants of all statements, scripts and guards, whether they are in the sample or not."""
    found: list[Mutant] = []
    for path in sorted((PACKAGE / STATEMENTS).glob("*.sql")):
        found += conditions.statements(f"{STATEMENTS}/{path.name}", path.read_text(encoding="utf-8"))
    for path in sorted((PACKAGE / SCRIPTS).glob("*.lua")):
        found += conditions.scripts(f"{SCRIPTS}/{path.name}", path.read_text(encoding="utf-8"))
    for path in sorted({path for pattern in GUARDED for path in PACKAGE.glob(pattern)}):
        found += guards(str(path.relative_to(PACKAGE)), path.read_text(encoding="utf-8"))
    return found


def accepted() -> dict[tuple[str, str], str]:
    """Return the survivors that are accepted, by file and name, with the reason of each."""
    listed = tomllib.loads(_SURVIVORS.read_text(encoding="utf-8"))
    return {(file, name): reason for file, mutants in listed.items() for name, reason in mutants.items()}


@click.command()
@click.option("--only", metavar="PATTERN", default="", help="Only mutants whose file and name match this pattern.")
@click.option("--list", "listing", is_flag=True, help="Print the mutants and run nothing.")
@click.option("--known", is_flag=True, help="Record only tests whose files have changed since the last recording.")
@click.option("--processes", default=2, show_default=True, help="How many mutants are tried at a time.")
def main(*, only: str, listing: bool, known: bool, processes: int) -> None:
    """Try every mutant. Exit 1 for a survivor that is not listed, and for a listed one that is killed or gone."""
    everything, reasons = every_mutant(), accepted()
    mutants = [
        mutant
        for mutant in everything
        if (not mutant.line or is_in_sample(mutant, seed=SEED, share=SHARE))
        and re.search(only, f"{mutant.file} {mutant.name}")
    ]
    if listing:
        click.echo("\n".join(f"{mutant.file} {mutant.name}" for mutant in mutants))
        return
    # Ended in any way, servers are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    began = monotonic()
    with sandboxes(processes) as made:
        recording = Recording(_FOLDER / "recording.json", known=known)
        recording.complete(made, SUITES, mutants)
        click.echo(f"{len(mutants)} mutants; what tests use was recorded in {monotonic() - began:.0f} s")
        for test in recording.failed:
            click.echo(f"fails without a mutant: {test}", err=True)
        if not recording.is_whole:
            sys.exit("Too many tests fail without a mutant to try any.")
        killers = _try(made, mutants, recording)
    killed = {mutant.key for mutant, killer in killers.items() if killer}
    alive = {mutant.key for mutant in mutants} - killed
    click.echo(f"{len(killed)} killed, {len(alive)} survived, {monotonic() - began:.0f} s")
    results = "\n".join(f"{mutant.file} {mutant.name}\t{killer}" for mutant, killer in killers.items())
    (_FOLDER / "results.tsv").write_text(f"{results}\n", encoding="utf-8")
    faults = {
        "survived and is not listed": sorted(alive - reasons.keys()),
        "is listed and was killed": sorted(reasons.keys() & killed),
        "is listed and does not exist": sorted(reasons.keys() - {mutant.key for mutant in everything}),
    }
    for fault, which in faults.items():
        for file, name in which:
            click.echo(f"{fault}: {file} {name}", err=True)
    sys.exit(any(faults.values()))


def _try(sandboxes: list[Sandbox], mutants: list[Mutant], recording: Recording) -> dict[Mutant, str]:
    """Return each mutant with the test that fails for it, or nothing."""
    idle: SimpleQueue[Sandbox] = SimpleQueue()
    for sandbox in sandboxes:
        idle.put(sandbox)

    def killer(mutant: Mutant) -> str:
        selection = recording.tests_of(mutant)
        if not selection.tests:
            return ""
        sandbox = idle.get()
        try:
            return sandbox.killer(mutant, selection)
        finally:
            idle.put(sandbox)

    killers: dict[Mutant, str] = {}
    pool = ThreadPoolExecutor(len(sandboxes))
    try:
        for mutant, found in zip(mutants, pool.map(killer, mutants), strict=True):
            killers[mutant] = found
            if not found:
                click.echo(f"survived: {mutant.file} {mutant.name}")
            if not len(killers) % 50:
                click.echo(f"{len(killers)} of {len(mutants)} mutants tried")
    finally:
        pool.shutdown(cancel_futures=True)
    return killers


if __name__ == "__main__":
    main()
