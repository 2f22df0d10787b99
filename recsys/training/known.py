"""Messages about labels that are known late: how many are learned on a later day or never, and the error where none is known in time."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from recsys import schema
from recsys.encoding import Period
from recsys.errors import data_error
from recsys.objectives import Objective
from recsys.training.constants import labels_that_count
from recsys.training.rounds import learned, own_periods
from recsys.training.work import Training

# Legend: K objectives.


def require_known(training: Training) -> None:
    """Raise DataError where an objective has labels on the training days, but the choosing phase may learn none of them.

    In time order these are the warm days, which give an objective its constants.
    """
    days = training.warm
    total_K = _counts(training, days, [Period()] * len(days))
    known_K = _counts(training, days, learned(training.pipeline.train, days, training.following))
    border = training.following[days[-1]]
    dropped = training.pipeline.train.order == "time" and training.pipeline.train.late == "drop"
    which, wider = ("warm", "more train.warm_days") if training.continues else ("training", "widen split.train")
    for objective, total, known in zip(training.pipeline.objective, total_K.tolist(), known_K.tolist(), strict=True):
        if total and not known:
            when = "the next day begins" if dropped else f"{border} begins, the first day that is predicted after them"
            raise data_error(
                f"column {schema.label_column(objective.name)}",
                found=f"no label on the {which} days that is known before {when}; all {total:,} are known later",
                expected="at least one to learn",
                fix=f"a shorter features.label_delay or within of the feedback, or {wider}"
                + (', or train.late = "next_day"' if dropped else ""),
            )


def late_labels(training: Training) -> list[str]:
    """Return lines for people: per objective, the share of labels that are learned on a later day, or never.

    There is no such line where all labels are learned at once. A last line says where no validation label is known in time to choose a
    pass.
    """
    train = training.pipeline.train
    days = training.days_left
    if not days:
        return []
    total_K = _counts(training, days, [Period()] * len(days))
    learned_K = _counts(training, days, learned(train, days, training.following))
    at_once_K = _counts(training, days, own_periods(days, training.following)) if training.continues else learned_K
    lines = [("known only when the next day has begun, and learned on a later day", learned_K - at_once_K)]
    border = training.following[days[-1]]
    lines.append((_why_not_learned(training, border), total_K - learned_K))
    said = [f"train: labels {what}: {_shares(training, counts_K, total_K)}" for what, counts_K in lines if counts_K.any()]
    if training.validation_days and not training.continues and not training.chooses:
        border = training.following[training.validation_days[-1]]
        said.append(f"train: no label of the validation days is known before {border} begins, to choose a pass by: all passes are run")
    return said


def _why_not_learned(training: Training, border: str | None) -> str:
    if not training.continues:
        return f"not known before {border} begins, and not learned"
    if training.pipeline.train.late == "drop":
        return "not known in time, and not learned"
    return f"not known before {border} begins, and learned once they are known"


def to_learn(training: Training) -> dict[str, int]:
    """Return objective → the number of its training labels that count; of a binary one those of the rarer value.

    With `given` they are those where the given objective happened. Objectives that are not trained are left out.
    """
    found = {}
    for objective, label_N in _labels_of_each(training, training.train_days):
        positives = int(np.count_nonzero(label_N))
        found[objective.name] = min(positives, len(label_N) - positives) if objective.is_probability else len(label_N)
    return found


def alike_on_warm_days(training: Training) -> str | None:
    """Return a warning about objectives whose labels are all alike on the warm days, in time order; None without any.

    Constants come from these days and stay, unless another run gives them. Where nothing varies there, a base rate is next to 0 or 1, a
    scale is any number, and a distribution has one bin, so that it learns nothing.
    """
    if not training.continues:
        return None
    given = () if training.transfer is None else training.transfer.old_objectives
    of_each = _labels_of_each(training, training.warm)
    alike = [objective.name for objective, label_N in of_each if objective.name not in given and len(np.unique(label_N)) < 2]
    if not alike:
        return None
    meanwhile = ", ".join(f"objective.{name}.fusion_weight=0" for name in alike)
    return (
        f"found one answer in all labels of {', '.join(alike)} on the warm days (up to {training.warm[-1]}), expected different ones: what"
        " they give an objective is kept for good, so other answers of later days are learned badly or not at all. Fix: train.warm_days"
        f" that reach them; until there are some, {meanwhile}"
    )


def _labels_of_each(training: Training, days: Sequence[str]) -> Iterator[tuple[Objective, NDArray[np.float32]]]:
    """Yield each objective that is trained with its labels that count; with `given` those where the given objective happened."""
    labels_NK = labels_that_count(training.open_learned(days))
    names = [objective.name for objective in training.pipeline.objective]
    for k, objective in enumerate(training.pipeline.objective):
        happened_N = True if objective.given is None else labels_NK[:, names.index(objective.given)] == 1
        if objective.loss_weight > 0:
            yield objective, labels_NK[~np.isnan(labels_NK[:, k]) & happened_N, k]


def _counts(training: Training, days: Sequence[str], periods: Sequence[Period]) -> NDArray[np.int64]:
    """Return [K], the number of labels of these days that become known in each day's period."""
    counts_K = np.zeros(len(training.layout.objectives), np.int64)
    for day, period in zip(days, periods, strict=True):
        for known, arrived_K in training.arrivals[day].items():
            if period.holds(np.array(known)):
                counts_K += arrived_K
    return counts_K


def _shares(training: Training, counts_K: NDArray[np.int64], total_K: NDArray[np.int64]) -> str:
    named = zip(training.pipeline.objective, counts_K.tolist(), total_K.tolist(), strict=True)
    return ", ".join(f"{objective.name} {count / total:.1%}" for objective, count, total in named if count)
