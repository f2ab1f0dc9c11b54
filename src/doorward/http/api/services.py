"""What handlers may ask: the use cases, wired by the composition root."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from doorward.core.api_keys.service import ApiKeyService
from doorward.core.audit.service import AuditService
from doorward.core.errors import Refusal, TooManyAttempts, TooManyRequests
from doorward.core.login.service import AuthenticationService
from doorward.core.model import Caller, Session, SessionKind
from doorward.core.rate_limits.limiter import RateLimiter
from doorward.core.sessions.activity import ActivityRecorder
from doorward.core.sessions.management import UserSessionService
from doorward.core.sessions.refresh import RefreshService
from doorward.core.sessions.service import SessionService
from doorward.core.tenants.service import TenantService
from doorward.core.tenants.settings import SettingsResolver
from doorward.core.users.passwords import UserPasswordService
from doorward.core.users.service import UserService
from doorward.core.users.transfer import UserTransferService
from doorward.http.api.registration import RegistrationPolicy
from doorward.http.client_address import Network
from doorward.http.request import Request


@dataclass(frozen=True, slots=True)
class Descriptions:
    """What the API says of itself: an OpenAPI document (JSON) and a page (HTML)."""

    document: bytes = b"{}"
    page: bytes = b""


@dataclass(frozen=True, slots=True)
class Services:
    """The use cases. `checks` see whether each store takes writes. Clients in `unthrottled` are not rate-limited.

    `public_url` is where clients find the service; `forward_auth_cookie` may carry a token to gateways, unless empty.
    """

    sessions: SessionService
    tenants: TenantService
    users: UserService
    authentication: AuthenticationService
    user_passwords: UserPasswordService
    user_sessions: UserSessionService
    refresh_service: RefreshService
    api_keys: ApiKeyService
    settings_resolver: SettingsResolver
    audit: AuditService
    user_transfer: UserTransferService
    rate_limits: RateLimiter
    activity: ActivityRecorder
    store_checks: Mapping[str, Callable[[], Awaitable[object]]]
    registration: RegistrationPolicy
    unthrottled: tuple[Network, ...]
    descriptions: Descriptions
    public_url: str = ""
    forward_auth_cookie: str = ""

    async def authenticate_caller(self, request: Request) -> Caller:
        """Return the tenant that calls, or its API key; NotAuthorized or PermissionDenied for others.

        TooManyRequests where too many of its requests were refused.
        """
        session = await self.sessions.authenticate_tenant(request.credential, request.required_permission)
        self.record_caller(request, session)
        self.rate_limits.check_refused(session.tenant_id)
        return request.caller_for(session)

    def record_caller(self, request: Request, session: Session) -> None:
        """Note whose request it is, and that an API key was used."""
        request.tenant_id = session.tenant_id
        if session.kind == SessionKind.KEY:
            self.activity.record(session)

    def consume_refused(self, request: Request, refusal: Refusal, *, question: bool) -> None:
        """Charge a refused request to the tenant that sent it, if it is known; TooManyRequests when it refuses that.

        A large body costs more. `question`: the request asked about a token.
        """
        if isinstance(refusal.caller, Session):
            self.record_caller(request, refusal.caller)
        if request.tenant_id and not isinstance(refusal, (TooManyRequests, TooManyAttempts)):
            self.rate_limits.consume_refused(request.tenant_id, len(request.body), is_verification=question)
