"""Differences between two OpenAPI documents, and which of them break clients that work today."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Json = Mapping[str, Any]

METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_NARROWER = {"maxLength": 1, "maxItems": 1, "maximum": 1, "minLength": -1, "minItems": -1, "minimum": -1}
"""Keywords by the direction in which a request becomes narrower: 1 where a smaller value admits less."""


class Change(NamedTuple):
    """A difference. It is breaking where a client that was right before is not right any more."""

    breaking: bool
    place: str
    what: str

    def __str__(self) -> str:
        return f"{'BREAKING ' if self.breaking else ''}{self.place}: {self.what}"


def changes(old: Json, new: Json) -> list[Change]:
    """Return the changes from one document to another, breaking ones first."""
    return sorted(_changes(old, new), key=lambda change: (not change.breaking, change.place, change.what))


def _changes(old: Json, new: Json) -> Iterator[Change]:
    before, after = _operations(old), _operations(new)
    for place in sorted(before.keys() - after.keys()):
        yield Change(True, place, "is removed")
    for place in sorted(after.keys() - before.keys()):
        yield Change(False, place, "is added")
    for place in sorted(before.keys() & after.keys()):
        yield from _operation(place, before[place], after[place])
    was, now = old["components"]["schemas"], new["components"]["schemas"]
    requests = _reachable(old, "requestBody") | _reachable(new, "requestBody")
    for name in sorted(was.keys() - now.keys()):
        yield Change(True, f"schema {name}", "is removed or renamed: generated clients name it")
    for name in sorted(now.keys() - was.keys()):
        yield Change(False, f"schema {name}", "is added")
    for name in sorted(was.keys() & now.keys()):
        yield from _schema(f"schema {name}", was[name], now[name], in_request=name in requests)


def _operations(document: Json) -> dict[str, Json]:
    return {
        f"{method.upper()} {path}": operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method in METHODS
    }


def _operation(place: str, old: Json, new: Json) -> Iterator[Change]:
    if old["operationId"] != new["operationId"]:
        what = f"operationId {old['operationId']} becomes {new['operationId']}: generated clients name it"
        yield Change(True, place, what)
    if old.get("security") != new.get("security"):
        yield Change(True, place, f"security {old.get('security')} becomes {new.get('security')}")
    yield from _parameter_changes(place, _parameters(old), _parameters(new))
    if not old.get("requestBody", {}).get("required") and new.get("requestBody", {}).get("required"):
        yield Change(True, place, "the body becomes required")
    for status in sorted(old["responses"].keys() - new["responses"].keys()):
        yield Change(True, place, f"response {status} is removed")
    for status in sorted(new["responses"].keys() - old["responses"].keys()):
        yield Change(False, place, f"response {status} is added")
    for kind in ("summary", "description"):
        if old.get(kind) != new.get(kind):
            yield Change(False, place, f"{kind} is reworded")


def _parameter_changes(place: str, was: Mapping[str, Json], now: Mapping[str, Json]) -> Iterator[Change]:
    for name in sorted(was.keys() - now.keys()):
        yield Change(True, place, f"parameter {name} is removed")
    for name in sorted(now.keys() - was.keys()):
        required = bool(now[name].get("required"))
        yield Change(required, place, f"{'required ' if required else ''}parameter {name} is added")
    for name in sorted(was.keys() & now.keys()):
        yield from _schema(f"{place} parameter {name}", was[name]["schema"], now[name]["schema"], in_request=True)


def _parameters(operation: Json) -> dict[str, Json]:
    return {f"{one['in']} {one['name']}": one for one in operation.get("parameters", ())}


def _reachable(document: Json, part: str) -> set[str]:
    """Return the names of the schemas that a part of the operations refers to, directly or not."""
    found: set[str] = set()
    waiting: list[Any] = [operation.get(part, {}) for operation in _operations(document).values()]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            name = str(value.get("$ref", "")).removeprefix("#/components/schemas/")
            if name in document["components"]["schemas"] and name not in found:
                found.add(name)
                waiting.append(document["components"]["schemas"][name])
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return found


def _schema(place: str, old: Json, new: Json, *, in_request: bool) -> Iterator[Change]:
    for keyword in ("type", "format", "$ref", "const"):
        if old.get(keyword) != new.get(keyword):
            yield Change(True, place, f"{keyword} {old.get(keyword)} becomes {new.get(keyword)}")
    for value in _enum(old) - _enum(new):
        yield Change(in_request, place, f"value {value} is removed")
    for value in _enum(new) - _enum(old):
        yield Change(False, place, f"value {value} is added")
    if in_request:
        yield from _narrowed(place, old, new)
    yield from _properties(place, old, new, in_request=in_request)
    if isinstance(old.get("items"), Mapping) and isinstance(new.get("items"), Mapping):
        yield from _schema(f"{place}[]", old["items"], new["items"], in_request=in_request)


def _narrowed(place: str, old: Json, new: Json) -> Iterator[Change]:
    for keyword, direction in _NARROWER.items():
        was, now = old.get(keyword), new.get(keyword)
        if now is not None and (was is None or (now - was) * direction < 0):
            yield Change(True, place, f"{keyword} {was} becomes {now}")


def _properties(place: str, old: Json, new: Json, *, in_request: bool) -> Iterator[Change]:
    was, now = old.get("properties", {}), new.get("properties", {})
    for name in sorted(was.keys() - now.keys()):
        yield Change(True, place, f"property {name} is removed")
    for name in sorted(now.keys() - was.keys()):
        yield Change(False, place, f"property {name} is added")
    for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
        yield Change(in_request, place, f"property {name} becomes required")
    for name in sorted(set(old.get("required", ())) - set(new.get("required", ()))):
        yield Change(not in_request, place, f"property {name} is no longer always there")
    for name in sorted(was.keys() & now.keys()):
        yield from _schema(f"{place}.{name}", was[name], now[name], in_request=in_request)


def _enum(schema: Json) -> set[str]:
    return set(map(str, schema.get("enum", ())))
