import numpy as np
import pytest
import torch
from scipy.special import expit

from recsys.losses.cumulative import log_probabilities, log_probability, parameters_at

IS_LEVEL = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] + [False] * 4])  # three tables: of five levels, three, and one


@pytest.fixture
def parameters(rng):
    return torch.tensor(rng.normal(size=(3, 4)), requires_grad=True)


def test_probabilities_are_those_of_the_formula(rng):
    rates = rng.dirichlet(np.ones(5))
    parameters = torch.tensor(parameters_at(rates))
    found = log_probabilities(torch.tensor([0.0, 1.3], dtype=torch.float64), parameters, torch.ones(5, dtype=torch.bool)).exp().numpy()
    thresholds = np.log(np.cumsum(rates)[:-1]) - np.log1p(-np.cumsum(rates)[:-1])
    over = np.append(1.0, np.append(expit(1.3 - thresholds), 0.0))
    np.testing.assert_allclose(found, [rates, over[:-1] - over[1:]], rtol=1e-10)


def test_one_level_by_its_two_thresholds_is_that_of_all_levels(rng, parameters):
    """Value and gradient, for outputs of any table and level, far ones too."""
    tables = torch.tensor(rng.integers(3, size=400))
    levels = torch.tensor(rng.integers(0, IS_LEVEL.sum(1)[tables]))
    outputs = torch.tensor(rng.normal(size=400) * rng.choice([1.0, 40.0], 400), requires_grad=True)
    one = log_probability(outputs, tables, levels, parameters, IS_LEVEL)
    whole = log_probabilities(outputs, parameters[tables], IS_LEVEL[tables])
    torch.testing.assert_close(one, whole.gather(1, levels[:, None])[:, 0])
    assert (whole.exp().sum(1) - 1).abs().max() < 1e-12
    weights = torch.tensor(rng.normal(size=400))
    gradients = [
        torch.autograd.grad((weights * found).sum(), (outputs, parameters)) for found in (one, whole.gather(1, levels[:, None])[:, 0])
    ]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)
