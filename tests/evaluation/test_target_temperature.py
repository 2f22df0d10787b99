"""evaluate(target_temperature=…): the policy that samples by a run's own fused score, valued from a log of candidates."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from recsys import off_policy
from recsys.errors import ConfigError, DataError
from recsys.evaluation import OFF_POLICY
from recsys.objectives import Objective
from tests.evaluation.samples import frame, one

CLICK = Objective(name="click", label="click = 1")


@pytest.fixture
def candidates(rng: np.random.Generator) -> pd.DataFrame:
    """200 requests of three candidates; the logging policy chose the first as often as the other two together."""
    request = np.repeat(np.arange(200), 3)
    place = np.arange(600) % 3
    chosen = place == np.repeat(rng.choice(3, 200, p=[0.5, 0.25, 0.25]), 3)
    columns = {"event_id": rng.permutation(600), "user_id": request % 50, "timestamp": request * 60_000, "request_id": request}
    label = np.where(chosen, rng.random(600) < 0.2 + 0.3 * place, np.nan)
    propensity = np.where(chosen, np.where(place == 0, 0.5, 0.25), np.nan)
    more = {"label.click": label, "propensity": propensity, "pred.click": rng.random(600), "score": rng.normal(size=600)}
    return pd.DataFrame(columns | more)


def test_snips_is_the_mean_click_weighted_by_each_requests_softmax(candidates):
    chance = candidates.groupby("request_id")["score"].transform(lambda score: softmax(score / 0.5))
    shown = candidates["label.click"].notna()
    weight = (chance / candidates["propensity"])[shown]
    rows = frame(candidates, [CLICK], target_temperature=0.5)
    expected = {"ips": (weight * candidates["label.click"][shown]).mean(), "max_weight": weight.max()}
    expected["snips"] = (weight * candidates["label.click"][shown]).sum() / weight.sum()
    for metric, value in expected.items():
        assert one(rows, metric=metric)["value"] == pytest.approx(value, rel=1e-12)


def test_rows_are_those_of_off_policy_and_a_written_policy_is_put_aside(candidates):
    rows = frame(candidates.assign(target_propensity=0.123), [CLICK], target_temperature=2.0)
    own = pd.DataFrame(off_policy(candidates, [CLICK], run="mine", temperature=2.0, bootstrap=100).to_pylist(), dtype=object)
    pd.testing.assert_frame_equal(rows[-len(OFF_POLICY) :].reset_index(drop=True), own)


def test_each_run_is_valued_under_its_own_scores(candidates):
    other = candidates[["event_id", "request_id", "propensity", "pred.click"]].assign(score=-candidates["score"])
    rows = frame(candidates, [CLICK], target_temperature=1.0, against={"other": other})
    theirs = frame(candidates.assign(score=-candidates["score"]), [CLICK], target_temperature=1.0)
    mine, difference = (one(rows, metric="snips", against=run)["value"] for run in (None, "other"))
    assert mine - difference == pytest.approx(one(theirs, metric="snips")["value"], rel=1e-12)


def test_without_the_option_a_log_with_propensities_has_no_target(candidates):
    assert set(frame(candidates, [CLICK])["metric"]).isdisjoint({metric.name for metric in OFF_POLICY})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda log: log.drop(columns="propensity"),
            "found no column propensity, expected .* Fix: log the probability with which each item was chosen",
        ),
        (lambda log: log.drop(columns="score"), "found no column score, expected .* Fix: write score, of which temperature = 1 makes it"),
        (lambda log: log.drop(columns="request_id"), "found no column request_id, expected .* Fix: name the request that each row"),
        (
            lambda log: log.drop(columns=["request_id", "propensity"]),
            "found no column propensity and no column request_id, expected .* Fix: log the probability .*; name the request",
        ),
        (
            lambda log: log.assign(request_id=log["request_id"].where(log["request_id"] > 1)),
            "column request_id: found null.*; 6 of 600 rows",
        ),
        (lambda log: log[log["label.click"].notna()], "column propensity: found less than 1 in a list of one row, .*; 200 of 200 rows"),
        (lambda log: log.assign(**{"label.click": 1.0}), "found 200 lists with more than one known label"),
        (lambda log: log.assign(score=np.inf), "column score: found null, NaN or infinite, .*; 600 of 600 rows"),
        (lambda log: log.assign(propensity=1.0), "column propensity: found 1 throughout: a logging policy that is deterministic"),
    ],
)
def test_what_has_no_such_policy_is_refused_by_name(candidates, change, says):
    with pytest.raises(DataError, match=says):
        frame(change(candidates), [CLICK], target_temperature=1.0)


def test_a_decision_with_one_candidate_is_one(candidates):
    """Its propensity is 1, and so is its target."""
    alone = candidates[candidates["request_id"] == 0].head(1).assign(propensity=1.0, **{"label.click": 1.0})
    rows = frame(pd.concat([alone, candidates[candidates["request_id"] > 0]]), [CLICK], target_temperature=1.0)
    assert one(rows, metric="ess")["n"] == 200


def test_a_temperature_of_nothing_is_a_mistake_of_the_caller(candidates):
    with pytest.raises(ConfigError, match="temperature: found 0"):
        frame(candidates, [CLICK], target_temperature=0)
