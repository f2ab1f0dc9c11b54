"""`doorward audit`: shows the audit log and verifies its hash chains."""

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
    """Show the audit log, and verify its hash chains."""


async def _chain(context: CommandContext, tenant: str) -> str:
    return SERVICE if tenant == SERVICE else (await context.services.tenants.find(tenant)).id


@audit.command(
    epilog=example(
        "doorward audit verify\ndoorward audit verify --tenant shop@example.org\ndoorward audit verify --json"
    )
)
@click.option("--tenant", metavar="TENANT", help="Only the chain of this tenant, or of the service (`service`).")
@as_json
def verify(*, tenant: str | None, as_json: bool) -> None:
    """Verify every hash chain from its base to its newest entry. Exit code 3: a chain is broken.

    The command names the first entry whose hash does not match. Store the output of `--json` elsewhere: only an earlier
    hash reveals that a whole chain was replaced.
    """

    async def work(context: CommandContext) -> list[tuple[str, ChainCheck]]:
        if tenant is not None:
            chain = await _chain(context, tenant)
            return [(chain, await context.services.audit.verify_chain(chain))]
        checked: list[tuple[str, ChainCheck]] = []
        after = ""
        while page := await context.stores.audit.tenants(after=after, limit=_PAGE):
            checked += [(name, await context.services.audit.verify_chain(name)) for name in page]
            after = page[-1]
        return checked

    checks = run_with_context(work)
    print_rows(
        (
            {"chain": name, "entries": check.entries, "head": check.head, "broken_at": check.broken_at}
            for name, check in checks
        ),
        as_json=as_json,
    )
    broken = [(name, check) for name, check in checks if check.broken_at is not None]
    for name, check in broken:
        click.secho(f"The chain of {name} is broken at entry {check.broken_at}.", err=True, fg="red")
    if broken:
        sys.exit(PROBLEM_FOUND)
    print_done(f"{len(checks)} chains are intact.")


@audit.command(
    "show",
    epilog=example(
        "doorward audit show --tenant shop@example.org --limit 20\ndoorward audit show --tenant service --json"
    ),
)
@click.option("--tenant", required=True, metavar="TENANT", help="The tenant, or `service` for events of the service.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="Number of newest entries.")
@as_json
def show_log(*, tenant: str, limit: int, as_json: bool) -> None:
    """Show the audit log of a tenant, newest entries first."""

    async def work(context: CommandContext) -> None:
        chain = await _chain(context, tenant)
        before: int | None = None
        remaining = limit
        while remaining and (
            page := await context.stores.audit.page(chain, before=before, limit=min(_PAGE, remaining))
        ):
            for entry in page:
                fields = {"number": entry.number, **parse_entry(entry)}
                click.echo(json.dumps(fields) if as_json else _line(fields))
            before, remaining = page[-1].number, remaining - len(page)

    run_with_context(work)


def _line(fields: dict[str, object]) -> str:
    at = fields.pop("at")
    rest = "  ".join(
        f"{name}={value}" for name, value in fields.items() if name not in {"number", "action", "tenant_id"}
    )
    return f"{fields['number']:>6}  {format_time(at) if isinstance(at, int) else at}  {fields['action']!s:<20}  {rest}"
