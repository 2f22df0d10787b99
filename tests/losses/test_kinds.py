import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from recsys.losses import KINDS
from recsys.losses.kind import Constants

NEUTRAL = Constants(*(torch.tensor([value], dtype=torch.float64) for value in (0.0, 1.0, 1.0)))


def constants(fitted, smear=1.0):
    return Constants(*(torch.tensor([value], dtype=torch.float64) for value in (fitted.mean, fitted.std, smear)))


def test_binary_is_scikit_learn_s_log_loss(rng):
    labels, logits = rng.integers(0, 2, 500).astype(float), rng.normal(size=500) * 3
    ours = KINDS["binary"].loss(torch.tensor(logits)[:, None], torch.tensor(labels)[:, None], NEUTRAL).mean().item()
    assert ours == pytest.approx(log_loss(labels, 1 / (1 + np.exp(-logits))), rel=1e-9)
    values = KINDS["binary"].value(torch.tensor(logits)[:, None], NEUTRAL)[:, 0].numpy()
    np.testing.assert_allclose(values, 1 / (1 + np.exp(-logits)), rtol=1e-12)


def test_binary_starts_at_the_base_rate_and_counts_in_its_entropy():
    labels = np.array([1.0] * 30 + [0.0] * 970)
    fitted = KINDS["binary"].fit(labels)
    rate = 30.5 / 1001
    assert 1 / (1 + np.exp(-fitted.start)) == pytest.approx(rate)
    assert fitted.scale == pytest.approx(log_loss([0, 1], [rate, rate], sample_weight=[1 - rate, rate]))


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_binary_of_one_class_stays_finite(label):
    fitted = KINDS["binary"].fit(np.full(1000, label))
    assert np.isfinite(fitted.start)
    assert fitted.scale > 0


@pytest.mark.parametrize(("kind", "transform"), [("regression", lambda y: y), ("watch_time", np.log1p)])
def test_squared_losses_are_in_units_of_the_variance(rng, kind, transform):
    labels = rng.exponential(20.0, 2000)
    fitted = KINDS[kind].fit(labels)
    z, outputs = transform(labels), rng.normal(size=2000)
    assert (fitted.mean, fitted.std) == pytest.approx((z.mean(), z.std()))
    ours = KINDS[kind].loss(torch.tensor(outputs)[:, None], torch.tensor(labels)[:, None], constants(fitted)).mean().item()
    assert ours == pytest.approx(np.mean((outputs * z.std() + z.mean() - z) ** 2) / z.var())
    start = torch.full((2000, 1), fitted.start, dtype=torch.float64)
    assert KINDS[kind].loss(start, torch.tensor(labels)[:, None], constants(fitted)).mean().item() == pytest.approx(fitted.scale)


@pytest.mark.parametrize("kind", ["regression", "watch_time"])
def test_a_label_that_never_varies_is_predicted_as_it_is(kind):
    fitted = KINDS[kind].fit(np.full(50, 7.0))
    assert KINDS[kind].value(torch.zeros(1, 1, dtype=torch.float64), constants(fitted)).item() == pytest.approx(7.0)
    assert KINDS[kind].loss(torch.zeros(1, 1), torch.full((1, 1), 7.0), constants(fitted)).item() == pytest.approx(0.0, abs=1e-10)


@pytest.mark.parametrize(
    ("kind", "good", "bad"), [("binary", [0, 1], [0.5, -1]), ("regression", [-3, 2.5], [np.inf]), ("watch_time", [0, 9], [-0.1, np.inf])]
)
def test_only_what_a_kind_can_learn_is_valid(kind, good, bad):
    assert KINDS[kind].are_valid(np.array(good, dtype=float)).all()
    assert not KINDS[kind].are_valid(np.array(bad, dtype=float)).any()


@pytest.mark.parametrize("kind", ["regression", "watch_time"])
def test_a_label_that_never_varies_has_std_1(kind):
    """Of 1,000 times 0.7 NumPy's own std is 1.1e-16: the mean is rounded."""
    assert KINDS[kind].fit(np.full(1000, 0.7)).std == 1.0
    assert KINDS[kind].fit(np.full(1000, np.expm1(0.7))).std == 1.0
