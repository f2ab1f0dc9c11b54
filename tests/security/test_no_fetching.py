"""No request makes the service connect to an address."""

import base64
import json
import queue
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from harness import Service, Tenant

pytestmark = pytest.mark.one_setup

METHODS = {"get", "put", "post", "patch", "delete"}


@pytest.fixture
def trap() -> Iterator[tuple[str, "queue.SimpleQueue[str]"]]:
    """An address where somebody listens, and who came."""
    came: queue.SimpleQueue[str] = queue.SimpleQueue()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            while True:
                try:
                    connection, address = listener.accept()
                except OSError:
                    return
                came.put(repr(address))
                connection.close()

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/keys.json", came
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def token(url: str) -> str:
    """Return a token that names the address wherever a token can name one."""
    header = {"alg": "HS256", "typ": "JWT", "kid": url, "jku": url, "x5u": url, "iss": url}
    return f"{segment(header)}.{segment({'iss': url, 'jti': url, 'sub': url, 'aud': url})}.{'A' * 43}"


def filled(schema: dict[str, Any], document: dict[str, Any], url: str) -> Any:
    """Return a value of a schema in which every text is the address, or a token that names it."""
    if "$ref" in schema:
        return filled(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document, url)
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return filled(schema[choice][0], document, url)
    if "properties" in schema:
        return {
            name: token(url) if "oken" in name else filled(inner, document, url)
            for name, inner in schema["properties"].items()
        }
    if schema.get("type") == "array":
        return [filled(schema.get("items", {}), document, url)]
    return {"boolean": True, "integer": 1, "number": 1}.get(str(schema.get("type")), url)


def attempts(document: dict[str, Any], url: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield one request for each endpoint, and for each kind of body that it takes."""
    for path, endpoint in document["paths"].items():
        for method, described in endpoint.items():
            if method not in METHODS:
                continue
            query: dict[str, str] = {}
            target = path
            for parameter in described.get("parameters", []):
                if parameter["in"] == "path":
                    target = target.replace(f"{{{parameter['name']}}}", quote(url, safe=""))
                elif parameter["in"] == "query":
                    query[parameter["name"]] = url
            more: dict[str, Any] = {"params": query or None}
            contents = described.get("requestBody", {}).get("content", {})
            if not contents:
                yield method, target, more
            for kind, content in contents.items():
                body = filled(content["schema"], document, url)
                yield method, target, {**more, ("json" if "json" in kind else "data"): body}


def test_FE4_no_address_that_a_caller_names_is_fetched(
    shared: Service, tenant: Tenant, trap: tuple[str, "queue.SimpleQueue[str]"]
) -> None:
    url, came = trap
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2].partition("/")[0]))):
        assert came.get(timeout=10), "the trap hears nobody"
    named = dict.fromkeys(("Referer", "Forwarded", "X-Forwarded-For", "X-Original-URL", "From"), url)
    document = shared.client().get("/openapi.json").json()
    http = shared.client()
    said: dict[int, int] = {}
    for method, target, more in attempts(document, url):
        for proof in (tenant.token, token(url)):
            headers = {**named, "Authorization": f"Bearer {proof}"}
            answer = http.request(method, target, headers=headers, **more)
            said[answer.status_code] = said.get(answer.status_code, 0) + 1
            assert answer.status_code < 500, (method, target, answer.text)
    assert tenant.create("alice", "pw", metadata={"avatar": url}).status_code == 200
    tenant.verify(token(url))
    assert sum(said.values()) > 60, "hardly anything was tried"
    assert said.get(200, 0) > 3, f"everything was refused: {said}"
    with pytest.raises(queue.Empty):
        came.get(timeout=0.5)
