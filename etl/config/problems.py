"""Explains what is wrong with a configuration: the place, the nearest known key, what was expected; never a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from etl.config.settings import OWN, Settings, connection_keys, owners

_SENTENCES = {
    "missing": "is missing",
    "string_type": 'must be text in quotes, like "…"',
    "string_too_short": "is empty",
    "too_short": "is empty; leave it out to mean all",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "is too large",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "path_type": 'must be a path in quotes, like "…"',
    "tuple_type": 'must be a list like ["…", "…"]',
    "model_type": "must be a table",
    "dict_type": "must hold tables like [connections.pairing]",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
}
_KEY = "[key]"  # pydantic appends this if the key of a table is itself wrong


def describe(error: ValidationError, origins: Mapping[tuple[str, ...], str]) -> list[str]:
    """Return one line per problem, in the order of the sections; `origins` names the sources of values not from the file."""
    return list(dict.fromkeys(_lines(error, origins)))


def _lines(error: ValidationError, origins: Mapping[tuple[str, ...], str]) -> Iterator[str]:
    for detail in error.errors(include_url=False, include_input=False):
        keys = tuple(str(part) for part in detail["loc"] if part not in (_KEY, OWN))
        origin = next((origins[keys[:length]] for length in range(len(keys), 0, -1) if keys[:length] in origins), None)
        place = ".".join(keys[:3]) + "".join(f", element {int(part) + 1}" for part in keys[3:] if part.isdecimal())
        yield f"{place}{f' ({origin})' if origin else ''}: {_sentence(detail, keys)}"


def _sentence(detail: ErrorDetails, keys: tuple[str, ...]) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        own = owners() if keys[:1] == ("connections",) else {}
        if keys[-1] in own:
            return f"is a setting of {' and '.join(own[keys[-1]])} only; leave it out here"
        near = get_close_matches(keys[-1], [*_known(keys[:-1]), *own], n=1)
        return f"unknown key; did you mean {near[0]}?" if near else f"unknown key; known are {', '.join(_known(keys[:-1]))}"
    if kind == "value_error":
        return str(context["error"])
    return _SENTENCES[kind].format(**context) if kind in _SENTENCES else "has a form that is not understood"


def _known(keys: tuple[str, ...]) -> list[str]:
    """Return the known keys of the table at `keys`."""
    if keys and keys[0] == "connections":
        return connection_keys()
    model: type[BaseModel] = Settings
    for key in keys:
        field = model.model_fields[key]
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
    return list(model.model_fields)
