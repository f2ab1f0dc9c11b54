"""Look-up of a tenant's user by login or by id."""

from typing import NamedTuple

from doorward.core.errors import LoginNotFound
from doorward.core.model import User
from doorward.core.ports import Accounts


class UserRef(NamedTuple):
    """Reference to a user of a tenant: a login, in any spelling of the same canonical form, or an id."""

    login: str = ""
    id: str = ""


async def find_user(accounts: Accounts, tenant_id: str, ref: UserRef) -> User:
    """Return the user of a tenant that a reference names; LoginNotFound where there is none."""
    if ref.id:
        user = await accounts.user_by_id(tenant_id, ref.id)
    else:
        user = await accounts.user_by_login(tenant_id, ref.login)
    if user is None:
        raise LoginNotFound
    return user
