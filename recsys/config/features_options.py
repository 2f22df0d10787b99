"""[features]: the inputs of the model."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from recsys import schema
from recsys.config.forms import MEMORY
from recsys.config.log_options import Duration
from recsys.options import Options

Hours = Annotated[int, Field(ge=1, le=168)]


class Features(Options):
    """The inputs that are known before an impression. Names are columns of the log, the users or the items, without a prefix."""

    user: tuple[str, ...] = Field(default=(), description="Columns of the users' table that the model reads; empty: none.")
    item: tuple[str, ...] = Field(default=(), description="Columns of the items' table that the model reads; empty: none.")
    context: tuple[str, ...] = Field(
        default=(),
        description="Columns of the log that the model reads, known before the impression; the hour, the weekday and where in its session"
        " the list began are read in any case.",
    )
    category: tuple[str, ...] = Field(
        default=(), description="Columns of numbers that are read as categories, such as a surface code; text is a category by itself."
    )
    multi: dict[str, str] = Field(
        default_factory=dict,
        description="Columns with several values in a cell, each with their separator; a cell may be a list in brackets. Empty: none.",
    )
    signals: tuple[str, ...] = Field(
        default=(),
        description="Columns of the log and feedbacks, numbers from 0, that are counted and summed over past impressions; empty: none.",
    )
    expressions: dict[str, str] = Field(
        default_factory=dict,
        description="Named values of an impression, for `signals`: SQL expressions under the rules of a label, such as"
        ' `skip = "play_time_ms < 3000"`; a null is not counted. Empty: none.',
    )
    entities: tuple[tuple[str, ...], ...] = Field(
        default=((schema.USER_ID,), (schema.ITEM_ID,)),
        description="Groups of columns; impressions and signals are counted for each combination of their values.",
    )
    windows: tuple[PositiveInt, ...] = Field(
        default=(1, 7, 30), description="Lengths in days of the trailing windows over which signals are counted; at least one."
    )
    shrinkage: PositiveFloat = Field(default=20.0, description="Number of impressions at the base rate that a smoothed rate starts from.")
    history: int = Field(default=10, ge=0, description="Number of the user's last impressions that the model attends to; 0: no history.")
    label_delay: Duration = Field(
        default="10m",
        description="Time after an impression at which its labels and signals are known; a feedback's `within` is added to it.",
    )
    today: tuple[tuple[str, ...], ...] = Field(
        default=((schema.USER_ID,),),
        description="Groups of columns with user_id in them, of which counters run on through the day, up to the very moment; empty: none.",
    )
    recent: tuple[tuple[str, ...], ...] = Field(
        default=(),
        description='Groups of columns, such as `[["item_id"]]`, that are counted over the last `hours` too, up to the very moment; empty:'
        " none.",
    )
    hours: tuple[Hours, ...] = Field(
        default=(24,), description="Lengths in hours, up to 168, of the windows of `recent`; without `recent` they do nothing."
    )
    factors: dict[str, tuple[str, ...]] | None = Field(
        default=None,
        description='Columns of which each user\'s taste is learned, each with signals, such as `{ item_id = ["liked"] }`. A matrix'
        " factorisation of the days before gives a number per signal. Empty: none. Where not given: item_id with the first two signals, if"
        " the only one of `entities` with user_id is user_id alone; on days whose window is too thin or too large, the numbers are 0.",
    )
    d_factors: int = Field(default=8, ge=1, le=64, description="Length of the vectors of `factors`; time and memory grow with its square.")
    ids: tuple[str, ...] = Field(default=(), description="Columns of ids whose values get embedding vectors, such as item_id; empty: none.")
    min_count: PositiveInt = Field(
        default=10,
        description="Number of training rows below which a value has no embedding vector of its own, but shares its space's unknown row.",
    )
    max_values: PositiveInt = Field(default=4, description="Largest number of values of a multi-valued cell that the model reads.")
    bias: tuple[Literal["position", "device"], ...] = Field(
        default=(), description="Columns that say how an impression was shown; `model.position` says where they are read. Empty: nowhere."
    )
    slices: tuple[str, ...] = Field(
        default=(),
        description="Slices that are reported apart: columns, or cold_user, cold_item, item_age, which need no column; empty: none. The 200"
        " most frequent values of a column are reported apart, all others together.",
    )
    engine: Literal["duckdb", "spark"] = Field(
        default="duckdb", description="Engine that computes features: in this process, or Spark (`[spark]`), with the same bytes."
    )
    memory_limit: str = Field(
        default="4GB",
        pattern=MEMORY,
        description="Memory of the engine that ingests logs and computes features; beyond it, the engine spills to disk. For features,"
        " DuckDB gets a quarter less (at most 400 MB), because it takes some more; of Spark on this machine it is the heap of Java.",
    )

    @property
    def factored(self) -> dict[str, tuple[str, ...]]:
        """The columns of which taste is learned, each with its signals: `factors`, or what stands in for them.

        Rates of the user and a column of the items tell taste already (docs/factors.md, "Where it does not help"). So a pipeline that
        counts such pairs has none. Nor has one that does not count users.
        """
        if self.factors is not None:
            return self.factors
        of_users = {entity for entity in self.entities if schema.USER_ID in entity}
        signals = tuple(dict.fromkeys(self.signals))[:2]
        return {schema.ITEM_ID: signals} if of_users == {(schema.USER_ID,)} and signals else {}

    def example_column(self, name: str) -> str:
        """Return the example column of a name under `item`, `context` or `user`, searched in this order. Raises ValueError if in none."""
        for prefix, names in ((schema.ITEM, self.item), (schema.CONTEXT, self.context), (schema.USER, self.user)):
            if name in names:
                return prefix + name
        raise ValueError(f"found {name}, expected a column that [features] names under user, item or context")
