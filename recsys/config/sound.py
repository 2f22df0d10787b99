"""The sound part of a TOML with mistakes, so that what it says of the data can be looked at all the same."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from recsys.config.pipeline import Pipeline
from recsys.config.problems import keys_beside, problems_of
from recsys.config.sources import SOURCES
from recsys.errors import near

_ROUNDS = 20
_NOT_NEEDED = (
    "tracking",
    "spark",
    "checks",
    "promote",
    "fuse",
    "evaluate",
    "balance",
    "model",
    "train",
    "features",
)  # tables that a look at the data can do without, last first
_Path = tuple[int | str, ...]


def sound_part(error: ValidationError, raw: Mapping[str, Any]) -> tuple[Pipeline | None, list[str]]:
    """Return the pipeline without its unsound keys, which take their defaults, and all problems; None where too little is sound.

    `error` is that of `raw`. A misspelt key counts as the one that was meant. An objective or a feedback with a mistake goes as a whole.
    """
    rest = copy.deepcopy(dict(raw))
    problems = list(problems_of(error, raw))
    for _ in range(_ROUNDS):
        renamed = [_renamed(rest, entry["loc"]) for entry in error.errors() if entry["type"] == "extra_forbidden"]
        others = {
            path for entry in error.errors() if entry["type"] != "extra_forbidden" for path in [_part(rest, _plain(entry["loc"]))] if path
        }
        for path in sorted(others, key=_later_first):
            _remove(rest, path)
        if not (any(renamed) or others) and not _without_a_table(rest):
            return None, problems
        try:
            return Pipeline.model_validate(rest), problems
        except ValidationError as again:
            error = again
            problems += [problem for problem in problems_of(again, rest) if problem not in problems and not _follows(problem, raw, rest)]
    return None, problems


def _follows(problem: str, raw: Mapping[str, Any], rest: Mapping[str, Any]) -> bool:
    """Return whether a problem of the rest is that something has been taken away: a key, or an objective that others name."""
    gone = _objectives(raw) - _objectives(rest)
    return ": missing" in problem or any(f'found "{name}", expected' in problem for name in gone)


def _objectives(tables: Mapping[str, Any]) -> set[str]:
    found = tables.get("objective")
    return {str(entry.get("name")) for entry in found if isinstance(entry, dict)} if isinstance(found, list) else set()


def _plain(loc: _Path) -> _Path:
    """Return the path of a mistake without the kind of source, which pydantic puts behind `source`."""
    return tuple(part for place, part in enumerate(loc) if not (place == 1 and loc[0] == "source" and part in SOURCES))


def _later_first(path: _Path) -> tuple[int, ...]:
    """Sort the entries of a list from its end, so that removing one moves no other that is still to go."""
    return tuple(-part for part in path if isinstance(part, int))


def _renamed(rest: dict[str, Any], loc: _Path) -> bool:
    """Give an unknown key the name that was probably meant, where that is free; else take it away."""
    path = _plain(loc)
    *_, table = _along(rest, path[:-1])
    key = path[-1]
    if not isinstance(table, dict) or key not in table:
        return False
    value = table.pop(str(key))
    free = [name for name in keys_beside(loc, rest) if name not in table]
    if meant := near(str(key), free):
        table[meant[0]] = value
    return True


def _part(rest: dict[str, Any], path: _Path) -> _Path | None:
    """Return the path of what must go for a mistake: an entry of a list, or a key; None where there is none."""
    if len(path) > 2 and path[0] == "split":  # one day makes no part
        return path[:2] if path[1] in rest.get("split", {}) else None
    if path == ("split",) and isinstance(rest.get("split"), dict):  # its parts do not fit each other
        return next((("split", part) for part in ("validation", "test") if part in rest["split"]), None)
    tables = list(_along(rest, path))
    for place, (table, part) in enumerate(zip(tables, path, strict=False)):
        if isinstance(table, list) and isinstance(part, int) and part < len(table):
            return path[: place + 1]
    last = min(len(tables), len(path)) - 1
    return path[: last + 1] if last >= 0 and isinstance(tables[last], dict) and path[last] in tables[last] else None


def _along(rest: Any, path: _Path) -> Iterator[Any]:
    """Yield the tables and lists that a path leads through, the outermost first."""
    yield rest
    for part in path:
        try:
            rest = rest[part]
        except (KeyError, IndexError, TypeError):
            return
        yield rest


def _remove(rest: dict[str, Any], path: _Path) -> None:
    *_, holder = _along(rest, path[:-1])
    if isinstance(holder, list) and isinstance(path[-1], int):
        del holder[path[-1]]
        if not holder and len(path) > 1:  # a list that lost its last entry was not left empty
            _remove(rest, path[:-1])
    elif isinstance(holder, dict):
        holder.pop(str(path[-1]), None)


def _without_a_table(rest: dict[str, Any]) -> bool:
    """Take away what a mistake between tables may be about. Return whether there was something.

    First objectives whose name is there already, and every `given`; then tables that a look at the data can do without.
    """
    objectives = [entry for entry in rest.get("objective", ()) if isinstance(entry, dict)]
    by_name = {str(entry.get("name")): entry for entry in reversed(objectives)}
    if len(by_name) < len(objectives):
        rest["objective"] = [entry for entry in objectives if any(entry is kept for kept in by_name.values())]
        return True
    given = [entry.pop("given", None) for entry in objectives]
    if given.count(None) < len(given):
        return True
    return any(rest.pop(name, None) is not None for name in _NOT_NEEDED)
