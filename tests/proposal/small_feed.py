"""A small feed as a file, and what init proposes for it."""

from pathlib import Path

import numpy as np
import pandas as pd

from recsys.checkup import look
from recsys.proposal import propose


def small_feed(rows: int = 3_000) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    return pd.DataFrame({
        "user_id": rng.integers(0, 150, rows), "item_id": rng.integers(0, 90, rows),
        "ts": pd.Timestamp("2024-01-02") + pd.to_timedelta(np.sort(rng.integers(0, 6 * 86_400, rows)), unit="s"),
        "click": (rng.random(rows) < 0.3).astype(int),
    })  # fmt: skip


def proposed(tmp_path: Path, feed: pd.DataFrame, *more: Path, **how: object) -> tuple[dict, str]:
    """The tables of the proposal for a feed, on which check finds no error, and its text."""
    feed.to_csv(tmp_path / "feed.csv", **{"index": False, **how})
    proposal = propose([tmp_path / "feed.csv", *more], tmp_path)
    (tmp_path / "own.toml").write_text(proposal.text, encoding="utf-8")
    found = look(tmp_path / "own.toml")
    assert found.error is None, found.error
    return proposal.tables, proposal.text
