"""Look-up of a tenant's user by login or by id."""

import re
from typing import NamedTuple

from doorward.core.errors import LoginNotFound
from doorward.core.model import User
from doorward.core.ports import AccountStore

_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


class UserRef(NamedTuple):
    """Reference to a user of a tenant: a login, in any spelling of the same canonical form, or an id."""

    login: str = ""
    id: str = ""


async def find_user(accounts: AccountStore, tenant_id: str, ref: UserRef) -> User:
    """Return the user of a tenant that a reference names; raises LoginNotFound."""
    if ref.id:
        # Ids are UUIDs, whose digits some systems write in upper case (RFC 9562, section 4).
        user_id = ref.id.lower() if _UUID.fullmatch(ref.id) else ref.id
        user = await accounts.user_by_id(tenant_id, user_id)
    else:
        user = await accounts.user_by_login(tenant_id, ref.login)
    if user is None:
        raise LoginNotFound
    return user
