"""`doorward user`: creates, lists, changes and deletes a tenant's users."""

from typing import Any

import click

from doorward.cli.context import (
    CommandContext,
    as_json,
    confirm,
    example,
    exit_on_error,
    failures_row,
    format_time,
    password_file,
    print_done,
    print_row,
    print_rows,
    read_secret,
    run_with_context,
    tenant_option,
    yes,
)
from doorward.core.audit.operator_events import operator_caller
from doorward.core.errors import Refusal
from doorward.core.model import Caller, User
from doorward.core.users.cursor import decode_cursor
from doorward.core.users.lookup import UserRef
from doorward.core.users.model import SearchCriterion, SearchField
from doorward.core.users.passwords import IssuedResetCode
from doorward.http.api.schemas import CreateUserRequest
from doorward.http.api.user_rows import new_user
from doorward.http.json_body import parse
from doorward.http.validation import validate

_PAGE = 500


@click.group("user", epilog=example("doorward user show alice --tenant shop@example.org"))
def user() -> None:
    """Create, show, disable and delete a tenant's users."""


async def _caller(context: CommandContext, tenant: str) -> Caller:
    return operator_caller((await context.services.tenants.find(tenant)).id)


def _row(found: User) -> dict[str, object]:
    return {
        "id": found.id,
        "login": found.login,
        "email": found.email,
        "registered": format_time(found.registration_date),
        "last_activity": format_time(found.last_activity),
        "disabled": found.disabled,
    }


def _json(_context: click.Context, parameter: click.Parameter, value: str | None) -> object:
    """Parse a JSON text (a click callback)."""
    if value is None:
        return None
    try:
        return {parameter.name: parse(value.encode())}
    except Refusal:
        raise click.BadParameter("not valid JSON.") from None


@user.command(
    epilog=example(
        "doorward user create alice --tenant shop@example.org --email alice@example.org --sub customer-17\n"
        "doorward user create alice --tenant shop@example.org --email alice@example.org --sub customer-17 \\\n"
        "    --scope '[\"orders:read\"]' --password-file /run/secrets/alice --json"
    )
)
@click.argument("login")
@tenant_option
@click.option("--email", required=True, help="The e-mail address.")
@click.option("--sub", required=True, help="The tenant's own identifier of the user.")
@click.option("--company", help="The company of the user.")
@click.option("--scope", metavar="JSON", callback=_json, help="Any JSON, included in every token of the user.")
@click.option("--metadata", metavar="JSON", callback=_json, help="Any JSON, included in no token.")
@click.option("--email-verified", is_flag=True, help="Mark the e-mail address as verified.")
@password_file
@as_json
def create(*, login: str, tenant: str, password_file: str | None, as_json: bool, **options: Any) -> None:
    """Create a user, by the same rules as POST /user and the tenant's password policy.

    The password is prompted for, or read from standard input or a file.
    """
    fields: dict[str, Any] = {"login": login, "email": options["email"], "sub": options["sub"]}
    fields["password"] = read_secret("Password", password_file)
    if options["company"] is not None:
        fields["company"] = options["company"]
    fields |= (options["scope"] or {}) | (options["metadata"] or {})
    if options["email_verified"]:
        fields["emailVerified"] = True
    new = new_user(login, exit_on_error(lambda: validate(fields, CreateUserRequest)))

    async def work(context: CommandContext) -> User:
        return await context.services.users.create(await _caller(context, tenant), new)

    print_row(_row(run_with_context(work)), as_json=as_json)


@user.command("list", epilog=example("doorward user list --tenant shop@example.org --search ali"))
@tenant_option
@click.option(
    "--search",
    default="",
    help="Only logins that contain this text, or begin with it if it has found or two characters.",
)
@as_json
def list_users(*, tenant: str, search: str, as_json: bool) -> None:
    """List a tenant's users, by login."""

    async def work(context: CommandContext) -> list[User]:
        caller = await _caller(context, tenant)
        matching = SearchCriterion(SearchField.PART, search)
        users: list[User] = []
        after: str | None = ""
        while after is not None:
            page, cursor = await context.services.users.list_users(
                caller.tenant_id, matching=matching, after=after, limit=_PAGE
            )
            users += page
            after = decode_cursor(cursor)
            if as_json:
                # Printed page by page, so that memory does not grow with the number of users.
                print_rows(map(_row, users), as_json=True)
                users.clear()
        return users

    users = run_with_context(work)
    if not as_json:
        print_rows(map(_row, users), as_json=False)


@user.command("show", epilog=example("doorward user show alice --tenant shop@example.org --json"))
@click.argument("login")
@tenant_option
@as_json
def show_user(*, login: str, tenant: str, as_json: bool) -> None:
    """Show all attributes of a user except the password hash."""

    async def work(context: CommandContext) -> dict[str, object]:
        caller = await _caller(context, tenant)
        found = await context.services.users.get(caller, UserRef(login))
        sessions = await context.services.user_sessions.list_sessions(caller, UserRef(login))
        more = {"company": found.company, "sub": found.sub, "scope": found.scope, "metadata": found.metadata}
        verified = {"email_verified": format_time(found.email_verified_at)}
        failures = failures_row(await context.services.rate_limits.failures(caller.tenant_id, found.login))
        counts = {"has_password": bool(found.password_hash), "sessions": len(sessions)}
        return {**_row(found), **verified, **more, **counts, **failures}

    print_row(run_with_context(work), as_json=as_json)


@user.command(epilog=example("doorward user disable alice --tenant shop@example.org"))
@click.argument("login")
@tenant_option
def disable(*, login: str, tenant: str) -> None:
    """Disable a user, and revoke its sessions at once."""
    _disable(login, tenant, disabled=True)
    print_done(f"{login} disabled; all its sessions revoked.")


@user.command(epilog=example("doorward user enable alice --tenant shop@example.org"))
@click.argument("login")
@tenant_option
def enable(*, login: str, tenant: str) -> None:
    """Enable a disabled user."""
    _disable(login, tenant, disabled=False)
    print_done(f"{login} enabled.")


def _disable(login: str, tenant: str, *, disabled: bool) -> None:
    async def work(context: CommandContext) -> None:
        await context.services.users.update(await _caller(context, tenant), UserRef(login), disabled=disabled)

    run_with_context(work)


@user.command(epilog=example("doorward user delete alice --tenant shop@example.org --yes"))
@click.argument("login")
@tenant_option
@yes
def delete(*, login: str, tenant: str, yes: bool) -> None:
    """Delete a user permanently, and revoke its sessions at once."""
    confirm(f"Permanently delete {login}?", yes=yes)

    async def work(context: CommandContext) -> None:
        await context.services.users.delete(await _caller(context, tenant), UserRef(login))

    run_with_context(work)
    print_done(f"{login} deleted; all its sessions revoked.")


@user.command(epilog=example("doorward user password alice --tenant shop@example.org"))
@click.argument("login")
@tenant_option
@password_file
def password(*, login: str, tenant: str, password_file: str | None) -> None:
    """Set a new password of a user by the tenant's policy, clear its failed logins, and revoke its sessions."""
    secret = read_secret("Password", password_file)

    async def work(context: CommandContext) -> None:
        await context.services.users.update(await _caller(context, tenant), UserRef(login), password=secret)

    run_with_context(work)
    print_done(f"Password of {login} set; all its sessions revoked.")


@user.command(epilog=example("doorward user unlock alice --tenant shop@example.org"))
@click.argument("login")
@tenant_option
def unlock(*, login: str, tenant: str) -> None:
    """Clear a user's failed logins, so that the right password is accepted at once."""

    async def work(context: CommandContext) -> None:
        await context.services.user_passwords.unlock(await _caller(context, tenant), UserRef(login))

    run_with_context(work)
    print_done(f"{login} unlocked.")


@user.command("reset-code", epilog=example("doorward user reset-code alice --tenant shop@example.org"))
@click.argument("login")
@tenant_option
@as_json
def reset_code(*, login: str, tenant: str, as_json: bool) -> None:
    """Print a reset code, which sets the user's password once, within ten minutes."""

    async def work(context: CommandContext) -> IssuedResetCode:
        return await context.services.user_passwords.create_reset_code(await _caller(context, tenant), UserRef(login))

    issued = run_with_context(work)
    print_row({"code": issued.code, "expires_in": issued.expires_in}, as_json=as_json)
