"""A small world of scored impressions, as a table for `evaluate`."""

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def predictions(rng: np.random.Generator) -> pd.DataFrame:
    """400 impressions of 60 users over two days: a binary and a watch-time objective, a tenth of the labels not known."""
    rows = 400
    probability = rng.beta(1, 3, rows)
    seconds = rng.gamma(2, 10, rows)
    frame = pd.DataFrame(
        {
            "event_id": rng.permutation(rows) + 10_000,
            "user_id": rng.integers(0, 60, rows),
            "timestamp": rng.integers(0, 2, rows) * 86_400_000 + rng.integers(0, 20 * 60_000, rows),
            "label.like": (rng.random(rows) < probability).astype(float),
            "pred.like": probability.round(2),
            "label.watch": rng.poisson(seconds).astype(float),
            "pred.watch": seconds.round(0),
            "slice.tab": rng.choice(["home", "search"], rows),
        }
    )
    frame["day"] = np.where(frame["timestamp"] < 86_400_000, "2022-05-01", "2022-05-02")
    frame.loc[rng.random(rows) < 0.1, ["label.like", "label.watch"]] = np.nan
    return frame
