"""The windows that init proposes: the longer one holds the days of the split of a log of up to thirty days."""

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from tests.proposal.small_feed import proposed, small_feed


@pytest.mark.parametrize(("days", "windows"), [(6, [1, 7]), (10, [1, 14]), (15, [1, 14]), (25, [7, 30]), (60, [7, 30]), (200, [30, 365])])
def test_the_longer_window_holds_the_days_of_the_split(days: int, windows: list[int], tmp_path: Path) -> None:
    feed = small_feed()
    feed["ts"] = feed["ts"].min() + (feed["ts"] - feed["ts"].min()) * (days / 6)
    feed["ts"] = pd.to_datetime(feed["ts"]).dt.floor("s")
    tables, _ = proposed(tmp_path, feed)
    first, last = (date.fromisoformat(tables["split"][part][end]) for part, end in (("train", 0), ("test", 1)))
    of_split = (last - first).days + 1
    assert tables["features"]["windows"] == windows
    assert of_split <= windows[1] or of_split > 30
