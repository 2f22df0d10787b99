"""Cold users, cold videos and the age of videos: on a longer log against pandas, and to the day at the borders of the bins."""

from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from recsys.errors import DataError
from recsys.features import check
from recsys.features.ready_slices import READY_SLICES

WORDS = ["cold_user", "cold_item", "item_age"]
LIGHT = {"entities": [["user_id"]], "windows": [1], "signals": ["is_click"], "history": 0, "slices": WORDS}


def by_pandas(rows: list[dict[str, Any]], day_of: Any) -> pd.DataFrame:
    """The slices of each event: from counts and first days over the whole log, without a state."""
    log = pd.DataFrame(rows)
    log["day"] = [pd.Timestamp(day_of(row)) for row in rows]
    found = pd.DataFrame({"event_id": log["event_id"]})
    for word, key in (("cold_user", "user_id"), ("cold_item", "item_id")):
        per_day = log.groupby([key, "day"]).size().rename("n").reset_index().sort_values("day", kind="stable")
        per_day["before"] = per_day.groupby(key)["n"].cumsum() - per_day["n"]
        before = log.merge(per_day, on=[key, "day"], how="left")["before"]
        found[f"slice.{word}"] = pd.cut(before, [-1, 0, 9, np.inf], labels=["new", "cold", "warm"]).astype(str)
    age = (log["day"] - log.groupby("item_id")["day"].transform("min")).dt.days
    bins, names = [-1, 0, 1, 3, 7, 30, np.inf], ["new today", "1 day", "2-3 days", "4-7 days", "8-30 days", "31+ days"]
    found["slice.item_age"] = pd.cut(age, bins, labels=names).astype(str)
    return found.sort_values("event_id").reset_index(drop=True)


def random_days(feed: Any, rng: np.random.Generator, n: int = 500) -> list[dict[str, Any]]:
    """Impressions over six weeks with gaps, heavy and rare users and videos."""
    row = feed.events(0, n=1)[0]
    days = rng.choice([0, 1, 2, 4, 7, 8, 15, 30, 31, 40], size=n)
    users, items = (rng.geometric(0.08, size=n) for _ in range(2))
    start = feed.midnight("2022-03-01")
    return [
        row
        | {"event_id": k, "user_id": int(users[k]), "item_id": f"v{items[k]}", "timestamp": start + int(days[k]) * 86_400_000 + 1000 * k}
        for k in range(n)
    ]


@pytest.mark.words
def test_values_are_those_of_pandas_over_the_whole_log(feed: Any) -> None:
    rows = random_days(feed, np.random.default_rng(5))
    split = {"train": ["2022-03-01", "2022-03-20"], "test": ["2022-03-21", "2022-04-15"]}
    built = feed.build("log", rows, feed.pipeline(features=LIGHT, split=split))
    names = ["event_id", *(f"slice.{word}" for word in WORDS)]
    tables = [table.select(names) for table in feed.examples(built.folder).values()]
    assert [name for name in tables[0].column_names if name.startswith("slice.")] == names[1:]
    found = pa.concat_tables(tables).to_pandas().sort_values("event_id").reset_index(drop=True)
    expected = by_pandas(rows, feed.day_of)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    assert set(expected["slice.item_age"]) == {"new today", "1 day", "2-3 days", "4-7 days", "8-30 days", "31+ days"}
    assert set(expected["slice.cold_user"]) == set(expected["slice.cold_item"]) == {"new", "cold", "warm"}


@pytest.mark.parametrize(
    ("word", "held", "value"),
    [
        *(("item_age", 100 - age, name) for age, name in ((1, "1 day"), (2, "2-3 days"), (3, "2-3 days"), (4, "4-7 days"))),
        *(("item_age", 100 - age, name) for age, name in ((7, "4-7 days"), (8, "8-30 days"), (30, "8-30 days"), (31, "31+ days"))),
        ("item_age", None, "new today"),
        *(("cold_user", n, name) for n, name in ((None, "new"), (1, "cold"), (9, "cold"), (10, "warm"))),
    ],
)
def test_borders_of_the_bins(word: str, held: int | None, value: str) -> None:
    day, state = ibis.literal(100, "int32"), ibis.literal(held, "int32")
    assert ibis.duckdb.connect().to_pyarrow(READY_SLICES[word].value(day, state)).as_py() == value


@pytest.mark.words
def test_words_that_are_not_named_cost_no_state_and_leave_examples_as_they_were(feed: Any) -> None:
    built = feed.build("log", feed.events(1, n=40), feed.pipeline(features=LIGHT | {"slices": ["tab", "item_age"]}))
    state = feed.folder / "log" / "state" / built.folder.name
    assert not list(state.rglob("met_*"))
    assert "slice.cold_user" not in next(iter(feed.examples(built.folder).values())).column_names


def test_a_column_of_the_same_name_is_said(feed: Any) -> None:
    names = {"known": ["user_id", "item_id", "timestamp", "position"], "log": ["is_click", "watch", "tab"], "feedback": ["survey"]}
    sides = {"users": ["grade", "level"], "items": ["author_id", "tag", "uploaded", "item_age"]}
    with pytest.raises(DataError, match=r"features.slices: found item_age, which is a ready slice and a column of items, expected one"):
        check(feed.pipeline(), names | sides)
