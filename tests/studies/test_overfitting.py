from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from studies.overfitting import figure, losses, markdown, summary

TINY = Path(__file__).parents[2] / "pipelines" / "tiny.toml"


def rows_of(curves):
    """Rows of a study from (way, seed) → objective → loss by pass. Together the objectives weigh alike."""
    rows = []
    for (way, seed), by_name in curves.items():
        for name, of_passes in by_name.items():
            for n, loss in enumerate(of_passes):
                joint = loss if way == "alone" else sum(other[n] for other in by_name.values())
                rows.append({"way": way, "seed": seed, "objective": name, "pass": n + 1, "loss": loss, "joint": joint})
    return pd.DataFrame(rows)


CURVES = {
    ("alone", 1): {"click": [0.9, 0.8, 0.7], "hate": [1.0, 1.1, 1.3]},
    ("alone", 2): {"click": [0.9, 0.7, 0.8], "hate": [1.1, 1.0, 1.2]},
    ("both", 1): {"click": [0.9, 0.7, 0.6], "hate": [0.9, 1.0, 1.2]},  # sums 1.8, 1.7, 1.8
    ("both", 2): {"click": [0.9, 0.8, 0.6], "hate": [0.9, 1.0, 1.0]},  # sums 1.8, 1.8, 1.6
}


def test_alone_is_read_at_its_own_best_pass_and_together_also_where_it_would_be_served():
    found = summary(rows_of(CURVES)).set_index(["way", "objective", "reading"])
    assert [found.loc[key, "passes"] for key in [("alone", "click", "own"), ("alone", "hate", "own")]] == [[3, 2], [1, 2]]
    assert found.loc[("both", "hate", "own"), "passes"] == [1, 1]
    assert [found.loc[("both", name, "served"), "passes"] for name in ("click", "hate")] == [[2, 3], [2, 3]]
    losses = {key: found.loc[key, "loss"] for key in found.index}
    assert losses == pytest.approx(
        {
            ("alone", "click", "own"): 0.7,
            ("alone", "hate", "own"): 1.0,
            ("both", "click", "own"): 0.6,
            ("both", "click", "served"): 0.65,
            ("both", "hate", "own"): 0.9,
            ("both", "hate", "served"): 1.0,
        }
    )
    assert found.loc[("both", "hate", "served"), "gain"] == pytest.approx(0.0)
    assert found.loc[("both", "hate", "own"), "gain"] == pytest.approx(0.1)
    assert found.loc[("alone", "hate", "own"), "rise"] == pytest.approx(0.25)


def test_a_gain_has_the_pooled_noise_of_its_objective_s_gains():
    found = summary(rows_of(CURVES)).set_index(["way", "objective", "reading"])
    gains = np.array([[0.1, 0.1], [0.0, 0.1]])  # of click, own and served, by seed
    variance, freedom = gains.var(axis=1, ddof=1).mean(), 2 / (1 + 0.5**2)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(variance / 2)
    assert found.loc[("both", "click", "served"), "half"] == pytest.approx(half)
    text = markdown(summary(rows_of(CURVES)))
    assert "| objective | alone | both, own | both, served |" in text
    assert "0.700 (3/2), last +0.050" in text
    assert f"0.650 (2/3), +0.050 ± {half:.3f}" in text


@pytest.mark.words  # it walks whole pipelines
@pytest.mark.parametrize(("way", "runs"), [("alone", 2), ("shared_bottom", 1)])
def test_losses_are_of_every_pass_of_ordinary_runs(tmp_path, way, runs):
    """Alone is a run per objective, in which only it has a say; together there is one. What counts nothing is left out."""
    arguments = Namespace(pipeline=TINY, overrides=["objective.like.loss_weight=0"], passes=2, budget=None, workspace=tmp_path)
    rows = losses(arguments, way, 1)
    assert sorted(rows["pass"].unique()) == [1, 2]
    assert set(rows["objective"]) == {"click", "watch_time"}
    assert (rows["loss"] > 0).all()
    assert not rows.duplicated(["objective", "pass"]).any()
    names = [folder.name for folder in (tmp_path / "tiny" / "runs").iterdir()]
    assert len(names) == runs
    assert all(name.startswith("shared_bottom-") for name in names)
    sums = rows.groupby("pass")["loss"].transform("sum")
    np.testing.assert_allclose(rows["joint"], rows["loss"] if way == "alone" else sums)
    if way != "alone":
        assert losses(arguments, way, 1).equals(rows)
        assert figure(rows).to_dict()["spec"]["layer"]
