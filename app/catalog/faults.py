"""Describes why parameters do not match a model's schema: the parameter, and what was expected."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jsonschema_rs
import orjson

from app.core.errors import Problem, path_of
from app.core.near import did_you_mean

PROBLEMS_MAX = 20
MESSAGE_MAX = 300
EXAMPLE_MAX = 80
NAMES_MAX = 10

_BOUNDS = {
    "minimum": "expected at least {}",
    "maximum": "expected at most {}",
    "exclusiveMinimum": "expected more than {}",
    "exclusiveMaximum": "expected less than {}",
    "multipleOf": "expected a multiple of {}",
    "minLength": "expected at least {} characters",
    "maxLength": "expected at most {} characters",
    "minItems": "expected at least {} items",
    "maxItems": "expected at most {} items",
    "minProperties": "expected at least {} members",
    "maxProperties": "expected at most {} members",
    "pattern": "expected text that matches {}",
    "format": "expected text of the format {}",
}
_TYPES = {
    "integer": "an integer", "number": "a number", "string": "a string", "boolean": "true or false", "null": "null",
    "array": "an array", "object": "an object",
}  # fmt: skip
_SAMPLES: Mapping[str, object] = {"integer": 5, "number": 0.5, "string": "text", "boolean": True}
"""Used if the schema has no example."""


def problems_of(validator: jsonschema_rs.Validator, schema: Any, parameters: Any, at: str) -> list[Problem]:
    """Return the faults of the parameters at path `at`, at most PROBLEMS_MAX; empty if there are none."""
    try:
        return _found(validator, schema, parameters, at)
    except UnicodeEncodeError:
        return _found(validator, schema, _without_surrogates(parameters), at)


def _found(validator: jsonschema_rs.Validator, schema: Any, parameters: Any, at: str) -> list[Problem]:
    if validator.is_valid(parameters):
        return []
    each = (problem for error in validator.iter_errors(parameters) for problem in _told(error, schema, at))
    return [problem for problem, _ in zip(each, range(PROBLEMS_MAX), strict=False)]


def _told(error: jsonschema_rs.ValidationError, schema: Any, at: str) -> Iterator[Problem]:
    """Yield the problems of one validation error. An error can name several unknown parameters."""
    place, kind = error.instance_path, error.kind
    around = _within(schema, error.schema_path[:-1])
    known: Mapping[str, Any] = around.get("properties") or {}
    match kind.name:
        case "required":
            name = kind.value
            expected = _type_of(known.get(name))
            yield Problem(path_of([*place, name], at), f"is required{expected and ': ' + expected}")
        case "additionalProperties" | "unevaluatedProperties":
            for name in kind.value:
                yield Problem(path_of([*place, name], at), f"unknown parameter{did_you_mean(name, known)}")
        case _:
            message = _expected(kind.name, kind.value, around) or error.message
            yield Problem(path_of(place, at), message[:MESSAGE_MAX])


def _expected(kind: str, value: Any, around: Mapping[str, Any]) -> str | None:
    """What the schema expects of a value; None if no short text says it."""
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(value if isinstance(value, str) else _json(value))
    if kind == "type":
        return _type_of(around)
    if kind == "enum":
        names = [_json(one) for one in value[:NAMES_MAX]]
        return f"expected one of {', '.join(names)}{', …' if len(value) > NAMES_MAX else ''}"
    if kind == "const":
        return f"expected {_json(around.get('const'))}"
    if kind == "uniqueItems":
        return "expected items that all differ"
    if kind in ("anyOf", "oneOf"):
        return _type_of({**around, "type": [_types(one)[0] for one in around.get(kind, ()) if _types(one)]})
    return None


def _type_of(schema: Any) -> str:
    """`expected an integer, such as 5`; empty if the schema names no type and no values."""
    if not isinstance(schema, Mapping):
        return ""
    if values := schema.get("enum"):
        return _expected("enum", values, schema) or ""
    types = _types(schema)
    if not types:
        return ""
    words = " or ".join(_TYPES[one] for one in types)
    examples = [*_listed(schema.get("examples")), *(schema[name] for name in ("example", "default") if name in schema)]
    if not examples and types[0] in _SAMPLES and not schema.keys() & _BOUNDS.keys():
        examples = [_SAMPLES[types[0]]]
    shown = next(
        (text for example in examples if example is not None and len(text := _json(example)) <= EXAMPLE_MAX), None
    )
    return f"expected {words}" + ("" if shown is None or types == ["boolean"] else f", such as {shown}")


def _types(schema: Any) -> list[str]:
    """The types that a schema names, null last."""
    found = schema.get("type") if isinstance(schema, Mapping) else None
    names = [found] if isinstance(found, str) else _listed(found)
    return sorted(dict.fromkeys(one for one in names if one in _TYPES), key=lambda one: one == "null")


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []


def _within(schema: Any, path: Sequence[str | int]) -> Mapping[str, Any]:
    """The part of the schema that failed; empty if a reference leads elsewhere."""
    for part in path:
        try:
            schema = schema[part]
        except (KeyError, IndexError, TypeError):
            return {}
    return schema if isinstance(schema, Mapping) else {}


def _json(value: object) -> str:
    return orjson.dumps(value, default=str).decode()


def _without_surrogates(value: Any) -> Any:
    """A copy for the validator, which accepts only valid Unicode. The original value is what is sent."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return [_without_surrogates(one) for one in value] if isinstance(value, list) else value
