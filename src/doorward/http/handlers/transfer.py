"""A tenant moves in or out: many users at once."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import UNSET

from doorward.core.errors import ValidationFailed
from doorward.core.model import Caller, Permission, User
from doorward.core.user_transfer import Newcomer, Outcome, Status, Unfit
from doorward.http.handlers.users import shown, text
from doorward.http.schemas import ImportedUser, LoginOfPath, RowOutcome, UserExported, UsersBody, UsersImported
from doorward.http.services import Services
from doorward.http.validation import validate
from doorward.http.wire import Answer, Call, reply

NDJSON = b"application/x-ndjson"

_AT_ONCE = 50
_lines = msgspec.json.Encoder()


async def take(services: Services, call: Call) -> Answer:
    """Take over users of another system, with the hashes of their passwords."""
    caller = await services.caller(call)
    dry_run = call.flag("dryRun")
    given: list[Any] = call.read(UsersBody).users
    await services.throttle.bulk(caller.tenant_id)
    rows: list[Newcomer | Unfit] = []
    for start in range(0, len(given), _AT_ONCE):
        rows += [read_row(row) for row in given[start : start + _AT_ONCE]]
        # Whoever waits for a small answer has a turn in between.
        await asyncio.sleep(0)
    outcomes = await services.transfer.take(caller, rows, dry_run=dry_run)
    found = [outcome.status for outcome in outcomes]
    return reply(
        UsersImported(
            found.count(Status.CREATED),
            found.count(Status.EXISTS),
            found.count(Status.REFUSED),
            [_told(outcome) for outcome in outcomes],
        )
    )


async def hand_out(services: Services, call: Call) -> Answer:
    """Hand out all users of the calling tenant, a line of JSON each."""
    caller = await services.caller(call)
    hashes = call.flag("hashes")
    if hashes:
        # Hashes can be attacked at leisure: a key that only reads users is not given them.
        await services.sessions.tenant(call.credential, Permission.USERS_WRITE)
    await services.throttle.bulk(caller.tenant_id)
    return Answer(b"", HTTPStatus.OK, ((b"content-type", NDJSON),), _pieces(services, caller, hashes=hashes))


async def _pieces(services: Services, caller: Caller, *, hashes: bool) -> AsyncIterator[bytes]:
    async for users in services.transfer.hand_out(caller, hashes=hashes):
        yield write_lines(users, hashes=hashes)


def write_lines(users: list[User], *, hashes: bool) -> bytes:
    """Return users as lines of JSON, which can be imported again; without `hashes`, nobody can log in with them."""
    return _lines.encode_lines([_exported(user, hashes=hashes) for user in users])


def read_row(row: Any) -> Newcomer | Unfit:
    """Return what a row says of a user, or what is wrong with it, by the rules of a user to be."""
    try:
        user = validate(row, ImportedUser)
    except ValidationFailed as refusal:
        return Unfit(refusal.code, "; ".join(fault.message for fault in refusal.faults), _login(row))
    return Newcomer(
        login=user.login,
        email=user.email,
        sub=user.sub,
        password_hash=user.passwordHash or "",
        company=user.company or None,
        scope=None if user.scope is UNSET else text(user.scope),
        metadata=None if user.metadata is UNSET else text(user.metadata),
        disabled=user.disabled is True,
    )


def _login(row: Any) -> str | None:
    try:
        return validate(row, LoginOfPath).login
    except ValidationFailed:
        return None


def _told(outcome: Outcome) -> RowOutcome:
    login = UNSET if outcome.login is None else outcome.login
    if outcome.unfit is None:
        return RowOutcome(login=login, status=outcome.status)
    return RowOutcome(login=login, status=outcome.status, code=outcome.unfit.code, error=outcome.unfit.sentence)


def _exported(user: User, *, hashes: bool) -> UserExported:
    fields = {name: value for name, value in msgspec.structs.asdict(shown(user)).items() if value is not UNSET}
    return UserExported(**fields, passwordHash=user.password_hash if hashes and user.password_hash else UNSET)
