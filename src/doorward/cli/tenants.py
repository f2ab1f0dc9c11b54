"""`doorward tenant`: creates, lists, disables and deletes tenants."""

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
    """Create, show, disable and delete tenants."""


def _row(found: Tenant) -> dict[str, object]:
    return {"id": found.id, "email": found.email, "created": format_time(found.created_at), "disabled": found.disabled}


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
    help="Policy for passwords of its users. Default: any password is accepted.",
)
@click.option("--init", is_flag=True, help="First create the database and the master key if they do not exist.")
@as_json
def create(*, email: str, password_file: str | None, policy: str | None, init: bool, as_json: bool) -> None:
    """Create a tenant. The password is prompted for, or read from standard input or a file."""
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
        return [found async for found in context.services.tenants.list_all()]

    print_rows(map(_row, run_with_context(work)), as_json=as_json)


@tenant.command("show", epilog=example("doorward tenant show shop@example.org"))
@click.argument("tenant")
@as_json
def show_tenant(*, tenant: str, as_json: bool) -> None:
    """Show a tenant, by its id or e-mail address, with its settings."""

    async def work(context: CommandContext) -> dict[str, object]:
        found = await context.services.tenants.find(tenant)
        keys = await context.stores.api_keys.list_of_tenant(found.id)
        failures = failures_row(await context.services.rate_limits.failures(TENANTS, found.email))
        return {**_row(found), "api_keys": len(keys), **failures, "settings": encode_settings(decode_settings(found))}

    print_row(run_with_context(work), as_json=as_json)


@tenant.command(epilog=example("doorward tenant disable shop@example.org"))
@click.argument("tenant")
def disable(*, tenant: str) -> None:
    """Disable a tenant: its sessions and those of its users are revoked, and its API keys rejected, at once."""
    _disable(tenant, disabled=True)
    print_done(f"{tenant} disabled; all sessions of the tenant and of its users revoked.")


@tenant.command(epilog=example("doorward tenant enable shop@example.org"))
@click.argument("tenant")
def enable(*, tenant: str) -> None:
    """Enable a disabled tenant and its API keys. Revoked sessions stay revoked."""
    _disable(tenant, disabled=False)
    print_done(f"{tenant} enabled.")


def _disable(name: str, *, disabled: bool) -> None:
    async def work(context: CommandContext) -> None:
        found = await context.services.tenants.find(name)
        await context.services.tenants.disable(operator_caller(found.id), disabled=disabled)

    run_with_context(work)


@tenant.command(
    epilog=example("doorward tenant delete shop@example.org\ndoorward tenant delete shop@example.org --yes")
)
@click.argument("tenant")
@yes
def delete(*, tenant: str, yes: bool) -> None:
    """Delete a tenant and all its data, permanently."""
    confirm(f"Permanently delete {tenant} with all its users?", yes=yes)

    async def work(context: CommandContext) -> None:
        found = await context.services.tenants.find(tenant)
        await context.services.tenants.delete_as_operator(operator_caller(found.id))

    run_with_context(work)
    print_done(f"{tenant} deleted. The running service removes its data within a minute.")


@tenant.command(
    epilog=example("doorward tenant password shop@example.org\npass shop | doorward tenant password shop@example.org")
)
@click.argument("tenant")
@password_file
def password(*, tenant: str, password_file: str | None) -> None:
    """Set a new password of a tenant, clear its failed logins, and revoke its own sessions."""
    secret = read_secret("Password", password_file)

    async def work(context: CommandContext) -> None:
        found = await context.services.tenants.find(tenant)
        await context.services.tenants.set_password(operator_caller(found.id), secret)

    run_with_context(work)
    print_done(f"Password of {tenant} set; its own sessions revoked, those of its users stay valid.")


@tenant.command(
    epilog=example(
        "doorward tenant token shop@example.org\ndoorward tenant token shop@example.org --json | jq -r .token"
    )
)
@click.argument("tenant")
@as_json
def token(*, tenant: str, as_json: bool) -> None:
    """Print a new token of a tenant, as after a login with its password. Its other tokens stay valid.

    The token is shown only once. Its issue is recorded in the tenant's audit log. `session revoke` and `tenant
    password` revoke it.
    """

    async def work(context: CommandContext) -> tuple[str, int | None]:
        found = await context.services.tenants.find(tenant)
        if found.disabled:
            exit_with_error(f"{tenant} is disabled; enable it first.")
        issued = await context.services.tenants.issue_token(operator_caller(found.id))
        return issued.token, issued.session.expires_at

    text, expires = run_with_context(work)
    print_row({"token": text, "expires": format_time(expires)}, as_json=as_json)


@tenant.command(epilog=example("doorward tenant unlock shop@example.org"))
@click.argument("tenant")
def unlock(*, tenant: str) -> None:
    """Clear a tenant's failed logins, so that its password is accepted at once."""

    async def work(context: CommandContext) -> None:
        found = await context.services.tenants.find(tenant)
        await context.services.tenants.unlock(operator_caller(found.id), found)

    run_with_context(work)
    print_done(f"{tenant} unlocked.")
