"""`doorward tenant`: tenants made, seen, shut out and removed."""

import click

from doorward.cli.context import (
    CommandContext,
    as_json,
    confirm,
    email,
    example,
    exit_with_error,
    failures_row,
    format_time,
    password_file,
    print_done,
    print_row,
    print_rows,
    read_secret,
    run_with_context,
    yes,
)
from doorward.core.audit.operator_events import operator_caller
from doorward.core.model import Tenant
from doorward.core.rate_limits.limiter import TENANTS
from doorward.core.tenants.settings import (
    NAMED_POLICIES,
    PasswordPolicy,
    TenantSettings,
    decode_settings,
    encode_settings,
)


@click.group("tenant", epilog=example("doorward tenant list\ndoorward tenant disable shop@example.org"))
def tenant() -> None:
    """Create, show, shut out and remove tenants."""


def _row(one: Tenant) -> dict[str, object]:
    return {"id": one.id, "email": one.email, "created": format_time(one.created_at), "disabled": one.disabled}


@tenant.command(
    epilog=example(
        "doorward tenant create shop@example.org\n"
        "doorward tenant create shop@example.org --password-file /run/secrets/shop --json\n"
        "doorward tenant create shop@example.org --password-policy recommended"
    )
)
@click.argument("email", callback=email)
@password_file
@click.option(
    "--password-policy",
    "policy",
    type=click.Choice(list(NAMED_POLICIES)),
    help="Policy for its users' passwords. Default: any password is accepted.",
)
@click.option("--init", is_flag=True, help="Create the database and the master key first, where there are none.")
@as_json
def create(*, email: str, password_file: str | None, policy: str | None, init: bool, as_json: bool) -> None:
    """Create a tenant. Its password is asked for, or read from standard input or a file."""
    password = read_secret("Password", password_file)
    settings = TenantSettings(password_policy=NAMED_POLICIES[policy] if policy else PasswordPolicy())

    async def work(context: CommandContext) -> Tenant:
        return await context.services.tenants.create(operator_caller(), email, password, settings)

    print_row(_row(run_with_context(work, create=init)), as_json=as_json)


@tenant.command("list", epilog=example("doorward tenant list\ndoorward tenant list --json | jq -r .email"))
@as_json
def list_tenants(*, as_json: bool) -> None:
    """List every tenant."""

    async def work(context: CommandContext) -> list[Tenant]:
        return [one async for one in context.services.tenants.list_all()]

    print_rows(map(_row, run_with_context(work)), as_json=as_json)


@tenant.command("show", epilog=example("doorward tenant show shop@example.org"))
@click.argument("tenant")
@as_json
def show_tenant(*, tenant: str, as_json: bool) -> None:
    """Show a tenant, by its id or e-mail address, with its settings."""

    async def work(context: CommandContext) -> dict[str, object]:
        one = await context.services.tenants.find(tenant)
        keys = await context.stores.api_keys.list_of_tenant(one.id)
        failures = failures_row(await context.services.rate_limits.failures(TENANTS, one.email))
        return {**_row(one), "api_keys": len(keys), **failures, "settings": encode_settings(decode_settings(one))}

    print_row(run_with_context(work), as_json=as_json)


@tenant.command(epilog=example("doorward tenant disable shop@example.org"))
@click.argument("tenant")
def disable(*, tenant: str) -> None:
    """Shut a tenant out: its sessions, its users' and its API keys end at once."""
    _disable(tenant, disabled=True)
    print_done(f"{tenant} is disabled; every session of it and of its users has ended.")


@tenant.command(epilog=example("doorward tenant enable shop@example.org"))
@click.argument("tenant")
def enable(*, tenant: str) -> None:
    """Let a disabled tenant in again, with its API keys. Sessions that ended stay ended."""
    _disable(tenant, disabled=False)
    print_done(f"{tenant} is enabled.")


def _disable(name: str, *, disabled: bool) -> None:
    async def work(context: CommandContext) -> None:
        one = await context.services.tenants.find(name)
        await context.services.tenants.disable(operator_caller(one.id), disabled=disabled)

    run_with_context(work)


@tenant.command(
    epilog=example("doorward tenant delete shop@example.org\ndoorward tenant delete shop@example.org --yes")
)
@click.argument("tenant")
@yes
def delete(*, tenant: str, yes: bool) -> None:
    """Remove a tenant and everything it owns, for good."""
    confirm(f"Remove {tenant} with all its users, for good?", yes=yes)

    async def work(context: CommandContext) -> None:
        one = await context.services.tenants.find(tenant)
        await context.services.tenants.delete_as_operator(operator_caller(one.id))

    run_with_context(work)
    print_done(f"{tenant} is gone. What it owned is removed by the running service within the minute.")


@tenant.command(
    epilog=example("doorward tenant password shop@example.org\npass shop | doorward tenant password shop@example.org")
)
@click.argument("tenant")
@password_file
def password(*, tenant: str, password_file: str | None) -> None:
    """Give a tenant a new password, forgive its failed logins, and end its own sessions."""
    secret = read_secret("Password", password_file)

    async def work(context: CommandContext) -> None:
        one = await context.services.tenants.find(tenant)
        await context.services.tenants.set_password(operator_caller(one.id), secret)

    run_with_context(work)
    print_done(f"{tenant} has a new password; its own sessions have ended, its users' go on.")


@tenant.command(
    epilog=example(
        "doorward tenant token shop@example.org\ndoorward tenant token shop@example.org --json | jq -r .token"
    )
)
@click.argument("tenant")
@as_json
def token(*, tenant: str, as_json: bool) -> None:
    """Print a new token of a tenant, as a login with its password would give; its other tokens stay valid.

    The token is shown this once, and is in the tenant's audit trail. `session revoke` and `tenant password` end it.
    """

    async def work(context: CommandContext) -> tuple[str, int | None]:
        one = await context.services.tenants.find(tenant)
        if one.disabled:
            exit_with_error(f"{tenant} is disabled; enable it first.")
        issued = await context.services.tenants.issue_token(operator_caller(one.id))
        return issued.token, issued.session.expires_at

    text, expires = run_with_context(work)
    print_row({"token": text, "expires": format_time(expires)}, as_json=as_json)


@tenant.command(epilog=example("doorward tenant unlock shop@example.org"))
@click.argument("tenant")
def unlock(*, tenant: str) -> None:
    """Clear a tenant's failed logins, so that its password is accepted at once."""

    async def work(context: CommandContext) -> None:
        one = await context.services.tenants.find(tenant)
        await context.services.tenants.unlock(operator_caller(one.id), one)

    run_with_context(work)
    print_done(f"{tenant} is unlocked.")
