"""A config that holds some of its keys alone, so that whoever receives it can read nothing else."""

from collections.abc import Collection, Sequence
from typing import Any, TypeVar, cast

from recsys.options import Options

_Options = TypeVar("_Options", bound=Options)
_Keys = Sequence[Sequence[str]]  # of a value: paths below it; an empty path is the whole value


def narrowed(options: _Options, keys: Collection[str], *, without: Collection[str] = ()) -> _Options:
    """Return a copy that holds the dotted `keys` alone, and of them not those under `without`.

    A key holds everything below it; a key below a list holds that key of every entry. Reading a key that is not held raises
    AttributeError. Keys that this value lacks, such as those of another kind of source, are passed over.
    """
    return cast(_Options, _narrowed(options, [key.split(".") for key in keys], [key.split(".") for key in without]))


def all_but(options: type[Options], prefix: str, *left_out: str) -> tuple[str, ...]:
    """Return the keys of a class of options under `prefix`, but for those `left_out`."""
    return tuple(f"{prefix}.{name}" for name in options.model_fields if name not in left_out)


def _narrowed(value: Any, keys: _Keys, without: _Keys) -> Any:
    if isinstance(value, tuple):
        return tuple(_narrowed(entry, keys, without) for entry in value)
    if not isinstance(value, Options):
        return value
    copy = value.model_copy()
    for name, inner in value.__dict__.items():
        held = [[]] if [] in keys else _below(keys, name)
        dropped = _below(without, name)
        if not held or [] in dropped:
            del copy.__dict__[name]
        else:
            copy.__dict__[name] = _narrowed(inner, held, dropped)
    return copy


def _below(keys: _Keys, name: str) -> list[Sequence[str]]:
    return [rest for first, *rest in (key for key in keys if key) if first == name]
