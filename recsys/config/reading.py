"""Read a pipeline's options from a TOML file and `KEY=VALUE` overrides. Every problem is reported at once."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from recsys.config.evaluate_options import names_file
from recsys.config.pipeline import Pipeline
from recsys.config.problems import problems_of
from recsys.config.sound import sound_part
from recsys.config.tracking_options import SQLITE
from recsys.errors import ConfigError, nearest, nearest_file
from recsys.options import Options

_Some = TypeVar("_Some", bound=Options)


def load(path: Path, overrides: Sequence[str] = ()) -> Pipeline:
    """Read a pipeline's TOML, apply `KEY=VALUE` overrides, make its paths absolute.

    Paths in the file are relative to the file, paths in an override to the shell's folder. Raises ConfigError with
    every problem found.
    """
    raw = _read(path, overrides)
    try:
        return Pipeline.model_validate(raw)
    except ValidationError as error:
        raise ConfigError([f"{path}: {problem}" for problem in problems_of(error, raw)]) from error


def load_in_part(path: Path, overrides: Sequence[str] = ()) -> tuple[Pipeline | None, list[str]]:
    """Read a pipeline as `load` does, and return its problems with what of it is sound; None where too little is.

    Raises ConfigError where the file cannot be read as TOML.
    """
    raw = _read(path, overrides)
    try:
        return Pipeline.model_validate(raw), []
    except ValidationError as error:
        pipeline, problems = sound_part(error, raw)
        return pipeline, [f"{path}: {problem}" for problem in problems]


def from_tables(raw: Mapping[str, Any], folder: Path) -> Pipeline:
    """Make a pipeline from the tables of a TOML that would lie in `folder`. Raises ConfigError with every problem found."""
    raw = _absolute_paths(dict(raw), folder.resolve())
    try:
        return Pipeline.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(list(problems_of(error, raw))) from error


def _read(path: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the tables of a TOML file, overridden, with absolute paths."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors of Windows put a mark in front
    except OSError as error:
        there = [child.name for child in path.parent.glob("*.toml")]
        meant = nearest_file(path.name, there)
        fix = f"mend the path{meant}" if meant else "give the path of a file such as pipelines/tiny.toml"
        raise ConfigError(f"{path}: {error.strerror or error}, expected a pipeline's TOML. Fix: {fix}") from error
    except UnicodeDecodeError as error:
        raise _no_toml(path, f"bytes that are not UTF-8 at {error.start}", "save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise _no_toml(path, f"what is no TOML ({error})", "mend the line") from error
    raw.setdefault("name", path.stem)
    raw = _absolute_paths(raw, path.resolve().parent)
    problems = []
    for override in overrides:
        try:
            _apply(raw, override)
        except ValueError as error:
            problems.append(f"--set {override}: {error}")
    if problems:
        raise ConfigError(problems)
    return raw


def _no_toml(path: Path, found: str, fix: str) -> ConfigError:
    """Return the error for a file that is no TOML: a pipeline with a slip, or a log in the place of its pipeline."""
    init = f"for a log, recsys init {path} writes one"
    fix = fix if path.suffix.lower() == ".toml" else f"{init}; else name the pipeline's file"
    return ConfigError(f"{path}: found {found}, expected a pipeline's TOML. Fix: {fix}")


_SOURCE_PATHS = ("log", "users", "items", "path", "file", "closed")
_BALANCE_PATHS = ("baseline",)  # of worst_case
_TRAIN_PATHS = ("init_from", "distil_from")
_PATHS = {("balance", "worst_case"): _BALANCE_PATHS, ("train",): _TRAIN_PATHS}  # by the table they stand in


def _absolute_paths(raw: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a copy with every path of [source], its feedback, [balance.worst_case], [train], [evaluate], [tracking] joined to `folder`."""

    def joined(table: Any, keys: Sequence[str]) -> Any:
        if not isinstance(table, dict):
            return table  # not a table: reported when the options are checked
        return {key: str(folder / value) if key in keys and isinstance(value, str) and value else value for key, value in table.items()}

    raw = dict(raw)
    if isinstance(raw.get("source"), dict):
        raw["source"] = joined(raw["source"], _SOURCE_PATHS)
        if isinstance(raw["source"].get("feedback"), list):
            raw["source"]["feedback"] = [joined(entry, _SOURCE_PATHS) for entry in raw["source"]["feedback"]]
    if isinstance(raw.get("balance"), dict) and "worst_case" in raw["balance"]:
        raw["balance"] = {**raw["balance"], "worst_case": joined(raw["balance"]["worst_case"], _BALANCE_PATHS)}
    if "train" in raw:
        raw["train"] = joined(raw["train"], _TRAIN_PATHS)
    if isinstance(raw.get("evaluate"), dict) and "against" in raw["evaluate"]:
        raw["evaluate"] = {**raw["evaluate"], "against": _absolute_files(raw["evaluate"]["against"], folder)}
    if isinstance(raw.get("tracking"), dict) and "mlflow" in raw["tracking"]:
        raw["tracking"] = {**raw["tracking"], "mlflow": _absolute_store(raw["tracking"]["mlflow"], folder)}
    return raw


def _absolute_files(against: Any, folder: Path) -> Any:
    """Return evaluate.against with its files joined to `folder`. Names of runs stay."""
    if not isinstance(against, list):
        return against  # reported when the options are checked
    return [str(folder / entry) if isinstance(entry, str) and names_file(entry) else entry for entry in against]


def _absolute_store(address: Any, folder: Path) -> Any:
    """Return tracking.mlflow with its file joined to `folder`. The address of a server stays."""
    if not isinstance(address, str) or not address.startswith(SQLITE) or address == SQLITE:
        return address
    return f"{SQLITE}{folder / address.removeprefix(SQLITE)}"


def _apply(raw: dict[str, Any], override: str) -> None:
    """Write one `a.b.c=VALUE` into the raw tables. An objective is addressed by its name."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ValueError("expected KEY=VALUE such as model.architecture=mmoe")
    *parents, last = key.strip().split(".")
    table: Any = raw
    for depth, part in enumerate(parents):
        table = _child(table, part, ".".join(parents[: depth + 1]))
    if isinstance(table, list):
        raise ValueError(f"expected the name of an entry and one of its keys behind {'.'.join(parents)}")
    value = toml_value(text)
    is_path = last in (_SOURCE_PATHS if parents[:1] == ["source"] else _PATHS.get(tuple(parents), ()))
    if [*parents, last] == ["evaluate", "against"]:
        value = _absolute_files(value, Path.cwd())
    if [*parents, last] == ["tracking", "mlflow"]:
        value = _absolute_store(value, Path.cwd())
    table[last] = str(Path(value).absolute()) if is_path and isinstance(value, str) and value else value


def _child(table: Any, part: str, path: str) -> Any:
    if isinstance(table, list):
        names = [entry.get("name") for entry in table if isinstance(entry, dict)]
        if part not in names:
            raise ValueError(f'found "{part}", expected one of {", ".join(map(str, names))}{nearest(part, map(str, names))}')
        return table[names.index(part)]
    child = table.setdefault(part, {})
    if not isinstance(child, dict | list):
        raise ValueError(f"{path} is a value, not a table")
    return child


def toml_value(text: str) -> Any:
    """Return `text` as a TOML value, else as a string: `--set model.architecture=mmoe` needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def with_table(pipeline: Pipeline, name: str, values: Mapping[str, Any]) -> Pipeline:
    """Return a copy whose table `name` has `values` in place of its own, all checked again.

    Raises ConfigError with every problem found.
    """
    raw = pipeline.model_dump(mode="json", exclude_unset=True)  # an option beside its default may be refused where the default is not
    raw[name] = {**raw.get(name, {}), **values}
    try:
        return Pipeline.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(list(problems_of(error, raw))) from error


def options_from(kind: type[_Some], overrides: Sequence[str]) -> _Some:
    """Make options of one class from `KEY=VALUE` texts alone. Raises ConfigError with every problem found."""
    raw: dict[str, Any] = {}
    problems = []
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            problems.append(f"--set {override}: expected KEY=VALUE such as users=500")
        elif key not in kind.model_fields:
            problems.append(f"--set {override}: unknown key{nearest(key, kind.model_fields)}; there are {', '.join(kind.model_fields)}")
        else:
            raw[key] = toml_value(text)
    if problems:
        raise ConfigError(problems)
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise ConfigError([f"--set {problem}" for problem in problems_of(error, raw)]) from error
