"""Holds a body against its schema and names every fault in field order, in the published sentences, without values."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from doorward.core.errors import Fault, ValidationFailed

Schema = TypeVar("Schema", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Text:
    """Rules of a text field, for use in `Annotated`. `faults` yields (rule, rest of the sentence, limit) for a value.

    `longest` counts characters; `heaviest` is the most bytes its JSON spelling may have, quotes not counted.
    """

    longest: int
    heaviest: int
    faults: Callable[[str], list[tuple[str, str, int | None]]] = lambda _: []


@dataclass(frozen=True, slots=True)
class AnyJson:
    """Rules of a field that takes any JSON value: how deep it may nest, and how many bytes it may take."""

    deepest: int
    heaviest: int


class _Field(NamedTuple):
    name: str
    rule: Text | AnyJson
    required: bool


@lru_cache
def _fields(schema: type[msgspec.Struct]) -> tuple[_Field, ...]:
    hints = get_type_hints(schema, include_extras=True)
    return tuple(
        _Field(item.encode_name, _rule(hints[item.name]), item.required) for item in msgspec.structs.fields(schema)
    )


def _rule(hint: Any) -> Text | AnyJson:
    if get_origin(hint) is Annotated:
        for extra in hint.__metadata__:
            if isinstance(extra, (Text, AnyJson)):
                return extra
    for part in get_args(hint):
        if get_origin(part) is Annotated:
            return _rule(part)
    raise TypeError(f"a field of a request needs a rule: {hint}")


def validate(body: Any, schema: type[Schema]) -> Schema:
    """Return `body` as a `schema`; ValidationFailed with every fault. Fields the schema does not know are ignored."""
    if not isinstance(body, dict):
        raise ValidationFailed([Fault([], "object.base", '"value" must be an object')])
    faults: list[Fault] = []
    found: dict[str, Any] = {}
    for name, rule, required in _fields(schema):
        if name not in body:
            if required:
                faults.append(Fault([name], "any.required", f'"{name}" is required'))
            continue
        value = found[name] = body[name]
        faults += [Fault([name], kind, f'"{name}" {text}', limit) for kind, text, limit in _check(rule, value)]
    if faults:
        raise ValidationFailed(faults)
    return schema(**found)


def _check(rule: Text | AnyJson, value: Any) -> list[tuple[str, str, int | None]]:
    if isinstance(rule, AnyJson):
        return _check_json(rule, value)
    if not isinstance(value, str):
        return [("string.base", "must be a string", None)]
    if not value:
        return [("any.empty", "is not allowed to be empty", None)]
    if len(value) > rule.longest:
        text = f"length must be less than or equal to {rule.longest} characters long"
        return [("string.max", text, rule.longest)]
    if len(msgspec.json.encode(value)) - 2 > rule.heaviest:
        return [("string.max", f"must not take more than {rule.heaviest} bytes", rule.heaviest)]
    return rule.faults(value)


def _check_json(rule: AnyJson, value: Any) -> list[tuple[str, str, int | None]]:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > rule.deepest:
            return [("any.depth", f"must not nest deeper than {rule.deepest} levels", rule.deepest)]
        level = [
            part
            for item in level
            if isinstance(item, (dict, list))
            for part in (item.values() if isinstance(item, dict) else item)
            if isinstance(part, (dict, list))
        ]
    if len(msgspec.json.encode(value)) > rule.heaviest:
        return [("any.max", f"must not take more than {rule.heaviest} bytes", rule.heaviest)]
    return []
