import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from recsys.config import WorldOptions
from studies.headroom import EFFECT, LASTING, MEMORY, MOOD, Belief, filtered, log_of, means, ranked


def test_a_belief_is_about_bayes_posterior(rng):
    """One user and one topic on one day, against a sum over a grid of interests."""
    rest, examined = rng.normal(-1, 1, 60), rng.uniform(0.3, 1, 60)
    clicked = (rng.random(60) < examined * expit(rest + EFFECT * 1.2)).astype(float)
    belief, none = Belief.at_first(np.array([[0.3]])), np.zeros(1, int)
    for row in range(60):
        belief.learn(none, none, rest[[row]], examined[[row]], clicked[[row]])
    grid = np.linspace(-6, 6, 4001)
    click = examined[:, None] * expit(rest[:, None] + EFFECT * grid)
    log_posterior = np.log(np.where(clicked[:, None], click, 1 - click)).sum(0) - (grid - 0.3) ** 2 / 2 / (LASTING + MOOD)
    posterior = np.exp(log_posterior - log_posterior.max())
    posterior /= posterior.sum()
    mean, variance = belief.of(none, none)
    exact = posterior @ grid
    assert mean[0] == pytest.approx(exact, abs=0.1)
    assert variance[0] == pytest.approx(posterior @ (grid - exact) ** 2, rel=0.15)


def test_without_a_click_seen_a_day_changes_no_belief_but_yesterdays_is_half_forgotten():
    belief, none = Belief.at_first(np.array([[0.5]])), np.zeros(1, int)
    belief.next_day()
    assert belief.of(none, none) == (pytest.approx(0.5), pytest.approx(LASTING + MOOD))
    belief.covariance[...] = 0.0  # all is known
    belief.mean[..., 1] = 1.0
    belief.next_day()
    assert belief.of(none, none) == (pytest.approx(0.5 + MEMORY), pytest.approx(MOOD * (1 - MEMORY**2)))


@pytest.fixture(scope="module")
def log() -> pd.DataFrame:
    return log_of(WorldOptions(users=150, days=5, requests=4.0), seed=3)


def test_beliefs_are_as_wrong_as_they_say_against_the_simulator_s_truth(log):
    mean, variance = filtered(log)
    late = (log["day"] == log["day"].max()).to_numpy()
    error = (mean - log["latent.interest"])[late]
    assert np.mean(error**2) == pytest.approx(variance[late].mean(), rel=0.15)
    assert np.mean(error**2) < 0.9 * np.mean((log["of_band"] - log["latent.interest"])[late] ** 2)


def test_a_belief_knows_nothing_of_its_own_request_or_of_later_ones(log):
    last = log["day"] == log["day"].max()
    changed = log.assign(clicked=log["clicked"].where(~last, 1 - log["clicked"]))
    for before, after in zip(filtered(log), filtered(changed), strict=True):
        first = log.groupby("uid")["request"].transform(lambda requests: requests == requests.iloc[0]).to_numpy()
        np.testing.assert_array_equal(before[~last], after[~last])
        assert (before[first] == after[first]).all()
        assert (before[last] != after[last]).any()


def test_who_knows_more_ranks_better(log):
    auc = ranked(log).set_index("way")["auc"]
    assert auc["truth"] > auc["filter"] > auc["average"] > 0.6


def test_means_are_over_worlds_and_leads_are_paired():
    table = pd.DataFrame(
        [
            {"way": way, "auc": auc + world, "seed": world}
            for world in (0, 1)
            for way, auc in (("truth", 0.8), ("filter", 0.7), ("average", 0.4))
        ]
    )
    found = means(table).set_index("")
    assert found.loc["truth", "auc"] == pytest.approx(1.3)
    assert found.loc["truth - filter"].tolist() == pytest.approx([0.1] * 3)
    assert found.loc["filter", "high"] > 2
