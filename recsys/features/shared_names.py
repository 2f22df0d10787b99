"""Names that two columns have: in one table, in the log and among ours, in the log and in users or items, or in the examples."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

from recsys import schema
from recsys.config import Features, Pipeline
from recsys.config.forms import ALIKE
from recsys.features.feature_columns import Columns, Table
from recsys.features.labels import columns as label_columns
from recsys.features.names_read import by_entities, expressions, mapped
from recsys.features.operands import LabelError
from recsys.features.plan import ANY_TABLE

_IDS = (schema.USER_ID, schema.ITEM_ID)  # in a group of columns they are always ours
_PREFIXES = {"user": schema.USER, "item": schema.ITEM, "context": schema.CONTEXT, "ids": schema.ID, "slices": schema.SLICE}
_NAMES: Mapping[Table, str] = {"events": "the log", "items": "items", "users": "users"}


def differing_by_case(name: str, names: Sequence[str]) -> list[str]:
    """Return the names that differ from `name` by case alone."""
    return [other for other in names if other.lower() == name.lower() and other != name]


def by_case_alone(pipeline: Pipeline, columns: Columns) -> Iterator[str]:
    """Yield the names that are read and differ by case alone from another column of their table: the engine would read either for both."""
    features = pipeline.features
    read = {name for name in (pipeline.train.weight, *(objective.duration for objective in pipeline.objective)) if name is not None}
    for names in (features.user, features.item, features.context, features.multi, features.signals, features.slices, features.ids):
        read |= set(names)
    for names in by_entities(features).values():
        read |= set(names)
    for text in expressions(pipeline).values():
        with contextlib.suppress(LabelError):  # reported by _expressions
            read |= {name.removeprefix(schema.LOG) for name in label_columns(text)}
    tables: Sequence[tuple[str, Table]] = (("the log", "events"), ("users", "users"), ("items", "items"))
    for where, table in tables:
        there = columns.names([table])
        for name in sorted(read & set(there)):
            if others := differing_by_case(name, there):
                yield f"{where}: found {name} and {', '.join(others)}, {ALIKE}. Fix: rename one of them"


def ours_and_theirs(pipeline: Pipeline, columns: Columns) -> Iterator[str]:
    """Yield the names of ours that are read where the log has another column of that name, and could mean either."""
    features = pipeline.features
    groups = {**by_entities(features), "ids": features.ids}
    uses: dict[str, Sequence[str]] = {key: [name for name in of if name not in _IDS] for key, of in groups.items()}
    for key, read in (uses | {"context": features.context, "slices": features.slices}).items():
        for name, theirs in _both(pipeline, columns).items():
            if name in read:
                found = f"found {name}, a column of the log and our name of another, {theirs}"
                yield f"features.{key}: {found}, expected a name that only one has. Fix: rename that column in the log"


def theirs_in_labels(pipeline: Pipeline, columns: Columns) -> Iterator[str]:
    """Yield the same names in labels and expressions, which read the log's own columns alone: ours may be meant."""
    for key, text in expressions(pipeline).items():
        with contextlib.suppress(LabelError):  # reported by check
            read = label_columns(text)
            for name, theirs in _both(pipeline, columns).items():
                if name in read:
                    found = f"found {name}, which is here the log's own column and elsewhere our name of another, {theirs}"
                    yield f"{key}: {found}, expected a name that only one has. Fix: write {schema.log_column(name)}, if that is meant"


def _both(pipeline: Pipeline, columns: Columns) -> dict[str, str]:
    """Return each name of ours that the log has for another column → the log's name of ours."""
    names, named = columns.events.names, mapped(pipeline)
    return {name: named.get(name, name) for name in schema.KNOWN_COLUMNS if name in names and schema.log_column(name) in names}


def in_examples(pipeline: Pipeline) -> Iterator[str]:
    """Yield the names that would give the examples two columns of one name, or of names that differ by case alone.

    One of the two would take the other's place, or the engine would refuse both.
    """
    makers: dict[str, tuple[str, str]] = {}
    said: set[tuple[str, str]] = set()
    for column, key, name in _example_columns(pipeline.features):
        maker = (key, name)
        other_key, other = makers.setdefault(column.lower(), maker)
        if (other_key, other) != maker and maker not in said:
            said.add(maker)
            beside = f"{other} of {other_key}" if other_key not in ("", key) else other
            found = f"found {name}, which makes the column {column} of the examples, as does {beside}"
            yield f"{key}: {found}, expected names that differ by more than case. Fix: rename it, or leave it out"


def _example_columns(features: Features) -> Iterator[tuple[str, str, str]]:
    """Yield columns of the examples, each with the key of the TOML that asks for it and the name there; ours, without a key, come first."""
    for name in schema.OF_THE_MOMENT:
        yield schema.CONTEXT + name, "", f"our own {name}, which is read in any case"
    yield schema.HISTORY_AGE, "", "our own age of each impression of the history"
    for key, prefix in _PREFIXES.items():
        for name in getattr(features, key):
            yield prefix + name, f"features.{key}", name
            yield schema.HISTORY + prefix + name, f"features.{key}", name
    counted: tuple[tuple[str, Iterable[tuple[str, ...]], Iterable[int | str]], ...] = (
        ("entities", features.entities, features.windows),
        ("today", features.today, (schema.TODAY,)),
        ("recent", features.recent, [f"{hours}{schema.HOURS}" for hours in features.hours]),
        ("factors", [(schema.USER_ID, name) for name in features.factored], (schema.FACTORS,)),
    )
    for key, entities, windows in counted:
        for entity, window in product(entities, windows):
            yield schema.aggregate_column(entity, schema.COUNT, window), f"features.{key}", str([*entity])
            for name in features.signals:
                yield schema.aggregate_column(entity, name, window), "features.signals", name
    for name in features.signals:
        yield schema.HISTORY + name, "features.signals", name


def in_several_tables(pipeline: Pipeline, columns: Columns) -> Iterator[str]:
    """Yield the names that are looked for in all tables and stand in several: the first one is read."""
    features = pipeline.features
    uses = {**by_entities(features), "ids": features.ids, "slices": features.slices}
    for name in dict.fromkeys(name for names in uses.values() for name in names if name not in _IDS):
        tables = [_NAMES[table] for table in ANY_TABLE if columns.find(name, (table,), features) is not None]
        if len(tables) > 1:
            keys = ", ".join(f"features.{key}" for key, names in uses.items() if name in names)
            found = f"found {name}, a column of {' and of '.join(tables)}, and the one of {tables[0]} is read"
            yield f"{keys}: {found}, expected a name in one table. Fix: rename the one that is not meant"
