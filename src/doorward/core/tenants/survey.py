"""Surveys of all tenants, for operators: names that the rules reject, and the longest session lifetime."""

from collections.abc import AsyncIterator
from typing import NamedTuple

from doorward.core.normalization import canonical, email_violations, login_violations
from doorward.core.ports import AccountStore
from doorward.core.tenants.settings import decode_settings

_PAGE = 200


class NameSurvey(NamedTuple):
    """Existing names that the rules for new accounts reject, among the `examined`; `complete` if those are all names.

    `examples` are the first few of the `refused`: a tenant's address, and a login or None for the address itself.
    """

    examined: int
    complete: bool
    refused: int
    examples: list[tuple[str, str | None]]


async def survey_names(accounts: AccountStore, *, most: int, examples: int) -> NameSurvey:
    """Examine tenants' addresses and users' logins, `most` of them at most.

    A tenant's logins come in the order of their canonical forms, in which spaces, dots and slashes are first.
    """
    examined, refused, found = 0, 0, list[tuple[str, str | None]]()
    async for tenant_email, login in _names(accounts):
        if examined == most:
            return NameSurvey(examined, complete=False, refused=refused, examples=found)
        examined += 1
        if email_violations(tenant_email) if login is None else login_violations(login):
            refused += 1
            if len(found) < examples:
                found.append((tenant_email, login))
    return NameSurvey(examined, complete=True, refused=refused, examples=found)


async def _names(accounts: AccountStore) -> AsyncIterator[tuple[str, str | None]]:
    """Yield each tenant's address, and then its users' logins."""
    after_tenant = ""
    while tenants := await accounts.list_tenants(after=after_tenant, limit=_PAGE):
        for tenant in tenants:
            yield tenant.email, None
            after = ""
            while users := await accounts.list_users(tenant.id, after=after, limit=_PAGE):
                for user in users:
                    yield tenant.email, user.login
                after = canonical(users[-1].login)
        after_tenant = canonical(tenants[-1].email)


async def longest_session_lifetime(accounts: AccountStore, default: int) -> int:
    """Return the longest lifetime in seconds that a new session of any user may have, at least the `default` one."""
    longest, after = default, ""
    while tenants := await accounts.list_tenants(after=after, limit=_PAGE):
        longest = max(longest, *(decode_settings(tenant).session_lifetime or 0 for tenant in tenants))
        after = canonical(tenants[-1].email)
    return longest
