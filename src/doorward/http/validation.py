"""Validation of parsed bodies against schemas: values in their types, or every field error in field order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import NoneType
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from doorward.core.errors import FieldError, ValidationFailed

Schema = TypeVar("Schema", bound=msgspec.Struct)

MAX_FIELD_ERRORS = 100


@dataclass(frozen=True, slots=True)
class TextRule:
    """Rules of a text field, for use in `Annotated`. `violations` yields violations of a value.

    `max_length` counts characters; `max_bytes` is the size of its JSON spelling without quotes.
    """

    max_length: int
    max_bytes: int
    violations: Callable[[str], Sequence[tuple[str, str, int | None]]] = lambda _: []


@dataclass(frozen=True, slots=True)
class JsonRule:
    """Rules of a field with any JSON value: the depth of its nesting, and its size in bytes."""

    max_depth: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class IntegerRule:
    """Rules of an integer field."""

    minimum: int
    maximum: int


@dataclass(frozen=True, slots=True)
class BooleanRule:
    """A boolean field."""


@dataclass(frozen=True, slots=True)
class ListRule:
    """Rules of a list field: the number of items, and the rule of each item."""

    min_items: int
    max_items: int
    item_rule: "Rule"


@dataclass(frozen=True, slots=True)
class ChoiceRule:
    """Rules of a text field with a fixed set of values."""

    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ObjectRule:
    """A field with an object. In a `strict` one, names that the schema does not have are errors."""

    schema: type[msgspec.Struct]
    strict: bool = True


@dataclass(frozen=True, slots=True)
class NamedObjectRule:
    """A field with an object, or with a name that stands for one."""

    names: tuple[str, ...]
    fields: ObjectRule


@dataclass(frozen=True, slots=True)
class ExclusiveFields:
    """Two optional fields of a schema, as its `ALTERNATIVES`: a body has one of them, never both.

    Unless `required`, it may have neither. A missing field is reported as `first`.
    """

    first: str
    second: str
    required: bool = True


Variants = Mapping[str, tuple[type[msgspec.Struct], ...]]
"""Lists of a response whose items are one of several structs, by field name, as its `VARIANTS`."""

Rule = TextRule | JsonRule | IntegerRule | BooleanRule | ListRule | ChoiceRule | ObjectRule | NamedObjectRule


class _Field(NamedTuple):
    attribute: str
    name: str
    rule: Rule
    required: bool
    nullable: bool


@lru_cache
def _fields(schema: type[msgspec.Struct]) -> tuple[_Field, ...]:
    hints = get_type_hints(schema, include_extras=True)
    return tuple(
        _Field(
            item.name,
            item.encode_name,
            _rule(hints[item.name]),
            item.required,
            NoneType in get_args(hints[item.name]),
        )
        for item in msgspec.structs.fields(schema)
    )


def _rule(hint: Any) -> Rule:
    if get_origin(hint) is Annotated:
        for extra in hint.__metadata__:
            if isinstance(extra, Rule):
                return extra
    for part in get_args(hint):
        if get_origin(part) is Annotated:
            return _rule(part)
    raise TypeError(f"a field of a request needs a rule: {hint}")


def list_rule(schema: type[msgspec.Struct]) -> tuple[str, ListRule]:
    """Return the name and the rule of the list that is the only field of `schema`."""
    [only] = _fields(schema)
    if not isinstance(only.rule, ListRule):
        raise TypeError(f"{schema.__name__} has no list")
    return only.name, only.rule


def validate(body: Any, schema: type[Schema]) -> Schema:
    """Return `body` as a `schema`; raises ValidationFailed with at most MAX_FIELD_ERRORS errors.

    Fields that the schema does not have are ignored, unless it forbids them.
    """
    faults: list[FieldError] = []
    strict = schema.__struct_config__.forbid_unknown_fields
    result = _read(body, ObjectRule(schema, strict=strict), [], faults)
    if faults:
        raise ValidationFailed(faults[:MAX_FIELD_ERRORS])
    return result  # type: ignore[no-any-return]


def _read(value: Any, rule: Rule, path: Sequence[str], faults: list[FieldError]) -> Any:
    """Return the value in the type of the schema, and add its errors to `faults`."""
    if isinstance(rule, NamedObjectRule):
        return _read_named(value, rule, path, faults)
    if isinstance(rule, ObjectRule):
        return _read_fields(value, rule, path, faults)
    if isinstance(rule, ListRule):
        return _read_items(value, rule, path, faults)
    name = path[-1] if path else "value"
    faults += [FieldError(path, kind, f'"{name}" {text}', limit) for kind, text, limit in _check(rule, value)]
    return value


def known_names(names: Sequence[str]) -> str:
    """Return the part of a message that lists the allowed names."""
    return "allowed: " + ", ".join(f'"{name}"' for name in names) if names else "none is allowed here"


def alternatives(schema: type[msgspec.Struct]) -> ExclusiveFields | None:
    """Return the alternatives of a schema, if it has any."""
    return getattr(schema, "ALTERNATIVES", None)


def variants(schema: type[msgspec.Struct]) -> Variants:
    """Return the lists of a schema whose items are one of several structs."""
    return getattr(schema, "VARIANTS", {})


def _read_fields(value: Any, rule: ObjectRule, path: Sequence[str], faults: list[FieldError]) -> Any:
    if not isinstance(value, dict):
        faults.append(FieldError(path, "object.base", f'"{path[-1] if path else "value"}" must be an object'))
        return None
    before = len(faults)
    values: dict[str, Any] = {}
    known: set[str] = set()
    either = alternatives(rule.schema)
    for attribute, name, inner, required, nullable in _fields(rule.schema):
        known.add(name)
        if name not in value:
            if required or (either and either.required and name == either.first and either.second not in value):
                faults.append(FieldError([*path, name], "any.required", f'"{name}" is required'))
        elif either and name == either.second and either.first in value:
            faults.append(
                FieldError([*path, name], "object.xor", f'"{name}" is not allowed together with "{either.first}"')
            )
        elif value[name] is None and nullable:
            values[attribute] = None
        else:
            values[attribute] = _read(value[name], inner, [*path, name], faults)
    if rule.strict and not known.issuperset(value):
        # The name is text of the client, so the response does not repeat it.
        names = [name for _, name, *_ in _fields(rule.schema)]
        faults.append(
            FieldError([*path], "object.allowUnknown", f"an unknown field is not allowed; {known_names(names)}")
        )
    return rule.schema(**values) if len(faults) == before else None


def _read_named(value: Any, rule: NamedObjectRule, path: Sequence[str], faults: list[FieldError]) -> Any:
    if isinstance(value, str):
        if value not in rule.names:
            text = f'"{path[-1]}" must be an object or one of {", ".join(rule.names)}'
            faults.append(FieldError(path, "any.only", text))
        return value
    return _read_fields(value, rule.fields, path, faults)


def _read_items(value: Any, rule: ListRule, path: Sequence[str], faults: list[FieldError]) -> Any:
    name = path[-1] if path else "value"
    if not isinstance(value, list):
        faults.append(FieldError(path, "array.base", f'"{name}" must be an array'))
        return None
    if not rule.min_items <= len(value) <= rule.max_items:
        text = f'"{name}" must contain from {rule.min_items} to {rule.max_items} items'
        faults.append(FieldError(path, "array.length", text, rule.max_items))
        return None
    items = []
    for index, item in enumerate(value):
        if len(faults) >= MAX_FIELD_ERRORS:
            break
        items.append(_read(item, rule.item_rule, [*path, str(index)], faults))
    return items


def _check(rule: Rule, value: Any) -> Sequence[tuple[str, str, int | None]]:
    if isinstance(rule, TextRule):
        return _check_text(rule, value)
    if isinstance(rule, JsonRule):
        return _check_json(rule, value)
    if isinstance(rule, IntegerRule):
        if type(value) is int and rule.minimum <= value <= rule.maximum:
            return []
        return [("number.base", f"must be a whole number from {rule.minimum} to {rule.maximum}", rule.maximum)]
    if isinstance(rule, ChoiceRule):
        fits = isinstance(value, str) and value in rule.options
        return [] if fits else [("any.only", f"must be one of {', '.join(rule.options)}", None)]
    return [] if isinstance(value, bool) else [("boolean.base", "must be true or false", None)]


def _check_text(rule: TextRule, value: Any) -> Sequence[tuple[str, str, int | None]]:
    if not isinstance(value, str):
        return [("string.base", "must be a string", None)]
    if not value:
        return [("any.empty", "is not allowed to be empty", None)]
    if len(value) > rule.max_length:
        text = f"length must be less than or equal to {rule.max_length} characters long"
        return [("string.max", text, rule.max_length)]
    if len(msgspec.json.encode(value)) - 2 > rule.max_bytes:
        return [("string.max", f"must not take more than {rule.max_bytes} bytes", rule.max_bytes)]
    return rule.violations(value)


def _check_json(rule: JsonRule, value: Any) -> list[tuple[str, str, int | None]]:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > rule.max_depth:
            return [("any.depth", f"must not nest deeper than {rule.max_depth} levels", rule.max_depth)]
        level = [
            part
            for item in level
            if isinstance(item, (dict, list))
            for part in (item.values() if isinstance(item, dict) else item)
            if isinstance(part, (dict, list))
        ]
    if len(msgspec.json.encode(value)) > rule.max_bytes:
        return [("any.max", f"must not take more than {rule.max_bytes} bytes", rule.max_bytes)]
    return []
