import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import expit, logit

from recsys.losses import ObjectiveLosses
from recsys.losses.cumulative import log1mexp_of_exp
from recsys.objectives import Objective

STARS = Objective(name="stars", kind="ordinal", levels=(1, 2, 3), label="x")


def with_cuts(objectives, *cuts):
    """Losses whose thresholds are `cuts`, one list an objective."""
    losses = ObjectiveLosses(objectives).double()
    with torch.no_grad():
        for j, these in enumerate(cuts):
            parameter = [these[0], *np.log(np.diff(these))]
            losses.methods["ordinal"].cuts_JC[j, : len(these)] = torch.tensor(parameter, dtype=torch.float64)
    return losses


def test_by_hand():
    """Thresholds 0 and log 3, output log 3: P(y > 1) = 3/4, P(y > 2) = 1/2, so 1/4, 1/4, 1/2 of levels 1, 2, 3, and 2.25 expected."""
    losses = with_cuts([STARS], [0.0, np.log(3)])
    output = torch.tensor([[np.log(3)]])
    values = losses.values(output)[0].detach()
    torch.testing.assert_close(values, torch.tensor([2.25, 1 / 4, 1 / 4, 1 / 2], dtype=torch.float64))
    for level, probability in ((1.0, 1 / 4), (2.0, 1 / 4), (3.0, 1 / 2)):
        assert losses(output, torch.tensor([[level]]))[0].item() == pytest.approx(-np.log(probability))


def test_it_starts_at_the_base_rates_and_counts_in_their_entropy():
    counts = np.array([20, 0, 80])
    losses = ObjectiveLosses.fit([STARS], np.repeat([1.0, 2.0, 3.0], counts)[:, None])
    rates = (counts + 0.5) / 101.5
    np.testing.assert_allclose(losses.values(torch.zeros(1, 1))[0, 1:].detach(), rates, rtol=1e-5)
    assert losses.start_K.item() == 0.0
    assert losses.scale_K.item() == pytest.approx(-(rates @ np.log(rates)))


def test_levels_of_different_numbers_stand_in_one_model(rng):
    two = Objective(name="thumb", kind="ordinal", levels=(-1, 1), label="x")
    losses = with_cuts([two, STARS], [0.4], [-1.0, 0.5])
    outputs = torch.tensor(rng.normal(size=(50, 2)))
    labels = torch.tensor(np.column_stack([rng.choice([-1, 1], 50), rng.choice([1, 2, 3], 50)]))
    thumb, stars, *probabilities = losses.values(outputs).detach().numpy().T
    up = expit(outputs[:, 0].numpy() - 0.4)
    over = expit(outputs[:, 1].numpy()[:, None] - np.array([-1.0, 0.5]))
    np.testing.assert_allclose(thumb, 2 * up - 1, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(stars, 1 + over.sum(1))
    np.testing.assert_allclose(probabilities, [1 - up, up, 1 - over[:, 0], over[:, 0] - over[:, 1], over[:, 1]])
    chosen = np.where(labels[:, 0] == 1, up, 1 - up)
    assert losses(outputs, labels.double())[0][0].item() == pytest.approx(-np.log(chosen).mean())


def test_its_minimum_is_the_maximum_likelihood_of_the_proportional_odds_model(rng):
    """Thresholds and slope, against SciPy on the formula as it is written."""
    x = rng.normal(size=2000)
    latent = 1.3 * x + rng.logistic(size=2000)
    labels = 1.0 + (latent > -0.5) + (latent > 1.5)

    def negative_likelihood(parameters):
        first, second, slope = parameters
        over = np.column_stack([np.ones(2000), expit(slope * x - first), expit(slope * x - second), np.zeros(2000)])
        probabilities = over[:, :-1] - over[:, 1:]
        return -np.log(np.maximum(probabilities[np.arange(2000), labels.astype(int) - 1], 1e-300)).mean()

    theirs = minimize(negative_likelihood, [-1.0, 1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-12, "maxiter": 2000})
    losses = ObjectiveLosses.fit([STARS], labels[:, None]).double()
    slope = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([slope, *losses.parameters()], max_iter=100, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def closure():
        optimiser.zero_grad()
        loss = losses((slope * torch.tensor(x))[:, None], torch.tensor(labels)[:, None])[0].sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    first, log_gap = losses.methods["ordinal"].cuts_JC[0].tolist()
    np.testing.assert_allclose([first, first + np.exp(log_gap), slope.item()], theirs.x, atol=1e-4)


def test_two_levels_are_a_logistic_regression(rng):
    two = Objective(name="thumb", kind="ordinal", levels=(0, 1), label="x")
    yes = Objective(name="yes", label="x")
    outputs, labels = torch.tensor(rng.normal(size=(100, 1))), torch.tensor(rng.integers(0, 2, (100, 1)))
    torch.testing.assert_close(with_cuts([two], [0.0])(outputs, labels)[0], ObjectiveLosses([yes])(outputs, labels.double())[0])


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-12, 5.0, 60.0])
@pytest.mark.parametrize("output", [-200.0, -30.0, 0.0, 30.0, 200.0])
def test_a_narrow_level_far_away_has_a_probability_all_the_same(output, gap):
    """In float32, where the difference of two sigmoids is 0: against σ(a)·σ(−b)·(1 − exp(−gap)) with NumPy's float64."""
    losses = with_cuts([STARS], [0.0, gap]).float()
    outputs = torch.tensor([[output]], requires_grad=True)
    loss = losses(outputs, torch.tensor([[2.0]]))[0].sum()
    expected = np.logaddexp(0, -output) + np.logaddexp(0, output - gap) - np.log(-np.expm1(-gap))
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert all(tensor.grad.isfinite().all() for tensor in (outputs, *losses.parameters()))


def test_thresholds_that_came_together_stay_finite():
    log_gaps = torch.tensor([-500.0, -90.0, -10.001, -9.999, 0.0, 6.0], requires_grad=True)
    ours = log1mexp_of_exp(log_gaps)
    gaps = np.exp(log_gaps.detach().double().numpy())  # 7e-218 of the first
    np.testing.assert_allclose(ours.detach(), np.log(-np.expm1(-gaps)), rtol=1e-5, atol=1e-7)
    ours.sum().backward()
    np.testing.assert_allclose(log_gaps.grad, gaps / np.expm1(gaps), rtol=1e-4, atol=1e-30)


def test_thresholds_learn_in_order_whatever_the_gradient(rng):
    levels = (1, 2, 3, 4, 5)
    objective = Objective(name="stars", kind="ordinal", levels=levels, label="x")
    labels = rng.choice(levels, 500, p=[0.4, 0.1, 0.05, 0.05, 0.4]).astype(float)
    losses = ObjectiveLosses(objectives=[objective])  # neutral thresholds, far from the labels'
    optimiser = torch.optim.SGD(losses.parameters(), lr=2.0)
    for _ in range(300):
        optimiser.zero_grad()
        losses(torch.zeros(500, 1), torch.tensor(labels, dtype=torch.float32)[:, None])[0].sum().backward()
        optimiser.step()
    rates = np.array([(labels == level).mean() for level in levels])
    first, *log_gaps = losses.methods["ordinal"].cuts_JC[0].tolist()
    np.testing.assert_allclose(np.cumsum([first, *np.exp(log_gaps)]), logit(np.cumsum(rates)[:-1]), atol=0.02)
