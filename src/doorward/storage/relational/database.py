"""`Database` protocol: runs the SQL statements of `queries/` by name. Audit events as statements."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from doorward.core.model import Event

Row = Sequence[Any]


class ServerInfo(NamedTuple):
    """Description of a store's server for operators.

    Attributes:
        product: Product and version.
        clock: Time of the server in milliseconds; None where it is this machine's.
        connections: Limit on connections; None where it is unknown.
        evicts: The server may remove keys when its memory is full.
        took: Milliseconds of a round trip.
        is_predecessors: The server has keys of backend-auth and none of Doorward.
    """

    product: str
    clock: int | None = None
    connections: int | None = None
    evicts: bool = False
    took: float = 0.0
    is_predecessors: bool = False


class Step(NamedTuple):
    """Statement of `queries/` by name, with its parameters.

    If a `vital` step returns no row, the transaction is rolled back and the later steps do not run.
    """

    statement: str
    values: Mapping[str, object]
    vital: bool = False


class Database(Protocol):
    """Runs statements by name. Every method raises StoreUnavailable where the database does not respond."""

    async def open(self) -> None:
        """Open the database, whose schema is the newest, inside the event loop that uses it; CannotStart on failure."""
        ...

    async def close(self) -> None:
        """Wait for statements under way, and close the database."""
        ...

    async def read(self, statement: str, values: Mapping[str, object]) -> list[Row]:
        """Return the rows of a fast statement, which reads by key."""
        ...

    async def look_up(self, statement: str, keys: Sequence[str]) -> list[Row]:
        """Return the rows of a statement on a list, `IN (:name)`, whose first column is one of `keys`.

        A networked database reads the keys of concurrent callers in one round trip.
        """
        ...

    async def scan(self, statement: str, values: Mapping[str, object]) -> list[Row]:
        """Return the rows of a slow statement without blocking others.

        Few scans run at a time. Tenants, which `values` names, have equal shares of them (`LongWorkQueue`).
        """
        ...

    async def write(self, *steps: Step) -> list[list[Row]]:
        """Run steps in order as one durable transaction and return the rows of each.

        Where a vital step returns no row, the list ends with its empty one, and nothing is changed.
        """
        ...


def audit_steps(events: Iterable[Event]) -> list[Step]:
    """Return the steps that add events to the audit log, in the transaction of the change that they record."""
    steps: list[Step] = []
    for event in events:
        entry = audit_entry(event)
        steps += (Step("lengthen_chain", entry), Step("add_entry", entry))
    return steps


def audit_entry(event: Event) -> dict[str, object]:
    """Return the parameters of the statements that add an event to the audit log."""
    text = msgspec.json.encode({name: value for name, value in event._asdict().items() if value != ""})
    return {
        "tenant_id": event.tenant_id,
        "at": event.at,
        "entry": text.decode(),
        "size": len(text),
        "failed_login_size": len(text) if event.is_failed_login else 0,
    }
