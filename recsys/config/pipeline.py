"""One pipeline: the split, the features, the model, the training, the evaluation."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator, model_validator

from recsys import schema
from recsys.config.balance import Balance
from recsys.config.model import Model
from recsys.config.sources import AnySource, Duration, KuaiRandSource, OpenBanditSource, TableSource, WorldSource
from recsys.days import Day
from recsys.objectives import Objective, chain
from recsys.options import Options

Days = tuple[date, date]

ALL_OTHERS = "*"  # in the constraints of [fuse]

MEMORY = r"^[1-9]\d{0,5}(MB|GB)$"
DEVICE = r"^(auto|cpu|cuda(:\d+)?)$"
OF_ORDER = r"^(captured@\d+(\.\d+)?%|(captured|ndcg)@[1-9]\d*)$"
CHANGE = r"^[+-]?\d+(\.\d+)?%$"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
FORMS = {  # pattern → its meaning in words
    MEMORY: "an amount of memory such as 4GB or 500MB",
    DEVICE: "auto, cpu, cuda or one of several such as cuda:1",
    OF_ORDER: "captured@P%, captured@K or ndcg@K such as captured@10%",
    CHANGE: "a relative change such as -1%",
    NAME: "letters, digits and . _ - behind a letter or digit",
}


class Split(Options):
    """The parts of the split: whole days, inclusive, in time order. Earlier days only feed features."""

    train: Days = Field(description="First and last of the days that a model learns.")
    validation: Days | None = Field(
        default=None,
        description="First and last of the days that choose passes, fusion weights and calibration maps; without it: there are none.",
    )
    test: Days | None = Field(
        default=None, description="First and last of the days that the final numbers are measured on; without it: there are none."
    )

    def parts(self) -> dict[str, Days]:
        """Return part → (first day, last day), in time order, without the absent parts."""
        named = {schema.TRAIN: self.train, schema.VALIDATION: self.validation, schema.TEST: self.test}
        return {name: days for name, days in named.items() if days is not None}

    def days(self, part: str) -> list[str]:
        """List the ISO days of one part, in order; empty where the part is absent."""
        if part not in self.parts():
            return []
        first, last = self.parts()[part]
        return [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]

    def after(self, part: str) -> str | None:
        """Return the ISO day on which the next part begins; None after the last part.

        A model that has learned on this part is first used on that day.
        """
        later = [days for other in schema.SPLITS[schema.SPLITS.index(part) + 1 :] if (days := self.parts().get(other)) is not None]
        return later[0][0].isoformat() if later else None

    @model_validator(mode="after")
    def _in_time_order(self) -> "Split":
        previous = None
        for name, (first, last) in self.parts().items():
            if first > last:
                raise ValueError(f"{name}: found first day {first} after last day {last}, expected first ≤ last")
            if previous is not None and first <= previous[1]:
                raise ValueError(
                    f"{name}: found first day {first}, expected a day after {previous[1]}, the last day of {previous[0]}:"
                    " the parts of a split are whole days in time order and do not overlap"
                )
            previous = (name, last)
        return self


class Features(Options):
    """The inputs that are known before an impression. Names are columns of the log, the users or the items, without a prefix."""

    user: tuple[str, ...] = Field(default=(), description="Columns of the users' table that the model reads; empty: none.")
    item: tuple[str, ...] = Field(default=(), description="Columns of the items' table that the model reads; empty: none.")
    context: tuple[str, ...] = Field(
        default=(),
        description="Columns of the log that the model reads, known before the impression; hour and weekday are read in any case.",
    )
    category: tuple[str, ...] = Field(
        default=(), description="Columns of numbers that are read as categories, such as a surface code; text is a category by itself."
    )
    multi: dict[str, str] = Field(
        default_factory=dict, description="Columns with several values in a cell, each with the separator of its values; empty: none."
    )
    signals: tuple[str, ...] = Field(
        default=(),
        description="Columns of the log and feedbacks, numbers from 0, that are counted and summed over past impressions; empty: none.",
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
    today: bool = Field(
        default=True, description="Whether counters of the user's own impressions run on through the day, up to the very moment."
    )
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
        description="Slices that are reported apart: columns, or cold_user, cold_item, item_age, which need no column; empty: none.",
    )
    memory_limit: str = Field(
        default="4GB",
        pattern=MEMORY,
        description="Memory of the engine that ingests logs and computes features; beyond it, the engine spills to disk.",
    )

    def example_column(self, name: str) -> str:
        """Return the example column of a name under `item`, `context` or `user`, searched in this order. Raises ValueError if in none."""
        for prefix, names in ((schema.ITEM, self.item), (schema.CONTEXT, self.context), (schema.USER, self.user)):
            if name in names:
                return prefix + name
        raise ValueError(f"found {name}, expected a column that [features] names under user, item or context")


class Negatives(Options):
    """The thinning of training rows whose label of `objective` is 0.

    The share `keep` of them is kept. Each kept row then counts 1 / keep times, in every loss.
    """

    objective: str = Field(description="Name of the binary objective whose rows with label 0 are thinned.")
    keep: float = Field(
        gt=0, le=1, description="Share of the rows with label 0 that is kept, drawn anew in each pass; each then counts 1 / keep times."
    )


SamplingWord = Literal["joint", "uniform", "proportional"]
Frozen = Literal["embeddings", "shared", "experts", "towers"]


class Train(Options):
    """The training: the order of the rows, the optimisers, the device."""

    order: Literal["time", "shuffled"] = Field(
        default="time", description="Order of the training rows: day after day, or shuffled, in passes over all training days at once."
    )
    refit: bool = Field(default=True, description="Whether the validation days are learned too, before the test days are predicted.")
    passes: PositiveInt = Field(default=4, description="Largest number of passes over all training days, when shuffled.")
    day_passes: PositiveInt = Field(default=1, description="Number of passes over each day, when in time order.")
    patience: PositiveInt = Field(
        default=2,
        description="Number of shuffled passes without a better validation loss before stopping; per objective where nothing is shared.",
    )
    batch_size: PositiveInt = Field(default=1024, description="Number of rows per training step.")
    learning_rate: PositiveFloat = Field(
        default=2e-3, description="Learning rate of AdamW, for all parameters but the embedding tables and the bias tower."
    )
    embedding_learning_rate: PositiveFloat = Field(
        default=2e-2, description="Learning rate of the embedding tables (row-wise Adagrad); the bias tower's tables divide it among them."
    )
    weight_decay: NonNegativeFloat = Field(
        default=1e-2, description="Weight decay of AdamW, on neither biases nor the bias tower; 0: none."
    )
    embedding_decay: NonNegativeFloat = Field(
        default=0.0, description="Weight decay of the embedding vectors that a step touches; 0: none."
    )
    sampling: SamplingWord | Annotated[float, Field(ge=0, le=1)] = Field(
        default="joint",
        description="Labels of a step: all, or those of one objective drawn by its rows to a power (`uniform`: 0, `proportional`: 1).",
    )
    late: Literal["next_day", "drop"] = Field(
        default="next_day",
        description="Fate of labels that are known only after their day, in time order: learned on a later day, or never.",
    )
    negatives: Negatives | None = Field(
        default=None, description="Thinning of training rows; metrics still use all rows. Without it: no thinning."
    )
    weight: str | None = Field(
        default=None,
        description="Column of the log, or a feedback, with the weights of training rows, 0 or more; without it: each row counts 1.",
    )
    schedule: Literal["constant", "cosine"] = Field(
        default="cosine",
        description="Course of the learning rate over shuffled passes; cosine: to zero over the planned passes. In time order: constant.",
    )
    device: str = Field(default="auto", pattern=DEVICE, description="Device that computes; auto: CUDA where there is one, else the CPU.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="Precision of matrix products; auto: bf16 on a CUDA device that supports it, else fp32."
    )
    deterministic: bool = Field(
        default=False,
        description="Whether torch uses deterministic algorithms alone; on CUDA, an interrupted run ends in equal bits only then.",
    )
    checkpoint_seconds: PositiveFloat = Field(
        default=60.0, description="Seconds between two checkpoints; one is also written at the end of each pass or day."
    )
    init_from: Path | None = Field(
        default=None,
        description="Folder of a trained run, such as data/NAME/runs/RUN, whose weights this one starts from; without it: fresh weights.",
    )
    freeze: tuple[Frozen, ...] = Field(
        default=(),
        description="Parts of the run of `init_from` that are not trained further; numbers that it did not have always are. Empty: none.",
    )

    @field_validator("sampling", mode="before")
    @classmethod
    def _word_or_exponent(cls, sampling: Any) -> Any:
        """Check the value here, because for a union pydantic reports the errors of each of its parts."""
        words = get_args(SamplingWord)
        is_number = isinstance(sampling, int | float) and not isinstance(sampling, bool)
        if sampling in words or (is_number and 0 <= sampling <= 1):
            return sampling
        found = f'"{sampling}"' if isinstance(sampling, str) else sampling
        raise ValueError(f'found {found}, expected one of {", ".join(words)}, or a number from 0 (as "uniform") to 1 (as "proportional")')

    @model_validator(mode="after")
    def _frozen_is_loaded(self) -> "Train":
        if self.freeze and self.init_from is None:
            raise ValueError(
                f"freeze: found {', '.join(self.freeze)} without init_from, expected it only with init_from:"
                " what nothing has learned is not worth freezing. Fix: name the run to start from"
            )
        return self


class Evaluate(Options):
    """The evaluation: the metrics, their intervals, and the runs to compare with."""

    bootstrap: PositiveInt = Field(default=1000, description="Number of bootstrap replicates over users; intervals are made of them.")
    confidence: float = Field(default=0.95, gt=0, lt=1, description="Confidence level of the intervals.")
    baselines: tuple[Literal["popularity", "gbdt", "single_task"], ...] = Field(
        default=("popularity", "gbdt"), description="Baselines that the run is compared with; single_task: this model, sharing nothing."
    )
    against: tuple[str, ...] = Field(
        default=(), description="Names of scored runs of this pipeline to compare this one with, such as a single_task one; empty: none."
    )
    importance: bool = Field(default=True, description="Whether the page shows the importance of groups of features, by permutation.")
    importance_rows: PositiveInt = Field(
        default=20_000,
        description="Number of rows for `importance`, drawn from the test days; they are scored again for each permuted group.",
    )
    list_k: tuple[PositiveInt, ...] = Field(
        default=(5, 10), description="Numbers K of ndcg@K and captured@K, metrics of the fused order within each list."
    )
    top_percent: tuple[Annotated[float, Field(gt=0, lt=100)], ...] = Field(
        default=(10.0,), description="Percentages P of captured@P%, a metric of the fused order over all impressions."
    )
    target_temperature: PositiveFloat | None = Field(
        default=None,
        description="Temperature T of the off-policy target, P(candidate | request) ∝ exp(score / T); without it: `target_propensity`.",
    )
    calibrate: Literal["none", "isotonic", "platt"] = Field(
        default="none",
        description="Kind of the maps that calibrate predictions, fitted on validation days; platt: for binary objectives only.",
    )

    @model_validator(mode="after")
    def _each_once(self) -> "Evaluate":
        for name, found in (("list_k", self.list_k), ("top_percent", self.top_percent), ("against", self.against)):
            if len(set(found)) < len(found):
                raise ValueError(f"found {name} = {list(found)}, expected each {'run' if name == 'against' else 'number'} once")
        return self


class Fuse(Options):
    """The aim for which `recsys fuse` tunes the fusion weights.

    `constraints` give the least change of an objective's metric, relative to the run's present weights. The change counts in the
    direction that is better for the objective: "-1%" may lose one percent, "+2%" must gain two. "*" stands for all other
    objectives but the one maximised.
    """

    maximise: str | None = Field(
        default=None,
        description="Objective to capture the most of (if lower labels are better: the least); without it: `--maximise` names it.",
    )
    metric: str = Field(
        default="captured@10%", pattern=OF_ORDER, description="Metric of the fused order that is maximised and constrained."
    )
    constraints: dict[str, Annotated[str, Field(pattern=CHANGE)]] = Field(
        default_factory=dict, description="Least relative change of the metric, by objective; `*`: of all others but the one maximised."
    )

    def least_changes(self, names: Sequence[str]) -> dict[str, float]:
        """Return objective → least relative change, for each of `names` that has one."""
        named = {name: float(text.removesuffix("%")) / 100 for name, text in self.constraints.items()}
        everyone = {} if ALL_OTHERS not in named else {name: named[ALL_OTHERS] for name in names if name != self.maximise}
        return {name: change for name, change in (everyone | named).items() if name != ALL_OTHERS}


class Learning(Options):
    """The options that a model is trained by, and is saved with."""

    seed: int = Field(default=7, ge=0, lt=2**31, description="Seed of every random draw; each further ensemble member's is one more.")
    split: Split
    objective: tuple[Objective, ...] = Field(
        min_length=1, description="Objectives that the model learns, one or more, each with a name of its own."
    )
    model: Model = Model()
    balance: Balance = Balance()
    train: Train = Train()

    @property
    def follows_position(self) -> tuple[bool, ...]:
        """Whether each objective's prediction depends on the position: where it, or an objective it is given, sees the position."""
        sees = self.model.position != "blind"
        return tuple(sees and any(link.sees_position for link in chain(objective, self.objective)) for objective in self.objective)


class Pipeline(Learning):
    """One pipeline: everything that a run depends on."""

    name: str = Field(pattern=NAME, description="Name of the pipeline, and of its folder in the workspace.")
    source: AnySource
    features: Features = Features()
    evaluate: Evaluate = Evaluate()
    fuse: Fuse = Fuse()

    @property
    def zone(self) -> str:
        """The time zone in which days begin and end."""
        match self.source:
            case TableSource(time=time):
                return time.zone
            case KuaiRandSource():
                return "Asia/Shanghai"  # `date` is the UTC+8 date of time_ms
            case OpenBanditSource() | WorldSource():
                return "UTC"

    def border_after(self, part: str) -> int | None:
        """Return the moment (ms UTC) at which the next part of the split begins; None after the last part."""
        day = self.split.after(part)
        return None if day is None else Day(day, self.zone).start

    @model_validator(mode="after")
    def _objectives_have_their_own_names(self) -> "Pipeline":
        names = [objective.name for objective in self.objective]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"objective: found the name {', '.join(twice)} more than once, expected a name of its own for each")
        return self

    @model_validator(mode="after")
    def _objectives_fit_together(self) -> "Pipeline":
        for objective in self.objective:
            try:
                chain(objective, self.objective)
            except ValueError as error:
                raise ValueError(f"objective.{error}") from error
            if objective.duration is not None:
                try:
                    self.features.example_column(objective.duration)
                except ValueError as error:
                    raise ValueError(f"objective.{objective.name}.duration: {error}") from error
        negatives = self.train.negatives
        binary = [objective.name for objective in self.objective if objective.is_probability]
        if negatives is not None and negatives.objective not in binary:
            raise ValueError(
                f'train.negatives.objective: found "{negatives.objective}", expected a binary objective;'
                f" there are {', '.join(binary) or 'none'}"
            )
        if not any(objective.loss_weight > 0 for objective in self.objective):
            raise ValueError("objective: found loss_weight = 0 for all, expected at least one above 0")
        return self

    @model_validator(mode="after")
    def _has_what_calibration_needs(self) -> "Pipeline":
        method = self.evaluate.calibrate
        if method != "none" and self.split.validation is None:
            raise ValueError(
                f'evaluate.calibrate: found "{method}" without split.validation, expected days to fit the maps to:'
                " neither training nor test days will do. Fix: name validation days"
            )
        if method == "platt" and not any(objective.is_probability for objective in self.objective):
            kinds = ", ".join(sorted({objective.kind for objective in self.objective}))
            raise ValueError(f'evaluate.calibrate: found "platt" with {kinds} objectives alone, expected a binary one. Fix: "isotonic"')
        return self

    @model_validator(mode="after")
    def _fuse_names_objectives(self) -> "Pipeline":
        names = [objective.name for objective in self.objective]
        for place, name in (("maximise", self.fuse.maximise), *(("constraints", name) for name in self.fuse.constraints)):
            if name is not None and name not in names and (place, name) != ("constraints", ALL_OTHERS):
                raise ValueError(f'fuse.{place}: found "{name}", expected an objective; there are {", ".join(names)}')
        return self
