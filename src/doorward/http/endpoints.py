"""What an endpoint is, and how a request becomes its answer: one way for the router and for the express lane."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any

from doorward.core.errors import InvalidToken, NotAuthorized, Refusal
from doorward.core.model import Permission
from doorward.http.guard import MAX_BODY
from doorward.http.services import Services
from doorward.http.wire import Answer, Call, listed, neighbourhood

LARGE_BODY = 1 << 20

Handler = Callable[[Services, Call], Awaitable[Answer]]


class Proof(Enum):
    """What proves that a request is a tenant's. Requests without proof are charged to their address."""

    TENANT = "the tenant's credential, as bearer"
    TOKEN = "the token in the body"  # noqa: S105 - not a password
    NONE = "nothing: every request is charged"
    FREE = "nothing is asked and nothing charged"


_UNPROVEN: dict[Proof, tuple[type[Refusal], ...]] = {
    Proof.TENANT: (NotAuthorized,),
    Proof.TOKEN: (InvalidToken,),
    Proof.NONE: (),
    Proof.FREE: (),
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path.

    `takes` and `gives` are the structs of body and answer, `refuses` what it may say no with beyond what every request
    may be refused with, `example` a body to take. `media` is the type of the answer.
    `permission` is what an API key needs to be let in; None: no key is. `status` is that of success; `largest` the
    most bytes that a body may have. `oauth`: takes a form, and refuses as RFC 6749 has it. `everywhere`: answers every
    method, and every path below its own.
    """

    method: str
    path: str
    handler: Handler
    proof: Proof
    tag: str
    refuses: tuple[type[Refusal], ...] = ()
    takes: type[Any] | None = None
    gives: type[Any] | None = None
    query: tuple[str, ...] = ()
    example: Any = None
    media: str = "application/json"
    permission: Permission | None = None
    status: HTTPStatus = HTTPStatus.OK
    largest: int = MAX_BODY
    oauth: bool = False
    everywhere: bool = False

    @property
    def summary(self) -> str:
        """The first sentence of the handler's promise."""
        return (self.handler.__doc__ or "").partition("\n")[0].rstrip(".")


async def respond(endpoint: Endpoint, services: Services, call: Call) -> Answer:
    """Ask the handler; a request that proves no tenant's credential is charged to its address.

    Raises what the handler raises, or TooManyRequests.
    """
    if endpoint.proof is Proof.NONE:
        await _charge(services, call)
    try:
        return await endpoint.handler(services, call)
    except _UNPROVEN[endpoint.proof]:
        await _charge(services, call)
        raise


async def _charge(services: Services, call: Call) -> None:
    address = call.address
    if not listed(address, services.unthrottled):
        await services.throttle.address(neighbourhood(address))
