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

    train: Days
    validation: Days | None = None
    test: Days | None = None

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

    user: tuple[str, ...] = ()
    item: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    category: tuple[str, ...] = ()
    multi: dict[str, str] = Field(default_factory=dict)
    signals: tuple[str, ...] = ()
    entities: tuple[tuple[str, ...], ...] = ((schema.USER_ID,), (schema.ITEM_ID,))
    windows: tuple[PositiveInt, ...] = (1, 7, 30)
    shrinkage: PositiveFloat = 20.0  # impressions at the base rate that a smoothed rate starts from
    history: int = Field(default=10, ge=0)
    label_delay: Duration = "10m"
    today: bool = True
    ids: tuple[str, ...] = ()
    min_count: PositiveInt = 10  # a value seen on fewer training rows shares the unknown row of its space
    max_values: PositiveInt = 4  # values of a multi-valued cell that the model reads
    bias: tuple[Literal["position", "device"], ...] = ()
    slices: tuple[str, ...] = ()  # reported apart: columns, or cold_user, cold_item, item_age, which need no column
    memory_limit: str = Field(default="4GB", pattern=MEMORY)  # of the feature engine, which spills to disk beyond it

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

    objective: str
    keep: float = Field(gt=0, le=1)


SamplingWord = Literal["joint", "uniform", "proportional"]
Frozen = Literal["embeddings", "shared", "experts", "towers"]


class Train(Options):
    order: Literal["time", "shuffled"] = "time"
    refit: bool = True
    passes: PositiveInt = 4  # over all training days, when shuffled
    day_passes: PositiveInt = 1  # over each day, when in time order
    patience: PositiveInt = 2  # shuffled passes without a better validation loss before stopping; per objective if none shares
    batch_size: PositiveInt = 1024
    learning_rate: PositiveFloat = 2e-3
    embedding_learning_rate: PositiveFloat = 2e-2
    weight_decay: NonNegativeFloat = 1e-2
    embedding_decay: NonNegativeFloat = 0.0
    sampling: SamplingWord | float = "joint"  # rows with all labels, or one drawn objective per step; a number: by rows to that power
    late: Literal["next_day", "drop"] = "next_day"  # labels known only after their day: learned on a later day, or never; in time order
    negatives: Negatives | None = None  # thinning, drawn anew in each pass; metrics still use all rows
    weight: str | None = None  # a column of the log that holds the weights of training rows, ≥ 0
    schedule: Literal["constant", "cosine"] = "cosine"  # cosine: to zero over the planned passes; shuffled passes only
    device: str = Field(default="auto", pattern=DEVICE)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    deterministic: bool = False
    checkpoint_seconds: PositiveFloat = 60.0
    init_from: Path | None = None  # the folder of a trained run, such as data/NAME/runs/RUN, whose weights this one starts from
    freeze: tuple[Frozen, ...] = ()  # parts of that run that are not trained further; numbers that it did not have always are

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
    bootstrap: PositiveInt = 1000
    confidence: float = Field(default=0.95, gt=0, lt=1)
    baselines: tuple[Literal["popularity", "gbdt", "single_task"], ...] = ("popularity", "gbdt")  # single_task: this model, sharing nothing
    against: tuple[str, ...] = ()  # names of scored runs of this pipeline to compare this one with, such as a single_task one
    importance: bool = True  # of groups of features, by permutation, for the page
    importance_rows: PositiveInt = 20_000  # drawn from the test days; they are scored again for each permuted group
    list_k: tuple[PositiveInt, ...] = (5, 10)  # ndcg@K and captured@K: of the fused order, list by list
    top_percent: tuple[Annotated[float, Field(gt=0, lt=100)], ...] = (10.0,)  # captured@P%: of the fused order over all impressions
    target_temperature: PositiveFloat | None = None  # off-policy: judge the policy that samples a request's candidates by exp(score / this)
    calibrate: Literal["none", "isotonic", "platt"] = "none"  # maps fitted on validation days; platt: for binary objectives only

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

    maximise: str | None = None  # an objective; if lower labels are better, as little of it as possible is captured
    metric: str = Field(default="captured@10%", pattern=OF_ORDER)
    constraints: dict[str, Annotated[str, Field(pattern=CHANGE)]] = Field(default_factory=dict)

    def least_changes(self, names: Sequence[str]) -> dict[str, float]:
        """Return objective → least relative change, for each of `names` that has one."""
        named = {name: float(text.removesuffix("%")) / 100 for name, text in self.constraints.items()}
        everyone = {} if ALL_OTHERS not in named else {name: named[ALL_OTHERS] for name in names if name != self.maximise}
        return {name: change for name, change in (everyone | named).items() if name != ALL_OTHERS}


class Learning(Options):
    """What a model is trained by, and is saved with."""

    seed: int = Field(default=7, ge=0, lt=2**31)
    split: Split
    objective: tuple[Objective, ...] = Field(min_length=1)
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

    name: str = Field(pattern=NAME)
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
