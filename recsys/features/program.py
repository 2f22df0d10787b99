"""The feature program of one day: the tables that are kept, the expressions that run over them, and their order.

Expressions that do not name the day are built and compiled once: 400 columns take longer to compile than to compute.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from recsys import schema
from recsys.artifacts import GROUP_ROWS, Output
from recsys.days import Day
from recsys.features import aggregates, clock, counters, day_state, factors, ready_slices, running, session, validate
from recsys.features.check import event_table
from recsys.features.daily_factors import DailyFactors
from recsys.features.engine import Answers, Engine, Past, arrow_schema
from recsys.features.impressions import ROW, closing_columns, impressions, past_columns, placed_candidates, static_columns
from recsys.features.list_starts import known_lists
from recsys.features.own_columns import own_columns, own_schema
from recsys.features.plan import Entity, Plan
from recsys.features.session import LISTED
from recsys.features.sides import side_tables

CHUNK = GROUP_ROWS  # examples that are computed at once, and a row group of their file; on a large day half as many
LARGE_DAY = 4  # a day of more chunks is large: each of its chunks would hold the past of most users
_ORDINAL, _SINCE = "ordinal", "since"
_EVERYTHING = Entity(())  # all impressions together, for the base rates


@dataclass(frozen=True)
class DayInputs:
    """The inputs of one day's step: its events, if any, and the state of the last earlier day that has events.

    `most_rows` is the number of its impressions, or of the candidates that will be asked for, whichever is larger.
    """

    day: Day
    most_rows: int
    events: Sequence[Path]
    previous: Day | None
    previous_state: Path | None


def partials_file(index: int) -> str:
    return f"partials-{index}.parquet"


class Program:
    """A plan's expressions over an engine's tables. `load` a day, then write its state, then read its examples."""

    def __init__(self, engine: Engine, plan: Plan) -> None:
        self._engine, self._plan = engine, plan
        self._packs = False  # whether what chunks read again and again is kept packed
        self._entities = (_EVERYTHING, *plan.windowed)
        self._events = event_table(plan.columns)
        users, items = side_tables(plan)
        any_day = Day("1970-01-01", plan.zone)
        # These tables are filled day by day. Expressions over them name no day: `stamped` and `today` supply it.
        self._stamped = _named("stamped", clock.stamped(self._events, any_day))
        self._impressions = impressions(self._stamped, users, items, plan)
        self._sides = users, items
        day = self._day = _named("day", self._impressions)
        # What features are asked for: the day's own impressions, or candidates (`ask`).
        asked = self._asked = _named("asked", day)
        self._kept = _named("kept", day.select(*past_columns(plan)))
        self._gathered = day_state.past_impressions(day, self._kept, plan)
        self._unstamped = _named("unstamped", self._gathered)
        past = self._past = _named("past", day_state.stamped(self._unstamped, plan, any_day, None))
        self._sessions = _named(
            "sessions", day.select(schema.USER_ID, schema.TIMESTAMP, n=ibis.literal(0, "int64"), begin=day[schema.TIMESTAMP])
        )
        self._seen = _named("seen", day.select(schema.ITEM_ID, "day"))
        counted = ready_slices.counted(plan.ready_slices)
        self._met = {
            name: _named(name, day.select(key, **{ready_slices.SEEN_BEFORE: ibis.literal(0, "int64")})) for name, key in counted.items()
        }
        self._carried = {"kept": self._kept, "sessions": self._sessions, "seen": self._seen, **self._met}
        self._found_moments = session.moments(day, self._sessions)
        self._moments = _named("moments", self._found_moments)
        self._asked_moments = _named("asked_moments", self._moments)
        self._state: dict[str, ir.Table] = {
            "kept.parquet": day_state.kept_impressions(past, plan),
            "sessions.parquet": session.last_sessions(self._moments),
            "seen.parquet": day_state.first_seen(day, self._seen),
            **{f"{name}.parquet": ready_slices.met(day, self._met[name], key) for name, key in counted.items()},
            **{
                partials_file(index): aggregates.partials(past, entity.keys, entity.multi, plan)
                for index, entity in enumerate(self._entities)
            },
        }
        self._today = ibis.table({_ORDINAL: "int32", _SINCE: "int64"}, name="today")
        self._in_windows = [self._aged(index) for index in range(len(self._entities))]
        self._base_rates = aggregates.base_rates(self._in_windows[0], plan)
        self._base = _named("base", self._base_rates)
        self._rates = [
            aggregates.rated(asked, self._in_windows[index], self._base, entity, plan)
            for index, entity in enumerate(plan.entities, start=1)
        ]
        self._asks = _named("asks", asked)
        self._own_past = running.own_past(self._asks, past, plan)
        self._own_asks = self._asked_of([schema.USER_ID, *(key for entity in plan.with_own_past for key in entity.keys)])
        self._past_of = [counters.past_of(entity, past.cross_join(self._today), _SINCE, plan) for entity in plan.recent]
        self._asks_of = [
            aggregates.one_value_a_row(self._asked_of(entity.keys), entity.keys, entity.multi, keep_empty=True) for entity in plan.recent
        ]
        of_factors = [self._stored(self._entities.index(factor.entity)) for factor in plan.factors]
        self.daily_factors = DailyFactors(engine, plan, of_factors, self._today)
        self._factors: list[factors.DayFactors] = []
        self._blocks = self._example_blocks()
        self._closing = self._closing_block()

    @property
    def example_schema(self) -> pa.Schema:
        schemas = [*map(arrow_schema, self._blocks), self._own_schema, arrow_schema(self._closing)]
        return pa.schema([field for part in schemas for field in part if field.name != ROW])

    @property
    def _own_schema(self) -> pa.Schema:
        return own_schema(arrow_schema(self._own_past), self._plan)

    def load(self, inputs: DayInputs) -> None:
        """Read a day and the state that was kept before it."""
        engine = self._engine
        self._packs = packed = _is_large(inputs.most_rows)
        if inputs.events:
            engine.files("events", inputs.events)
        else:
            engine.empty("events", arrow_schema(self._events))
        for name, table in self._carried.items():
            if inputs.previous_state is None:
                engine.empty(name, arrow_schema(table))
            else:
                engine.files(name, [inputs.previous_state / f"{name}.parquet"])
        engine.view("stamped", clock.stamped(self._events, inputs.day))
        engine.keep("day", self._impressions, packed=packed)
        engine.view("unstamped", self._gathered)
        engine.keep("past", day_state.stamped(self._unstamped, self._plan, inputs.day, inputs.previous), packed=packed)
        engine.keep("moments", self._found_moments, packed=packed)
        engine.view("asked", self._day)
        engine.view("asked_moments", self._moments)

    def ask(self, candidates: ir.Table, day: Day) -> None:
        """Have `examples` give the features of candidates of the loaded day, in the order of their event_id, and not of its impressions.

        `candidates` has the columns of events, and `list_starts.NAME`. No candidate is an impression: it counts for nothing.
        """
        engine, plan = self._engine, self._plan
        stamped = clock.stamped(candidates, day)
        engine.view("stamped_candidates", stamped)
        rows = _named("stamped_candidates", stamped)
        placed = placed_candidates(rows, known_lists(self._day, plan))
        engine.keep("asked", impressions(rows, *self._sides, plan, placed), packed=self._packs)
        engine.keep("asked_moments", session.moments_before(self._asked, self._moments))

    def count_unknown(self) -> dict[str, int]:
        """Count what is asked for: `rows`, those whose user or item has no impression before the day, and per context column the nulls."""
        asked = self._asked
        before = self._sessions.select(schema.USER_ID).distinct().mutate(met_user=True)
        rows = asked.left_join(before, schema.USER_ID).left_join(self._seen.mutate(met_item=True).drop("day"), schema.ITEM_ID)
        nulls = {name: rows[name].isnull().sum() for name in self._plan.outputs if name.startswith(schema.CONTEXT)}
        counted = rows.agg(rows=rows.count(), user_id=rows["met_user"].isnull().sum(), item_id=rows["met_item"].isnull().sum(), **nulls)
        return {name: int(count or 0) for name, count in self._engine.arrow(counted).to_pylist()[0].items()}

    def require_valid(self, day: Day, file: Path) -> dict[str, str]:
        """Raise DataError where the loaded day's rows cannot be learned from. Return doubts about signals (`validate.require_valid`)."""
        return validate.require_valid(lambda row: self._engine.arrow(row).to_pylist()[0], self._day, self._events, self._plan, day, file)

    @property
    def longest_window(self) -> int:
        return max(self._plan.windows)

    def fit_day(self, days: Sequence[int], rows: Sequence[int]) -> int:
        """Return the day to whose start the factors of the last day are fitted (`factors.fit_day`); without factors, that day."""
        return factors.fit_day(days, rows, self.longest_window) if self._plan.factors else days[-1]

    def write_state(self, output: Output) -> None:
        """Write everything that later days need from the loaded day."""
        for (name, table), rows in zip(self._state.items(), self._engine.streams(tuple(self._state.values())), strict=True):
            output.write_batches(name, arrow_schema(table), rows)

    def examples(self, day: Day, states: Sequence[Path], fitted: int) -> Iterator[Callable[[], pa.Table]]:
        """Yield examples of what is asked for, some rows at a time: the loaded day's impressions in the order of (timestamp, event_id).

        Each yielded function assembles its rows, and needs the engine no more.

        `states` are the folders of the day's own state and of all states that reach into its windows, or into that of `fitted`, the day to
        whose start its factors are fitted.
        """
        engine = self._engine
        for index in range(len(self._entities)):
            engine.files(f"partials-{index}", [folder / partials_file(index) for folder in states])
        engine.rows("today", pa.table({_ORDINAL: pa.array([day.ordinal], pa.int32()), _SINCE: [day.start - self._plan.reach]}))
        engine.keep("base", self._base_rates)
        self._factors = self.daily_factors.of(day, fitted)
        of_entities = self._pasts_of_entities()
        rows = engine.arrow(self._asked.agg(n=self._asked.count()))["n"][0].as_py()
        size = CHUNK // 2 if _is_large(rows) else CHUNK
        at_once = max(rows, 1) if engine.whole_days else size
        for index, rates in enumerate(self._rates):  # what several chunks read is computed once
            if rows > at_once:
                engine.keep(_rates_name(index), rates, packed=_is_large(rows))
            else:
                engine.view(_rates_name(index), rates)
        for start in range(0, rows, at_once):
            inside = (self._asked[ROW] >= start) & (self._asked[ROW] < start + at_once)
            engine.view("asks", self._asked.filter(inside))
            yield from engine.side_by_side(self._parts(day, of_entities), self.example_schema, min(at_once, rows - start), size)
        for index in range(len(self._rates)):
            engine.drop(_rates_name(index))

    def _pasts_of_entities(self) -> list[Past[counters.EntityPast]]:
        """Read what is counted by hours, of all users: the last hours before the day, and the day itself."""
        named = zip(self._plan.recent, self._past_of, strict=True)
        return [
            self._engine.past(past, entity.keys, partial(counters.EntityPast, keys=entity.keys, plan=self._plan)) for entity, past in named
        ]

    def _parts(self, day: Day, of_entities: Sequence[Past[counters.EntityPast]]) -> list[ir.Table | Answers[pa.Table]]:
        """Return the parts of the examples of the asks, in the order of their columns."""
        own = self._engine.past(self._own_past, [schema.USER_ID], pa.Table.combine_chunks, running.ORDER)
        self._keep_counters(day, own, of_entities)
        if len(self._own_schema) == 1:  # `ROW` alone: no history, no factors
            return [*self._blocks, self._closing]
        columns = partial(own_columns, day=day, factors=self._factors, plan=self._plan)
        return [*self._blocks, Answers(own, self._own_asks, columns, self._own_schema), self._closing]

    def _keep_counters(self, day: Day, own: Past[pa.Table], of_entities: Sequence[Past[counters.EntityPast]]) -> None:
        """Count what has been up to the very moment of each ask, and keep the counts for the blocks that read them."""
        plan, columns = self._plan, counters.counted_schema(self._plan)
        if plan.today:
            of_today = partial(counters.of_today, day=day, plan=plan)
            self._engine.keep_answers(counters.TODAY, Answers(own, self._own_asks, of_today, columns))
        of_hours = partial(counters.of_hours, plan=plan)
        for index, (past, asks) in enumerate(zip(of_entities, self._asks_of, strict=True)):
            self._engine.keep_answers(counters.recent_name(index), Answers(past, asks, of_hours, columns))

    # --- Expressions ----------------------------------------------------------------------------------------------
    def _asked_of(self, keys: Sequence[str]) -> ir.Table:
        """Select the asks with some keys, and the moments at which their lists began."""
        return self._asks.select(ROW, *dict.fromkeys(keys), **{schema.TIMESTAMP: self._asks[LISTED]})

    def _aged(self, index: int) -> ir.Table:
        """Select an entity's partial sums in the longest window before today, with their age."""
        stored = self._stored(index)
        aged = stored.cross_join(self._today).mutate(**{aggregates.AGE: self._today[_ORDINAL] - stored["day"]})
        return aged.filter((aged[aggregates.AGE] >= 1) & (aged[aggregates.AGE] <= max(self._plan.windows))).drop(_ORDINAL, _SINCE, "day")

    def _stored(self, index: int) -> ir.Table:
        """Return the partial sums of an entity that the loaded states hold."""
        return _named(f"partials-{index}", self._state[partials_file(index)])

    def _example_blocks(self) -> list[ir.Table]:
        plan, asks = self._plan, self._asks
        blocks = [self._moment_block()]
        for index, (entity, rates) in enumerate(zip(plan.entities, self._rates, strict=True)):
            blocks.append(aggregates.trailing(asks, _named(_rates_name(index), rates), entity))
        blocks += [counters.features(self._base, window, plan) for window in plan.open_windows]
        return blocks

    def _closing_block(self) -> ir.Table:
        plan, asks = self._plan, self._asks
        numbers = [schema.label_column(objective.name) for objective in plan.objectives]
        numbers += [] if plan.weight is None else [schema.WEIGHT]
        moments = [schema.known_column(objective.name) for objective in plan.objectives]
        ready = [schema.slice_column(word) for word in plan.ready_slices]
        for word in plan.ready_slices:
            asks = ready_slices.with_slice(asks, word, self._carried[ready_slices.READY_SLICES[word].state])
        labels = {name: asks[name].cast("float32") for name in numbers} | {name: asks[name] for name in moments}
        return asks.select(ROW, *closing_columns(plan), *ready, **labels).order_by(ROW)

    def _moment_block(self) -> ir.Table:
        """Select the static columns, and compute the features of an impression's place in time."""
        plan = self._plan
        first_days = self._seen.rename(first_day="day")
        began = self._asked_moments.rename(**{LISTED: schema.TIMESTAMP})
        rows = self._asks.left_join(began, [schema.USER_ID, LISTED]).left_join(first_days, schema.ITEM_ID)
        columns: dict[str, ir.Value] = {name: rows[name] for name in static_columns(plan)}
        columns |= session.session_columns(rows, plan)
        if any(entity.is_just(schema.ITEM_ID) for entity in plan.entities):
            days = (rows["day"] - rows["first_day"]).cast("float64")
            columns[schema.AGGREGATE + schema.ITEM_ID + ".age"] = (days + 1.0).ln().cast("float32")
        return rows.select(ROW, **columns).order_by(ROW)


def _is_large(rows: int) -> bool:
    return rows > LARGE_DAY * CHUNK


def _rates_name(index: int) -> str:
    return f"rates-{index}"


def _named(name: str, like: ir.Table) -> ir.Table:
    """Return a reference to an engine table, by name, with the columns of the expression that the engine keeps there."""
    return ibis.table(like.schema(), name=name)
