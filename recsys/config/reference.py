"""The page docs/config.md: every option of a pipeline, in the order of its TOML. `python -m recsys.config.reference` prints it."""

import json
import re
import sys
import types
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator
from pydantic.fields import FieldInfo

from recsys.config.forms import FORMS
from recsys.config.fuse_options import ListMetricName
from recsys.config.log_options import Duration, Zone
from recsys.config.pipeline import Pipeline
from recsys.list_metrics import FORM
from recsys.options import OneOf, Options

ORDER = (
    "name",
    "seed",
    "source",
    "split",
    "objective",
    "features",
    "model",
    "balance",
    "train",
    "evaluate",
    "fuse",
    "promote",
    "checks",
    "tracking",
    "spark",
)
COMMAND = "python -m recsys.config.reference > docs/config.md"

_INTRODUCTION = f"""\
# Every option of a pipeline

A pipeline is one TOML file. [pipelines/demo.toml](../pipelines/demo.toml) is one that works, and
[How to bring your own log](bring-your-own-log.md) walks through another. An unknown key is refused; the message names the
nearest valid key.

`--set KEY=VALUE` sets one option on the command line: `--set model.mmoe.num_experts=8`. An objective is addressed by its
name: `--set objective.click.loss_weight=0.5`. Paths in the file are relative to the file, paths on the command line to the
shell's folder.

Each section is a table of the TOML. `[source]`, `[split]` and one `[[objective]]` are enough for a pipeline. An option that is
*left out* has no value; its meaning says what holds without it. All tables are checked. Of the tables of architectures and of
balancing methods, the chosen one is read.

This page is written by `{COMMAND}`; a test fails where it is stale.

{" · ".join(f"[{name}](#{name})" for name in ORDER[2:])}
"""

_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    date: "date",
    datetime: "date or moment",
}
_BOUNDS = {"gt": "above", "ge": "from", "le": "up to", "lt": "below"}  # a constraint's attribute → its meaning in words
_VALIDATED = {
    get_args(Duration)[1]: "text: a whole number and a unit (s, m, h, d) such as 10m",
    get_args(Zone)[1]: "text: an IANA time zone such as Europe/Berlin",
    get_args(ListMetricName)[1]: f"text: {FORM}",
}
_PLURALS = re.compile(r"^(whole number|number|date|path|list|table)\b")


# --- Tables -------------------------------------------------------------------------------------------------------
Tables = dict[type[Options], list[str]]  # class of options → the headings of the tables that have them


def tables(annotation: Any, path: str) -> Tables:
    """Return the tables of options that a value at `path` is made of, each before those below it."""
    found: Tables = {}
    kinds = _kinds(annotation)
    for kind in kinds:
        heading = f"[[{path}]]" if get_origin(annotation) is tuple else f"[{path}]"
        which = f", kind = {_toml(get_args(kind.model_fields['kind'].annotation)[0])}" if len(kinds) > 1 else ""
        found.setdefault(kind, []).append(heading + which)
        for name, field in kind.model_fields.items():
            for below, headings in tables(field.annotation, f"{path}.{name}").items():
                found.setdefault(below, []).extend(heading + which for heading in headings)
    return found


def options(kind: type[Options]) -> dict[str, FieldInfo]:
    """Return the options of a class that are keys of its table. A field that is a table itself has a section of its own."""
    return {name: field for name, field in kind.model_fields.items() if not _is_table(field)}


def _is_table(field: FieldInfo) -> bool:
    """Return whether a field is one table, or one of several kinds of table; not whether it is a list of tables or may be left out."""
    parts = get_args(field.annotation) if _is_union(field.annotation) else (field.annotation,)
    return all(isinstance(part, type) and issubclass(part, Options) for part in parts)


def _kinds(annotation: Any) -> list[type[Options]]:
    """List the classes of options in an annotation, in order."""
    if isinstance(annotation, type) and issubclass(annotation, Options):
        return [annotation]
    return [kind for part in get_args(annotation) for kind in _kinds(part)]


# --- Types and defaults in words ----------------------------------------------------------------------------------
def words(annotation: Any, constraints: Sequence[Any] = ()) -> str:
    """Say a type and its constraints in the words of one who writes TOML."""
    if get_origin(annotation) is Annotated:
        annotation, *inner = get_args(annotation)
        return words(annotation, [*constraints, *inner])
    constraints = [each for found in constraints for each in (found.metadata if isinstance(found, FieldInfo) else [found])]
    if _is_union(annotation):
        parts = ", or ".join(words(part, constraints) for part in get_args(annotation) if part is not type(None))
        return f"optional {parts}" if type(None) in get_args(annotation) else parts
    if get_origin(annotation) is Literal:
        shown = ["empty" if word == "" else f"`{word}`" for word in get_args(annotation)]
        return shown[0] if len(shown) == 1 else f"one of {', '.join(shown)}"
    if get_origin(annotation) is tuple:
        return _list(get_args(annotation), constraints)
    if get_origin(annotation) is dict:
        return f"table, each value {words(get_args(annotation)[1])}"
    return _constrained("table" if _kinds(annotation) else _WORDS[annotation], constraints)


def _list(parts: Sequence[Any], constraints: Sequence[Any]) -> str:
    one = words(parts[0])
    if one.startswith("one of "):
        return f"list, each {one}"
    many = _PLURALS.sub(r"\1s", one)
    if parts[-1] is not Ellipsis:
        return f"list of {len(parts)} {many}"
    return f"list of one or more {many}" if _limits(constraints, ("min_length",)) else f"list of {many}"


def _constrained(word: str, constraints: Sequence[Any]) -> str:
    for found in constraints:
        if isinstance(found, AfterValidator) and found in _VALIDATED:
            word = _VALIDATED[found]
    if (pattern := _limits(constraints, ("pattern",)).get("pattern")) is not None:
        word = f"{word}: {FORMS[pattern]}" if pattern in FORMS else f"{word} of the form `{pattern}`"
    if names := [name for found in constraints if isinstance(found, OneOf) for name in found.names]:
        word = f"one of {', '.join(f'`{name}`' for name in names)}"
    if _limits(constraints, ("min_length",)):
        word = f"{word}, not empty"
    return f"{word} {_bounds(constraints)}".strip()


def _bounds(constraints: Sequence[Any]) -> str:
    """Say the bounds of a number or a date; empty where it has none."""
    found = _limits(constraints, _BOUNDS)
    shown = {name: f"{value:_}" if isinstance(value, int) else str(value) for name, value in found.items()}
    if shown.keys() == {"ge", "le"}:
        return f"from {shown['ge']} to {shown['le']}"
    below = "before" if isinstance(found.get("lt"), date) else "below"
    return ", ".join(f"{below if name == 'lt' else _BOUNDS[name]} {value}" for name, value in shown.items())


def _limits(constraints: Sequence[Any], names: Iterable[str]) -> dict[str, Any]:
    """Return those of the named attributes that some constraint has, such as `gt` or `pattern`."""
    found = {name: getattr(each, name, None) for each in constraints for name in names if getattr(each, name, None) is not None}
    return {name: found[name] for name in names if name in found}


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _default(kind: type[Options], name: str, field: FieldInfo) -> str:
    if (kind, name) == (Pipeline, "name"):
        return "the file's name"  # `load` fills it in
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "left out" if value is None else f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str() | Path():
            return json.dumps(str(value), ensure_ascii=False)
        case tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case dict():
            return f"{{{', '.join(f'{key} = {_toml(each)}' for key, each in value.items())}}}"
    return str(value)


# --- The page -----------------------------------------------------------------------------------------------------
def reference() -> str:
    """Return the page in markdown."""
    fields = Pipeline.model_fields
    top = {name: field for name, field in options(Pipeline).items() if not _kinds(field.annotation)}
    parts = [_INTRODUCTION, "## The top of the file", _first_sentence(Pipeline), _rows(Pipeline, sorted(top, key=ORDER.index))]
    for name in (name for name in ORDER if name not in top):
        found = tables(fields[name].annotation, name)
        several = len(_kinds(fields[name].annotation)) > 1
        parts += [f"## `[{name}]`"] if several else []
        for kind, headings in found.items():
            parts += _section(kind, headings, level=2 + several + ("." in headings[0]))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _section(kind: type[Options], headings: Sequence[str], level: int) -> Iterator[str]:
    """Yield the parts of a section; none for a class whose fields are all tables."""
    own = options(kind)
    if own or not kind.model_fields:
        yield f"{'#' * level} {', '.join(f'`{heading}`' for heading in headings)}"
        yield _first_sentence(kind)
        if own:
            yield _rows(kind, list(own))


def _first_sentence(kind: type[Options]) -> str:
    text = " ".join((kind.__doc__ or "").split())
    found = re.match(r".*?\.(?= [A-Z`]|$)", text)
    return found[0] if found else text


def _rows(kind: type[Options], names: Sequence[str]) -> str:
    cells = [("key", "type", "default", "meaning"), ("---",) * 4]
    for name in names:
        field = kind.model_fields[name]
        cells.append((f"`{name}`", words(field.annotation, field.metadata), _default(kind, name, field), field.description or ""))
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in cells)


if __name__ == "__main__":
    sys.stdout.write(reference())
