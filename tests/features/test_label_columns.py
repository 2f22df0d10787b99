"""What examples carry beside features: labels, joint ones among them, and the weight, row by row against the log."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsys.config import Pipeline
from recsys.errors import DataError
from recsys.stages import STAGES

LIGHT = {"entities": [["user_id"]], "windows": [2], "signals": ["is_click"], "history": 0, "today": []}
CLICK = {"name": "click", "label": "is_click = 1"}
LONG = {"name": "long", "label": "watch > 2", "observed": "tab = 1", "given": "click"}
GLAD = {"name": "glad", "label": "survey >= 2", "observed": "survey is not null", "given": "long"}
STARS = {"name": "stars", "kind": "ordinal", "label": "survey", "levels": [1, 2, 3, 4, 5]}


def small(feed: Any, **changes: Any) -> Pipeline:
    split = {"train": [feed.days[0]] * 2, "test": [feed.days[1]] * 2}
    return feed.pipeline(features=LIGHT, split=split, **changes)


def two_days(feed: Any, seed: int, n: int = 240) -> list[dict[str, Any]]:
    """The first two days of a random log: a label is of one row, and a day takes as long to build as another."""
    return [row for row in feed.events(seed, n) if feed.day_of(row) in feed.days[:2]]


def examples(feed: Any, rows: list[dict[str, Any]], pipeline: Pipeline, more: tuple[pa.Field, ...] = ()) -> list[dict[str, Any]]:
    """All days' examples as rows, by event id."""
    tables = feed.examples(feed.build("log", rows, pipeline, more).folder).values()
    return sorted((row for table in tables for row in table.to_pylist()), key=lambda row: row["event_id"])


# --- Joint labels -------------------------------------------------------------------------------------------------
def joint(own: float | None, given: float | None) -> float | None:
    """By the sentence in `Objective`."""
    if given is None:
        return None
    return 0.0 if given == 0 else own


def test_a_joint_label_is_0_where_what_it_is_given_is_0_and_its_own_where_that_is_1(feed: Any) -> None:
    rows = two_days(feed, 3)
    found = examples(feed, rows, small(feed, objective=[GLAD, LONG, CLICK]))  # order does not matter
    seen = set()
    for row, example in zip(sorted(rows, key=lambda row: row["event_id"]), found, strict=True):
        click = None if row["log.is_click"] is None else float(row["log.is_click"] == 1)
        own_long = float(row["log.watch"] > 2) if row["log.tab"] == 1 else None
        own_glad = None if row["feedback.survey"] is None else float(row["feedback.survey"] >= 2)
        long = joint(own_long, click)
        glad = joint(own_glad, long)
        assert (example["label.click"], example["label.long"], example["label.glad"]) == (click, long, glad)
        seen.add((click, own_long, own_glad, glad))
    assert {glad for *_, glad in seen} == {None, 0.0, 1.0}
    assert (0.0, None, None, 0.0) in seen, "never observed, and 0 all the same: no case of it in this log shows nothing"


@pytest.mark.words
def test_an_objective_that_is_given_nothing_keeps_its_label(feed: Any) -> None:
    rows = two_days(feed, 4, n=60)
    alone = {key: value for key, value in LONG.items() if key != "given"} | {"name": "alone"}
    found = examples(feed, rows, small(feed, objective=[CLICK, LONG, alone]))
    own = [float(row["log.watch"] > 2) if row["log.tab"] == 1 else None for row in sorted(rows, key=lambda row: row["event_id"])]
    assert [row["label.alone"] for row in found] == own
    assert [row["label.long"] for row in found] != own


# --- Ordinal labels -----------------------------------------------------------------------------------------------
@pytest.mark.words
def test_an_ordinal_label_is_one_of_its_levels_or_null(feed: Any) -> None:
    rows = two_days(feed, 5, n=60)
    found = examples(feed, rows, small(feed, objective=[STARS]))
    assert [row["label.stars"] for row in found] == [row["feedback.survey"] for row in sorted(rows, key=lambda row: row["event_id"])]


@pytest.mark.parametrize(("label", "found"), [("survey", "5"), ("watch * 1e300", "e+30"), ("survey / 2", "2.5")])
def test_a_label_between_or_beyond_the_levels_is_refused_and_counted(feed: Any, label: str, found: str) -> None:
    pipeline = small(feed, objective=[{**STARS, "label": label, "levels": [1, 2, 3, 4]}])
    with pytest.raises(
        DataError, match=r"part-0\.parquet column label\.stars: found .*expected one of 1, 2, 3, 4 for the ordinal"
    ) as caught:
        feed.build("log", two_days(feed, 5), pipeline)
    assert found in str(caught.value)
    assert " rows. Fix: mend objective.stars.label" in str(caught.value)


@pytest.mark.words
def test_levels_are_compared_as_the_float32_that_examples_hold(feed: Any) -> None:
    """0.1 · survey is another double than 0.3 for a survey of 3, and the same float32."""
    assert 0.1 * 3 != 0.3
    pipeline = small(feed, objective=[{**STARS, "label": "survey * 0.1", "levels": [0.1, 0.2, 0.3, 0.4, 0.5]}])
    values = {row["label.stars"] for row in examples(feed, two_days(feed, 6), pipeline)} - {None}
    assert values <= {float(np.float32(level)) for level in (0.1, 0.2, 0.3, 0.4, 0.5)}


# --- When a label is known ----------------------------------------------------------------------------------------
MINUTE, HOUR = 60_000, 3_600_000


DELAYED = [
    (CLICK, 10 * MINUTE),
    ({"name": "glad", "label": "coalesce(survey, 0) > 2"}, 20 * HOUR + 10 * MINUTE),
    ({"name": "rated", "kind": "regression", "label": "survey"}, 20 * HOUR + 10 * MINUTE),
    ({"name": "of_clicks", "kind": "regression", "label": "feedback.survey", "observed": "log.is_click = 1"}, 20 * HOUR + 10 * MINUTE),
    ({"name": "watch", "kind": "watch_time", "label": "watch", "observed": "survey > 2"}, 20 * HOUR + 10 * MINUTE),
    ({"name": "slowest", "kind": "watch_time", "label": "watch + coalesce(reply, survey, 0)"}, 72 * HOUR + 10 * MINUTE),
    ({"name": "joined", "label": "coalesce(joined, 0) > 0"}, 24 * HOUR + 10 * MINUTE),  # by the source itself: the default
    ({"name": "joint", "label": "is_click = 1", "given": "glad"}, 20 * HOUR + 10 * MINUTE),  # of what it is given
]


@pytest.mark.words
def test_a_label_is_known_when_the_slowest_of_all_that_it_reads_is(feed: Any) -> None:
    """Known or not is the label's own affair: null where it is null."""
    more = (pa.field("feedback.reply", pa.int64()), pa.field("feedback.joined", pa.int64()))
    rows = [row | {"feedback.reply": row["event_id"] % 2, "feedback.joined": None} for row in two_days(feed, 9, n=60)]
    source = small(feed).source.model_dump(mode="json")
    (survey,) = source["feedback"]
    source["feedback"] = [survey, survey | {"name": "reply", "within": "3d"}]
    found = examples(feed, rows, small(feed, source=source, objective=[objective for objective, _ in DELAYED]), more)
    for objective, delay in DELAYED:
        name = objective["name"]
        assert any(row[f"label.{name}"] is not None for row in found), name
        for row in found:
            known = None if row[f"label.{name}"] is None else row["timestamp"] + delay
            assert row[f"known.{name}"] == known, name


# --- The weight ---------------------------------------------------------------------------------------------------
WEIGHT = (pa.field("log.counts", pa.float64()),)


def weighted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {"log.counts": 0.25 * (place % 5)} for place, row in enumerate(rows)]


@pytest.mark.words
def test_the_weight_stands_beside_the_labels_as_float32_and_is_no_feature(feed: Any) -> None:
    rows = weighted(two_days(feed, 7, n=60))
    pipeline, plain = small(feed, train={"weight": "counts"}), small(feed)
    built = feed.build("log", rows, pipeline, WEIGHT)
    without = feed.build("log", rows, plain, WEIGHT)
    found = feed.examples(built.folder)
    for day, table in found.items():
        assert table.schema.field("weight").type == pa.float32()
        assert table.drop_columns("weight").equals(feed.examples(without.folder)[day])
    by_event = sorted((row for table in found.values() for row in table.to_pylist()), key=lambda row: row["event_id"])
    assert [row["weight"] for row in by_event] == [row["log.counts"] for row in sorted(rows, key=lambda row: row["event_id"])]


@pytest.mark.words
def test_a_feedback_can_be_the_weight(feed: Any) -> None:
    rows = [row | {"feedback.survey": row["event_id"] % 3} for row in two_days(feed, 7, n=60)]
    found = examples(feed, rows, small(feed, train={"weight": "survey"}))
    assert [row["weight"] for row in found] == [row["event_id"] % 3 for row in found]


@pytest.mark.parametrize(("value", "found"), [(None, "null"), (-0.5, "-0.5"), (float("nan"), "nan"), (float("inf"), "inf")])
def test_a_weight_that_is_no_weight_is_refused_by_its_place(feed: Any, value: float | None, found: str) -> None:
    rows = weighted(two_days(feed, 8, n=60))
    first = min(rows, key=lambda row: row["timestamp"])
    rows = [row | {"log.counts": value} if row is first else row for row in rows]
    with pytest.raises(DataError) as caught:
        feed.build("log", rows, small(feed, train={"weight": "counts"}), WEIGHT)
    text = str(caught.value)
    assert f"column log.counts: found {found}, expected a finite number of 0 or more in every row, for train.weight; 1 of " in text
    assert "Fix: fill the column" in text


# --- Fingerprints -------------------------------------------------------------------------------------------------
def test_what_makes_labels_and_weights_is_in_the_fingerprint(feed: Any) -> None:
    def counted(**changes: Any) -> Any:
        return STAGES["features"].counted(small(feed, **changes))

    plain = counted(objective=[CLICK, {**LONG, "given": None}])
    assert plain != counted(objective=[CLICK, LONG])
    assert plain != counted(objective=[CLICK, {**LONG, "given": None}], train={"weight": "watch"})
    assert counted(objective=[STARS]) != counted(objective=[{**STARS, "levels": [1, 5]}])
