"""The OpenAPI 3.1 document: from routes, schemas and the table of refusals, so that it says what they say."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec

from doorward import __version__
from doorward.core.errors import Fault, Refusal, ValidationFailed
from doorward.http import page
from doorward.http.endpoints import GENERAL, Endpoint, Proof
from doorward.http.errors import STATUS, MethodNotAllowed, NotFound, body
from doorward.http.guard import unique_query
from doorward.http.prose import CONVENTIONS, ERROR, FAULTS, HEADERS, NOTES, PARAMETERS, TAGS, Json
from doorward.http.routes import ENDPOINTS
from doorward.http.services import Descriptions
from doorward.http.validation import validate

_SCHEMA = "#/components/schemas/"
_SEGMENT = re.compile(r"\{(\w+)\}")
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"


def describe() -> Descriptions:
    """Return the document and the page, as the bytes that are served."""
    document = build(ENDPOINTS)
    return Descriptions(msgspec.json.encode(document), page.render(document, CONVENTIONS).encode())


def build(endpoints: Iterable[Endpoint]) -> Json:
    """Return the document of these endpoints."""
    endpoints = tuple(endpoints)
    schemas = _schemas(endpoints)
    paths: dict[str, Json] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    refusals = sorted(STATUS, key=lambda kind: (STATUS[kind], kind.code))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Doorward",
            "summary": "Self-hosted, multi-tenant authentication.",
            "description": "\n\n".join(CONVENTIONS),
            "version": __version__,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "Where this document came from."}],
        "tags": [
            {"name": tag, "description": TAGS.get(tag, "")}
            for tag in dict.fromkeys(endpoint.tag for endpoint in endpoints)
        ],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "tenant": {"type": "http", "scheme": "bearer", "description": "A tenant's token."},
            },
            "headers": dict(HEADERS),
            "examples": {
                kind.code: {"summary": _first_line(kind), "value": _example_of_refusal(kind)} for kind in refusals
            },
            "responses": {
                f"Refused{status.value}": _General(status, kinds).response() for status, kinds in _by_status().items()
            },
        },
    }


def _by_status() -> dict[HTTPStatus, list[type[Refusal]]]:
    """Return what no endpoint chooses: what every request may be refused with, and what is at no endpoint."""
    found: dict[HTTPStatus, list[type[Refusal]]] = {}
    for kind in (*GENERAL, NotFound, MethodNotAllowed):
        found.setdefault(STATUS[kind], []).append(kind)
    return dict(sorted(found.items()))


def _schemas(endpoints: Iterable[Endpoint]) -> dict[str, Json]:
    taken = [endpoint.takes for endpoint in endpoints if endpoint.takes]
    given = [kind for endpoint in endpoints for kind in (endpoint.gives, *map(type, endpoint.also.values())) if kind]
    _, found = msgspec.json.schema_components([*taken, *given], ref_template=_SCHEMA + "{name}")
    for name in found.keys() - {kind.__name__ for kind in taken}:
        # What has a default is optional for those who send; whoever gets an answer finds it there.
        for part, schema in found[name].get("properties", {}).items():
            if schema.pop("default", msgspec.UNSET) is not msgspec.UNSET:
                found[name]["required"].append(part)
    return {"Error": ERROR, "ValidationError": FAULTS, **dict(sorted(found.items()))}


def _operation(endpoint: Endpoint, schemas: Mapping[str, Json]) -> Json:
    name = f"{endpoint.handler.__module__.rpartition('.')[2]}_{endpoint.handler.__name__}"
    operation: Json = {
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "operationId": name,
        "security": [{"tenant": []}] if endpoint.proof is Proof.TENANT else [],
    }
    if name in NOTES:
        operation["description"] = NOTES[name]
    parameters = [_parameter("path", name) for name in _SEGMENT.findall(endpoint.path)]
    parameters += [_parameter("query", name) for name in endpoint.query]
    if parameters:
        operation["parameters"] = parameters
    if endpoint.takes:
        schema = {"$ref": _SCHEMA + endpoint.takes.__name__}
        example = _example(schema, schemas) if endpoint.example is None else endpoint.example
        content = {_FORM if endpoint.form else _JSON: {"schema": schema, "example": example}}
        operation["requestBody"] = {
            "required": bool(schemas[endpoint.takes.__name__].get("required")),
            "content": content,
        }
    operation["responses"] = _responses(endpoint, schemas)
    return operation


def _parameter(place: str, name: str) -> Json:
    text, schema = PARAMETERS.get(name, ("", {"type": "string"}))
    return {"name": name, "in": place, "required": place == "path", "description": text, "schema": schema}


def _responses(endpoint: Endpoint, schemas: Mapping[str, Json]) -> Json:
    general = _by_status()
    refused: dict[HTTPStatus, list[type[Refusal]]] = {}
    for kind in endpoint.refusals:
        refused.setdefault(STATUS[kind], []).append(kind)
    found: Json = {str(endpoint.status.value): _success(endpoint, schemas)}
    for status, kinds in sorted(refused.items()):
        also = endpoint.also.get(status)
        if also is None and kinds == general.get(status) and ValidationFailed not in kinds:
            found[str(status.value)] = {"$ref": f"#/components/responses/Refused{status.value}"}
        else:
            found[str(status.value)] = _Refused(status, kinds, endpoint, also).response()
    for status, answer in endpoint.also.items():
        found.setdefault(str(status.value), _answer(type(answer), msgspec.to_builtins(answer)))
    return dict(sorted(found.items()))


def _success(endpoint: Endpoint, schemas: Mapping[str, Json]) -> Json:
    if endpoint.media != _JSON:
        content: Json = {endpoint.media: {"schema": {"type": "string"}}}
        if endpoint.gives is not None:
            value = _example({"$ref": _SCHEMA + endpoint.gives.__name__}, schemas)
            content[endpoint.media]["example"] = msgspec.json.encode(value).decode() + "\n"
        return {"description": f"{endpoint.summary}.", "headers": _headers(()), "content": content}
    if endpoint.gives is None:
        content = {_JSON: {"schema": {"type": "object"}}}
        return {"description": f"{endpoint.summary}.", "headers": _headers(()), "content": content}
    return _answer(endpoint.gives, _example({"$ref": _SCHEMA + endpoint.gives.__name__}, schemas))


def _answer(kind: type[Any], example: Any) -> Json:
    return {
        "description": _first_line(kind),
        "headers": _headers(()),
        "content": {_JSON: {"schema": {"$ref": _SCHEMA + kind.__name__}, "example": example}},
    }


def _headers(names: Iterable[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*names, "X-Request-Id")}


@dataclass(frozen=True)
class _General:
    """A response that says no, for one or more reasons that share a status."""

    status: HTTPStatus
    kinds: list[type[Refusal]]

    def response(self) -> Json:
        schemas = list(self._schemas())
        content = {"schema": schemas[0] if len(schemas) == 1 else {"oneOf": schemas}, "examples": self._examples()}
        return {
            "description": "\n\n".join(self._meanings()),
            "headers": _headers(self._names()),
            "content": {_JSON: content},
        }

    def _meanings(self) -> Iterator[str]:
        return (f"`{kind.code}`: {_first_line(kind)}" for kind in self.kinds)

    def _schemas(self) -> Iterator[Json]:
        codes = [kind.code for kind in self.kinds if kind is not ValidationFailed]
        if codes:
            yield {"$ref": f"{_SCHEMA}Error", "properties": {"code": {"enum": codes}, "status": {"const": self.status}}}
        if ValidationFailed in self.kinds:
            yield {"$ref": f"{_SCHEMA}ValidationError"}

    def _examples(self) -> Json:
        return {kind.code: {"$ref": f"#/components/examples/{kind.code}"} for kind in self.kinds}

    def _names(self) -> Iterator[str]:
        if self.status is HTTPStatus.UNAUTHORIZED:
            yield "WWW-Authenticate"
        if self.status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
            yield "Retry-After"
        if self.status is HTTPStatus.METHOD_NOT_ALLOWED:
            yield "Allow"


@dataclass(frozen=True)
class _Refused(_General):
    """The same, at one endpoint: with the faults of its own body, and what else it answers with this status."""

    endpoint: Endpoint
    also: msgspec.Struct | None = field(default=None)

    def _meanings(self) -> Iterator[str]:
        if self.also is not None:
            yield _first_line(type(self.also))
        yield from super()._meanings()

    def _schemas(self) -> Iterator[Json]:
        if self.also is not None:
            yield {"$ref": _SCHEMA + type(self.also).__name__}
        yield from super()._schemas()

    def _examples(self) -> Json:
        found = super()._examples()
        if self.endpoint.takes and not self.endpoint.form and ValidationFailed in self.kinds:
            found[ValidationFailed.code] = {
                "summary": _first_line(ValidationFailed),
                "value": msgspec.json.decode(body(_faulty(self.endpoint.takes))),
            }
        if self.also is not None:
            found["answer"] = {"summary": _first_line(type(self.also)), "value": msgspec.to_builtins(self.also)}
        return found


def _faulty(schema: type[msgspec.Struct]) -> ValidationFailed:
    """Return what the real check says to a body whose first field is no text and whose others are missing."""
    try:
        validate({next(iter(schema.__struct_encode_fields__)): 0}, schema)
    except ValidationFailed as refusal:
        return refusal
    return ValidationFailed([Fault([], "object.base", '"value" must be an object')])


def _example_of_refusal(kind: type[Refusal]) -> Any:
    if kind is NotFound:
        return msgspec.json.decode(body(NotFound("GET", "/nowhere")))
    if kind is ValidationFailed:
        try:
            unique_query(b"limit=1&limit=2")
        except ValidationFailed as refusal:
            return msgspec.json.decode(body(refusal))
    return msgspec.json.decode(body(kind()))


def _example(schema: Json, schemas: Mapping[str, Json]) -> Any:
    """Return a value of the schema, made of the examples that its parts carry."""
    if "$ref" in schema:
        return _example(schemas[schema["$ref"].removeprefix(_SCHEMA)], schemas)
    known = [*schema.get("examples", ()), *schema.get("enum", ())]
    known += [schema[name] for name in ("const", "default") if name in schema]
    if known:
        return known[0]
    if "properties" in schema:
        return {name: _example(part, schemas) for name, part in schema["properties"].items()}
    if "items" in schema:
        return [_example(schema["items"], schemas)]
    if "anyOf" in schema:
        return _example(schema["anyOf"][0], schemas)
    return {"string": "text", "integer": 1, "number": 1, "boolean": True}.get(schema.get("type", ""), {})


def _first_line(kind: type[Any]) -> str:
    return (kind.__doc__ or "").partition("\n")[0]
