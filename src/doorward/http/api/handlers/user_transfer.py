"""Handlers of user import and export."""

from collections.abc import AsyncIterator
from http import HTTPStatus

from msgspec import UNSET

from doorward.core.cooperative import iterate_cooperatively
from doorward.core.model import Caller, Permission
from doorward.core.users.transfer import RowResult, RowStatus, UnverifiedTreatment
from doorward.http.api.schemas import ImportRowResult, ImportUsersRequest, ImportUsersResponse
from doorward.http.api.services import Services
from doorward.http.api.user_rows import read_row, write_lines
from doorward.http.request import Request
from doorward.http.response import Response, json_response

NDJSON = b"application/x-ndjson"


async def import_users(services: Services, request: Request) -> Response:
    """Import users with their password hashes."""
    caller = await services.authenticate_caller(request)
    dry_run = request.flag("dryRun")
    unconfirmed = UnverifiedTreatment(
        request.choice("unconfirmed", tuple(UnverifiedTreatment), UnverifiedTreatment.DISABLE)
    )
    await services.rate_limits.consume_bulk(caller.tenant_id)
    rows = await request.read_list(ImportUsersRequest, read_row)
    outcomes = await services.user_transfer.import_users(caller, rows, unconfirmed=unconfirmed, dry_run=dry_run)
    statuses = [outcome.status for outcome in outcomes]
    return json_response(
        ImportUsersResponse(
            statuses.count(RowStatus.CREATED),
            statuses.count(RowStatus.EXISTS),
            statuses.count(RowStatus.REFUSED),
            statuses.count(RowStatus.SKIPPED),
            sum(outcome.unconfirmed for outcome in outcomes),
            [_row_result(outcome) async for outcome in iterate_cooperatively(outcomes)],
        )
    )


async def export_users(services: Services, request: Request) -> Response:
    """Export all users as newline-delimited JSON."""
    caller = await services.authenticate_caller(request)
    hashes = request.flag("hashes")
    if hashes:
        # Hashes allow offline attacks: a key that only reads users does not get them.
        await services.sessions.authenticate_tenant(request.credential, Permission.USERS_WRITE)
    await services.rate_limits.consume_bulk(caller.tenant_id)
    return Response(b"", HTTPStatus.OK, ((b"content-type", NDJSON),), _export_chunks(services, caller, hashes=hashes))


async def _export_chunks(services: Services, caller: Caller, *, hashes: bool) -> AsyncIterator[bytes]:
    async for users in services.user_transfer.export_users(caller, hashes=hashes):
        yield write_lines(users, hashes=hashes)


def _row_result(outcome: RowResult) -> ImportRowResult:
    login = UNSET if outcome.login is None else outcome.login
    if outcome.rejected is None:
        return ImportRowResult(login=login, status=outcome.status, unconfirmed=outcome.unconfirmed or UNSET)
    return ImportRowResult(
        login=login,
        status=outcome.status,
        code=outcome.rejected.code,
        error=outcome.rejected.sentence,
        takenBy=UNSET if outcome.rejected.taken_by is None else outcome.rejected.taken_by,
    )
