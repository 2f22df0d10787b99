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
from recsys.schema import SPLITS

RENAMED = {"model.sharing": "model.architecture"}  # a key of an earlier version → its name now
_OTHERWISE_CALLED = {"epochs": "passes", "lr": "learning_rate"}  # elsewhere → here
_MOST_PLACES = 3  # tables that a message names
_MOMENT = "a day such as 2020-01-01, or a moment such as 2020-01-01T06:30:00"
_LEVELS = "every number that the label may be, ascending, in brackets, such as [1, 2, 3, 4, 5]"
_EXPECTED = {  # pydantic's type of error → what was expected; names in braces are those of the error's context
    **dict.fromkeys(("datetime_from_date_parsing", "datetime_object_invalid", "datetime_parsing", "datetime_type"), _MOMENT),
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "greater_than": "a number above {gt:.10g}",
    "greater_than_equal": "a number from {ge:.10g} on",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "less_than": "a number below {lt:.10g}",
    "less_than_equal": "a number up to {le:.10g}",
    "model_type": "a table of keys and values (docs/config.md)",
    "path_type": "a path, in quotes (of several files: a pattern such as logs/*.csv)",
    "string_too_short": "a text that is not empty",
    "string_type": "a text, in quotes",
    "too_long": "{max_length} at most",
    "too_short": "{min_length} or more",
}
_OF_THE_FILE = 'name = "…" at the top of the TOML; without one, the name is that of the file'
_DAYS = [f"split.{part}" for part in SPLITS]
_MISSING = {  # what a pipeline cannot do without → what it is
    "objective": ", expected a table [[objective]] for each thing to predict",
    "source.feedback": ", expected a table [[source.feedback]] for each file of actions, or for each kind of action",
    "source": ", expected a table [source] that says where the log is",
    "split": ", expected a table [split] of train, validation and test days",
    **{f"{days}.{place}": f", expected the {which} day" for days in _DAYS for place, which in enumerate(("first", "last"))},
}


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
                yield f"{location}: unknown key{_instead(entry['loc'], raw)}"
            case "missing":
                yield f"{location}: missing{_MISSING.get(location, '')}"
            case "value_error":
                message = str(entry["msg"]).removeprefix("Value error, ")
                yield f"{location}: {message}" if location else message
            case "union_tag_invalid" | "union_tag_not_found":
                kind = entry["input"].get("kind") if isinstance(entry["input"], Mapping) else entry["input"]
                found, meant = ("no kind", "") if kind is None else (kind or "an empty text", nearest(str(kind), SOURCES))
                yield f"{location}.kind: found {found}, expected one of {', '.join(SOURCES)}{meant}"
            case "date_from_datetime_inexact" | "date_from_datetime_parsing" | "date_type" | "date_parsing":
                yield f"{location}: found {_shown(entry['input'])}, expected a day such as 2022-04-25"
            case "tuple_type" if location in _DAYS:
                day = _shown(entry["input"])
                yield f"{location}: found {day}, expected the first and the last day, in brackets: [{day}, {day}]"
            case "tuple_type" if location in ("objective", "source.feedback"):
                yield f"{location}: found {_shown(entry['input'])}{_MISSING[location]}"
            case "tuple_type" if entry["loc"][0] == "objective" and entry["loc"][-1] == "levels":
                yield f"{location}: found {_shown(entry['input'])}, expected {_LEVELS}"
            case "tuple_type":
                yield f"{location}: found {_shown(entry['input'])}, expected a list, in brackets: [{_items(entry['input'])}]"
            case "dict_type":
                yield f"{location}: found {_shown(entry['input'])}, expected a table, in braces: {{ name = … }} (docs/config.md)"
            case "literal_error":
                words = str(entry["ctx"]["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
                yield f"{location}: found {_shown(entry['input'])}, expected one of {', '.join(words)}{nearest(str(entry['input']), words)}"
            case "string_pattern_mismatch" if entry["ctx"]["pattern"] in FORMS:
                fix = f". Fix: {_OF_THE_FILE}" if location == "name" else ""
                yield f"{location}: found {_shown(entry['input'])}, expected {FORMS[entry['ctx']['pattern']]}{fix}"
            case kind if kind in _EXPECTED:
                yield f"{location}: found {_shown(entry['input'])}, expected {_EXPECTED[kind].format_map(entry.get('ctx', {}))}"
            case _:
                yield f"{location}: found {_shown(entry['input'])}; {entry['msg'][0].lower()}{entry['msg'][1:]}"


def of_a_word(error: ValidationError) -> str:
    """Return the one problem of a word of the command line, without its place."""
    (entry,) = error.errors(include_url=False)
    words = str(entry["msg"]).removeprefix("Value error, ")
    expected = "a day such as 2022-04-25" if "%Y-%m-%d" in words else _EXPECTED.get(entry["type"], "").format_map(entry.get("ctx", {}))
    return f"found {_shown(entry['input'])}, expected {expected}" if expected else words


def _instead(loc: Sequence[int | str], raw: Mapping[str, Any]) -> str:
    """Return the key that was probably meant, as a question: one of this table, or one of that name in another; else all of this table."""
    name, there = str(loc[-1]), keys_beside(loc, raw)
    name = _OTHERWISE_CALLED.get(name.lower(), name)
    named = [key for key in _all_keys(raw) if key.rpartition(".")[2] == name]
    elsewhere = [key for key in named if key.count(".") == min(other.count(".") for other in named)]  # not those of rarer tables
    if meant := nearest(name, there):
        return meant
    if 0 < len(elsewhere) <= _MOST_PLACES:
        return "; did you mean " + " or ".join(f'"{key}"' for key in elsewhere) + "?"
    return f", expected one of {', '.join(there)}" if there else ""


def _all_keys(raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield the dotted keys that stand in tables of a pipeline; of [source], those of its kind."""
    source = raw.get("source")
    kind = SOURCES.get(str(source.get("kind")) if isinstance(source, Mapping) else "", SOURCES["table"])
    yield from _keys_below(Pipeline, "", kind.options)


def _keys_below(model: type[BaseModel], before: str, source: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"{before}{name}"
        inner = source if name == "source" else _table_of(field.annotation)
        if inner is not None:
            yield from _keys_below(inner, f"{before}{name}.", source)


def _table_of(annotation: Any) -> type[BaseModel] | None:
    """Return the table that a key holds, or a list of them; None where it holds none."""
    kind = _optional(annotation)
    kind = get_args(kind)[0] if get_origin(kind) is tuple and get_args(kind) else kind
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _items(value: Any) -> str:
    """Return a value as the items of a list: of a text, what stands between its commas."""
    if not isinstance(value, str):
        return _shown(value)
    parts = [part.strip() for part in value.split(",")]
    return ", ".join(part if part.lstrip("-").isdecimal() else f'"{part}"' for part in parts)


def _shown(value: Any) -> str:
    """Return a value as one would write it in the TOML, cut where it is long."""
    text = str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, date | int | float) else repr(value)
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
