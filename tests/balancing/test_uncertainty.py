import pytest
import torch

from recsys.balancing import build
from recsys.balancing.uncertainty import has_log_loss
from recsys.objectives import Objective

from .factory import options

KINDS = {
    "click": ({"kind": "binary"}, True),
    "stars": ({"kind": "ordinal", "levels": (1, 2, 3)}, True),
    "odds": ({"kind": "watch_time", "method": "weighted_logistic"}, True),
    "rating": ({"kind": "regression"}, False),
    "robust": ({"kind": "regression", "loss": "huber"}, False),
    "bins": ({"kind": "watch_time"}, True),
    "seconds": ({"kind": "watch_time", "method": "log_squared"}, False),
    "rank": ({"kind": "watch_time", "method": "d2q", "duration": "length"}, False),
}
OBJECTIVES = [Objective(name=name, label="x", **about) for name, (about, _) in KINDS.items()]
LOG = torch.tensor([is_log for _, is_log in KINDS.values()])
LOSSES = torch.linspace(0.2, 1.4, len(KINDS), dtype=torch.float64)


def settled(loss_K, **changes):
    made = build(options("uncertainty", learning_rate=0.05, **changes), OBJECTIVES)
    for _ in range(1000):
        weights_K = made(loss_K)
    return made, weights_K


def test_each_kind_has_its_likelihood():
    assert [has_log_loss(objective) for objective in OBJECTIVES] == LOG.tolist()


def test_the_optimum_is_the_known_one():
    """A Gaussian's variance is its mean squared error; the tempered softmax's 2 · log loss."""
    made, weights_K = settled(LOSSES)
    torch.testing.assert_close(made.log_variance_K.exp(), torch.where(LOG, 2 * LOSSES, LOSSES))
    torch.testing.assert_close(weights_K, 1 / LOSSES)


def test_a_step_descends_the_papers_objective():
    """Twice Σ L/(2σ²) + log σ and L/σ² + log σ, by autograd."""
    made = build(options("uncertainty", learning_rate=0.1), OBJECTIVES)
    made(LOSSES)
    variance_K = made.log_variance_K.clone().requires_grad_()
    squared_K, log_K = LOSSES / (2 * variance_K.exp()) + variance_K / 2, LOSSES / variance_K.exp() + variance_K / 2
    (2 * torch.where(LOG, log_K, squared_K)).sum().backward()
    made(LOSSES)
    torch.testing.assert_close(made.log_variance_K, (variance_K - 0.1 * variance_K.grad).detach())


@pytest.mark.parametrize(("loss", "bound"), [(0.0, 5.0), (1e6, 0.5)])
def test_weights_are_bounded_on_both_sides(loss, bound):
    _, weights_K = settled(torch.full_like(LOSSES, loss), min_weight=0.5, max_weight=5.0)
    torch.testing.assert_close(weights_K, torch.full_like(LOSSES, bound))
