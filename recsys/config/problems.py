"""pydantic's errors in the words of the TOML: the path in the file, what was found, the nearest valid name."""

import types
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from recsys.config.forms import FORMS
from recsys.config.pipeline import Pipeline
from recsys.config.sources import SOURCES, AnySource
from recsys.errors import nearest

RENAMED = {"model.sharing": "model.architecture"}  # a key of an earlier version → its name now


def problems_of(error: ValidationError, raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield one text per problem. `raw` is the validated TOML; its names stand in for indexes."""
    entries = error.errors(include_url=False)
    for entry in entries:
        if entry["type"] == "too_short" and any(_is_inside(other["loc"], entry["loc"]) for other in entries):
            continue  # pydantic counts only the valid entries of a list; the problems of the others are reported already
        location = _location(entry["loc"], raw)
        match entry["type"]:
            case "extra_forbidden" if location in RENAMED:
                yield f"{location}: this key is now called {RENAMED[location]}"
            case "extra_forbidden":
                yield f"{location}: unknown key{nearest(str(entry['loc'][-1]), keys_beside(entry['loc'], raw))}"
            case "missing":
                yield f"{location}: missing"
            case "value_error":
                message = str(entry["msg"]).removeprefix("Value error, ")
                yield f"{location}: {message}" if location else message
            case "union_tag_invalid" | "union_tag_not_found":
                kind = entry["input"].get("kind", "no kind") if isinstance(entry["input"], Mapping) else entry["input"]
                yield f"{location}.kind: found {kind}, expected one of {', '.join(SOURCES)}{nearest(str(kind), SOURCES)}"
            case "date_from_datetime_parsing" | "date_type" | "date_parsing":
                yield f"{location}: found {_shown(entry['input'])}, expected a day such as 2022-04-25"
            case "tuple_type":
                yield f"{location}: found {_shown(entry['input'])}, expected a list, in brackets: [{_items(entry['input'])}]"
            case "dict_type":
                yield f"{location}: found {_shown(entry['input'])}, expected a table, in braces: {{ name = … }} (docs/config.md)"
            case "literal_error":
                words = str(entry["ctx"]["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
                yield f"{location}: found {_shown(entry['input'])}, expected one of {', '.join(words)}{nearest(str(entry['input']), words)}"
            case "string_pattern_mismatch" if entry["ctx"]["pattern"] in FORMS:
                yield f"{location}: found {_shown(entry['input'])}, expected {FORMS[entry['ctx']['pattern']]}"
            case _:
                yield f"{location}: found {_shown(entry['input'])}; {entry['msg'][0].lower()}{entry['msg'][1:]}"


def _items(value: Any) -> str:
    """Return a value as the items of a list: of a text, what stands between its commas."""
    if not isinstance(value, str):
        return _shown(value)
    parts = [part.strip() for part in value.split(",")]
    return ", ".join(part if part.lstrip("-").isdecimal() else f'"{part}"' for part in parts)


def _shown(value: Any) -> str:
    """Return a value as one would write it in the TOML, cut where it is long."""
    text = str(value) if isinstance(value, date | bool | int | float) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _is_inside(loc: Sequence[int | str], outer: Sequence[int | str]) -> bool:
    return len(loc) > len(outer) and tuple(loc[: len(outer)]) == tuple(outer)


def _location(loc: Sequence[int | str], raw: Mapping[str, Any]) -> str:
    """Return `objective.like.kind` instead of pydantic's (objective, 1, kind). The union's tag behind `source` is dropped."""
    parts: list[str] = []
    value: Any = raw
    for place, part in enumerate(loc):
        if place == 1 and loc[0] == "source" and part in SOURCES:
            continue
        value = _step(value, part)
        name = value.get("name") if isinstance(part, int) and isinstance(value, dict) else None
        parts.append(str(name if name is not None else part))
    return ".".join(parts)


def _step(value: Any, part: int | str) -> Any:
    try:
        return value[part]
    except (KeyError, IndexError, TypeError):
        return None


def keys_beside(loc: Sequence[int | str], raw: Mapping[str, Any]) -> list[str]:
    """List the valid keys of the table in which an unknown key stands."""
    model: Any = Pipeline
    for part in loc[:-1]:
        if part in SOURCES and model is AnySource:
            model = SOURCES[str(part)].options
        elif isinstance(part, str) and isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(part)
            if field is None:
                return []
            model = AnySource if part == "source" else field.annotation
        elif isinstance(part, int):
            model = get_args(model)[0]
    model = _optional(model)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _optional(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        return next(arg for arg in get_args(annotation) if arg is not type(None))
    return annotation
