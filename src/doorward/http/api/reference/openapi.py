"""The OpenAPI 3.1 document, generated from the endpoint table, the schemas and the errors."""

import re
from collections.abc import Iterable, Mapping
from typing import cast

import msgspec

from doorward import __version__
from doorward.core.model import Permission
from doorward.core.users.transfer import RowStatus
from doorward.http.api.endpoint import Auth, Endpoint
from doorward.http.api.reference import page
from doorward.http.api.reference.prose import (
    CONVENTIONS,
    ERROR,
    FAULTS,
    HEADERS,
    OAUTH_ERROR,
    PARAMETERS,
    SCHEMES,
    TAGS,
    Json,
)
from doorward.http.api.reference.responses import (
    JSON,
    SCHEMA,
    error_schemas,
    example_of,
    responses,
    shared_examples,
    shared_responses,
)
from doorward.http.api.routes import ENDPOINTS
from doorward.http.api.schemas import schema_name
from doorward.http.api.services import Descriptions
from doorward.http.checks import FORM
from doorward.http.validation import ExclusiveFields, alternatives, variants

_ENUMERATIONS = {Permission.__name__: "Permission", RowStatus.__name__: "ImportStatus"}
"""Published names of the enumerations among the schemas."""
_SEGMENT = re.compile(r"\{(\w+)\}")


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
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Doorward",
            "summary": "Self-hosted, multi-tenant authentication.",
            "description": "\n\n".join(CONVENTIONS),
            "version": __version__,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "The server of this document."}],
        "tags": [
            {"name": tag, "description": TAGS.get(tag, "")}
            for tag in dict.fromkeys(endpoint.tag for endpoint in endpoints)
        ],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": dict(SCHEMES),
            "headers": dict(HEADERS),
            "examples": shared_examples(),
            "responses": shared_responses(),
        },
    }


def _schemas(endpoints: Iterable[Endpoint]) -> dict[str, Json]:
    request_bodies = [endpoint.request_body for endpoint in endpoints if endpoint.request_body]
    response_bodies = [
        kind
        for endpoint in endpoints
        for kind in (endpoint.response_body, *map(type, endpoint.extra_responses.values()))
        if kind
    ]
    response_bodies += [kind for schema in response_bodies for kinds in variants(schema).values() for kind in kinds]
    _, schemas = msgspec.json.schema_components([*request_bodies, *response_bodies], ref_template=SCHEMA + "{name}")
    for kind in request_bodies:
        if either := alternatives(kind):
            schemas[kind.__name__] |= _exclusive(either)
    for kind in response_bodies:
        for part, kinds in variants(kind).items():
            items = {"oneOf": [{"$ref": SCHEMA + variant.__name__} for variant in kinds]}
            schemas[kind.__name__]["properties"][part]["items"] = items
    names = _ENUMERATIONS | {kind.__name__: schema_name(kind) for kind in _structs([*request_bodies, *response_bodies])}
    schemas = _with_published_names(schemas, names)
    request_names = {schema_name(kind) for kind in request_bodies}
    for name, schema in schemas.items():
        for part, inner in schema.get("properties", {}).items():
            # A field with a default is optional in a request and always present in a response. The keyword itself makes
            # code generators require the field in requests.
            if inner.pop("default", msgspec.UNSET) is not msgspec.UNSET and name not in request_names:
                schema["required"].append(part)
    faults = {schema["title"]: schema for schema in FAULTS.values()}
    errors = {"Error": ERROR, "OAuthError": OAUTH_ERROR, **faults, **error_schemas(endpoints)}
    return {**errors, **dict(sorted(schemas.items()))}


def _structs(kinds: Iterable[type]) -> set[type]:
    """Return these structs and all that their fields refer to."""
    structs: set[type] = set()

    def visit(info: msgspec.inspect.Type) -> None:
        if isinstance(info, msgspec.inspect.StructType):
            if info.cls not in structs:
                structs.add(info.cls)
                for field in info.fields:
                    visit(field.type)
            return
        for part in (getattr(info, "item_type", None), getattr(info, "type", None), *getattr(info, "types", ())):
            if isinstance(part, msgspec.inspect.Type):
                visit(part)

    for info in msgspec.inspect.multi_type_info(kinds):
        visit(info)
    return structs


def _with_published_names(schemas: Mapping[str, Json], names: Mapping[str, str]) -> dict[str, Json]:
    """Return schemas under their published names, with titles and references renamed accordingly."""

    def renamed(value: object) -> object:
        if isinstance(value, dict):
            return {key: reference(key, renamed(part)) for key, part in value.items()}
        return [renamed(part) for part in value] if isinstance(value, list) else value

    def reference(key: str, value: object) -> object:
        if key == "title" and isinstance(value, str):
            return names.get(value, value)
        if key == "$ref" and isinstance(value, str):
            name = value.removeprefix(SCHEMA)
            return SCHEMA + names.get(name, name)
        return value

    return {names[name]: cast("Json", renamed(schema)) for name, schema in schemas.items()}


def _exclusive(either: ExclusiveFields) -> Json:
    # Not `oneOf`: code generators would treat the whole object as a union, and lose its type.
    neither_both = {"not": {"required": [either.first, either.second]}}
    if not either.required:
        return neither_both
    return {"if": {"required": [either.first]}, "then": neither_both, "else": {"required": [either.second]}}


def _operation(endpoint: Endpoint, schemas: Mapping[str, Json]) -> Json:
    operation: Json = {
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "operationId": endpoint.operation_id,
        "security": _security(endpoint),
    }
    if endpoint.description:
        operation["description"] = endpoint.description
    parameters = [_parameter("path", name) for name in _SEGMENT.findall(endpoint.path)]
    parameters += [_parameter("query", str(name)) for name in endpoint.query]
    if parameters:
        operation["parameters"] = parameters
    if endpoint.request_body:
        schema = {"$ref": SCHEMA + schema_name(endpoint.request_body)}
        example = example_of(schema, schemas) if endpoint.example is None else endpoint.example
        content = {FORM if endpoint.is_form else JSON: {"schema": schema, "example": example}}
        operation["requestBody"] = {
            "required": bool(schemas[schema_name(endpoint.request_body)].get("required")),
            "content": content,
        }
    operation["responses"] = responses(endpoint, schemas)
    return operation


def _security(endpoint: Endpoint) -> list[Json]:
    """Return the alternatives of authentication. The role is the permission that an API key needs."""
    if endpoint.auth is not Auth.TENANT:
        return []
    if endpoint.permission is None:
        return [{"tenant": []}]
    role = [str(endpoint.permission)]
    if endpoint.match_subpaths:
        return [{"gateway": role, "user": []}]
    return [{"tenant": []}, {"key": role}, *([{"basic": role}] if endpoint.is_form else [])]


def _parameter(location: str, name: str) -> Json:
    text, schema = PARAMETERS.get(f"{location} {name}") or PARAMETERS.get(name, ("", {"type": "string"}))
    return {"name": name, "in": location, "required": location == "path", "description": text, "schema": schema}
