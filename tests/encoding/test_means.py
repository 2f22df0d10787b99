"""Background means against pandas."""

import numpy as np
import pandas as pd
import pytest

from recsys.encoding import label_means
from recsys.objectives import Objective

OBJECTIVES = [
    Objective(name="glad", label="g", given="like"),
    Objective(name="click", label="c"),
    Objective(name="like", label="l", given="click"),
    Objective(name="watch", kind="watch_time", label="w"),
]


def test_means_are_over_observed_rows_and_of_conditional_forms_over_those_where_it_happened(rng) -> None:
    frame = pd.DataFrame({"click": rng.random(500) < 0.4, "watch": rng.exponential(size=500)}).astype(float)
    frame["like"] = frame["click"] * (rng.random(500) < 0.5)
    frame["glad"] = frame["like"] * (rng.random(500) < 0.5)
    frame = frame.mask(rng.random(frame.shape) < 0.2)
    days = [day[["glad", "click", "like", "watch"]].to_numpy(np.float32) for day in (frame[:100], frame[100:100], frame[100:])]
    found = label_means(days, OBJECTIVES)
    assert found == pytest.approx(
        {
            **{name: frame[name].mean() for name in ("glad", "click", "like", "watch")},
            "like|click": frame.loc[frame["click"] == 1, "like"].mean(),
            "glad|like": frame.loc[frame["like"] == 1, "glad"].mean(),
        }
    )


def test_what_was_never_observed_is_absent() -> None:
    nothing = np.array([[np.nan, 0.0, 0.0, 3.0]])
    assert label_means([nothing], OBJECTIVES) == {"click": 0.0, "like": 0.0, "watch": 3.0}
