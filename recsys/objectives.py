"""The objectives that one ranking model is asked to predict."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import inf
from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from recsys import schema
from recsys.options import OneOf, Options

Kind = Literal["binary", "regression", "watch_time", "ordinal"]


class Learned(NamedTuple):
    """A loss of labels of one kind. `implementation` names it as MODULE:CLASS, a text: reading a TOML imports no torch."""

    kind: Kind
    implementation: str
    is_log_likelihood: bool = False  # of classes, and not a distance between numbers
    needs_duration: bool = False
    gives_percentile: bool = False  # with a duration, `predictions` hold a percentile that orders impressions


LOSSES: dict[str, Learned] = {
    "binary": Learned("binary", "recsys.losses.binary:Binary", is_log_likelihood=True),
    "squared": Learned("regression", "recsys.losses.squared:Squared"),
    "huber": Learned("regression", "recsys.losses.huber:Huber"),
    "distribution": Learned("watch_time", "recsys.losses.distribution:Distribution", is_log_likelihood=True, gives_percentile=True),
    "log_squared": Learned("watch_time", "recsys.losses.log_squared:LogSquared"),
    "weighted_logistic": Learned("watch_time", "recsys.losses.weighted_logistic:WeightedLogistic", is_log_likelihood=True),
    "d2q": Learned("watch_time", "recsys.losses.d2q:D2Q", needs_duration=True),
    "ordinal": Learned("ordinal", "recsys.losses.ordinal:Ordinal", is_log_likelihood=True),
}


def _losses_of(kind: Kind) -> OneOf:
    return OneOf(name for name, learned in LOSSES.items() if learned.kind == kind)


LEAST_WEIGHT = 1e-6  # on the tiny feed an objective of 1e-7 spreads its predictions half as wide, one of 1e-20 not at all
MOST_WEIGHT = 1e20
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class LegalLabels:
    """The labels that an objective allows: every finite number from `least` to `most`, or with `numbers` these alone.

    `words` say so in an error, behind "expected". `as_float32`: labels and `numbers` compare as float32, because files hold labels so,
    and decimals are not exact there.
    """

    words: str
    least: float = -inf
    most: float = inf
    numbers: tuple[float, ...] = ()
    as_float32: bool = False

    def allow(self, label_N: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which of the labels are legal, [N]; NaN is not."""
        if self.numbers:
            kind = np.float32 if self.as_float32 else np.float64
            with np.errstate(over="ignore"):  # a number that float32 cannot hold becomes infinite, which is not legal either
                return np.isin(label_N.astype(kind), np.array(self.numbers, kind))
        return np.isfinite(label_N) & (label_N >= self.least) & (label_N <= self.most)


class Objective(Options):
    """One objective of a feed: a label on impressions, the loss that fits its kind, and its place in the fused score.

    `kind`:
    - "binary": a probability, cross-entropy.
    - "regression": a mean; `loss` "squared" or "huber", on the label standardised over training days.
    - "watch_time": a duration ≥ 0, returned as an expected value in the label's own unit. `method` "distribution" (cumulative logits
      over bins of watch times; Liu et al. 2017), "log_squared" (squared loss on log(1 + y)), "weighted_logistic" (Covington et al.
      2016) or "d2q" (Zhan et al. 2022). The feature `duration` is the video's length: "d2q" needs it, "distribution" reads it where it is
      given, the other two do not.
    - "ordinal": one of the numbers `levels`, ascending; cumulative logits; an expected level and a probability of each.

    `label` and `observed` are scalar SQL expressions over the log's own columns and the feedback columns. Where
    `observed` is not true the label is null: out of the loss and out of the metrics.
    `given` names a binary objective without which this binary one cannot happen (a like, given a click). The model then predicts
    P(this | given). It is trained on P(this | given) · P(given) over all impressions (Ma et al., SIGIR 2018). The label is 0 where
    the label of `given` is 0, observed or not.
    `better` is the direction of the *label*: "lower" for events that a feed wants fewer of (a dismissal).
    `position` says whether the objective sees the columns of `features.bias`: the position of an impression and its device. An
    objective needs them if its label can be 1 only where the user looked at the row, and rows nobody looked at count too (a click,
    a dismissal). An objective that is observed only after a click does not need them (a like of an opened video, a survey). By
    default engagement sees them and satisfaction does not (Zhao et al. 2019, Fig. 1). `model.position = "blind"` hides them from all.
    """

    name: str = Field(description="Name of the objective in columns, keys and reports; a letter, then letters, digits and `_`.")
    kind: Kind = Field(default="binary", description="Kind of label, which decides the loss and what is predicted.")
    group: Literal["engagement", "satisfaction"] = Field(
        default="engagement",
        description="Group in reports, and for `home` and the `metadata` descriptors; it also decides the default of `position`.",
    )
    label: str = Field(
        default="",
        description="SQL expression of the label: a scalar over the log's own columns and the feedback columns. A pipeline needs it.",
    )
    observed: str | None = Field(
        default=None,
        description="SQL expression of where the label is known; where it is not true, the label is null. Without it: everywhere.",
    )
    given: str | None = Field(
        default=None, description="Name of a binary objective without which this binary one cannot happen; without it: no such condition."
    )
    loss: Annotated[str, _losses_of("regression")] = Field(
        default="squared", description="Loss of a `regression` objective, on the label standardised over training days."
    )
    method: Annotated[str, _losses_of("watch_time")] = Field(
        default="distribution",
        description="Method of a `watch_time` objective: by bins of watch times, on logarithms, by odds, or by rank among videos of like"
        " length.",
    )
    duration: str | None = Field(
        default=None,
        description="Feature that holds the video's length: `distribution` is better with it, `d2q` needs it, the others do not read it.",
    )
    levels: tuple[float, ...] = Field(
        default=(), description="Numbers that the label of an `ordinal` objective may be, ascending, two or more; empty for other kinds."
    )
    better: Literal["higher", "lower"] = Field(
        default="higher", description="Direction of the label that is better; `lower` for events that a feed wants fewer of."
    )
    position: bool | None = Field(
        default=None, description="Whether the objective sees `features.bias`; without it, engagement does and satisfaction does not."
    )
    loss_weight: float = Field(
        default=1.0,
        ge=0,
        le=MOST_WEIGHT,
        description="Weight of the objective in training, relative to the others; 0: it is not trained, else 0.000001 or more. At least"
        " one is above 0.",
    )
    fusion_weight: float = Field(
        default=1.0,
        ge=0,
        le=MOST_WEIGHT,
        description="Weight of the objective in the fused score, a sum of logarithms of predictions; 0: the score ignores it.",
    )

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f'found "{name}", expected letters a to z or A to Z, digits and _, a letter first')
        return name

    @field_validator("loss_weight")
    @classmethod
    def _is_learned_or_not(cls, weight: float) -> float:
        if 0 < weight < LEAST_WEIGHT:
            raise ValueError(
                f"found {weight:g}, expected 0, or {LEAST_WEIGHT:.6f} or more: steps are rounded, and of so small gradients little or"
                " nothing is left. Fix: a larger one, or 0, with which the objective is not trained"
            )
        return weight

    @model_validator(mode="after")
    def _options_of_its_kind(self) -> "Objective":
        """Refuse an option that the kind does not read, because it would silently have no effect."""
        kinds = {"loss": "regression", "method": "watch_time", "duration": "watch_time", "levels": "ordinal", "given": "binary"}
        for option, kind in kinds.items():
            if getattr(self, option) != type(self).model_fields[option].default and self.kind != kind:
                raise ValueError(f'found {option} with kind = "{self.kind}", expected it only with kind = "{kind}"')
        if self.duration is None and LOSSES[self.learned_by].needs_duration:
            raise ValueError(f'found method = "{self.method}" without duration, expected duration = "a column of [features]"')
        if self.kind == "ordinal" and (len(self.levels) < 2 or any(a >= b for a, b in pairwise(self.levels))):
            raise ValueError(f"found levels = {list(self.levels)}, expected at least two numbers, ascending, such as [1, 2, 3, 4, 5]")
        return self

    @property
    def is_probability(self) -> bool:
        return self.kind == "binary"

    @property
    def learned_by(self) -> str:
        """The name in `LOSSES` of the loss that learns this objective."""
        chosen: dict[Kind, str] = {"regression": self.loss, "watch_time": self.method}
        return chosen.get(self.kind, self.kind)

    @property
    def has_percentile(self) -> bool:
        """Return whether a model orders impressions by a percentile beside the expected value (`losses.distribution`)."""
        return self.kind == "watch_time" and self.duration is not None and LOSSES[self.method].gives_percentile

    def legal_labels(self) -> LegalLabels:
        """Return which labels the kind allows. Whatever checks a label goes by it."""
        match self.kind:
            case "binary":
                return LegalLabels("0 or 1", 0.0, 1.0, numbers=(0.0, 1.0))
            case "regression":
                return LegalLabels("a finite number")
            case "watch_time":
                return LegalLabels("a finite number of 0 or more", least=0.0)
            case "ordinal":
                words = f"one of {', '.join(f'{level:g}' for level in self.levels)}"
                return LegalLabels(words, self.levels[0], self.levels[-1], numbers=self.levels, as_float32=True)

    @property
    def sees_position(self) -> bool:
        """Return whether this objective's own output may depend on where the impression was shown."""
        return self.group == schema.ENGAGEMENT if self.position is None else self.position


def chain(objective: Objective, objectives: Sequence[Objective]) -> tuple[Objective, ...]:
    """Return the objective, then the objective named by its `given`, then that one's `given`, and so on.

    Raises ValueError for an unknown name, for a circle, and for a `given` that is not binary.
    """
    by_name = {other.name: other for other in objectives}
    found = [objective]
    while (given := found[-1].given) is not None:
        if given not in by_name:
            raise ValueError(f'{found[-1].name}.given: found "{given}", expected another objective; there are {", ".join(by_name)}')
        if by_name[given] in found:
            raise ValueError(
                f"{objective.name}.given: found a circle, {' → '.join(o.name for o in [*found, by_name[given]])}, expected none"
            )
        if not by_name[given].is_probability:
            raise ValueError(f"{found[-1].name}.given: found {given}, which is {by_name[given].kind}, expected a binary objective")
        found.append(by_name[given])
    return tuple(found)


def durations(objectives: Sequence[Objective]) -> tuple[str, ...]:
    """List the features that objectives name as a video's length, each once, in order."""
    return tuple(dict.fromkeys(objective.duration for objective in objectives if objective.duration is not None))


@dataclass(frozen=True)
class Twin:
    """Two objectives that are one: their labels are equal, or opposite (one is 1 exactly where the other is 0), in `rows` with both."""

    first: str
    second: str
    rows: int
    is_opposite: bool


def twins(objectives: Sequence[Objective], labels: Mapping[str, NDArray[np.float64]]) -> Iterator[Twin]:
    """Yield each pair of objectives whose labels are equal or opposite. `labels` are by name, [N], NaN where not known.

    A label that is the same in all rows with both tells nothing.
    """
    for first, second in combinations(objectives, 2):
        both_N = ~np.isnan(labels[first.name]) & ~np.isnan(labels[second.name])
        a_N, b_N = labels[first.name][both_N], labels[second.name][both_N]
        if not len(a_N) or a_N.min() == a_N.max():
            continue
        is_opposite = first.is_probability and second.is_probability and np.array_equal(a_N, 1 - b_N)
        if is_opposite or np.array_equal(a_N, b_N):
            yield Twin(first.name, second.name, len(a_N), is_opposite)
