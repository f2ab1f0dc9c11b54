"""Responses in the OpenAPI document: successes and errors of each endpoint."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec

from doorward.core.errors import FieldError, Refusal, StoreUnavailable, ValidationFailed
from doorward.http import errors
from doorward.http.api.endpoint import COMMON_ERRORS, Endpoint
from doorward.http.api.reference.prose import ERROR, FAULTS, OAUTH_ERROR, Json
from doorward.http.api.schemas import schema_name
from doorward.http.bodies import MAX_BODY_BYTES
from doorward.http.checks import FORM, unique_query
from doorward.http.errors import (
    STATUS_OF,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    PayloadTooLarge,
    UnsupportedMediaType,
    error_body,
)
from doorward.http.validation import validate

SCHEMA = "#/components/schemas/"
JSON = "application/json"
_RAISED_BY_ROUTER = (NotAcceptable, UnsupportedMediaType, StoreUnavailable)
"""Errors of every endpoint whose description needs the path."""


def shared_examples() -> Json:
    """Return an example of every error, by code."""
    refusals = sorted(STATUS_OF, key=lambda kind: (STATUS_OF[kind], kind.code))
    return {kind.code: {"summary": _first_line(kind), "value": _example_of_refusal(kind)} for kind in refusals}


def shared_responses() -> Json:
    """Return the responses that every endpoint may give, by `Refused` and status."""
    return {f"Refused{status.value}": _CommonErrors(status, kinds).response() for status, kinds in _by_status().items()}


def error_schemas(endpoints: Iterable[Endpoint]) -> Json:
    """Return a schema for every set of error codes that share a response, by name."""
    schemas: Json = {}
    for status, kinds in _by_status().items():
        schemas |= _CommonErrors(status, kinds).errors()
    for endpoint in endpoints:
        for error_response in _error_responses(endpoint):
            schemas |= error_response.errors()
    return dict(sorted(schemas.items()))


def responses(endpoint: Endpoint, schemas: Mapping[str, Json]) -> Json:
    """Return the responses of an endpoint by status, its own and the shared ones."""
    by_status: Json = {str(endpoint.success_status.value): _success(endpoint, schemas)}
    for error_response in _error_responses(endpoint):
        name = str(error_response.status.value)
        shared = {"$ref": f"#/components/responses/Refused{name}"}
        by_status[name] = shared if error_response.is_shared else error_response.response()
    for status, extra in endpoint.extra_responses.items():
        by_status.setdefault(str(status.value), _json_response(type(extra), msgspec.to_builtins(extra)))
    return dict(sorted(by_status.items()))


def _error_responses(endpoint: Endpoint) -> "Iterator[_EndpointErrors]":
    """Yield the errors of an endpoint, one response per status."""
    kinds_by_status: dict[HTTPStatus, list[type[Refusal]]] = {}
    for kind in endpoint.all_errors:
        status = errors.oauth_error_body(kind())[1] if _uses_oauth_form(endpoint, kind) else STATUS_OF[kind]
        kinds_by_status.setdefault(status, []).append(kind)
    for status, kinds in sorted(kinds_by_status.items()):
        yield _EndpointErrors(status, kinds, endpoint, endpoint.extra_responses.get(status))


def _uses_oauth_form(endpoint: Endpoint, kind: type[Refusal]) -> bool:
    """Return whether an error of the endpoint has the form of RFC 6749: all but those raised before the handler."""
    return endpoint.is_form and kind in {*endpoint.errors, *_RAISED_BY_ROUTER} - {ValidationFailed}


def _success(endpoint: Endpoint, schemas: Mapping[str, Json]) -> Json:
    if not endpoint.media_type:
        return {"description": f"{endpoint.summary}.", "headers": _headers(endpoint.response_headers)}
    if endpoint.media_type != JSON:
        content: Json = {endpoint.media_type: {"schema": {"type": "string"}}}
        if endpoint.response_body is not None:
            value = example_of({"$ref": SCHEMA + schema_name(endpoint.response_body)}, schemas)
            content[endpoint.media_type]["example"] = msgspec.json.encode(value).decode() + "\n"
        return {"description": f"{endpoint.summary}.", "headers": _headers(()), "content": content}
    if endpoint.response_body is None:
        content = {JSON: {"schema": {"type": "object", "additionalProperties": True}}}
        return {"description": f"{endpoint.summary}.", "headers": _headers(()), "content": content}
    return _json_response(
        endpoint.response_body, example_of({"$ref": SCHEMA + schema_name(endpoint.response_body)}, schemas)
    )


def _json_response(kind: type[Any], example: Any) -> Json:
    return {
        "description": _first_line(kind),
        "headers": _headers(()),
        "content": {JSON: {"schema": {"$ref": SCHEMA + schema_name(kind)}, "example": example}},
    }


def _headers(names: Iterable[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*names, "X-Request-Id")}


@dataclass(frozen=True)
class _CommonErrors:
    """An error response, for one or more errors that share a status."""

    status: HTTPStatus
    kinds: list[type[Refusal]]

    def response(self) -> Json:
        return {
            "description": "\n\n".join(self._meanings()),
            "headers": _headers(self._header_names()),
            "content": {JSON: {"schema": self._schema(), "examples": self._examples()}},
        }

    def errors(self) -> Json:
        """Return the schemas of the errors in this response by name, without those in FAULTS."""
        codes = [kind.code for kind in self.kinds if kind not in FAULTS and not self._uses_oauth_form(kind)]
        if not codes:
            return {}
        status = {"type": "integer", "const": self.status.value}
        return {self._error_name(codes): _specialized(ERROR, code=_one_of(codes), status=status)}

    def _error_name(self, codes: Sequence[str]) -> str:
        """Return the name of these codes: those of every endpoint are named by the status alone."""
        general = {kind.code for kind in _by_status().get(self.status, ()) if kind not in FAULTS}
        if general <= set(codes):
            return f"Error{self.status.value}" + _pascal(set(codes) - general)
        return f"Error{self.status.value}Only" + _pascal(codes)

    def _meanings(self) -> Iterator[str]:
        return (f"`{self._published_code(kind)}`: {_first_line(kind)}" for kind in self.kinds)

    def _uses_oauth_form(self, kind: type[Refusal]) -> bool:  # noqa: ARG002 - subclasses use it
        return False

    def _published_code(self, kind: type[Refusal]) -> str:
        return kind.code

    def _schema(self) -> Json:
        codes = {name: list(_codes(schema)) for name, schema in self.errors().items()}
        for kind in self.kinds:
            if kind in FAULTS and not self._uses_oauth_form(kind):
                codes[FAULTS[kind]["title"]] = [kind.code]
        return _either(codes)

    def _examples(self) -> Json:
        return {kind.code: {"$ref": f"#/components/examples/{kind.code}"} for kind in self.kinds}

    def _header_names(self) -> Iterator[str]:
        if self.status is HTTPStatus.UNAUTHORIZED:
            yield "WWW-Authenticate"
        if self.status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
            yield "Retry-After"
        if self.status is HTTPStatus.METHOD_NOT_ALLOWED:
            yield "Allow"


@dataclass(frozen=True)
class _EndpointErrors(_CommonErrors):
    """An error response of one endpoint, with the field errors of its body and other responses of the same status."""

    endpoint: Endpoint
    extra: msgspec.Struct | None = field(default=None)

    def _meanings(self) -> Iterator[str]:
        if self.extra is not None:
            yield _first_line(type(self.extra))
        yield from super()._meanings()

    @property
    def is_shared(self) -> bool:
        """True for the response that every endpoint may give with this status."""
        return (
            self.extra is None
            and self.kinds == _by_status().get(self.status)
            and ValidationFailed not in self.kinds
            and not self._suggests_smaller_body
            and not any(map(self._uses_oauth_form, self.kinds))
        )

    @property
    def _suggests_smaller_body(self) -> bool:
        return PayloadTooLarge in self.kinds and self.endpoint.max_body_bytes != MAX_BODY_BYTES

    def errors(self) -> Json:
        """Return the schemas of the errors in this response by name, including those of RFC 6749."""
        names = dict.fromkeys(_oauth(kind)["error"] for kind in self.kinds if self._uses_oauth_form(kind))
        schemas = super().errors()
        if names:
            schemas[f"OAuthError{self.status.value}{_pascal(names)}"] = _specialized(OAUTH_ERROR, error=_one_of(names))
        return schemas

    def _schema(self) -> Json:
        if self.extra is None:
            return super()._schema()
        return {"oneOf": [{"$ref": SCHEMA + schema_name(type(self.extra))}, super()._schema()]}

    def _uses_oauth_form(self, kind: type[Refusal]) -> bool:
        return _uses_oauth_form(self.endpoint, kind)

    def _published_code(self, kind: type[Refusal]) -> str:
        return str(_oauth(kind)["error"]) if self._uses_oauth_form(kind) else kind.code

    def _examples(self) -> Json:
        examples = super()._examples()
        for kind in self.kinds:
            if self._uses_oauth_form(kind):
                examples[kind.code] = {"summary": _first_line(kind), "value": _oauth(kind)}
        if self.endpoint.request_body and not self.endpoint.is_form and ValidationFailed in self.kinds:
            examples[ValidationFailed.code] = {
                "summary": _first_line(ValidationFailed),
                "value": msgspec.json.decode(error_body(_faulty(self.endpoint.request_body))),
            }
        if self._suggests_smaller_body:
            examples[PayloadTooLarge.code] = {
                "summary": _first_line(PayloadTooLarge),
                "value": msgspec.json.decode(error_body(PayloadTooLarge(many=True))),
            }
        if self.extra is not None:
            examples["response"] = {"summary": _first_line(type(self.extra)), "value": msgspec.to_builtins(self.extra)}
        return examples


def _specialized(schema: Json, **properties: Json) -> Json:
    """Return a schema with some of its properties narrowed.

    The copy is complete, because code generators ignore keywords next to a `$ref`.
    """
    known = schema["properties"]
    narrowed = {name: {**known[name], **narrower} for name, narrower in properties.items()}
    return {
        "type": "object",
        "description": schema["description"],
        "properties": {**known, **narrowed},
        "required": schema["required"],
    }


def _one_of(names: Iterable[str]) -> Json:
    return {"type": "string", "enum": list(names)}


def _codes(schema: Json) -> Iterable[str]:
    """Return the codes of an error schema; none where it has the form of RFC 6749."""
    codes: list[str] = schema["properties"].get("code", {}).get("enum", [])
    return codes


def _either(codes: Mapping[str, Sequence[str]]) -> Json:
    """Return the schema of one of several errors; `code` distinguishes them where all of them have one."""
    choices = [{"$ref": SCHEMA + name} for name in codes]
    if len(choices) == 1:
        return choices[0]
    if not all(codes.values()):
        return {"oneOf": choices}
    mapping = {code: SCHEMA + name for name, known in codes.items() for code in known}
    return {"oneOf": choices, "discriminator": {"propertyName": "code", "mapping": mapping}}


def _pascal(codes: Iterable[str]) -> str:
    return "".join(part.title() for code in sorted(codes) for part in code.split("_"))


def _oauth(kind: type[Refusal]) -> Json:
    refusal = UnsupportedMediaType(FORM) if kind is UnsupportedMediaType else kind()
    body: Json = msgspec.json.decode(errors.oauth_error_body(refusal)[0])
    return body


def _faulty(schema: type[msgspec.Struct]) -> ValidationFailed:
    """Return the real field errors of a body whose first field is no text and whose others are missing."""
    try:
        validate({next(iter(schema.__struct_encode_fields__)): 0}, schema)
    except ValidationFailed as refusal:
        return refusal
    return ValidationFailed([FieldError([], "object.base", '"value" must be an object')])


def _example_of_refusal(kind: type[Refusal]) -> Any:
    if kind is NotFound:
        return msgspec.json.decode(error_body(NotFound("GET", "/nowhere")))
    if kind is ValidationFailed:
        try:
            unique_query(b"limit=1&limit=2")
        except ValidationFailed as refusal:
            return msgspec.json.decode(error_body(refusal))
    return msgspec.json.decode(error_body(kind()))


def example_of(schema: Json, schemas: Mapping[str, Json]) -> Any:
    """Return a value of the schema, composed of the examples of its parts."""
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].removeprefix(SCHEMA)], schemas)
    known = [*schema.get("examples", ()), *schema.get("enum", ())]
    known += [schema[name] for name in ("const", "default") if name in schema]
    if known:
        return known[0]
    if "properties" in schema:
        # An optional part without an example stands in place of another part with one.
        return {
            name: example_of(part, schemas)
            for name, part in schema["properties"].items()
            if name in schema.get("required", ()) or part.keys() - {"description"}
        }
    if "items" in schema:
        return [example_of(schema["items"], schemas)]
    for choices in ("anyOf", "oneOf"):
        if choices in schema:
            return example_of(schema[choices][0], schemas)
    return {"string": "text", "integer": 1, "number": 1, "boolean": True}.get(schema.get("type", ""), {})


def _first_line(kind: type[Any]) -> str:
    return (kind.__doc__ or "").partition("\n")[0]


def _by_status() -> dict[HTTPStatus, list[type[Refusal]]]:
    """Return the errors that belong to no endpoint, by status."""
    by_status: dict[HTTPStatus, list[type[Refusal]]] = {}
    for kind in (*COMMON_ERRORS, NotFound, MethodNotAllowed):
        by_status.setdefault(STATUS_OF[kind], []).append(kind)
    return dict(sorted(by_status.items()))
