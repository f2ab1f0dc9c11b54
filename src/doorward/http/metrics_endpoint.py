"""The metrics endpoint: ASGI middleware in front of the router."""

from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from doorward.http.client_address import Network, Proxies, in_networks, open_to_all, parse_address
from doorward.http.connection.registry import ConnectionRegistry
from doorward.http.errors import NotFound
from doorward.http.headers import HEADERS_BY_NAME
from doorward.observability.metrics import CONTENT_TYPE, Metrics

PATH = "/metrics"


class MetricsEndpoint:
    """Serves /metrics on its own listener and to listed addresses; other clients get 404."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        listeners: Sequence[ConnectionRegistry],
        white_list: Sequence[Network],
        proxies: Proxies,
    ) -> None:
        """Wrap `app`; `listeners` are the registries of listeners that serve metrics only."""
        self._app = app
        self._metrics = metrics
        self._listeners = listeners
        self._white_list = white_list
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        own_listener = any(scope["state"]["connections"] is registry for registry in self._listeners)
        is_metrics = scope["method"] == "GET" and scope["path"] == PATH
        if is_metrics and (own_listener or self._is_listed(scope)):
            scope["template"] = PATH
            body = self._metrics.text()
            headers = [(b"content-type", CONTENT_TYPE), (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        elif own_listener:
            raise NotFound(scope["method"], scope["path"])
        else:
            await self._app(scope, receive, send)

    def _is_listed(self, scope: Scope) -> bool:
        if open_to_all(self._white_list):
            return True
        peer = scope["client"][0] if scope["client"] else ""
        client = self._proxies.client(peer, scope[HEADERS_BY_NAME])
        # Forwarded requests are rejected also for listed clients: monitoring connects directly.
        return client.listable == parse_address(peer) and in_networks(client, self._white_list)
