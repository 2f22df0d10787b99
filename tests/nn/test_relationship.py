import numpy as np
import pytest
import torch

from recsys.nn.relationship import RIDGE, TaskCovariance

K, P = 3, 5


@pytest.fixture
def weights_KP():
    return torch.randn(K, P, generator=torch.Generator().manual_seed(0))


def updated(weights_KP):
    relation = TaskCovariance(len(weights_KP)).to(weights_KP.dtype)
    relation.update(weights_KP)
    return relation


def test_the_covariance_is_its_formula(weights_KP):
    w = weights_KP.numpy().astype(np.float64)
    estimate = w @ w.T / P
    expected = (1 - RIDGE) * K * estimate / np.trace(estimate) + RIDGE * np.eye(K)
    found = updated(weights_KP).covariance_KK
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(np.trace(found.numpy()), K, rtol=1e-6)


def test_the_penalty_is_the_prior_s_quadratic_form_with_its_kronecker_product(weights_KP):
    """W ~ MN(0, Ω, I): vec(W), task after task, has covariance Ω ⊗ I."""
    relation = updated(weights_KP)
    w = weights_KP.numpy().astype(np.float64).flatten()
    covariance = np.kron(relation.covariance_KK.numpy().astype(np.float64), np.eye(P))
    np.testing.assert_allclose(relation.penalty(weights_KP).item(), 0.5 * w @ np.linalg.solve(covariance, w), rtol=1e-5)


def test_its_gradient_holds_the_covariance_fixed(weights_KP):
    weights_KP.requires_grad_()
    relation = updated(weights_KP)
    relation.penalty(weights_KP).backward()
    torch.testing.assert_close(weights_KP.grad, torch.linalg.solve(relation.covariance_KK, weights_KP.detach()))


def test_unrelated_tasks_of_one_size_are_under_plain_decay():
    weights_KP = torch.eye(K)
    relation = updated(weights_KP)
    torch.testing.assert_close(relation.covariance_KK, torch.eye(K))
    torch.testing.assert_close(relation.penalty(weights_KP), torch.tensor(K / 2))


def test_the_estimate_is_the_most_likely_one(weights_KP):
    """Without ridge and scale, W Wᵀ / P has a higher likelihood than anything near it."""
    relation = updated(weights_KP.double())
    scale = (weights_KP.double() @ weights_KP.double().T).trace() / P / K
    best_KK = scale * (relation.covariance_KK - RIDGE * torch.eye(K)) / (1 - RIDGE)

    def log_likelihood(covariance_KK):
        return torch.distributions.MultivariateNormal(torch.zeros(K).double(), covariance_KK).log_prob(weights_KP.double().T).sum()

    for seed in range(20):
        nudge_KK = 0.05 * torch.randn(K, K, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        assert log_likelihood(best_KK) > log_likelihood(best_KK + nudge_KK @ nudge_KK.T)
        assert log_likelihood(best_KK) > log_likelihood((1 + 0.1 * nudge_KK[0, 0]) * best_KK)


@pytest.mark.parametrize(
    "weights_KP",
    [
        torch.ones(K, P),
        torch.zeros(K, P),
        torch.zeros(K + 1, P),
        1e-20 * torch.ones(K + 1, P),
        1e-12 * torch.ones(K, P),
        1e12 * torch.ones(K, P),
    ],
)
def test_it_stays_invertible(weights_KP):
    relation = updated(weights_KP)
    eigenvalues = torch.linalg.eigvalsh(relation.covariance_KK)
    assert eigenvalues.min() > 0.99 * RIDGE
    assert relation.penalty(weights_KP).isfinite()
    assert relation.correlation().isfinite().all()


def test_correlations_are_cosines_between_tasks():
    a, b = torch.tensor([3.0, 4.0, 0.0]), torch.tensor([0.0, 2.0, 0.0])
    relation = updated(torch.stack([a, b, -a]))
    expected = torch.tensor([[1.0, 0.8, -1.0], [0.8, 1.0, -0.8], [-1.0, -0.8, 1.0]])
    torch.testing.assert_close(relation.correlation(), expected)


def test_it_is_saved_and_leaves_autocast(weights_KP):
    fresh, relation = TaskCovariance(K), updated(weights_KP)
    fresh.load_state_dict(relation.state_dict())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(fresh.penalty(weights_KP), relation.penalty(weights_KP))
