"""The labels and the features of the moment of some events, without any past: what a look before a run needs."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa
from ibis.common.exceptions import IbisError

from recsys import schema
from recsys.config import Pipeline
from recsys.days import Day
from recsys.features.check import event_table, is_measured, is_plain, known_after
from recsys.features.clock import stamped
from recsys.features.duckdb_engine import DuckDBEngine
from recsys.features.feature_columns import Columns, Table
from recsys.features.impressions import beside_given, impressions
from recsys.features.labels import UnknownColumns, translate
from recsys.features.operands import LabelError
from recsys.features.plan import ANY_TABLE, Plan, make_plan, measured_column
from recsys.features.shared_names import differing_by_case
from recsys.features.sides import Sides, side_tables
from recsys.features.steps import read_columns
from recsys.features.validate import broken_rules
from recsys.objectives import Objective, chain
from recsys.workspace import EVENTS, PART, day_folder, days_in

_KEYS = (schema.TIMESTAMP, schema.USER_ID, schema.ITEM_ID, schema.REQUEST_ID)
_LAST_DAY = date(9999, 12, 30)  # the last with a day behind it


@dataclass(frozen=True)
class Preview:
    """The labels of some events, and the features of some of them.

    `labels`: timestamp, user_id, item_id, request_id and position where the log has them, then label.X, of every impression.
    `features`: event_id, features and labels of some training impressions.
    `slices`: per slice that is a column, how many values it has in these events.
    `beside_given`: per objective with `given`, how many of its labels of 1 count as 0 because that of `given` is 0, and how many there are.
    `problems` are those of values that a run would refuse. `plan` holds what could be computed: the other objectives and features have
    problems of their own (`features.problems`).
    """

    plan: Plan
    labels: pa.Table
    features: pa.Table
    slices: Mapping[str, int]
    beside_given: Mapping[str, tuple[int, int]]
    problems: tuple[str, ...]


def columns_of(folder: Path) -> Columns:
    """Read the columns of the events, users and items in a folder."""
    return read_columns(folder, days_in(folder / EVENTS)[0])


def preview(pipeline: Pipeline, folder: Path, *, most: int) -> Preview:
    """Compute the labels of all events in `folder`, and the features of `most` events of the training days, chosen by their ids."""
    columns = columns_of(folder)
    pipeline = _computable(pipeline, columns)
    plan = make_plan(pipeline, columns)
    files = [day_folder(folder / EVENTS, day) / PART for day in days_in(folder / EVENTS)]
    with (
        tempfile.TemporaryDirectory(prefix="recsys-preview-") as spill,
        DuckDBEngine(memory_limit=pipeline.features.memory_limit, spill=Path(spill)) as engine,
    ):
        engine.files("events", files)
        Sides(engine, folder, plan).at(days_in(folder / EVENTS)[-1])
        events = event_table(columns)
        rows = impressions(stamped(events, Day("1970-01-01", plan.zone)), *side_tables(plan), plan)
        labels = [schema.label_column(objective.name) for objective in plan.objectives]
        keys = {name: rows[name] for name in _KEYS if name in rows.columns}
        keys |= {name: rows[schema.BIAS + name] for name in plan.features.bias}
        moment = rows[schema.TIMESTAMP]
        first, last = pipeline.split.train
        start, end = Day(str(first), plan.zone).start, Day(str(min(last, _LAST_DAY)), plan.zone).end
        chosen = rows.filter((moment >= start) & (moment < end)).order_by(schema.EVENT_ID).limit(most)

        def answer(row: ir.Table) -> dict[str, Any]:
            return dict(engine.arrow(row).to_pylist()[0])

        return Preview(
            plan,
            engine.arrow(rows.select(*labels, **keys)),
            engine.arrow(chosen.select(schema.EVENT_ID, *plan.outputs, *labels)),
            {
                column.name: answer(rows.aggregate(values=rows[schema.slice_column(column.name)].nunique()))["values"]
                for column in plan.slices
            },
            beside_given(answer, events, plan),
            tuple(map(str, broken_rules(answer, rows, events, plan, Path(EVENTS)))),
        )


def _computable(pipeline: Pipeline, columns: Columns) -> Pipeline:
    """Return the pipeline with the objectives, signals and features of the moment that these columns give, and nothing of the past."""
    events = event_table(columns)
    good = {objective.name for objective in pipeline.objective if _is_computable(objective, events)}
    objectives = tuple(
        objective for objective in pipeline.objective if all(link.name in good for link in chain(objective, pipeline.objective))
    )

    def known(names: Sequence[str], *tables: Table) -> tuple[str, ...]:
        found = {name: columns.find(name, tables, pipeline.features) for name in names}
        there = columns.names(tables)
        return tuple(
            name for name, column in found.items() if column is not None and is_plain(column) and not differing_by_case(name, there)
        )

    def is_number(name: str | None) -> bool:
        stored = None if name is None else measured_column(name, columns)
        return stored is not None and is_measured(stored, columns)

    computable = {name for name, text in pipeline.features.expressions.items() if _is_translatable(text, events)}
    features = pipeline.features.model_copy(
        update={
            "user": known(pipeline.features.user, "users"),
            "item": known(pipeline.features.item, "items"),
            "context": tuple(name for name in known(pipeline.features.context, "events") if name not in known_after(pipeline)),
            "signals": tuple(name for name in pipeline.features.signals if is_number(name) or name in computable),
            "slices": known(pipeline.features.slices, *ANY_TABLE),
            **dict.fromkeys(("entities", "today", "recent", "ids"), ()),
            "bias": tuple(name for name in (schema.POSITION,) if name in columns.events.names),
            "factors": {},
        }
    )
    train = pipeline.train if is_number(pipeline.train.weight) else pipeline.train.model_copy(update={"weight": None})
    return pipeline.model_copy(update={"objective": objectives, "features": features, "train": train})


def _is_computable(objective: Objective, events: ir.Table) -> bool:
    return all(_is_translatable(text, events) for text in (objective.label, objective.observed) if text is not None)


def _is_translatable(text: str, events: ir.Table) -> bool:
    try:
        translate(text, events)
    except (LabelError, UnknownColumns, IbisError, TypeError):
        return False
    return True
