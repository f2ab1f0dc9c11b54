"""Guard for FastAPI."""

from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from doorward_client import starlette
from doorward_client.asynchronous import AsyncDoorward
from doorward_client.guard import ScopeCheck

__all__ = ["Guard"]


class Guard(starlette.Guard, SecurityBase):
    """Dependency that gives a view the claims of its user: `user: Annotated[Claims, Depends(guard)]`.

    Raises HTTPException: 401 without a live token, 403 where `scope` says no, 503 while Doorward is away. It is a
    security scheme of the OpenAPI document too, so the pages at `/docs` have a button "Authorize" that takes a token.
    """

    def __init__(self, client: AsyncDoorward, *, cookie: str | None = None, scope: ScopeCheck | None = None) -> None:
        """Ask `client`; `cookie` may name one that carries the token where `Authorization` does not."""
        super().__init__(client, cookie=cookie, scope=scope)
        self.model = HTTPBearer(description="Access token of a user.")
        self.scheme_name = "Doorward"
