"""Check a pipeline against its columns and report all problems at once: labels that do not parse, unknown names."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis.common.exceptions import IbisError

from recsys import schema
from recsys.config import Features, Pipeline
from recsys.errors import ConfigError, DataError, nearest
from recsys.features.feature_columns import Column, Columns, Table
from recsys.features.labels import UnknownColumns, translate
from recsys.features.labels import columns as label_columns
from recsys.features.names_read import Unknown, by_entities, expressions
from recsys.features.operands import LabelError, TextError, shortened
from recsys.features.plan import ANY_TABLE, measured_column
from recsys.features.ready_slices import READY_SLICES
from recsys.features.shared_names import by_case_alone, in_examples, in_several_tables, ours_and_theirs, theirs_in_labels
from recsys.features.text_values import text_problem


@dataclass
class Problems:
    """Every problem of a pipeline on these columns, each with the key of the TOML that it is about."""

    config: list[str] = field(default_factory=list)  # cannot be computed, whatever the data
    data: list[str] = field(default_factory=list)  # names or types that the data lacks
    doubts: list[str] = field(default_factory=list)  # can be computed, but perhaps another column is meant


def check(pipeline: Pipeline, columns: Mapping[str, Sequence[str]]) -> None:
    """Check labels, signals and features against these names (`sources.columns`). Raises the errors of `require`."""
    require(pipeline, Columns.untyped(columns))


def require(pipeline: Pipeline, columns: Columns) -> None:
    """Raise ConfigError (expressions, leaks), or else DataError (unknown names, wrong types), with all problems found."""
    found = problems(pipeline, columns)
    if found.config:
        raise ConfigError([*found.config, *found.data])
    if found.data:
        raise DataError("\n".join(found.data))


def problems(pipeline: Pipeline, columns: Columns) -> Problems:
    found = Problems()
    _expressions(pipeline, columns, found)
    _leaks(pipeline, found)
    found.config.extend(_empty(pipeline))
    found.config.extend(_factors(pipeline, columns))
    found.data.extend(_names(pipeline, columns))
    found.data.extend([*by_case_alone(pipeline, columns)] or in_examples(pipeline))  # the former make the latter, too
    found.data.extend(ours_and_theirs(pipeline, columns))
    found.doubts.extend(theirs_in_labels(pipeline, columns))
    found.doubts.extend(in_several_tables(pipeline, columns))
    found.data.extend(_ready_slices(pipeline, columns))
    found.data.extend(_durations(pipeline, columns))
    found.data.extend(_measured(pipeline, columns))
    found.data.extend(_bias(pipeline, columns))
    return found


def event_table(columns: Columns) -> ir.Table:
    """Make a table with the names and types of the events. Expressions over it can be checked before there is an engine."""
    return ibis.table(dict(columns.types("events")), name="events")


def _expressions(pipeline: Pipeline, columns: Columns, found: Problems) -> None:
    """Check that each label and each named expression can be computed on these columns."""
    events = event_table(columns)
    known = [*_bare(columns, schema.LOG), *_bare(columns, schema.FEEDBACK)]
    for place, text in expressions(pipeline).items():
        try:
            translate(text, events)
        except TextError as error:
            found.config.append(f"{place}: {text_problem(error, columns)}")
        except LabelError as error:
            found.config.append(f"{place}: {error}")
        except UnknownColumns as error:
            found.data.extend(Unknown(pipeline, columns).in_expression(place, name, known, text) for name in error.names)
        except (IbisError, TypeError) as error:
            found.config.append(f'{place}: found "{text}", which cannot be computed on these columns ({error})')
    for name in pipeline.features.expressions:
        place = f"features.expressions.{name}"
        if name in {*known, *columns.names(ANY_TABLE)}:
            found.config.append(f"{place}: found a name that the data has too, expected one of its own. Fix: another name")


def _leaks(pipeline: Pipeline, found: Problems) -> None:
    """Report features that are known only after the impression: a signal, a column that alone is a label, or the weight."""
    features, after = pipeline.features, known_after(pipeline)
    uses = {"context": features.context, "ids": features.ids, **by_entities(features)}
    for key, names in uses.items():
        for name in dict.fromkeys(names):
            if name in after:
                found.config.append(f"features.{key}: found {name}, which is {after[name]}, expected columns known before the impression")


def known_after(pipeline: Pipeline) -> dict[str, str]:
    """Return column of the log → why it is known only after the impression."""
    after = dict.fromkeys(pipeline.features.signals, "a signal")
    texts = [(objective.label, f"the label of {objective.name}") for objective in pipeline.objective]
    signals = pipeline.features.signals
    texts += [(text, f"read by the signal {name}") for name, text in pipeline.features.expressions.items() if name in signals]
    for text, what in texts:
        try:
            names = label_columns(text)
        except LabelError:
            continue  # reported by _expressions
        if len(names) == 1:
            after.setdefault(names[0].removeprefix(schema.LOG), what)
    if pipeline.train.weight is not None:
        after.setdefault(pipeline.train.weight, "train.weight")
    return after


def _empty(pipeline: Pipeline) -> Iterator[str]:
    if not pipeline.features.windows:
        yield "features.windows: found none, expected at least one number of days"
    for entity in pipeline.features.today:
        if schema.USER_ID not in entity:
            yield f"features.today: found {list(entity)}, expected user_id in it: other counters do not run on through the day"
    for key, entities in (("entities", pipeline.features.entities), ("recent", pipeline.features.recent)):
        if () in entities:
            yield f"features.{key}: found an entity without columns, expected the columns that name it"
    if pipeline.features.recent and not pipeline.features.hours:
        yield "features.hours: found none, expected at least one number of hours for features.recent"


def _factors(pipeline: Pipeline, columns: Columns) -> Iterator[str]:
    features = pipeline.features
    for name, signals in features.factored.items():
        place = f"features.factors.{name}"
        column = columns.find(name, ANY_TABLE, features)
        if name == schema.USER_ID or (column is not None and column.table == "users"):
            yield f"{place}: found a column of the user, expected one whose values a user can like more or less, such as item_id"
        if column is not None and column.kind == "multi":
            yield f"{place}: found a column with several values in a cell, expected one value, such as item_id"
        if not signals:
            yield f"{place}: found no signals, expected names from features.signals"
        for signal in dict.fromkeys(signals):
            if signal not in features.signals:
                yield f"{place}: found the signal {shortened(signal)}, expected one of features.signals{nearest(signal, features.signals)}"


def _names(pipeline: Pipeline, columns: Columns) -> Iterator[str]:
    features = pipeline.features
    entities = by_entities(features)
    uses: tuple[tuple[str, Sequence[str], tuple[Table, ...]], ...] = (
        ("user", features.user, ("users",)),
        ("item", features.item, ("items",)),
        ("context", features.context, ("events",)),
        *((key, names, ANY_TABLE) for key, names in entities.items()),
        ("ids", features.ids, ANY_TABLE),
        ("slices", [name for name in features.slices if name not in READY_SLICES], ANY_TABLE),
        ("category", features.category, ANY_TABLE),
        ("multi", tuple(features.multi), ANY_TABLE),
    )
    for key, names, tables in uses:
        for name in names:
            column = columns.find(name, tables, features)
            if column is None:
                expected, known = f"a column of {' or '.join(tables)}", columns.names(tables)
                if key == "slices":
                    expected, known = f"{expected}, or {' or '.join(READY_SLICES)}", [*known, *READY_SLICES]
                problem = Unknown(pipeline, columns).said(f"features.{key}", name, known, expected, tables)
                yield problem if ". Fix: " in problem else problem + _elsewhere(name, key, columns, features)
            elif not is_plain(column):
                yield f"features.{key}: found {name} of type {column.dtype}, expected a number, text, a date, true/false or a list of text"


def _elsewhere(name: str, key: str, columns: Columns, features: Features) -> str:
    """Return where another table has the name, and the key that reads it from there."""
    for other, table in _SIDES.items():
        if other != key and columns.find(name, (table,), features) is not None:
            return f". Fix: it is a column of {'the log' if table == 'events' else table}: put it into features.{other}"
    return ""


_SIDES: dict[str, Table] = {"user": "users", "item": "items", "context": "events"}


def _ready_slices(pipeline: Pipeline, columns: Columns) -> Iterator[str]:
    """Report a ready slice that has the name of a column of the data: nobody could tell which of the two is meant."""
    for name in dict.fromkeys(pipeline.features.slices):
        if name in READY_SLICES and (column := columns.find(name, ANY_TABLE, pipeline.features)) is not None:
            found = f"found {name}, which is a ready slice and a column of {column.table}"
            yield f"features.slices: {found}, expected one thing of that name. Fix: call the column otherwise, or leave the slice out"


def is_plain(column: Column) -> bool:
    """Return whether a column has a type that a feature can have."""
    kind = column.dtype.value_type if column.dtype.is_array() else column.dtype
    return bool(kind.is_numeric() or kind.is_string() or kind.is_boolean() or kind.is_date() or kind.is_timestamp() or kind.is_null())


def _durations(pipeline: Pipeline, columns: Columns) -> Iterator[str]:
    """Report video lengths that are not numbers, because the loss needs numbers. Unknown names are reported by `_names`."""
    features = pipeline.features
    tables: dict[str, Table] = {schema.USER: "users", schema.ITEM: "items", schema.CONTEXT: "events"}
    for objective in pipeline.objective:
        if objective.duration is None:
            continue
        prefix = features.example_column(objective.duration).removesuffix(objective.duration)
        column = columns.find(objective.duration, (tables[prefix],), features)
        if column is not None and column.kind != "number":
            found = f"found {objective.duration}, which [features] reads as {column.kind}"
            yield f"objective.{objective.name}.duration: {found}, expected a number"


def _measured(pipeline: Pipeline, columns: Columns) -> Iterator[str]:
    weight = [] if pipeline.train.weight is None else [("train.weight", pipeline.train.weight)]
    for place, name in (*(("features.signals", name) for name in pipeline.features.signals), *weight):
        if place == "features.signals" and name in pipeline.features.expressions:
            continue
        stored = measured_column(name, columns)
        if stored is None:
            known = [*_bare(columns, schema.LOG), *_bare(columns, schema.FEEDBACK)]
            names = [*known, *pipeline.features.expressions]
            yield Unknown(pipeline, columns).said(place, name, names, "a column of the log or a feedback")
            continue
        if not is_measured(stored, columns):
            kind = columns.types("events")[stored]
            named = f""". Fix: give its number a name in features.expressions, such as number = 'cast("{name}" as double)'"""
            fix = named if place == "features.signals" and kind.is_string() else ""
            yield f"{place}: found {name} of type {kind}, expected numbers of 0 or more{fix}"


def is_measured(stored: str, columns: Columns) -> bool:
    """Return whether a column of events holds numbers, so that it can be a signal or the weight."""
    dtype = columns.types("events")[stored]
    return bool(dtype.is_numeric() or dtype.is_boolean() or dtype.is_null())


def _bias(pipeline: Pipeline, columns: Columns) -> Iterator[str]:
    for name in pipeline.features.bias:
        if name not in columns.events.names:
            yield f"features.bias: found no {name} in the log, expected it. Fix: map it in source.columns, or leave it out of features.bias"
    if schema.POSITION in pipeline.features.bias and schema.POSITION in columns.events.names:
        kind = columns.events.field(schema.POSITION).type
        if not (pa.types.is_integer(kind) or pa.types.is_null(kind)):
            yield f"features.bias: found position of type {kind}, expected whole numbers"


def _bare(columns: Columns, prefix: str) -> list[str]:
    return [schema.strip(name, prefix) for name in columns.events.names if name.startswith(prefix)]
