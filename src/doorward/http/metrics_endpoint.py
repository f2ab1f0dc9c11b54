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
    """Answers /metrics to who comes over the listener for it, or from a listed address; for others it is not there."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        listeners: Sequence[ConnectionRegistry],
        white_list: Sequence[Network],
        proxies: Proxies,
    ) -> None:
        """Stand before `app`; `listeners` are the doors behind which there is nothing else."""
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
        apart = any(scope["state"]["connections"] is registry for registry in self._listeners)
        asked = scope["method"] == "GET" and scope["path"] == PATH
        if asked and (apart or self._is_listed(scope)):
            scope["template"] = PATH
            body = self._metrics.text()
            headers = [(b"content-type", CONTENT_TYPE), (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        elif apart:
            raise NotFound(scope["method"], scope["path"])
        else:
            await self._app(scope, receive, send)

    def _is_listed(self, scope: Scope) -> bool:
        if open_to_all(self._white_list):
            return True
        peer = scope["client"][0] if scope["client"] else ""
        client = self._proxies.client(peer, scope[HEADERS_BY_NAME])
        # What a proxy forwards is refused, whatever it says of its client: monitoring connects directly.
        return client.listable == parse_address(peer) and in_networks(client, self._white_list)
