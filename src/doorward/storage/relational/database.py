"""What rows are kept in: a database that runs the statements of `queries/` by name."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from doorward.core.model import Event

Row = Sequence[Any]


class ServerInfo(NamedTuple):
    """What keeps things, as it describes itself: product and version, and what an operator may have to look after.

    `clock` is in milliseconds, None where it is this machine's; `connections` are those that it takes at once, None
    where there is no telling; `evicts` says that it may remove what it keeps when its memory is full; an answer `took`
    so many milliseconds; `is_predecessors` says that it holds keys of backend-auth and none of Doorward.
    """

    product: str
    clock: int | None = None
    connections: int | None = None
    evicts: bool = False
    took: float = 0.0
    is_predecessors: bool = False


class Step(NamedTuple):
    """One statement of `queries/`, by name, with its parameters.

    `vital`: where it returns no row, the whole transaction is undone and the steps after it are not run.
    """

    statement: str
    values: Mapping[str, object]
    vital: bool = False


class Database(Protocol):
    """What an adapter has to do: run statements by name. Raises StoreUnavailable when it cannot."""

    async def open(self) -> None:
        """Open the database, of the newest schema already, inside the event loop that will use it.

        CannotStart where that is impossible.
        """
        ...

    async def close(self) -> None:
        """Finish what is under way and close the database."""
        ...

    async def read(self, statement: str, values: Mapping[str, object]) -> list[Row]:
        """Return the rows of a statement that answers by key, at once."""
        ...

    async def look_up(self, statement: str, keys: Sequence[str]) -> list[Row]:
        """Return the rows of a statement on a list, `IN (:name)`, whose first column is one of `keys`.

        A database behind a network asks for the keys of all callers of one moment in one trip.
        """
        ...

    async def scan(self, statement: str, values: Mapping[str, object]) -> list[Row]:
        """Return the rows of a statement that may take a while, without holding up anything else.

        Few of them run at a time, in which the tenants that the values name have equal shares (`LongWork`).
        """
        ...

    async def write(self, *steps: Step) -> list[list[Row]]:
        """Run steps in order as one durable transaction and return the rows of each.

        Where a vital step returned no row, the list ends with its empty one, and nothing has happened.
        """
        ...


def audit_steps(events: Iterable[Event]) -> list[Step]:
    """Return the steps that keep events in the audit log, as part of the transaction of what they tell of."""
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
