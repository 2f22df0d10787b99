import numpy as np
import pytest
import torch

from recsys.losses import ObjectiveLosses, smearing
from recsys.objectives import Objective


def value(log_predictions, smear):
    return np.maximum(smear * np.exp(log_predictions) - 1, 0)


def test_predictions_add_up_to_what_was_observed(rng):
    signal = rng.normal(2.0, 1.0, 5000)
    labels = np.expm1(np.abs(signal + rng.normal(0.0, 0.8, 5000)))
    smear = smearing(signal, labels)
    assert value(signal, smear).sum() == pytest.approx(labels.sum(), rel=1e-9)
    assert value(signal, 1.0).sum() < 0.9 * labels.sum()  # what the mean of logs alone would say


def test_residuals_apart_from_the_prediction_give_duan_s_mean(rng):
    signal, noise = rng.normal(3.0, 0.5, 200_000), rng.normal(0.0, 0.4, 200_000)
    labels = np.exp(signal + noise) - 1
    assert smearing(signal, labels) == pytest.approx(np.exp(noise).mean(), rel=0.01)
    assert smearing(signal, labels) == pytest.approx(np.exp(0.4**2 / 2), rel=0.01)


def test_a_constant_prediction_becomes_the_sample_mean(rng):
    labels = rng.exponential(30.0, 1000) * (rng.random(1000) < 0.6)
    smear = smearing(np.full(1000, np.log1p(labels).mean()), labels)
    assert value(np.array([np.log1p(labels).mean()]), smear)[0] == pytest.approx(labels.mean())


@pytest.mark.parametrize("weighted", [False, True])
def test_the_sum_holds_where_predictions_are_cut_at_zero(rng, weighted):
    signal = rng.normal(0.0, 2.0, 1000)
    labels = rng.exponential(1.0, 1000) * (rng.random(1000) < 0.1)
    weights = rng.uniform(0.1, 3.0, 1000) if weighted else np.ones(1000)
    predicted = value(signal, smearing(signal, labels, weights if weighted else None))
    assert (predicted == 0).any()
    assert weights @ predicted == pytest.approx(weights @ labels, rel=1e-9)


def test_no_rows_are_an_error():
    with pytest.raises(ValueError, match="found no observed row"):
        smearing(np.array([]), np.array([]))


def test_nothing_watched_is_nothing_predicted(rng):
    signal = rng.normal(1.0, 1.0, 50)
    np.testing.assert_allclose(value(signal, smearing(signal, np.zeros(50))), 0.0, atol=1e-12)


def test_no_prediction_goes_far_beyond_the_longest_label_seen() -> None:
    """An output of ten standard deviations is the longest training label, times the smearing factor; the others stay as they are."""
    rng = np.random.default_rng(2)
    labels = rng.gamma(0.5, 20, (500, 1))
    losses = ObjectiveLosses.fit([Objective(name="watch", kind="watch_time", method="log_squared", label="x")], labels)
    outputs = rng.normal(size=(500, 1))
    losses.fit_smearing(outputs, labels)
    smear = losses.methods["log_squared"].smear_J.item()
    logs = np.log1p(labels)
    within, beyond = losses.values(torch.tensor([[0.3], [10.0]])).squeeze(1).tolist()
    assert within == pytest.approx(max(smear * np.exp(logs.mean() + 0.3 * logs.std()) - 1, 0))
    assert beyond == pytest.approx(smear * np.exp(logs.max()) - 1)
