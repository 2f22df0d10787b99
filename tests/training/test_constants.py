"""The days that constants come from: the shortest beginning with enough labels."""

import numpy as np

from recsys.objectives import Objective
from recsys.training.constants import constant_days

CLICK = Objective(name="click", label="c")
WATCH = Objective(name="watch", kind="watch_time", label="w")
DAYS = ["d1", "d2", "d3", "d4"]


def _labels(positives: int, negatives: int, unknown: int = 0) -> np.ndarray:
    click = np.concatenate([np.ones(positives), np.zeros(negatives), np.full(unknown, np.nan)])
    return np.column_stack([click, np.ones_like(click)]).astype(np.float32)


def test_stops_at_the_first_day_with_enough_of_both_classes() -> None:
    labels = {"d1": _labels(30, 500), "d2": _labels(19, 500), "d3": _labels(1, 500), "d4": _labels(400, 400)}
    assert constant_days(DAYS, labels.__getitem__, [CLICK, WATCH]) == ("d1", "d2", "d3")


def test_counts_the_rarer_class_and_only_observed_labels() -> None:
    labels = {"d1": _labels(500, 49, unknown=300), "d2": _labels(500, 1), "d3": _labels(9, 9), "d4": _labels(9, 9)}
    assert constant_days(DAYS, labels.__getitem__, [CLICK, WATCH]) == ("d1", "d2")


def test_later_days_are_not_read() -> None:
    read: list[str] = []

    def labels_of(day: str) -> np.ndarray:
        read.append(day)
        return _labels(100, 100)

    assert constant_days(DAYS, labels_of, [CLICK, WATCH]) == ("d1",)
    assert read == ["d1"]


def test_all_days_where_there_are_never_enough() -> None:
    assert constant_days(DAYS, lambda day: _labels(1, 9), [CLICK, WATCH]) == tuple(DAYS)
