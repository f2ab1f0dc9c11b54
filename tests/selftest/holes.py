"""Holes, each as somebody could really have it: in a proxy, a cache, a middleware, or a change of the service."""

import base64
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from selftest.relay import Asked, Forward, Hole, Said

QUESTIONS = {"/auth/verify", "/forward-auth", "/auth/verify/batch", "/oauth/introspect"}


@dataclass
class Watching:
    """Knows the tokens of tenants that register, in the order in which they do."""

    tokens: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    def see(self, asked: Asked, said: Said) -> Said:
        if (asked.method, asked.path, said.status) == ("POST", "/tenant", 200):
            self.tokens.append(json.loads(said.body)["token"])
            self.ids.append(json.loads(said.body)["id"])
        return said

    def other(self, token: str) -> str | None:
        others = [one for one in self.tokens if one != token]
        return others[0] if token in self.tokens and others else None


def confusing_tenants(which: Callable[[Asked], bool]) -> Callable[[], Hole]:
    """What a tenant has not got is looked for at the other one."""

    def make() -> Hole:
        watching = Watching()

        def hole(asked: Asked, forward: Forward) -> Said:
            said = watching.see(asked, forward(asked))
            other = watching.other(asked.bearer)
            if said.status < 400 or other is None or not which(asked):
                return said
            return forward(asked.with_headers(authorization=f"Bearer {other}"))

        return hole

    return make


def remembering(which: Callable[[Asked], bool], key: Callable[[Asked], Any]) -> Callable[[], Hole]:
    """A cache in front: an answer that was given once is given again."""

    def make() -> Hole:
        kept: dict[Any, Said] = {}

        def hole(asked: Asked, forward: Forward) -> Said:
            if not which(asked):
                return forward(asked)
            if key(asked) not in kept:
                said = forward(asked)
                if said.status != 200:
                    return said
                kept[key(asked)] = said
            return kept[key(asked)]

        return hole

    return make


def swallowing(method: str, end: str, needle: bytes = b"") -> Callable[[], Hole]:
    """Something is said to be done, and is not."""

    def hole(asked: Asked, forward: Forward) -> Said:
        if asked.method != method or not asked.path.endswith(end) or needle not in asked.body:
            return forward(asked)
        live = forward(Asked("GET", "/health/live", {}, b""))
        return replace(live, status=200, body=b'{"result":1}')

    return lambda: hole


def changing(change: Callable[[Asked], Asked]) -> Callable[[], Hole]:
    """A request is made better on its way."""
    return lambda: lambda asked, forward: forward(change(asked))


def answering(which: Callable[[Asked], bool], change: Callable[[Asked, Said], Said]) -> Callable[[], Hole]:
    """An answer is changed on its way."""

    def hole(asked: Asked, forward: Forward) -> Said:
        said = forward(asked)
        return change(asked, said) if which(asked) else said

    return lambda: hole


def lending_credentials() -> Hole:
    """Who has no live credential is given that of the first tenant."""
    watching = Watching()

    def hole(asked: Asked, forward: Forward) -> Said:
        said = watching.see(asked, forward(asked))
        if said.status != 401 or not watching.tokens:
            return said
        bearer = watching.tokens[0]
        if asked.path == "/forward-auth":
            return forward(asked.with_headers(x_doorward_key=bearer))
        return forward(asked.with_headers(authorization=f"Bearer {bearer}"))

    return hole


def promoting_keys() -> Hole:
    """An API key may do whatever its tenant may."""
    keys: dict[str, str] = {}

    def hole(asked: Asked, forward: Forward) -> Said:
        said = forward(asked.with_headers(authorization=f"Bearer {keys.get(asked.bearer, asked.bearer)}"))
        if (asked.method, asked.path, said.status) == ("POST", "/tenant/key", 201):
            keys[json.loads(said.body)["key"]] = asked.bearer
        return said

    return hole


def believing_claims() -> Hole:
    """A token is known by its claims: signature, header and spelling count for nothing."""
    true: dict[Any, str] = {}

    def claims(token: str) -> Any:
        try:
            segment = token.split(".")[1].strip()
            return json.dumps(json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))), sort_keys=True)
        except (ValueError, IndexError):
            return None

    def hole(asked: Asked, forward: Forward) -> Said:
        if asked.path in {"/auth/verify", "/tenant/verify"}:
            token = json.loads(asked.body or b"{}").get("token", "")
            asked = replace(asked, body=json.dumps({"token": true.get(claims(token), token)}).encode())
        said = forward(asked)
        if said.status == 200 and asked.path in {"/auth", "/tenant"} and asked.method == "POST":
            found = json.loads(said.body)
            token = found.get("accessToken") or found["token"]
            true[claims(token)] = token
        return said

    return hole


def believing_names(asked_header: str = "x-tenant-id") -> Callable[[], Hole]:
    """A tenant may be named in a header."""

    def make() -> Hole:
        watching = Watching()

        def hole(asked: Asked, forward: Forward) -> Said:
            meant = asked.headers.get(asked_header)
            if meant in watching.ids:
                asked = asked.with_headers(authorization=f"Bearer {watching.tokens[watching.ids.index(meant)]}")
            return watching.see(asked, forward(asked))

        return hole

    return make


def ending_for_anybody() -> Hole:
    """A token is ended by whoever shows it."""
    watching = Watching()

    def hole(asked: Asked, forward: Forward) -> Said:
        if asked.path == "/auth/logout" and (other := watching.other(asked.bearer)):
            forward(asked.with_headers(authorization=f"Bearer {other}"))
        return watching.see(asked, forward(asked))

    return hole


def without(*names: str) -> Callable[[Asked, Said], Said]:
    return lambda _, said: replace(said, headers=tuple(pair for pair in said.headers if pair[0] not in names))


def holding(text: str, status: int | None = None) -> Callable[[Asked, Said], Said]:
    def change(_: Asked, said: Said) -> Said:
        return replace(said, status=status or said.status, body=json.dumps({"text": text}).encode())

    return change


def saying(value: Any) -> Callable[[Asked, Said], Said]:
    return lambda _, said: replace(said, status=200, body=json.dumps(value).encode())


def later(_: Asked, said: Said) -> Said:
    """The clock of whoever decodes is another than that of whoever signs."""
    found = json.loads(said.body)
    if "decoded" in found:
        found["decoded"]["iat"] += 3600
    return replace(said, body=json.dumps(found).encode())


def merged(asked: Asked, said: Said) -> Said:
    """What the body says goes into the answer."""
    if said.status != 200:
        return said
    return replace(said, body=json.dumps({**json.loads(said.body), "id": json.loads(asked.body).get("id")}).encode())


def repeating(asked: Asked, said: Said) -> Said:
    if said.status != 422:
        return said
    found = json.loads(said.body)
    return replace(said, body=json.dumps({**found, "message": asked.body.decode()}).encode())


def with_a_route(_: Asked, said: Said) -> Said:
    found = json.loads(said.body)
    found["paths"]["/planet"] = {"get": {}}
    return replace(said, body=json.dumps(found).encode())


def allowing_origins(asked: Asked) -> Asked:
    return replace(asked, headers={name: value for name, value in asked.headers.items() if name != "origin"})


def typed(asked: Asked) -> Asked:
    kept = {name: value for name, value in asked.headers.items() if name != "content-encoding"}
    return replace(asked, headers={**kept, "content-type": "application/json"} if asked.body[:1] == b"{" else kept)


def spelled_anew(asked: Asked) -> Asked:
    try:
        return replace(asked, body=json.dumps(json.loads(asked.body)).encode())
    except ValueError:
        return asked


def unpadded(asked: Asked) -> Asked:
    """The padding of a token does not matter."""
    return replace(spelled_anew(asked), body=spelled_anew(asked).body.replace(b'="', b'"'))


def one_at_a_time(which: Callable[[Asked], bool], seconds: float = 0.4) -> Callable[[], Hole]:
    """Some requests take long, and all others wait for them."""

    def make() -> Hole:
        busy = threading.Lock()

        def hole(asked: Asked, forward: Forward) -> Said:
            with busy:
                if which(asked):
                    time.sleep(seconds)
            return forward(asked)

        return hole

    return make


def refusing_beside(which: Callable[[Asked], bool]) -> Callable[[], Hole]:
    """While some requests are under way, all others are refused."""

    def make() -> Hole:
        busy = threading.Semaphore(1)

        def hole(asked: Asked, forward: Forward) -> Said:
            if which(asked):
                with busy:
                    time.sleep(0.4)
                    return forward(asked)
            if asked.path == "/auth" and not busy.acquire(blocking=False):
                return replace(forward(Asked("GET", "/health/live", {}, b"")), status=503, body=b"{}")
            said = forward(asked)
            if asked.path == "/auth":
                busy.release()
            return said

        return hole

    return make
