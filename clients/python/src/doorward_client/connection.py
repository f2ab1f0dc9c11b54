"""Service address, and conversion of calls to httpx requests."""

from dataclasses import dataclass, field
from typing import Any, Self

import httpx

from doorward_client.calls import Call, NoAnswer

LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=100, keepalive_expiry=30.0)
"""Idle connections are closed after 30 seconds, before Doorward closes them (75 seconds)."""

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


@dataclass(frozen=True, slots=True)
class Address:
    """URL of the service, and the credential for it."""

    url: str
    credential: str | None = field(repr=False)

    @classmethod
    def of(cls, url: str, key: str | None, token: str | None) -> Self:
        """Create an address from the client's arguments. Raises ValueError, which contains no credential."""
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL:
            raise ValueError("the URL of Doorward is not a URL") from None
        if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.userinfo:
            raise ValueError("the URL of Doorward has to be http:// or https:// and a host, without a password")
        if parsed.query or parsed.fragment:
            raise ValueError("the URL of Doorward has to end with its path")
        if key is not None and token is not None:
            raise ValueError("give a key or a token, not both")
        credential = key if key is not None else token
        if credential is not None and not (credential.isascii() and credential.isprintable() and credential.strip()):
            raise ValueError("the key or token is empty or has characters that none has")
        return cls(url.rstrip("/"), credential)

    def request(self, call: Call[Any], seconds: float) -> dict[str, Any]:
        """Return the arguments of an httpx request for a call."""
        headers = {"accept": call.accept, "user-agent": "doorward-client"}
        if self.credential is not None:
            headers["authorization"] = f"Bearer {self.credential}"
        if call.body is not None:
            headers["content-type"] = call.media
        return {
            "method": call.method,
            "url": self.url + call.path,
            "content": call.body,
            "headers": headers,
            "timeout": seconds,
            # The credential is sent to the configured URL only.
            "follow_redirects": False,
            "auth": None,
        }


def lost(error: httpx.RequestError) -> NoAnswer:
    """Describe a failed request by its type: the message of the error may contain parts of the request."""
    return NoAnswer(type(error).__name__, sent=not isinstance(error, _NEVER_SENT))
