"""A list is ranked before any of it is shown: no feature of a list tells where in it an impression stands."""

from typing import Any

import pyarrow as pa
import pytest

TOLD = ("context.session_place", "context.session_elapsed", "agg.user_id.recency", "agg.user_id.count.today", "history.age")


def shown(feed: Any, moments: list[tuple[int, int | None]], **more: list[Any]) -> list[dict[str, Any]]:
    """Impressions of one user on the second day, after one at its start: seconds since then, and positions."""
    start = feed.midnight(feed.days[1])
    row = {"user_id": 1, "item_id": "v0", "log.is_click": 1, "log.watch": 1.0, "log.tab": 0, "feedback.survey": None}
    first = row | {"event_id": 1000, "timestamp": start, "position": 3, **dict.fromkeys(more)}
    rows = [
        row | {"event_id": n, "timestamp": start + 1000 * second, "position": position} | {name: values[n] for name, values in more.items()}
        for n, (second, position) in enumerate(moments)
    ]
    return [row | {"event_id": 2000, "timestamp": feed.midnight(feed.days[0]), "position": 0, **dict.fromkeys(more)}, first, *rows]


def told(feed: Any, rows: list[dict[str, Any]], more: list[pa.Field] | None = None) -> list[tuple[Any, ...]]:
    """What the features tell of each impression after the first one, in the order of time."""
    split = {"train": [feed.days[0]] * 2, "test": [feed.days[1]] * 2}
    table = feed.examples(feed.build("log", rows, feed.pipeline(split=split), more or []).folder)[feed.days[1]]
    return [tuple(str(example[name]) for name in TOLD) for example in table.to_pylist()[1:]]


@pytest.mark.words
def test_positions_that_ascend_without_a_pause_are_a_list(feed: Any) -> None:
    found = told(feed, shown(feed, [(1200, 1), (1202, 2), (1210, 5), (1300, 1), (1302, 2), (2500, 3)]))
    assert found[0] == found[1] == found[2]
    assert found[3] == found[4]
    assert len(set(found)) == 3  # the last one comes after a pause


def test_an_impression_without_a_position_stands_alone(feed: Any) -> None:
    found = told(feed, shown(feed, [(1200, 1), (1202, None), (1204, 2)]))
    assert len(set(found)) == 3


@pytest.mark.words
def test_a_request_is_a_list_whatever_its_positions(feed: Any) -> None:
    requests = ["a", "a", "b", "a", None, None]
    rows = shown(feed, [(1200, 2), (1202, 1), (1204, 3), (1206, 9), (1208, 1), (1210, 2)], request_id=requests)
    found = told(feed, rows, [pa.field("request_id", pa.string())])
    assert found[0] == found[1] == found[3]
    assert found[2] != found[0]
    assert len({found[4], found[5]}) == 2, "without a request each stands alone"


@pytest.mark.words
@pytest.mark.parametrize("seconds", [pytest.param(0, marks=pytest.mark.words), 2])
def test_what_is_known_when_a_list_begins_is_known_to_all_of_it(feed: Any, seconds: int) -> None:
    """The label delay is ten minutes: the impression at the start of the day is known when the list begins at 700 s, not at 599 s."""
    for begin, known in ((599, 0), (700, 1)):
        rows = shown(feed, [(begin, 1), (begin + seconds, 2)])
        first, second = told(feed, rows)
        assert first == second
        assert float(second[3]) == pytest.approx([0.0, 0.6931472][known], abs=1e-6)
