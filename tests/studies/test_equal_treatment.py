"""The study of the net against trees, on a world of seconds."""

from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from studies.equal_treatment import one_world, summary

TINY = Path(__file__).parents[2] / "pipelines" / "tiny.toml"
SMALL = ["source.users=200", "evaluate.bootstrap=20", "source.days=4", "features.history=0", "features.slices=[]"]
DAYS = [
    'split.train=["2024-01-02", "2024-01-02"]',
    'split.validation=["2024-01-03", "2024-01-03"]',
    'split.test=["2024-01-04", "2024-01-04"]',
]


@pytest.mark.words  # it walks whole pipelines
def test_a_world_is_a_row_an_objective_with_its_difference_to_the_trees(tmp_path: Path):
    rows = pd.DataFrame(one_world(TINY, 3, [*SMALL, *DAYS], tmp_path)).set_index("objective")
    assert list(rows.index) == ["click", "watch_time", "like"]
    assert list(rows["metric"]) == ["auc", "xauc", "auc"]
    runs = {path.name.split("-")[0]: pd.read_parquet(path / "metrics.parquet") for path in tmp_path.glob("tiny/runs/*-*")}
    assert set(runs) == {"mmoe", "gbdt"}
    alone = {}
    for name, metrics in runs.items():
        whole = metrics[(metrics["split"] == "test") & metrics["day"].isna() & (metrics["slice"] == "all") & metrics["against"].isna()]
        alone[name] = whole[(whole["metric"] == "auc") & (whole["objective"] == "click")]["value"].item()
    assert rows.loc["click", "value"] == pytest.approx(alone["mmoe"])
    assert rows.loc["click", "gain"] == pytest.approx(alone["mmoe"] - alone["gbdt"])
    assert list(rows["low"] <= rows["high"]) == [True, True, False], "too few users of so small a world like something"


def test_worlds_are_averaged_with_students_interval():
    gains = {7: 0.01, 8: 0.02, 9: 0.06}
    rows = [{"seed": seed, "objective": "click", "metric": "auc", "value": 0.7 + gain, "gain": gain} for seed, gain in gains.items()]
    (line,) = summary(pd.DataFrame(rows)).to_dict("records")
    assert (line["worlds"], line["net"], line["trees"]) == (3, pytest.approx(0.73), pytest.approx(0.7))
    expected = stats.ttest_1samp(list(gains.values()), 0.0).confidence_interval(0.95)
    assert (line["net − trees"], line["low"], line["high"]) == pytest.approx((0.03, *expected), abs=1e-4)
