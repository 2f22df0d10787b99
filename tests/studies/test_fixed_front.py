from argparse import Namespace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys import config
from recsys.experiments import trained
from studies import comparison
from studies.fixed_front import POINTS, against_front, markdown, spread, weightings

PIPELINES = Path(__file__).parents[2] / "pipelines"


@pytest.mark.parametrize("objectives", [3, 9])
def test_weightings_are_spread_over_the_whole_simplex(objectives):
    share_PK = spread(POINTS, objectives)
    np.testing.assert_allclose(share_PK.sum(axis=1), 1.0)
    np.testing.assert_allclose(share_PK.mean(axis=0), 1 / objectives, rtol=0.35)  # no objective is favoured
    assert (share_PK > 0).all()
    assert (share_PK.min(axis=0) < 0.25 / objectives).all()  # each is nearly nothing somewhere
    assert (share_PK.max(axis=0) > 2 / objectives).all()  # and has twice its part, or more, elsewhere
    random = np.random.default_rng(1).dirichlet(np.ones(objectives), (200, POINTS))
    closest = [min(np.linalg.norm(a - b) for a, b in combinations(points, 2)) for points in (share_PK, *random)]
    assert closest[0] > np.quantile(closest[1:], 0.95)  # farther apart than points drawn by chance
    assert np.array_equal(spread(POINTS, objectives), share_PK)


def test_weightings_are_of_the_objectives_that_learn_and_keep_their_sum():
    options = config.load(PIPELINES / "demo.toml", ["objective.like.loss_weight=0"])
    found = weightings(options)
    assert len(found) == POINTS >= 12
    assert all("like" not in weights and len(weights) == 5 for weights in found)
    for weights in found:
        assert sum(weights.values()) == pytest.approx(sum(objective.loss_weight for objective in options.objective), abs=1e-3)


NAMES, FIXED = ("fixed", "fixed 1", "better", "worse", "between"), (True, True, False, False, False)
VALUE = np.array([[0.70, 0.60], [0.68, 0.62], [0.73, 0.64], [0.66, 0.58], [0.69, 0.61]])


def _judged(noise, seeds=1):
    rng = np.random.default_rng(3)
    world = rng.normal(0, 1.0, (1, seeds, 1)) if seeds > 1 else 0.0  # what a seed's own world makes harder for all ways alike
    value_PSK = VALUE[:, None] + world + rng.normal(0, noise, (5, seeds, 2)) * (seeds > 1)
    replicates_RPK = value_PSK.mean(axis=1) + rng.normal(0, noise, (1000, 5, 2))
    return against_front(NAMES, FIXED, value_PSK, replicates_RPK).set_index("way")


@pytest.mark.parametrize("seeds", [1, 3])
def test_without_much_noise_what_dominates_as_measured_does_so_beyond_noise(seeds):
    found = _judged(1e-4, seeds)
    for suffix in ("", "measured_"):
        assert found[f"{suffix}dominates"].tolist() == ["fixed, fixed 1", "", ""]
        assert found[f"{suffix}dominated_by"].tolist() == ["", "fixed, fixed 1", ""]


def test_noise_leaves_nothing_to_be_said():
    found = _judged(0.1)
    assert (found[["dominates", "dominated_by"]] == "").all(axis=None)
    assert found["measured_dominates"].tolist() == ["fixed, fixed 1", "", ""]
    assert "| better | – | – | – | fixed, fixed 1 |" in markdown(found.reset_index())


def test_a_seed_whose_runs_scatter_widens_what_is_noise():
    """Users alone would call it domination; another seed turns it round."""
    value_PSK = np.stack([VALUE, VALUE[[2, 3, 0, 1, 4]]], axis=1)
    replicates_RPK = value_PSK.mean(axis=1) + np.array([0.0, 0.0, 0.01, 0.0, 0.0])[:, None] + np.zeros((1000, 1, 1))
    one_seed = against_front(NAMES, FIXED, value_PSK.mean(axis=1, keepdims=True), replicates_RPK)
    assert one_seed["dominates"].iloc[0] == "fixed, fixed 1"
    found = against_front(NAMES, FIXED, value_PSK, replicates_RPK)
    assert (found[["dominates", "dominated_by"]] == "").all(axis=None)


@pytest.mark.words  # it walks whole pipelines
def test_ways_of_balancing_are_held_against_the_front_from_their_runs_alone(tmp_path, monkeypatch):
    """A study of three ways on the tiny feed, its table, its figure, and what a weighting is in its rows."""
    monkeypatch.setitem(comparison.WAYS, "balancing", ("fixed", "fixed 1", "uncertainty"))
    arguments = Namespace(
        what="balancing", pipeline=PIPELINES / "tiny.toml", budget=None, seeds=1, overrides=["evaluate.bootstrap=20"], workspace=tmp_path
    )
    reference, *others = comparison.runs_of(arguments, 1)
    runs = trained([reference, *others], "balancing")
    rows = pd.DataFrame([row for run in runs for row in comparison.measured(run, reference)])
    weights = rows.pivot(index="way", columns="objective", values="loss_weight")
    assert (weights.loc[["fixed", "uncertainty"]] == 1.0).all(axis=None)
    assert weights.loc["fixed 1"].to_dict() == weightings(config.load(arguments.pipeline))[0]
    judged = comparison.held_against_front(arguments)
    assert judged["way"].tolist() == ["uncertainty"]
    values = rows.pivot(index="way", columns="objective", values="value")
    beaten = [way for way in ("fixed", "fixed 1") if (values.loc["uncertainty"] >= values.loc[way]).all()]
    assert judged["measured_dominates"].tolist() == [", ".join(beaten)]
    drawn = comparison.figure(comparison.summary(rows)).to_dict()["spec"]["layer"]
    assert len(drawn) == 3
