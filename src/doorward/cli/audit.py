"""`doorward audit`: the log of what happened, shown and proven whole."""

import json
import sys

import click

from doorward.cli.context import (
    PROBLEM_FOUND,
    CommandContext,
    as_json,
    example,
    format_time,
    print_done,
    print_rows,
    run_with_context,
)
from doorward.core.audit.service import SERVICE, ChainCheck, parse_entry

_PAGE = 500


@click.group("audit", epilog=example("doorward audit verify"))
def audit() -> None:
    """Show the audit trail, and prove that it is whole."""


async def _chain(context: CommandContext, tenant: str) -> str:
    return SERVICE if tenant == SERVICE else (await context.services.tenants.find(tenant)).id


@audit.command(
    epilog=example(
        "doorward audit verify\ndoorward audit verify --tenant shop@example.org\ndoorward audit verify --json"
    )
)
@click.option("--tenant", metavar="TENANT", help="Only this tenant's chain; `service` is the service's own.")
@as_json
def verify(*, tenant: str | None, as_json: bool) -> None:
    """Follow every chain from its base to its newest entry; exit with 3 where one is broken.

    The first entry that does not follow from the one before is named. Keep what `--json` prints somewhere else: a hash
    from before is what shows that a whole chain was written anew.
    """

    async def work(context: CommandContext) -> list[tuple[str, ChainCheck]]:
        if tenant is not None:
            chain = await _chain(context, tenant)
            return [(chain, await context.services.audit.verify_chain(chain))]
        checked: list[tuple[str, ChainCheck]] = []
        after = ""
        while page := await context.stores.audit.tenants(after=after, limit=_PAGE):
            checked += [(one, await context.services.audit.verify_chain(one)) for one in page]
            after = page[-1]
        return checked

    found = run_with_context(work)
    print_rows(
        (
            {"chain": one, "entries": chain.entries, "head": chain.head, "broken_at": chain.broken_at}
            for one, chain in found
        ),
        as_json=as_json,
    )
    broken = [(one, chain) for one, chain in found if chain.broken_at is not None]
    for one, chain in broken:
        click.secho(f"The chain of {one} is broken at entry {chain.broken_at}.", err=True, fg="red")
    if broken:
        sys.exit(PROBLEM_FOUND)
    print_done(f"{len(found)} chains are whole.")


@audit.command(
    "show",
    epilog=example(
        "doorward audit show --tenant shop@example.org --limit 20\ndoorward audit show --tenant service --json"
    ),
)
@click.option("--tenant", required=True, metavar="TENANT", help="Whose chain; `service` is the service's own.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="At most so many, the newest.")
@as_json
def show_trail(*, tenant: str, limit: int, as_json: bool) -> None:
    """Show what happened to a tenant, newest first."""

    async def work(context: CommandContext) -> None:
        chain = await _chain(context, tenant)
        before: int | None = None
        left = limit
        while left and (page := await context.stores.audit.page(chain, before=before, limit=min(_PAGE, left))):
            for entry in page:
                told = {"number": entry.number, **parse_entry(entry)}
                click.echo(json.dumps(told) if as_json else _line(told))
            before, left = page[-1].number, left - len(page)

    run_with_context(work)


def _line(told: dict[str, object]) -> str:
    at = told.pop("at")
    rest = "  ".join(f"{name}={value}" for name, value in told.items() if name not in {"number", "action", "tenant_id"})
    return f"{told['number']:>6}  {format_time(at) if isinstance(at, int) else at}  {told['action']!s:<20}  {rest}"
