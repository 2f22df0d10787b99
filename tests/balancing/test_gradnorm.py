import pytest
import torch

from recsys.balancing.gradnorm import MIN_WEIGHT, weight_gradient

from .factory import balancer, gramian, losses

ALL = torch.ones(4, dtype=torch.bool)


def relative_rates(losses_K):
    return losses_K / losses_K.mean()


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.5])
def test_the_gradient_of_the_weights_is_autograds(alpha):
    """Of Chen et al.'s eq. 2, through norms of real gradients, the target held constant."""
    torch.manual_seed(0)
    gradients_KD, losses_K = torch.randn(4, 6, dtype=torch.float64), losses(4)
    weights_K = (0.5 + torch.rand(4, dtype=torch.float64)).requires_grad_()
    lengths_K = (weights_K[:, None] * gradients_KD).norm(dim=1)
    target_K = (lengths_K.mean() * relative_rates(losses_K) ** alpha).detach()
    (lengths_K - target_K).abs().sum().backward()
    found_K = weight_gradient(weights_K.detach(), gradients_KD.norm(dim=1), losses_K, ALL, alpha=alpha)
    torch.testing.assert_close(found_K, weights_K.grad)


def test_one_step_by_hand():
    """Lengths 3 and 1, losses alike, so the target is the mean, 2: log w moves by ∓ 0.1 · length / 2."""
    made = balancer("gradnorm", (1.0, 1.0), alpha=1.0, learning_rate=0.1)
    assert made(torch.ones(2), None, torch.diag(torch.tensor([9.0, 1.0]))).tolist() == [1.0, 1.0]  # learned after its use
    expected_K = torch.tensor([-0.15, 0.05], dtype=torch.float64).exp()
    torch.testing.assert_close(made.weights_K, 2 * expected_K / expected_K.sum())


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_it_settles_where_lengths_are_as_the_rates_say(alpha):
    made = balancer("gradnorm", alpha=alpha, learning_rate=0.01)
    losses_K = torch.tensor([0.5, 0.75, 1.0], dtype=torch.float64)
    gramian_KK = torch.diag(torch.tensor([100.0, 1.0, 4.0], dtype=torch.float64))
    weights_K = torch.stack([made(losses_K, None, gramian_KK) for _ in range(1500)])[-200:].mean(0)
    lengths_K = weights_K * gramian_KK.diagonal().sqrt()
    torch.testing.assert_close(lengths_K / lengths_K.mean(), relative_rates(losses_K) ** alpha, rtol=0.03, atol=0)


def test_a_gradient_a_thousand_times_as_long_does_not_capture_the_step():
    made = balancer("gradnorm", alpha=0.0)
    gramian_KK = gramian(3) * torch.tensor([1e6, 1e3, 1e3]).outer(torch.tensor([1.0, 1e-3, 1e-3]))
    for _ in range(600):
        weights_K = made(torch.ones(3), None, gramian_KK)
    lengths_K = weights_K * gramian_KK.diagonal().sqrt()
    assert lengths_K.max() < 3 * lengths_K.min()


def test_a_weight_stays_above_zero():
    made = balancer("gradnorm", alpha=0.0, learning_rate=1.0)
    for _ in range(50):
        made(torch.ones(3), None, torch.diag(torch.tensor([1e12, 1.0, 1.0])))
        assert made.weights_K.min() > 0.3 * MIN_WEIGHT
        assert made.weights_K.sum().item() == pytest.approx(3.0)
