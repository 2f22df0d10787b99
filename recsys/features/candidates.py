"""Features of candidates: of users and items at given moments, which need not be impressions of the log.

The program is that of the examples. What is asked for are candidates in place of a day's impressions. They count for nothing: a candidate's
features depend on the log before its moment, and on no other candidate.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pyarrow as pa

from recsys import schema
from recsys.artifacts import Origin
from recsys.config import Pipeline
from recsys.days import DAY_MS, Day, iso_day
from recsys.features.check import event_table
from recsys.features.engine import Engine
from recsys.features.feature_columns import Column, Columns
from recsys.features.list_starts import NAME, list_name
from recsys.features.plan import Plan, make_plan
from recsys.features.program import DayInputs, Program
from recsys.features.sides import Sides
from recsys.features.steps import Step, require_whole
from recsys.workspace import day_folder


def needed_columns(pipeline: Pipeline, columns: Columns) -> pa.Schema:
    """Return the columns of events that the features of a candidate are made of, but for its moment.

    A position is among them only where features are made of it: the bias tower gets none.
    """
    plan = make_plan(pipeline, columns)
    used: list[Column] = [*plan.context, *plan.ids, *(column for entity in plan.keyed for column in entity.columns)]
    names = [schema.USER_ID, schema.ITEM_ID, *([schema.QUERY_ITEM_ID] if plan.has_query else [])]
    names += [column.stored for column in used if column.table == "events"]
    names += [schema.DEVICE] if schema.DEVICE in plan.features.bias else []
    return pa.schema([columns.events.field(name) for name in dict.fromkeys(names) if name != schema.TIMESTAMP])


class Candidates:
    """Candidates in an engine, ready to be asked for day by day.

    `rows` are the candidates as `sources.stage_candidates` wrote them. `unknown` counts, over the days so far, what `Program.count_unknown`
    counts.
    """

    def __init__(self, pipeline: Pipeline, folder: Path, columns: Columns, engine: Engine, file: Path, scratch: Path) -> None:
        """Open `file` in the engine, with users and items of the pipeline's `folder`. `scratch` is for what is needed for a while."""
        self._plan, self._engine, self._scratch = make_plan(pipeline, columns), engine, scratch
        self.rows = engine.own_files("candidates", [file])
        self._sides = Sides(engine, folder, self._plan)
        self._program = Program(engine, self._plan)
        self._events = _as_events(self.rows, self._plan)
        self.unknown: Counter[str] = Counter()

    @property
    def example_schema(self) -> pa.Schema:
        """The columns of `examples`."""
        return self._program.example_schema

    def days(self) -> dict[str, int]:
        """Return the days on which candidates are asked for, in order, with their number."""
        of_utc = self.rows.select(day=(self.rows[schema.TIMESTAMP] // DAY_MS)).distinct()
        near = sorted(
            {day + shift for day in self._engine.arrow(of_utc)["day"].to_pylist() for shift in (-1, 0, 1)}
        )  # no zone is a day away
        days = [Day(iso_day(day), self._plan.zone) for day in near]
        counts = self._engine.arrow(self.rows.agg(**{day.iso: _inside(self.rows, day).sum() for day in days})).to_pylist()[0]
        return {day: int(count) for day, count in counts.items() if count}

    def examples(self, day: Day, rows: int, earlier: Sequence[Step], today: Step | None, states: Path) -> Iterator[Callable[[], pa.Table]]:
        """Yield examples of the day's candidates, without labels, as `Program.examples` does. Their event_id is `schema.CANDIDATE`.

        `rows`: how many there are, as `days` tells.
        `earlier` are the days with events before the day, whose `states` stand. `today` is the day itself, where it has events.
        """
        program, previous = self._program, earlier[-1].day if earlier else None
        self._sides.at(day.iso)
        events, state = [*today.files] if today else [], day_folder(states, previous.iso) if previous else None
        program.load(DayInputs(day, max(rows, today.rows if today else 0), events, previous, state))
        if today:
            require_whole(today, self._plan.columns)
            program.require_valid(day, today.files[0])
        program.ask(self._events.filter(_inside(self._events, day)), day)
        self.unknown.update(program.count_unknown())
        fitted = program.fit_day([*(step.day.ordinal for step in earlier), day.ordinal], [*(step.rows for step in earlier), 0])
        reach = [step for step in earlier if step.day.ordinal >= fitted - program.longest_window]
        folders = [day_folder(states, step.day.iso) for step in reach]
        if previous is None or previous.next().iso != day.iso:  # what became known on days without events is in no state yet
            folders.append(self._scratch / f"state.{day.iso}")
            with Origin("predict", day.iso).writing(folders[-1]) as output:
                program.write_state(output)
        return program.examples(day, folders, fitted)


def _inside(rows: ir.Table, day: Day) -> ir.BooleanValue:
    return (rows[schema.TIMESTAMP] >= day.start) & (rows[schema.TIMESTAMP] < day.end)


def _as_events(stored: ir.Table, plan: Plan) -> ir.Table:
    """Give candidates the columns of events: null where they are not given, and what tells their list (`list_starts.known_lists`)."""
    events = event_table(plan.columns)
    kinds = events.schema()
    columns = {name: _as_kind(stored[name], kind) if name in stored.columns else ibis.null(kind) for name, kind in kinds.items()}
    tells = list_name(plan)
    if tells is not None:
        columns[NAME] = columns[tells]
    return stored.select(**{**columns, schema.EVENT_ID: stored[schema.CANDIDATE]})


def _as_kind(given: ir.Value, kind: dt.DataType) -> ir.Value:
    """Return ids in the type of the log, null where the log has none that is written so: its 7 is neither 007 nor 7.2."""
    if given.type() == kind:
        return given
    cast = given.try_cast(kind)
    return (cast.cast("string") == given.cast("string")).ifelse(cast, ibis.null(kind))
