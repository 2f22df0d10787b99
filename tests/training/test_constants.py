"""The days that constants come from: the shortest beginning with enough labels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recsys.encoding import EncodedDays
from recsys.objectives import Objective
from recsys.training.constants import constant_days, labels_that_count, rarer

from .conftest import DAYS as TOY_DAYS
from .conftest import Said, encoded_of, pipeline_of, run_train, tables, with_label

CLICK = Objective(name="click", label="c")
WATCH = Objective(name="watch", kind="watch_time", label="w")
DAYS = ["d1", "d2", "d3", "d4"]


def days_by(objectives: list[Objective], labels_of: Callable[[str], np.ndarray]) -> tuple[str, ...]:
    """By the labels of each day, all known at once."""
    return constant_days(DAYS, lambda days: np.sum([rarer(labels_of(day), objectives) for day in days], axis=0))


def _labels(positives: int, negatives: int, unknown: int = 0) -> np.ndarray:
    click = np.concatenate([np.ones(positives), np.zeros(negatives), np.full(unknown, np.nan)])
    return np.column_stack([click, np.ones_like(click)]).astype(np.float32)


def test_stops_at_the_first_day_with_enough_of_both_classes() -> None:
    labels = {"d1": _labels(30, 500), "d2": _labels(19, 500), "d3": _labels(1, 500), "d4": _labels(400, 400)}
    assert days_by([CLICK, WATCH], labels.__getitem__) == ("d1", "d2", "d3")


def test_counts_the_rarer_class_and_only_observed_labels() -> None:
    labels = {"d1": _labels(500, 49, unknown=300), "d2": _labels(500, 1), "d3": _labels(9, 9), "d4": _labels(9, 9)}
    assert days_by([CLICK, WATCH], labels.__getitem__) == ("d1", "d2")


def test_given_another_its_rarer_class_is_counted_where_that_happened() -> None:
    """Its base rate is that of likes among clicks: the zeros of all other rows say nothing of it."""
    like = Objective(name="like", label="l", given="click")
    day = np.array([[0, 0]] * 1000 + [[1, 1]] * 30 + [[0, 1]] * 25 + [[np.nan, 1]] * 99, dtype=np.float32)
    days = dict.fromkeys(DAYS, day)
    assert days_by([like, CLICK], days.__getitem__) == ("d1", "d2")


def test_of_levels_those_beside_the_commonest_are_counted() -> None:
    stars = Objective(name="stars", kind="ordinal", label="s", levels=(1, 2, 3))
    day = np.array([3] * 400 + [1] * 10 + [2] * 15 + [np.nan] * 500, dtype=np.float32)[:, None]
    assert days_by([stars], lambda _: day) == ("d1", "d2")


def test_a_rank_among_videos_of_about_a_length_needs_enough_of_them() -> None:
    ranked = Objective(name="w", kind="watch_time", label="w", method="d2q", duration="seconds")
    day = np.ones((800, 1), np.float32)
    assert days_by([ranked], lambda _: day) == ("d1", "d2")  # 30 groups of 50
    mostly = np.append(np.ones(500), np.zeros(9000)).astype(np.float32)[:, None]
    assert days_by([ranked], lambda _: mostly) == ("d1", "d2", "d3")  # a group without a watched row cannot be learned
    assert days_by([WATCH], lambda _: day) == ("d1",)


def test_a_distribution_needs_ten_bins_of_watched_rows() -> None:
    watched = Objective(name="w", kind="watch_time", label="w")
    mostly = np.append(np.ones(100), np.zeros(9000)).astype(np.float32)[:, None]
    assert days_by([watched], lambda _: mostly) == ("d1", "d2")  # 10 bins of 20
    assert days_by([watched], lambda _: np.ones((200, 1), np.float32)) == ("d1",)


NUMBER = {"name": "n", "label": "n", "kind": "regression"}
TIME = {"name": "n", "label": "n", "kind": "watch_time"}


@pytest.mark.parametrize(
    "options", [NUMBER, NUMBER | {"loss": "huber"}, TIME | {"method": "log_squared"}, TIME | {"method": "weighted_logistic"}]
)
def test_a_day_of_zeros_gives_a_number_no_scale(options) -> None:
    """By a scale of 1, hours in milliseconds were predicted as 0 for good, and there were no odds."""
    number = Objective.model_validate(options)
    mixed = np.append(np.zeros(60), np.arange(60)).astype(np.float32)[:, None]
    labels = dict.fromkeys(DAYS, mixed) | {"d1": np.zeros((500, 1), np.float32)}
    assert days_by([number], labels.__getitem__) == ("d1", "d2")


def test_rows_of_weight_0_do_not_count(kinds_toy) -> None:
    days = EncodedDays(kinds_toy.encoded, list(kinds_toy.tables)[:1])
    labels, weights = labels_that_count(days), days.weights()
    assert np.isnan(labels[weights == 0]).all()
    np.testing.assert_array_equal(labels[weights > 0], days.labels()[weights > 0])
    assert labels.dtype == np.float32


def test_later_days_are_not_read() -> None:
    read: list[str] = []

    def labels_of(day: str) -> np.ndarray:
        read.append(day)
        return _labels(100, 100)

    assert days_by([CLICK, WATCH], labels_of) == ("d1",)
    assert read == ["d1"]


def test_all_days_where_there_are_never_enough() -> None:
    assert days_by([CLICK, WATCH], lambda day: _labels(1, 9)) == tuple(DAYS)


ALIKE = ({"name": "click", "label": "c"}, {"name": "share", "label": "s"}, {"name": "watch", "kind": "watch_time", "label": "w"})


@pytest.mark.parametrize(("warm_days", "named"), [(1, "share, watch"), pytest.param(2, None, marks=pytest.mark.words)])
def test_labels_that_are_all_alike_on_the_warm_days_are_warned_of(tmp_path: Path, warm_days: int, named: str | None) -> None:
    """On the first day nobody shares, and nobody watches."""
    days = {}
    for number, (day, table) in enumerate(tables(60).items()):
        share, watch = table["label.click"].to_numpy() * (number > 0), table["label.watch"].to_numpy() * (number > 0)
        days[day] = with_label(with_label(table, "share", share), "watch", watch)
    pipeline, said = pipeline_of(objectives=ALIKE, train={"batch_size": 60, "warm_days": warm_days}), Said()
    _, encoded = encoded_of(tmp_path, days, pipeline)
    run_train(pipeline, encoded, tmp_path / "run", said)
    warnings = [text for text in said.texts if "one answer" in text]
    assert len(warnings) == (named is not None)
    if named is not None:
        assert f"found one answer in all labels of {named} on the warm days (up to {TOY_DAYS[0]}), expected different ones" in warnings[0]
        assert warnings[0].endswith("objective.share.fusion_weight=0, objective.watch.fusion_weight=0")
