"""Guard for FastAPI."""

from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from doorward_client import starlette
from doorward_client.asynchronous import AsyncDoorward
from doorward_client.guard import ScopeCheck

__all__ = ["Guard"]


class Guard(starlette.Guard, SecurityBase):
    """Dependency that returns the claims of the user: `user: Annotated[Claims, Depends(guard)]`.

    Raises HTTPException: 401 without a valid token, 403 if `scope` rejects the user, 503 while Doorward is unavailable.
    It is also a security scheme of the OpenAPI document, so the "Authorize" button of `/docs` accepts a token.
    """

    def __init__(self, client: AsyncDoorward, *, cookie: str | None = None, scope: ScopeCheck | None = None) -> None:
        """Verify tokens with `client`; `cookie` names a cookie to read if there is no `Authorization` header."""
        super().__init__(client, cookie=cookie, scope=scope)
        self.model = HTTPBearer(description="Access token of a user.")
        self.scheme_name = "Doorward"
