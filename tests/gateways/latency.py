"""`python -m gateways.latency`: how long requests take through each gateway, one after the other on one connection."""

import http.client
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter

import httpx

from gateways.gateways import KINDS, Place, application, gateway
from harness import Tenant, serving

_REQUESTS = 2000


@contextmanager
def _connection(port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        yield connection
    finally:
        connection.close()


def _measure(name: str, port: int, path: str, headers: Mapping[str, str]) -> None:
    took = []
    with _connection(port) as connection:
        for _ in range(_REQUESTS):
            began = perf_counter()
            connection.request("GET", path, headers=dict(headers))
            answer = connection.getresponse()
            answer.read()
            took.append((perf_counter() - began) * 1e3)
            if answer.status != http.client.OK:
                raise SystemExit(f"{name} answered {answer.status}")
    percentiles = statistics.quantiles(took, n=100)
    sys.stdout.write(f"{name:24} p50 {percentiles[49]:6.2f} ms   p99 {percentiles[98]:6.2f} ms\n")


def main() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        doorward = stack.enter_context(serving(folder))
        app = stack.enter_context(application())
        tenant = Tenant.register(stack.enter_context(httpx.Client(base_url=doorward.url)), "shop@example.org")
        key = tenant.post("/tenant/key", {"name": "gateway", "permissions": ["verify"]}).json()["key"]
        tenant.create("alice")
        headers = {"Authorization": f"Bearer {tenant.session('alice')}"}
        _measure("the application alone", app.port, "/", headers)
        _measure("Doorward alone", doorward.port, "/forward-auth", {**headers, "X-Doorward-Key": key})
        for name in KINDS:
            with gateway(name, folder / name, Place(doorward.port, app.port, key)) as front:
                _measure(f"through {name}", front.port, "/", headers)


if __name__ == "__main__":
    main()
