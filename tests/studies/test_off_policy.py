"""A policy valued from another's log against what it earned itself, on the real files; two ways of stating it, on a log made by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studies.off_policy import Log, averaged, compare, shares


@pytest.fixture
def drifting() -> Log:
    """Two items at one position: the first has propensity .9 in half of 20 rows, .1 in the other half, and is chosen as often."""
    propensity = [0.9] * 9 + [0.1] + [0.1] + [0.9] * 9
    return Log(np.array([0] * 9 + [1] + [0] + [1] * 9), np.zeros(20, int), np.zeros(20), np.array(propensity))


def test_shares_are_the_policys_mean_and_averaged_propensities_are_not(drifting):
    assert shares(drifting, 2) == pytest.approx(np.array([[0.5, 0.5]]))
    assert averaged(drifting, 2) == pytest.approx(np.array([[0.82, 0.82]]))  # (.9² + .1²) / (.9 + .1)


@pytest.fixture(scope="module")
def compared(open_bandit: Path) -> pd.DataFrame:
    rows = pd.concat([compare(open_bandit, campaign, bootstrap=500) for campaign in ("men", "women")])
    return rows.set_index(["campaign", "policy", "way", "metric"]).sort_index()


@pytest.mark.parametrize("campaign", ["men", "women"])
@pytest.mark.parametrize("metric", ["ips", "snips"])
def test_the_uniform_log_gives_the_value_of_thompson_sampling(compared, campaign, metric):
    itself = compared.loc[(campaign, "bts", "on-policy", metric), "value"]
    row = compared.loc[(campaign, "bts", "frequencies", metric)]
    assert row["low"] <= itself <= row["high"]
    assert row["n"] == 10_000
    assert compared.loc[(campaign, "bts", "frequencies", "ess"), "value"] > 2_500


@pytest.mark.parametrize("campaign", ["men", "women"])
def test_averaged_propensities_are_no_policy_and_give_too_much(compared, campaign):
    right, wrong = (compared.loc[(campaign, "bts", way, "ips")] for way in ("frequencies", "averaged"))
    assert right["mass"] == pytest.approx(1)
    assert wrong["mass"] > 1.9
    assert wrong["value"] > 1.5 * max(right["value"], compared.loc[(campaign, "bts", "on-policy", "ips"), "value"])
    back = compared.loc[(campaign, "random", "uniform, averaged", "ips")]
    assert back["high"] < compared.loc[(campaign, "random", "on-policy", "ips"), "value"]
