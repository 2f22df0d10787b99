import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import huber

from recsys.losses import ObjectiveLosses
from recsys.losses.huber import best_constant
from recsys.objectives import Objective

SQUARED = Objective(name="rating", kind="regression", label="x")
HUBER = Objective(name="rating", kind="regression", label="x", loss="huber")
LOG_SQUARED = Objective(name="watch", kind="watch_time", method="log_squared", label="x")


def column(values):
    return torch.tensor(values)[:, None]


@pytest.mark.parametrize(("objective", "transform"), [(SQUARED, lambda y: y), (LOG_SQUARED, np.log1p)], ids=["squared", "log_squared"])
def test_squared_losses_are_in_units_of_the_variance(rng, objective, transform):
    labels = rng.exponential(20.0, 2000)
    losses = ObjectiveLosses.fit([objective], labels[:, None])
    z, outputs = transform(labels), rng.normal(size=2000)
    ours = losses(column(outputs), column(labels))[0].item()
    assert ours == pytest.approx(np.mean((outputs * z.std() + z.mean() - z) ** 2) / z.var())


def test_huber_s_loss_is_scipy_s_on_the_standardised_label(rng):
    labels, outputs = rng.lognormal(1.0, 1.5, 2000), rng.normal(size=2000) * 2
    losses = ObjectiveLosses.fit([HUBER], labels[:, None])
    z = (labels - labels.mean()) / labels.std()
    best = minimize_scalar(lambda c: huber(1.0, z - c).mean(), bounds=(z.min(), z.max()), method="bounded", options={"xatol": 1e-9})
    assert losses.start_K.item() == pytest.approx(best.x, abs=1e-6)
    assert losses(column(outputs), column(labels))[0].item() == pytest.approx(huber(1.0, outputs - z).mean() / best.fun)


@pytest.mark.parametrize("name", ["normal", "skewed", "two heaps", "constant"])
def test_huber_s_best_constant_is_where_clipped_errors_balance(rng, name):
    z = {
        "normal": rng.normal(size=501),
        "skewed": rng.standard_cauchy(501) ** 2,
        "two heaps": np.repeat([0.0, 100.0], [50, 51]),
        "constant": np.full(9, 3.0),
    }[name]
    weights = rng.uniform(0.5, 2.0, len(z))
    assert weights @ np.clip(z - best_constant(z, weights), -1, 1) == pytest.approx(0.0, abs=1e-6 * weights.sum())


def test_huber_learns_less_than_the_mean_and_is_shifted_to_it(rng):
    labels = rng.lognormal(0.0, 1.5, 5000)
    losses = ObjectiveLosses.fit([HUBER], labels[:, None])
    start = losses.start_K.expand(5000, 1)
    assert start[0].item() < -0.05  # of standardised labels, whose mean is 0
    assert losses.values(start).mean().item() == pytest.approx(labels.mean())


@pytest.mark.parametrize("objective", [SQUARED, HUBER, LOG_SQUARED], ids=["squared", "huber", "log_squared"])
@pytest.mark.parametrize("label", [7.0, 0.7])
def test_a_label_that_never_varies_is_predicted_as_it_is(objective, label):
    """Of 1,000 times 0.7 NumPy's own std is 1.1e-16, not 0: the mean is rounded."""
    losses = ObjectiveLosses.fit([objective], np.full((1000, 1), label))
    (std,) = (tensor.item() for name, tensor in losses.state_dict().items() if "std" in name)
    assert std == 1.0
    assert losses.values(torch.zeros(1, 1)).item() == pytest.approx(label)
    assert losses(torch.zeros(1, 1), torch.full((1, 1), label))[0].item() == pytest.approx(0.0, abs=1e-10)
