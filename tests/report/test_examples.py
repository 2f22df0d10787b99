"""Which lists are shown, and what is said of their items."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recsys.errors import ArtifactError
from recsys.objectives import Objective
from recsys.report.pages.examples import LISTS, shown_lists
from recsys.report.pages.page_sample import Sample, take_sample
from tests.staged import ORIGIN

CLICK = Objective(name="click", label="c")
LIKE = Objective(name="like", label="l", group="satisfaction")
HIDE = Objective(name="hide", label="h", group="satisfaction", better="lower")
OBJECTIVES = (CLICK, LIKE, HIDE)
NOON = 1_704_326_400_000 + 12 * 3_600_000  # 2024-01-04 in UTC


def sample(sizes, liked=(), users=None) -> Sample:
    """One list an entry of `sizes`, of a user each; something was clicked in all lists, something liked in those of `liked`."""
    list_N = np.repeat(np.arange(len(sizes)), sizes)
    rows = len(list_N)
    first_N = np.r_[True, list_N[1:] != list_N[:-1]]
    table = pa.table(
        {
            "event_id": np.arange(rows), "request_id": list_N, "timestamp": NOON + list_N * 60_000,
            "user_id": (np.arange(len(sizes)) if users is None else np.array(users))[list_N], "item_id": np.arange(rows) + 500,
            "day": ["2024-01-04"] * rows, "split": ["test"] * rows,
            "label.click": first_N * 1.0, "label.like": (first_N & np.isin(list_N, liked)) * 1.0, "label.hide": 1.0 - first_N,
            **{f"pred.{o.name}": np.linspace(0.1, 0.9, rows) for o in OBJECTIVES},
        }
    )  # fmt: skip
    return take_sample(table, OBJECTIVES, "x", most=20_000, seed=1)


@pytest.fixture
def examples(tmp_path) -> Path:
    rows = 40
    table = pa.table(
        {
            "event_id": np.arange(rows)[::-1], "item_id": np.arange(rows), "item.seconds": np.linspace(10, 10_000, rows)[::-1],
            "item.topic": pa.array([None if row == 3 else f"<b>{row}</b>" for row in range(rows)][::-1]),
            "item.tags": pa.array([["a", "b"] if row % 2 else [] for row in range(rows)][::-1]),
            "item.parts": np.arange(rows)[::-1] * 1000, "item.more": np.ones(rows),
            "query.item_id": np.full(rows, 77), "query.same.topic": np.zeros(rows), "query.topic": ["music"] * rows,
            "agg.user_id.count.7": np.zeros(rows),
        }
    )  # fmt: skip
    with ORIGIN.writing(tmp_path / "day=2024-01-04") as output:
        output.write_table("part-0.parquet", table)
    return tmp_path


def test_lists_that_are_long_enough_those_with_what_both_groups_want_first() -> None:
    of = sample([9, 7, 8, 12, 30, 9, 10], liked=[1, 3, 5])
    shown = shown_lists(of, OBJECTIVES, None, zone="UTC", seed=1)
    users = [found.user for found in shown]
    assert len(shown) == LISTS
    assert set(users[:2]) == {"3", "5"}
    assert "1" not in users
    for found in shown:
        assert of.table["user_id"].take(pa.array(found.rows)).unique().to_pylist() == [int(found.user)]
        assert found.items == tuple(str(item) for item in of.table["item_id"].take(pa.array(found.rows)).to_pylist())
    assert shown == shown_lists(of, OBJECTIVES, None, zone="UTC", seed=1)


def test_a_user_is_shown_once_and_short_lists_not_at_all() -> None:
    assert len(shown_lists(sample([9] * 6, users=[1, 1, 2, 1, 2, 1]), OBJECTIVES, None, zone="UTC", seed=1)) == 2
    assert shown_lists(sample([7] * 6), OBJECTIVES, None, zone="UTC", seed=1) == []


def test_items_say_names_before_numbers_and_what_is_not_known_is_left_out(examples) -> None:
    (shown,) = shown_lists(sample([8]), OBJECTIVES, examples, zone="Asia/Shanghai", seed=1)
    assert shown.when == "2024-01-04 20:00 (Asia/Shanghai)"
    assert shown.watching == "77 · music"
    assert [text.replace("\N{NO-BREAK SPACE}", " ") for text in shown.features[:4]] == [
        "<b>0</b> · seconds 10 · parts 0 · more 1",
        "<b>1</b> · a, b · seconds 266 · parts 1,000",
        "<b>2</b> · seconds 522 · parts 2,000 · more 1",
        "a, b · seconds 778 · parts 3,000 · more 1",
    ]


def test_without_examples_items_are_known_by_their_ids() -> None:
    (shown,) = shown_lists(sample([8]), OBJECTIVES, None, zone="UTC", seed=1)
    assert shown.watching is None
    assert set(shown.features) == {""}
    assert shown.items == tuple(str(500 + row) for row in range(8))


def test_a_day_of_examples_that_cannot_be_read_is_an_error(examples) -> None:
    (examples / "day=2024-01-04" / "part-0.parquet").write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match=r"part-0\.parquet: found other bytes"):
        shown_lists(sample([8]), OBJECTIVES, examples, zone="UTC", seed=1)
