"""`LoginSearch`: users whose login contains a text, by a walk over the logins or by the index of fragments.

Figures: docs/measurements/0060-user-search.md.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from doorward.storage.relational.database import Database, Row, Step

LAST_LOGIN_KEY = "\U0010ffff"
"""Sorts after every login: no login contains it, since it is not visible."""

# As in the triggers of the schema and in the statement `index_logins`.
_FRAGMENT_LENGTH = 6
_FEW_LOGINS = 1_000
_MOST_CANDIDATES = 4_000
_MOST_STEPS = 10_000
_TENANTS_PER_ROUND = 20


class FoundRows(NamedTuple):
    """Rows of users; `searched_up_to` is the canonical login where the search stopped, "" if it is complete or full."""

    rows: Sequence[Row]
    searched_up_to: str


class LoginSearch:
    """Search for parts of logins in a database, and its index.

    Logins are indexed in the background, those of a tenant once many are waiting; a search also finds the others.
    """

    def __init__(self, database: Database) -> None:
        """Search in `database`."""
        self._db = database
        self._indexed = ""
        self._indexing = ""

    async def search(self, tenant_id: str, *, part: str, after: str, limit: int) -> FoundRows:
        """Return up to `limit` users after `after` whose canonical login contains `part`, in the order of logins."""
        values = {"tenant_id": tenant_id, "after": after, "limit": limit, "pattern": f"%{_literal(part)}%"}
        # A walk finds frequent fragments early, and covers a small tenant completely.
        found = await self._walk(values, _FEW_LOGINS)
        if len(found.rows) == limit or not found.searched_up_to:
            return found._replace(searched_up_to="")
        for piece in _fragments(part):
            bounds = {"piece": piece, "beyond": piece + LAST_LOGIN_KEY}
            counted = await self._db.scan(
                "count_candidates", {"tenant_id": tenant_id, "most": _MOST_CANDIDATES, **bounds}
            )
            if counted and counted[0][0] < _MOST_CANDIDATES:
                return FoundRows(await self._db.scan("search_users", values | bounds), "")
        found = await self._walk(values, _MOST_STEPS)
        return found._replace(searched_up_to="") if len(found.rows) == limit else found

    async def _walk(self, values: Mapping[str, object], steps: int) -> FoundRows:
        last = await self._login_ahead(values, steps)
        rows = await self._db.scan("walk_users", {**values, "last": last or LAST_LOGIN_KEY})
        return FoundRows(rows, last)

    async def _login_ahead(self, values: Mapping[str, object], steps: int) -> str:
        place = {"tenant_id": values["tenant_id"], "after": values["after"], "steps": steps - 1}
        rows = await self._db.scan("login_ahead", place)
        return str(rows[0][0]) if rows else ""

    async def index(self, *, limit: int) -> bool:
        """Add up to `limit` logins to the index; return False if nothing is left to do for now."""
        values = {"after": self._indexed, "enough": _FEW_LOGINS, "limit": _TENANTS_PER_ROUND}
        tenants = await self._db.scan("tenants_to_index", values)
        for tenant_id, backfilled_to, waiting in tenants:
            if backfilled_to is not None:
                await self._index_page(tenant_id, backfilled_to, limit)
                return True
            # A search walks a few logins as fast as it would use the index, and indexing many at once is cheaper.
            if waiting >= _FEW_LOGINS or (waiting and tenant_id == self._indexing):
                self._indexing = tenant_id
                batch = {"tenant_id": tenant_id, "limit": limit}
                await self._db.write(Step("index_logins", batch), Step("forget_indexed", batch))
                return True
            self._indexed = tenant_id
        if len(tenants) < _TENANTS_PER_ROUND:
            self._indexed = self._indexing = ""
            return False
        return True

    async def _index_page(self, tenant_id: str, after: str, limit: int) -> None:
        values = {"tenant_id": tenant_id, "after": after}
        last = await self._login_ahead(values, limit)
        await self._db.write(
            Step("take_over", {**values, "last": last or LAST_LOGIN_KEY}),
            Step("note_taken", {**values, "taken": last or None}),
        )


def _fragments(part: str) -> list[str]:
    """Return fragments of a search term to look up until one is rare; a short term is its only fragment."""
    last = max(0, len(part) - _FRAGMENT_LENGTH)
    return [part[start : start + _FRAGMENT_LENGTH] for start in dict.fromkeys((last, 0, last // 2))]


def _literal(part: str) -> str:
    return part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
