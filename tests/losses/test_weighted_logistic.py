import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from recsys.errors import DataError
from recsys.losses import ObjectiveLosses
from recsys.objectives import Objective

WATCH = Objective(name="watch", kind="watch_time", method="weighted_logistic", label="x")


def fit(labels, weights=None):
    return ObjectiveLosses.fit([WATCH], np.asarray(labels, dtype=float)[:, None], weights_N=weights)


def test_by_hand():
    """Two of five impressions watched, 2 s and 4 s: unit 3, odds (2/3 + 4/3) / 3, which say 6/3 s where the mean is 6/5 s."""
    labels = torch.tensor([[0.0], [0.0], [0.0], [2.0], [4.0]], dtype=torch.float64)
    losses = fit(labels[:, 0])
    assert losses.start_K.exp().item() == pytest.approx(2 / 3)
    unsmeared = losses.methods["weighted_logistic"].unit_J.item() * losses.start_K.exp().item()
    assert unsmeared == pytest.approx(6 / 3)
    assert losses.values(losses.start_K[None]).item() == pytest.approx(6 / 5)
    yes, no = np.log(2 / 5), np.log(3 / 5)
    best = -(3 * no + (2 / 3) * yes + (4 / 3) * yes) / 5
    assert losses.scale_K.item() == pytest.approx(best)
    at_even_odds = losses(torch.zeros(5, 1, dtype=torch.float64), labels)[0].item()
    assert at_even_odds == pytest.approx(np.log(2) / best)  # weights 3 · 1 + 2/3 + 4/3 make 5


def test_its_minimum_is_scikit_learn_s_weighted_logistic_regression(rng):
    x = rng.normal(size=(3000, 2))
    labels = rng.exponential(20.0, 3000) * (rng.random(3000) < 1 / (1 + np.exp(1 - x[:, 0])))
    watched = labels > 0
    theirs = LogisticRegression(C=np.inf, tol=1e-10).fit(x, watched, sample_weight=np.where(watched, labels / labels[watched].mean(), 1.0))
    losses = fit(labels)
    coefficients = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    inputs = torch.tensor(np.column_stack([np.ones(3000), x]))
    optimiser = torch.optim.LBFGS([coefficients], max_iter=100, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def closure():
        optimiser.zero_grad()
        loss = losses((inputs @ coefficients)[:, None], torch.tensor(labels)[:, None])[0].sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    np.testing.assert_allclose(coefficients.detach().numpy(), [*theirs.intercept_, *theirs.coef_[0]], rtol=1e-3, atol=1e-4)


def test_odds_overstate_by_one_over_the_share_not_watched(rng):
    """Two sorts of rows, P = 0.1 and 0.5: the best odds of each are its mean over 1 − P, so one factor cannot mend both."""
    sort = np.repeat([0, 1], 50_000)
    labels = rng.exponential(10.0, 100_000) * (rng.random(100_000) < np.where(sort == 0, 0.1, 0.5))
    losses = fit(labels)
    unit = losses.methods["weighted_logistic"].unit_J.item()
    for this in (0, 1):
        mine = labels[sort == this]
        best = np.log(mine.sum() / unit / (mine == 0).sum())
        output = torch.tensor([[best]], dtype=torch.float64, requires_grad=True)
        loss = losses(output.expand(50_000, 1), torch.tensor(mine)[:, None])[0].sum()
        assert torch.autograd.grad(loss, output)[0].item() == pytest.approx(0.0, abs=1e-9)
        assert unit * np.exp(best) == pytest.approx(mine.mean() / (mine == 0).mean())


def test_a_feed_that_is_nearly_all_watched_is_warned_of(rng):
    assert fit(np.repeat([0.0, 5.0], [60, 940])).warnings == ()
    (warning,) = fit(np.repeat([0.0, 5.0], [40, 960])).warnings
    assert warning.startswith("watch: found 96.0% of the training impressions watched; weighted_logistic learns odds, which are 25 times")
    assert 'method = "distribution" or "d2q"' in warning
    assert fit(np.repeat([0.0, 5.0], [40, 960]), weights=np.repeat([10.0, 1.0], [40, 960])).warnings == ()


@pytest.mark.parametrize(
    ("label", "found", "fix"),
    [(5.0, "every training impression watched", 'method = "distribution"'), (0.0, "no training impression", "widen")],
)
def test_without_both_sorts_there_are_no_odds(label, found, fix):
    with pytest.raises(DataError, match=rf"column label\.watch: found {found}.*; 10 of 10 rows\. Fix: {fix}"):
        fit(np.full(10, label))
