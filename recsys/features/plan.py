"""Everything that the feature program takes from a pipeline and from the columns of its data, computed once."""

from dataclasses import dataclass

from recsys import schema
from recsys.config import Features, Feedback, Pipeline, duration_ms
from recsys.features.feature_columns import Column, Columns, Table
from recsys.features.labels import columns as label_columns
from recsys.features.ready_slices import READY_SLICES
from recsys.objectives import Objective, chain

HOUR_MS = 3_600_000
FRACTION = 1_000_000  # a fractional signal is summed as a whole number of millionths


@dataclass(frozen=True)
class Signal:
    """A number ≥ 0 that is counted and summed from when it is known: `delay` ms after its impression."""

    name: str
    stored: str  # its column in events, or the expression that computes it
    delay: int
    scale: int  # sums add up `scale` times the value, in int64
    is_computed: bool = False  # whether `stored` is an expression


@dataclass(frozen=True)
class Entity:
    """The columns that together name a counted thing: a user, a video in a tab, a user and an author."""

    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(key_column(column) for column in self.columns)

    @property
    def multi(self) -> tuple[str, ...]:
        """The keys that hold several values. The entity's lifts and counts are means over these values."""
        return tuple(key_column(column) for column in self.columns if column.kind == "multi")

    def is_just(self, name: str) -> bool:
        return self.names == (name,)


@dataclass(frozen=True)
class OpenWindow:
    """A window that ends at the very moment, over which an entity is counted: the last `hours`, or the day so far."""

    entity: Entity
    hours: int | None = None

    @property
    def name(self) -> str:
        """The last part of the names of its example columns."""
        return schema.TODAY if self.hours is None else f"{self.hours}{schema.HOURS}"


@dataclass(frozen=True)
class Factor:
    """A matrix factorisation: the user and a column, and the signals of which each pair's mean is factorised."""

    entity: Entity
    signals: tuple[Signal, ...]

    @property
    def outputs(self) -> tuple[str, ...]:
        """The example columns of its scores, one per signal."""
        return tuple(schema.aggregate_column(self.entity.names, signal.name, schema.FACTORS) for signal in self.signals)


@dataclass(frozen=True)
class Plan:
    """The program's parameters. `delays` holds label_delay first, then each other delay of a signal once, ascending."""

    features: Features
    objectives: tuple[Objective, ...]
    zone: str
    columns: Columns
    signals: tuple[Signal, ...]
    entities: tuple[Entity, ...]
    today: tuple[Entity, ...]  # counted through the day; each contains the user
    recent: tuple[Entity, ...]  # counted over the last hours
    factors: tuple[Factor, ...]
    user: tuple[Column, ...]
    item: tuple[Column, ...]
    context: tuple[Column, ...]
    slices: tuple[Column, ...]
    ready_slices: tuple[str, ...]
    ids: tuple[Column, ...]
    weight: str | None  # the column of events that holds the weights of training rows
    label_delays: tuple[int, ...]  # per objective: ms from an impression to when its label is known

    @property
    def delays(self) -> tuple[int, ...]:
        first = duration_ms(self.features.label_delay)
        return (first, *sorted({signal.delay for signal in self.signals} - {first}))

    def signals_of(self, delay: int) -> tuple[Signal, ...]:
        return tuple(signal for signal in self.signals if signal.delay == delay)

    @property
    def windowed(self) -> tuple[Entity, ...]:
        """The entities that are counted by days: those of [features] first, then what factors need besides."""
        return tuple(dict.fromkeys((*self.entities, *(factor.entity for factor in self.factors))))

    @property
    def open_windows(self) -> tuple[OpenWindow, ...]:
        of_hours = (OpenWindow(entity, hours) for entity in self.recent for hours in self.hours)
        return (*(OpenWindow(entity) for entity in self.today), *of_hours)

    @property
    def hours(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(self.features.hours))

    @property
    def reach(self) -> int:
        """The ms before a moment in which what became known is counted by hours; 0 where nothing is."""
        return max(self.hours, default=0) * HOUR_MS if self.recent else 0

    @property
    def keyed(self) -> tuple[Entity, ...]:
        """All entities, whose keys impressions carry."""
        return (*self.windowed, *self.today, *self.recent)

    @property
    def with_own_past(self) -> tuple[Entity, ...]:
        """The entities that the user's own past is read for, up to the very moment."""
        return tuple(dict.fromkeys((*self.today, *(factor.entity for factor in self.factors))))

    @property
    def windows(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(self.features.windows))

    @property
    def has_query(self) -> bool:
        return schema.QUERY_ITEM_ID in self.columns.events.names

    @property
    def outputs(self) -> dict[str, Column]:
        """The map example column → the input column whose value it holds."""
        sides = {schema.USER: self.user, schema.ITEM: self.item, schema.CONTEXT: self.context}
        return {prefix + column.name: column for prefix, side in sides.items() for column in side}

    @property
    def history_sources(self) -> dict[str, str]:
        """The map history column → the example column whose past values it lists."""
        categorical = {name for name, column in self.outputs.items() if column.is_categorical and column.table != "users"}
        return {
            schema.HISTORY + schema.ITEM_ID: schema.ITEM_ID,
            **{schema.HISTORY + name: name for name in self.outputs if name in categorical},
        }


def key_column(column: Column) -> str:
    """Return the column in which impressions carry an entity's value."""
    return column.stored if column.stored in (schema.USER_ID, schema.ITEM_ID) else f"key.{column.name}"


def signal_delays(pipeline: Pipeline) -> dict[str, int]:
    """Return, per feedback, the ms from an impression to when its signal is known: label_delay + within."""
    feedback: tuple[Feedback, ...] = getattr(pipeline.source, "feedback", ())
    return {entry.name: duration_ms(pipeline.features.label_delay) + duration_ms(entry.within) for entry in feedback}


def make_plan(pipeline: Pipeline, columns: Columns) -> Plan:
    """Make the plan of a pipeline whose names have been checked (`check.require`)."""
    features = pipeline.features

    def found(name: str, tables: tuple[Table, ...]) -> Column:
        column = columns.find(name, tables, features)
        assert column is not None, f"{name} was not checked"
        return column

    def factor(name: str, signals: tuple[str, ...]) -> Factor:
        entity = Entity((found(schema.USER_ID, ANY_TABLE), found(name, ANY_TABLE)))
        return Factor(entity, tuple(_signal(signal, pipeline, columns) for signal in dict.fromkeys(signals)))

    return Plan(
        features=features,
        objectives=pipeline.objective,
        zone=pipeline.zone,
        columns=columns,
        signals=tuple(_signal(name, pipeline, columns) for name in dict.fromkeys(features.signals)),
        entities=tuple(Entity(tuple(found(name, ANY_TABLE) for name in names)) for names in dict.fromkeys(features.entities)),
        today=tuple(Entity(tuple(found(name, ANY_TABLE) for name in names)) for names in dict.fromkeys(features.today)),
        recent=tuple(Entity(tuple(found(name, ANY_TABLE) for name in names)) for names in dict.fromkeys(features.recent)),
        # By name: a table of the TOML has no order, and the states count entities by their place.
        factors=tuple(factor(name, signals) for name, signals in sorted(features.factored.items())),
        user=tuple(found(name, ("users",)) for name in dict.fromkeys(features.user)),
        item=tuple(found(name, ("items",)) for name in dict.fromkeys(features.item)),
        context=tuple(found(name, ("events",)) for name in dict.fromkeys(features.context)),
        slices=tuple(found(name, ANY_TABLE) for name in dict.fromkeys(features.slices) if name not in READY_SLICES),
        ready_slices=tuple(name for name in dict.fromkeys(features.slices) if name in READY_SLICES),
        ids=tuple(found(name, ANY_TABLE) for name in dict.fromkeys(features.ids)),
        weight=None if pipeline.train.weight is None else measured_column(pipeline.train.weight, columns),
        label_delays=tuple(_label_delay(objective, pipeline, columns) for objective in pipeline.objective),
    )


ANY_TABLE: tuple[Table, ...] = ("events", "items", "users")  # searched in this order for the columns of entities, slices and ids


def measured_column(name: str, columns: Columns) -> str | None:
    """Return the column of events behind the bare name of a signal or of the weight: the log's own column, else a feedback."""
    return next((stored for stored in (schema.log_column(name), schema.feedback_column(name)) if stored in columns.events.names), None)


def _signal(name: str, pipeline: Pipeline, columns: Columns) -> Signal:
    text = pipeline.features.expressions.get(name)
    if text is not None:
        return Signal(name, text, max(_delays(text, pipeline, columns)), FRACTION, is_computed=True)
    stored = measured_column(name, columns)
    assert stored is not None, f"{name} was not checked"
    dtype = columns.types("events")[stored]
    return Signal(name, stored, _delay(stored, pipeline), 1 if dtype.is_integer() or dtype.is_boolean() else FRACTION)


def _delay(stored: str, pipeline: Pipeline) -> int:
    """Return the ms from an impression to when a column of events is known."""
    label_delay = duration_ms(pipeline.features.label_delay)
    if not stored.startswith(schema.FEEDBACK):
        return label_delay
    # A feedback that the source joins by itself keeps the default `within`, because a later moment is safer.
    by_itself = label_delay + duration_ms(Feedback.model_fields["within"].default)
    return signal_delays(pipeline).get(schema.strip(stored, schema.FEEDBACK), by_itself)


def _label_delay(objective: Objective, pipeline: Pipeline, columns: Columns) -> int:
    """Return the longest delay of the columns that `label` and `observed` read, of the objective and of all in its `given` chain.

    There is one delay per objective, whatever feedback a row has: a missing answer is certain only when `within` is over. If
    answers counted as known on arrival, the labels known early would be the answered ones: a biased sample of all labels.
    """
    return max(
        delay
        for link in chain(objective, pipeline.objective)
        for text in (link.label, *([] if link.observed is None else [link.observed]))
        for delay in _delays(text, pipeline, columns)
    )


def _delays(text: str, pipeline: Pipeline, columns: Columns) -> list[int]:
    """Return the delays of the columns that an expression reads; of one that reads none, that of a label."""
    delays = [duration_ms(pipeline.features.label_delay)]
    for name in label_columns(text):
        stored = name if name in columns.events.names else measured_column(name, columns)
        assert stored is not None, f"{name} was not checked"
        delays.append(_delay(stored, pipeline))
    return delays
