"""The services that handlers call, and the authentication of their callers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from doorward.core.api_keys.service import ApiKeyService
from doorward.core.audit.service import AuditService
from doorward.core.errors import Refusal, TooManyAttempts, TooManyRequests
from doorward.core.login.flow import LoginFlow
from doorward.core.model import Caller, Session, SessionKind
from doorward.core.passwords.pool import PasswordHasherPool
from doorward.core.rate_limits.limiter import RateLimiter
from doorward.core.sessions.activity import ActivityRecorder
from doorward.core.sessions.management import UserSessionService
from doorward.core.sessions.refresh import RefreshService
from doorward.core.sessions.service import SessionService
from doorward.core.tenants.service import TenantService
from doorward.core.tenants.settings import SettingsResolver
from doorward.core.tokens.codec import Codec
from doorward.core.users.passwords import UserPasswordService
from doorward.core.users.service import UserService
from doorward.core.users.transfer import UserTransferService
from doorward.http.api.registration import RegistrationPolicy
from doorward.http.client_address import Network
from doorward.http.request import Request


@dataclass(frozen=True, slots=True)
class Descriptions:
    """The descriptions of the API: the OpenAPI document (JSON) and the page for readers (HTML)."""

    document: bytes = b"{}"
    page: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Every service, as `doorward.services.build_services` wires them.

    `store_checks` check that each store takes writes. Clients in `unthrottled` are not rate-limited. `public_url` is
    the address of the service for clients; `forward_auth_cookie` is the cookie that may hold a token at
    `/forward-auth`, "" for none.
    """

    codec: Codec
    passwords: PasswordHasherPool
    sessions: SessionService
    tenants: TenantService
    users: UserService
    login: LoginFlow
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
        """Return the calling tenant or API key.

        Raises NotAuthorized, PermissionDenied, and TooManyRequests where too many requests of the tenant were rejected.
        """
        session = await self.sessions.authenticate_tenant(request.credential, request.required_permission)
        self.record_caller(request, session)
        self.rate_limits.check_refused(session.tenant_id)
        return request.caller_for(session)

    def record_caller(self, request: Request, session: Session) -> None:
        """Record the tenant of a request, and the use of an API key."""
        request.tenant_id = session.tenant_id
        if session.kind == SessionKind.KEY:
            self.activity.record(session)

    def consume_refused(self, request: Request, refusal: Refusal, *, is_verification: bool) -> None:
        """Charge a rejected request to its tenant, if that is known; a large body costs more.

        Raises TooManyRequests where the tenant's budget of rejected requests is exhausted. `is_verification`: the
        request was to verify a token.
        """
        if isinstance(refusal.caller, Session):
            self.record_caller(request, refusal.caller)
        if request.tenant_id and not isinstance(refusal, (TooManyRequests, TooManyAttempts)):
            self.rate_limits.consume_refused(request.tenant_id, len(request.body), is_verification=is_verification)
