import torch

from recsys.balancing import build
from recsys.config import Balance
from recsys.objectives import Objective

OBJECTIVES = [Objective(name=f"o{k}", label="x", loss_weight=weight) for k, weight in enumerate((1.0, 4.0, 0.0))]


def test_weights_are_as_written_whatever_the_losses():
    balancer = build(Balance(method="fixed"), OBJECTIVES)
    for losses_K in (torch.zeros(3), torch.tensor([1e10, 1e-10, 1.0])):
        assert balancer(losses_K).tolist() == [1.0, 4.0, 0.0]
    assert balancer(torch.zeros(3, dtype=torch.float64)).dtype == torch.float64


def test_weights_give_the_losses_no_gradient_of_their_own():
    losses_K = torch.tensor([2.0, 3.0, 5.0], requires_grad=True)
    (build(Balance(), OBJECTIVES)(losses_K) * losses_K).sum().backward()
    assert losses_K.grad.tolist() == [1.0, 4.0, 0.0]
