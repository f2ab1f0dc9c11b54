"""The API reference page: the OpenAPI document as HTML, without scripts and without external resources."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import Any

from doorward.http.api.reference import markup

Json = Mapping[str, Any]

_METHODS = ("get", "post", "put", "patch", "delete")
_LOCATIONS = {"path": "Path parameters", "query": "Query parameters"}


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A row of a table of errors."""

    status: str
    code: str
    sentence: str
    meaning: str


def render(document: Json, conventions: Iterable[str]) -> str:
    """Return the page of an OpenAPI document; `conventions` are the paragraphs at its start."""
    reference = _Document(document)
    style = resources.files("doorward.http.api.reference").joinpath("page.css").read_text(encoding="utf-8")
    info = document["info"]
    title = f"{info['title']} {info['version']}"
    contents = reference.contents()
    paragraphs = "".join(f"<li>{markup.text(paragraph)}</li>" for paragraph in conventions)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}: API reference</title><style>{style}</style></head>"
        '<body id="top"><a class="skip" href="#main">Skip to content</a><div class="page"><header class="side">'
        f'<p class="name"><a href="#top">{escape(info["title"])}</a>'
        f'<span class="version">{escape(info["version"])}</span></p>'
        f'<details class="contents"><summary>Contents</summary><nav>{contents}</nav></details>'
        f'<nav aria-label="Contents">{contents}</nav></header><main id="main">'
        f'<h1>API reference</h1><p class="lead">{markup.text(info["summary"])} The OpenAPI 3.1 document is '
        '<a href="openapi.json">openapi.json</a>.</p>'
        f'<h2 class="tag" id="conventions">Conventions</h2><p>They apply to every request and response.</p>'
        f"<ul>{paragraphs}</ul>{''.join(reference.chapters())}{reference.errors()}</main></div></body></html>\n"
    )


class _Document:
    """An OpenAPI document, with lookups for the page."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self._components = document["components"]
        self._operations = [
            (method, path, operations[method])
            for path, operations in document["paths"].items()
            for method in operations
            if method in _METHODS
        ]
        self._general = {
            code for response in self._components["responses"].values() for code in _content(response)["examples"]
        }

    def contents(self) -> str:
        parts = ['<h2>Overview</h2><ul><li><a href="#conventions">Conventions</a></li></ul>']
        for tag in self._document["tags"]:
            links = "".join(
                f'<li><a href="#{operation["operationId"]}"><span class="method {method}">{method.upper()}</span>'
                f"<code>{escape(path)}</code></a></li>"
                for method, path, operation in self._operations_of(tag["name"])
            )
            parts.append(f"<h2>{escape(tag['name'])}</h2><ul>{links}</ul>")
        parts.append('<h2>Errors</h2><ul><li><a href="#errors">Error codes</a></li></ul>')
        return "".join(parts)

    def chapters(self) -> Iterator[str]:
        for tag in self._document["tags"]:
            name = escape(tag["name"])
            yield f'<h2 class="tag" id="{name.replace(" ", "-")}">{name}</h2><p>{markup.text(tag["description"])}</p>'
            for method, path, operation in self._operations_of(tag["name"]):
                yield self._endpoint(method, path, operation)

    def errors(self) -> str:
        rows = [
            _Refusal(str(value["status"]), code, _sentence(value), example["summary"])
            for code, example in self._components["examples"].items()
            for value in (example["value"],)
        ]
        return (
            '<h2 class="tag" id="errors">Error codes</h2><p>Programs should compare <code>code</code>: it does not '
            "change between versions, while sentences may. Any endpoint can return the errors marked <em>any</em>.</p>"
            f'<section class="endpoint">{self._refusals(rows, anchored=True)}<h4>Error response</h4>'
            f"{markup.block(self._components['examples']['not_found']['value'])}<h4>Error response of "
            f"<code>validation_error</code></h4>{markup.block(self._components['examples']['validation_error']['value'])}"
            "</section>"
        )

    def _operations_of(self, tag: str) -> list[tuple[str, str, Json]]:
        return [item for item in self._operations if tag in item[2]["tags"]]

    def _endpoint(self, method: str, path: str, operation: Json) -> str:
        key = operation["operationId"]
        more = f"<p>{markup.text(operation['description'])}</p>" if "description" in operation else ""
        return (
            f'<section class="endpoint" id="{key}"><h3><span class="method {method}">{method.upper()}</span>'
            f'<a href="#{key}"><code>{escape(path)}</code></a></h3><p>{markup.text(operation["summary"])}.</p>{more}'
            f'<p class="who">{markup.text(_authentication(operation))}</p>'
            f"{self._parameters(operation)}{self._body(operation)}"
            f"<h4>Example</h4>{markup.pre(_curl(method, path, operation))}{self._responses(operation)}"
            f"{self._errors(operation)}</section>"
        )

    def _parameters(self, operation: Json) -> str:
        parts = []
        for location, title in _LOCATIONS.items():
            rows = [
                markup.row(item["name"], item["schema"], item["description"], required=item["required"])
                for item in operation.get("parameters", ())
                if item["in"] == location
            ]
            if rows:
                parts.append(f"<h4>{title}</h4>{markup.table(('Name', 'Type', 'Meaning'), rows)}")
        return "".join(parts)

    def _body(self, operation: Json) -> str:
        if "requestBody" not in operation:
            return ""
        ((media, content),) = operation["requestBody"]["content"].items()
        return f"<h4>Body, <code>{escape(media)}</code></h4>{self._fields(content['schema'])}"

    def _responses(self, operation: Json) -> str:
        parts = []
        for status, response in operation["responses"].items():
            if "$ref" in response:
                continue
            if "content" not in response:
                parts.append(f"<h4>Response {status}</h4><p>No body.</p>{self._response_headers(response)}")
                continue
            ((media, content),) = response["content"].items()
            example = content.get("example", content.get("examples", {}).get("response", {}).get("value"))
            if example is None and not status.startswith("2"):
                continue
            meaning = response["description"].partition("\n")[0]
            parts.append(f"<h4>Response {status}</h4><p>{markup.text(meaning)}</p>")
            if example is None:
                parts.append(f'<p class="small">Media type: <code>{escape(media)}</code>.</p>')
                continue
            parts.append(markup.block(example))
            if "$ref" in content["schema"]:
                parts.append(f"<details><summary>Fields</summary>{self._fields(content['schema'])}</details>")
        return "".join(parts)

    def _response_headers(self, response: Json) -> str:
        headers = [(name, self._components["headers"][name]) for name in response["headers"] if name != "X-Request-Id"]
        rows = [markup.row(name, header["schema"], header["description"], required=True) for name, header in headers]
        return markup.table(("Header", "Type", "Meaning"), rows) if rows else ""

    def _fields(self, schema: Json) -> str:
        return markup.table(("Field", "Type", "Meaning"), list(self._rows(schema, "")))

    def _rows(self, schema: Json, before: str) -> Iterator[str]:
        resolved = self._schema(schema)
        required = set(resolved.get("required", ()))
        for name, part in resolved.get("properties", {}).items():
            inner = self._schema(part)
            if "items" in inner:
                inner = {**inner, "items": self._schema(inner["items"])}
            description = next((text for text in _descriptions(inner)), "")
            yield markup.row(before + name, inner, description, required=name in required)
            nested, suffix = (self._schema(part["items"]), "[].") if "items" in part else (inner, ".")
            if "properties" in nested:
                yield from self._rows(nested, before + name + suffix)

    def _schema(self, schema: Json) -> Json:
        if "$ref" not in schema:
            return schema
        resolved: Json = self._components["schemas"][schema["$ref"].rpartition("/")[2]]
        return resolved

    def _errors(self, operation: Json) -> str:
        rows = []
        for status, response in operation["responses"].items():
            if "content" not in response:
                continue
            for code, listed in _content(response).get("examples", {}).items():
                shared = code in self._general and code != "validation_error" and "$ref" in listed
                if shared or code not in self._components["examples"]:
                    continue
                example = self._components["examples"][code] if "$ref" in listed else listed
                value = example["value"]
                name = value["error"] if "error_description" in value else code
                rows.append(_Refusal(status, name, _sentence(value), example["summary"]))
        if all(row.code in self._general for row in rows):
            return ""
        table = self._refusals(rows)
        return f'<h4>Errors</h4>{table}<p class="small">See also <a href="#errors">the errors of any endpoint</a>.</p>'

    def _refusals(self, rows: Iterable[_Refusal], *, anchored: bool = False) -> str:
        cells = []
        for row in rows:
            name = f"<code>{row.code}</code>"
            if anchored:
                marked = ' <em class="optional">any</em>' if row.code in self._general else ""
                first = f'<tr id="error-{row.code}"><td class="status">{row.status}</td><td>{name}{marked}</td>'
            else:
                known = row.code in self._components["examples"]
                linked = f'<a href="#error-{row.code}">{name}</a>' if known else name
                first = f'<tr><td class="status">{row.status}</td><td>{linked}</td>'
            note = f'<span class="note">{markup.text(row.meaning)}</span>'
            cells.append(f"{first}<td>{escape(row.sentence)}{note}</td></tr>")
        return (
            '<table class="errors"><thead><tr><th>Status</th><th>Code</th><th>Message and meaning</th></tr>'
            f"</thead><tbody>{''.join(cells)}</tbody></table>"
        )


def _descriptions(schema: Json) -> Iterator[str]:
    for part in (schema, *schema.get("anyOf", ())):
        if "description" in part:
            yield part["description"]


def _content(response: Json) -> Json:
    content: Json = next(iter(response["content"].values()))
    return content


def _authentication(operation: Json) -> str:
    roles = {name: role for way in operation["security"] for name, role in way.items()}
    if not roles:
        return "No authentication."
    if "gateway" in roles:
        return (
            f"Authentication: `X-Doorward-Key` with an API key of the permission `{roles['gateway'][0]}`, and "
            "`Authorization: Bearer` with the user's token."
        )
    tenant = "Authentication: `Authorization: Bearer` with the tenant's token"
    if "key" not in roles:
        return f"{tenant}. API keys are not accepted."
    basic = ", also with HTTP Basic" if "basic" in roles else ""
    return f"{tenant}, or an API key with the permission `{roles['key'][0]}`{basic}."


def _sentence(value: Json) -> str:
    if "error_description" in value:
        return str(value["error_description"])
    return str(value["error"] if isinstance(value["error"], str) else value["message"])


def _curl(method: str, path: str, operation: Json) -> str:
    examples = {
        item["name"]: item["schema"].get("examples", (item["name"],))[0] for item in operation.get("parameters", ())
    }
    shown = re.sub(r"\{(\w+)\}", lambda match: examples[match[1]], path)
    parts = ["curl -s" + ("" if method in {"get", "post"} else f" -X {method.upper()}"), f'"$URL{shown}"']
    if any("gateway" in way for way in operation["security"]):
        parts += ['-H "X-Doorward-Key: $KEY"', '-H "Authorization: Bearer $ALICE"']
    elif operation["security"]:
        parts.append('-H "Authorization: Bearer $TENANT"')
    if "requestBody" in operation:
        ((media, content),) = operation["requestBody"]["content"].items()
        if media == "application/json":
            body = json.dumps(content["example"], ensure_ascii=False)
            parts += ["-H 'Content-Type: application/json'", f"-d '{markup.elided(body)}'"]
        else:
            parts += [f"-d {name}={value}" for name, value in content["example"].items()]
    return " \\\n  ".join([f"{parts[0]} {parts[1]}", *parts[2:]])
