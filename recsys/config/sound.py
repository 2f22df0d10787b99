"""The sound part of a TOML with mistakes, so that what it says of the data can be looked at all the same."""

import copy
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from recsys.config.pipeline import Pipeline
from recsys.config.sources import SOURCES

_ROUNDS = 20
_NOT_NEEDED = ("fuse", "evaluate", "balance", "model", "train", "features")  # tables that a look at the data can do without, last first


def sound_part(error: ValidationError, raw: Mapping[str, Any]) -> Pipeline | None:
    """Return the pipeline without its unsound keys, which take their defaults; None where that is not enough.

    `error` is that of `raw`. An objective or a feedback with a mistake goes as a whole.
    """
    rest = copy.deepcopy(dict(raw))
    for _ in range(_ROUNDS):
        found = [_removed(rest, entry["loc"]) for entry in sorted(error.errors(), key=lambda entry: _later_first(entry["loc"]))]
        if not any(found) and not _without_a_table(rest):
            return None
        try:
            return Pipeline.model_validate(rest)
        except ValidationError as again:
            error = again
    return None


def _later_first(loc: tuple[int | str, ...]) -> tuple[int, ...]:
    """Sort the entries of a list from its end, so that removing one moves no other that is still to go."""
    return tuple(-part for part in loc if isinstance(part, int))


def _removed(rest: dict[str, Any], loc: tuple[int | str, ...]) -> bool:
    """Remove the key of a mistake, or the entry of a list in which it is. Return whether there was one."""
    if loc == ("split",) and isinstance(rest.get("split"), dict):  # its parts do not fit each other
        return any(rest["split"].pop(part, None) is not None for part in ("validation", "test"))
    parts = [part for place, part in enumerate(loc) if not (place == 1 and loc[0] == "source" and part in SOURCES)]
    table: Any = rest
    for place, part in enumerate(parts):
        is_entry = isinstance(table, list) and isinstance(part, int) and part < len(table)
        if is_entry and isinstance(table[part], dict):
            del table[part]
            return True
        if place == len(parts) - 1 or not isinstance(table, dict) or not isinstance(table.get(str(part)), dict | list):
            return isinstance(table, dict) and table.pop(str(part), None) is not None
        table = table[str(part)]
    return False


def _without_a_table(rest: dict[str, Any]) -> bool:
    """Remove a table that a look at the data can do without, where a mistake lies between tables. Return whether there was one."""
    return any(rest.pop(name, None) is not None for name in _NOT_NEEDED)
