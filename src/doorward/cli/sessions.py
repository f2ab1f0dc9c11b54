"""`doorward session` and `doorward apikey`: list and revoke sessions and API keys, create API keys."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

import click

from doorward.cli.context import (
    CommandContext,
    as_json,
    confirm,
    example,
    exit_on_error,
    format_time,
    print_done,
    print_row,
    print_rows,
    run_with_context,
    tenant_option,
    yes,
)
from doorward.core.audit.operator_events import operator_caller
from doorward.core.clock import system_clock
from doorward.core.model import Permission, SessionInfo
from doorward.core.ports import ApiKey
from doorward.core.users.lookup import UserRef
from doorward.http.api.schemas import CreateApiKeyRequest
from doorward.http.validation import validate
from doorward.settings.values import lifetime

_CHOOSE = "Give --tenant, --tenant with --user, these two with --id, or --everybody."


@click.group("session", epilog=example("doorward session list --tenant shop@example.org --user alice"))
def session() -> None:
    """List and revoke sessions."""


@session.command("list", epilog=example("doorward session list --tenant shop@example.org --user alice --json"))
@tenant_option
@click.option("--user", required=True, metavar="LOGIN", help="The user's login.")
@as_json
def list_sessions(*, tenant: str, user: str, as_json: bool) -> None:
    """List a user's open sessions, newest first."""

    async def work(context: CommandContext) -> list[SessionInfo]:
        return await context.services.user_sessions.list_sessions(
            operator_caller((await context.services.tenants.find(tenant)).id), UserRef(user)
        )

    print_rows(map(_session_row, run_with_context(work)), as_json=as_json)


def _session_row(info: SessionInfo) -> dict[str, object]:
    session = info.session
    return {
        "id": session.id,
        "device": session.device_id,
        "opened": format_time(session.created_at),
        "seen": format_time(session.seen_at),
        "expires": format_time(session.expires_at),
        "ip": info.origin.ip,
    }


@session.command(
    epilog=example(
        "doorward session revoke --tenant shop@example.org --user alice\n"
        "doorward session revoke --tenant shop@example.org --user alice --id m5VZ0hTn3yq3nNRgHxyD8Q\n"
        "doorward session revoke --tenant shop@example.org\n"
        "doorward session revoke --everybody --yes"
    )
)
@click.option("--tenant", metavar="TENANT", help="Sessions of this tenant (id or e-mail address) and of its users.")
@click.option("--user", metavar="LOGIN", help="Only sessions of this user.")
@click.option("--id", "session_id", metavar="SESSION", help="Only this session of the user.")
@click.option("--everybody", is_flag=True, help="All sessions of all tenants and users. API keys stay valid.")
@yes
def revoke(*, tenant: str | None, user: str | None, session_id: str | None, everybody: bool, yes: bool) -> None:
    """Revoke sessions at once, on every worker: one, all of a user, all of a tenant and its users, or all."""
    if everybody == bool(tenant) or (everybody and user) or (session_id and not user):
        raise click.UsageError(_CHOOSE)
    if not user:
        confirm(f"Revoke every session of {tenant or 'every tenant and user'}?", yes=yes)

    async def work(context: CommandContext) -> str:
        if tenant is None:
            count = await context.services.tenants.revoke_all_sessions(operator_caller())
            return f"All sessions of {count} tenants and of their users revoked."
        caller = operator_caller((await context.services.tenants.find(tenant)).id)
        if user is None:
            await context.services.tenants.revoke_sessions(caller)
            return f"All sessions of {tenant} and of its users revoked."
        if session_id is None:
            await context.services.user_sessions.revoke_user(caller, UserRef(user))
            return f"All sessions of {user} revoked."
        await context.services.user_sessions.revoke_session(caller, UserRef(user), session_id)
        return "Session revoked."

    print_done(run_with_context(work))


@click.group("apikey", epilog=example("doorward apikey list --tenant shop@example.org"))
def apikey() -> None:
    """Create, list and revoke API keys of tenants. For the service's master keys see `doorward key`."""


def _expiry(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    """Convert a lifetime or a date to a time in milliseconds (a click callback)."""
    if value is None:
        return None
    with suppress(ValueError):
        return system_clock() + lifetime(value) * 1000
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter("a lifetime such as 90d, or a date such as 2030-01-31 or 2030-01-31T12:00Z.") from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


@apikey.command(
    epilog=example(
        "doorward apikey create gateway --tenant shop@example.org --permission verify\n"
        "doorward apikey create ci --tenant shop@example.org --permission users:read --expires 90d --json | jq -r .key"
    )
)
@click.argument("name")
@tenant_option
@click.option(
    "--permission",
    "permissions",
    multiple=True,
    required=True,
    type=click.Choice([str(permission) for permission in Permission]),
    help="A permission of the key; may be given several times.",
)
@click.option("--expires", "expires_at", metavar="WHEN", callback=_expiry, help="Expiry of the key. Default: never.")
@as_json
def create(*, name: str, tenant: str, permissions: Sequence[str], expires_at: int | None, as_json: bool) -> None:
    """Create an API key of a tenant, named NAME, and print it. It is shown only once.

    WHEN is a lifetime from now, such as 90d or 12h, or a date (UTC) such as 2030-01-31.
    """
    fields = {"name": name, "permissions": list(dict.fromkeys(permissions)), "expiresAt": expires_at}
    body = exit_on_error(lambda: validate(fields, CreateApiKeyRequest))

    async def work(context: CommandContext) -> tuple[ApiKey, str]:
        caller = operator_caller((await context.services.tenants.find(tenant)).id)
        return await context.services.api_keys.create(
            caller, body.name, [Permission(permission) for permission in body.permissions], expires_at
        )

    key, text = run_with_context(work)
    print_row({**_key_row(key), "key": text}, as_json=as_json)


@apikey.command("list", epilog=example("doorward apikey list --tenant shop@example.org"))
@tenant_option
@as_json
def list_keys(*, tenant: str, as_json: bool) -> None:
    """List a tenant's API keys, oldest first."""

    async def work(context: CommandContext) -> list[ApiKey]:
        return await context.stores.api_keys.list_of_tenant((await context.services.tenants.find(tenant)).id)

    print_rows(map(_key_row, run_with_context(work)), as_json=as_json)


def _key_row(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "permissions": key.permissions,
        "created": format_time(key.created_at),
        "expires": format_time(key.expires_at),
        "last_used": format_time(key.last_used),
    }


@apikey.command(
    "revoke",
    epilog=example("doorward apikey revoke h0Bq1Qm6v0S7n3mJ2c9xWg --tenant shop@example.org"),
    # An id may begin with a hyphen.
    context_settings={"ignore_unknown_options": True},
)
@click.argument("key_id")
@tenant_option
def revoke_key(*, key_id: str, tenant: str) -> None:
    """Revoke an API key at once."""

    async def work(context: CommandContext) -> None:
        await context.services.api_keys.revoke(
            operator_caller((await context.services.tenants.find(tenant)).id), key_id
        )

    run_with_context(work)
    print_done("API key revoked.")
