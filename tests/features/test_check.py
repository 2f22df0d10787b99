"""A pipeline held against the names of its source, before anything is read."""

from typing import Any

import pytest

from recsys.errors import RecsysError
from recsys.features import check

NAMES = {
    "known": ["user_id", "item_id", "timestamp", "position"],
    "log": ["is_click", "watch", "tab"],
    "feedback": ["survey"],
    "users": ["grade", "level"],
    "items": ["author_id", "tag", "uploaded"],
}


def watch_by(duration: str) -> dict[str, str]:
    return {"name": "w", "kind": "watch_time", "label": "watch", "method": "d2q", "duration": duration}


def expression(**texts: str) -> dict[str, Any]:
    return {"features": {"signals": [*texts], "expressions": texts}}


def test_a_pipeline_that_fits_has_no_problems(feed: Any) -> None:
    check(feed.pipeline(), NAMES)


@pytest.mark.parametrize(
    ("changes", "place", "found"),
    [
        (
            {"objective": [{"name": "a", "label": "is_clik = 1"}]},
            "objective.a.label",
            "is_clik, expected a column of the log or a feedback; did you",
        ),
        ({"objective": [{"name": "a", "label": "max(watch)"}]}, "objective.a.label", "MAX(watch)"),
        ({"objective": [{"name": "a", "label": "watch", "observed": "1; 2"}]}, "objective.a.observed", "2 expressions"),
        ({"features": {"signals": ["wach"]}}, "features.signals", 'did you mean "watch"'),
        (expression(part="max(watch)"), "features.expressions.part", "MAX(watch)"),
        (
            expression(part="wacth / 4"),
            "features.expressions.part",
            'wacth, expected a column of the log or a feedback; did you mean "watch"',
        ),
        (expression(watch="watch / 4"), "features.expressions.watch", "a name that the data has too"),
        (expression(tag="watch > 3"), "features.expressions.tag", "a name that the data has too"),
        (expression(count="watch > 3"), "features.signals", "count, which makes the column agg.user_id.count.1 of the examples"),
        ({"features": {"signals": ["parts"], "expressions": {"part": "watch"}}}, "features.signals", 'did you mean "part"'),
        (expression(part="tab > 1"), "features.context", "tab, which is read by the signal part, expected columns known before"),
        ({"features": {"user": ["tag"]}}, "features.user", "tag, expected a column of users"),
        ({"features": {"context": ["survey"]}}, "features.context", "survey"),
        (
            {"features": {"entities": [["user_id", "tog"]]}},
            "features.entities",
            'tog, expected a column of events or items or users; did you mean "tag"',
        ),
        ({"features": {"today": [["tag"]]}}, "features.today", "['tag'], expected user_id in it"),
        ({"features": {"today": [["user_id", "is_click"]]}}, "features.today", "is_click, which is a signal"),
        ({"features": {"today": [["user_id", "tog"]]}}, "features.today", 'did you mean "tag"'),
        ({"features": {"recent": [["item_id", "tog"]]}}, "features.recent", 'did you mean "tag"'),
        ({"features": {"recent": [["is_click"]]}}, "features.recent", "is_click, which is a signal"),
        ({"features": {"recent": [[]]}}, "features.recent", "an entity without columns"),
        ({"features": {"recent": [["item_id"]], "hours": []}}, "features.hours", "none, expected at least one number of hours"),
        ({"features": {"factors": {"tag": ["is_click"]}}}, "features.factors.tag", "a column with several values in a cell"),
        (
            {"features": {"factors": {"user_id": ["is_click"]}}},
            "features.factors.user_id",
            "a column of the user, expected one whose values a user can like",
        ),
        ({"features": {"factors": {"grade": ["is_click"]}}}, "features.factors.grade", "a column of the user, expected one whose values"),
        ({"features": {"factors": {"item_id": []}}}, "features.factors.item_id", "no signals, expected names from features.signals"),
        (
            {"features": {"factors": {"item_id": ["is_clik"]}}},
            "features.factors.item_id",
            'is_clik, expected one of features.signals; did you mean "is_click"',
        ),
        ({"features": {"factors": {"author": ["is_click"]}}}, "features.factors", "author, expected a column of events or items or users"),
        ({"features": {"factors": {"is_click": ["watch"]}}}, "features.factors", "is_click, which is a signal"),
        ({"features": {"entities": [[]]}}, "features.entities", "an entity without columns"),
        ({"features": {"windows": []}}, "features.windows", "none"),
        (
            {"features": {"slices": ["cold_users"]}},
            "features.slices",
            'cold_users, expected a column of events or items or users, or cold_user or cold_item or item_age; did you mean "cold_user"',
        ),
        ({"features": {"bias": ["device"]}}, "features.bias", "no device"),
        ({"features": {"entities": [["user_id", "is_click"]]}}, "features.entities", "is_click, which is a signal"),
        ({"train": {"weight": "wacht"}}, "train.weight", 'wacht, expected a column of the log or a feedback; did you mean "watch"'),
        ({"train": {"weight": "grade"}}, "train.weight", "grade, expected a column of the log or a feedback"),
        ({"train": {"weight": "tab"}}, "features.context", "tab, which is train.weight"),
        ({"objective": [watch_by("tab")]}, "objective.w.duration", "tab, which [features] reads as text, expected a number"),
        (
            {"objective": [watch_by("tag")], "features": {"multi": {"tag": ","}}},
            "objective.w.duration",
            "tag, which [features] reads as multi",
        ),
    ],
)
def test_a_problem_names_its_place_and_what_was_found(feed: Any, changes: dict[str, Any], place: str, found: str) -> None:
    with pytest.raises(RecsysError) as caught:
        check(feed.pipeline(**changes), NAMES)
    problems = str(caught.value).splitlines()
    assert any(problem.startswith(place) and found in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("features", "key", "name", "column", "other"),
    [
        ({"context": ["hour"]}, "context", "hour", "context.hour", "our own hour, which is read in any case"),
        ({"context": ["Weekday"]}, "context", "Weekday", "context.Weekday", "our own weekday, which is read in any case"),
        ({"signals": ["count"]}, "signals", "count", "agg.user_id.count.1", "['user_id'] of features.entities"),
        ({"signals": ["Age"]}, "signals", "Age", "history.Age", "our own age of each impression of the history"),
        ({"signals": ["Skip", "skip"], "expressions": {"Skip": "watch < 3"}}, "signals", "skip", "agg.user_id.skip.1", "Skip"),
        ({"entities": [["Genre"], ["genre"]]}, "entities", "['genre']", "agg.genre.count.1", "['Genre']"),
        ({"slices": ["Genre", "genre"]}, "slices", "genre", "slice.genre", "Genre"),
        ({"entities": [["a+b"], ["a", "b"]]}, "entities", "['a', 'b']", "agg.a+b.count.1", "['a+b']"),
        ({"signals": ["item.x"], "item": ["x"]}, "signals", "item.x", "history.item.x", "x of features.item"),
    ],
)
def test_names_that_make_one_column_of_the_examples_are_refused(
    feed: Any, features: dict[str, Any], key: str, name: str, column: str, other: str
) -> None:
    """One of the two took the other's place without a word; where they differed by case alone, the engine's error was a traceback."""
    none: dict[str, Any] = {"multi": {}, "expressions": {}, "factors": {}, "entities": [["user_id"]], "signals": ["is_click"]}
    none |= {name: [] for name in ("user", "item", "context", "category", "slices", "ids", "bias", "today")}
    log = ["is_click", "watch", "survey", "hour", "Weekday", "count", "Age", "skip", "Genre", "a", "b", "a+b", "item.x"]
    with pytest.raises(RecsysError) as caught:
        check(feed.pipeline(features=none | features), NAMES | {"log": log, "items": ["genre", "x"]})
    found = f"features.{key}: found {name}, which makes the column {column} of the examples, as does {other}, expected names that"
    assert str(caught.value) == f"{found} differ by more than case. Fix: rename it, or leave it out"
