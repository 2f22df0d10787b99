from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from studies.comparison import WAYS, markdown, runs_of, summary

DEMO = Path(__file__).parents[2] / "pipelines" / "demo.toml"


def rows_of(gains):
    """Rows of a study from (way, seed) → (gain, half width over users)."""
    return pd.DataFrame(
        [
            {"way": way, "seed": seed, "objective": "click", "metric": "auc", "n": 10, "n_positive": 5, "value": 0.7 + gain, "gain": gain,
             "low": gain - half, "high": gain + half, "multiplications": 100, "parameters": 10, "rows_per_second": 1.0}
            for (way, seed), (gain, half) in gains.items()
        ]
    )  # fmt: skip


def test_an_interval_adds_the_variance_over_users_and_that_between_seeds():
    gains = {
        ("a", 1): (0.0, 0.0),
        ("a", 2): (0.0, 0.0),
        ("b", 1): (0.01, 0.0196),
        ("b", 2): (0.03, 0.0196),
        ("c", 1): (0.0, 0.0),
        ("c", 2): (0.02, 0.0),
    }
    found = summary(rows_of(gains)).set_index("way")
    assert found.loc["a", "verdict"] == "reference"
    assert found.loc["b", "gain"] == pytest.approx(0.02)
    pooled = ((0.01 - 0.02) ** 2 * 2 + (0.0 - 0.01) ** 2 * 2) / 2  # two ways of two seeds, which share a reference
    total = 0.01**2 + pooled / 2
    freedom = 2 / (1 + 0.25)
    half = stats.t.ppf(0.975, freedom * (total / (pooled / 2)) ** 2) * np.sqrt(total)  # the seeds' part has few degrees, the users' many
    assert found.loc["b", "high"] - found.loc["b", "gain"] == pytest.approx(half, rel=1e-6)
    assert found.loc["b", "verdict"] == "tie"
    assert found["seed_sd"].iloc[0] == pytest.approx(np.sqrt(pooled))


def test_what_excludes_zero_is_named_and_bold():
    table = summary(rows_of({("a", 1): (0.0, 0.0), ("a", 2): (0.0, 0.0), ("b", 1): (0.1, 0.01), ("b", 2): (0.1001, 0.01)}))
    assert table.set_index("way").loc["b", "verdict"] == "better"
    assert "**+0.1" in markdown(table)


@pytest.mark.parametrize("what", WAYS)
def test_every_way_is_a_run_of_its_own(tmp_path, what):
    arguments = Namespace(what=what, pipeline=DEMO, budget=None, overrides=[], workspace=tmp_path)
    runs = runs_of(arguments, 2)
    assert [run.variant.name for run in runs] == list(WAYS[what])
    assert len({run.job.run for run in runs}) == len(runs)
    assert all(run.seed == 2 and run.job.pipeline.evaluate.baselines == () for run in runs)
