"""A service with every listener, and a TLS client for it."""

import json
import re
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from certificates import Authority, Pair
from harness import KEY, Process


@dataclass
class Site:
    """A service with every listener, and the authorities whose certificates it has."""

    folder: Path
    authority: Authority
    server: Pair
    rsa: Pair
    process: Process

    def port(self, name: str) -> int:
        """The port that the service says it has for a purpose; 0 asked for any free one."""
        line = next(line for line in self.process.log().splitlines() if line.strip().startswith(f"{name} "))
        return int(line.split("(")[0].strip().rpartition(":")[2])

    def trusting(self, certificate: Pair | None = None) -> ssl.SSLContext:
        """What a client speaks that knows the authority, and shows a certificate if it has one."""
        context = ssl.create_default_context(cafile=self.authority.file)
        if certificate:
            context.load_cert_chain(certificate.certificate, certificate.key)
        return context


def settings_of(authority: Authority, server: Pair) -> dict[str, str]:
    return {
        "JWT_KEY": KEY,
        "TENANT_WHITE_LIST": "192.0.2.1",
        "HTTPS_SERVER": "on",
        "HTTPS_PORT": "0",
        "HTTPS_CERT": server.certificate,
        "HTTPS_KEY": server.key,
        "MAINTAIN_TLS_PORT": "0",
        "MAINTAIN_TLS_PEM": server.both,
        "MAINTAIN_TLS_CA": authority.file,
        "MAINTAIN_TLS_CA_CN": "operator, deputy",
    }


def connect(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    raw = socket.create_connection(("127.0.0.1", port), timeout=10)
    try:
        return context.wrap_socket(raw, server_hostname="localhost")
    except BaseException:
        raw.close()
        raise


def ask(stream: socket.socket, method: str = "GET", path: str = "/health/live", body: object = None) -> str:
    """Send one request and return the answer, head and all; "" where the connection ends without one."""
    content = json.dumps(body) if body is not None else ""
    kind = f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n" if content else ""
    stream.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{kind}\r\n{content}".encode())
    answer = b""
    while came := stream.recv(65_536):
        answer += came
        head, end, rest = answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if end and length and len(rest) == int(length[1]):
            break
    return answer.decode()
