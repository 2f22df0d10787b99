import torch
from torch import nn

from recsys.nn.towers import Towers

B, K, H = 11, 3, 5
STARTS = torch.tensor([-4.0, 0.0, 1.5])


def test_batched_towers_are_a_loop_over_towers():
    towers = Towers(H, (4,), STARTS)
    nn.init.normal_(towers.heads.weight)
    x_BKH = torch.randn(B, K, H)
    (layer,) = towers.net.layers
    for k in range(K):
        hidden = (x_BKH[:, k] @ layer.weight[k] + layer.bias[k]).relu()
        expected = hidden @ towers.heads.weight[k] + STARTS[k]
        torch.testing.assert_close(towers(x_BKH)[:, k], expected.squeeze(-1))


def test_a_tower_reads_its_own_objective_only():
    towers = Towers(H, (4,), STARTS)
    nn.init.normal_(towers.heads.weight)
    x_BKH = torch.randn(B, K, H, requires_grad=True)
    towers(x_BKH)[:, 1].sum().backward()
    assert x_BKH.grad[:, 1].any()
    assert not x_BKH.grad[:, [0, 2]].any()


def test_fresh_towers_say_the_starts():
    assert torch.equal(Towers(H, (4,), STARTS)(torch.randn(B, K, H)), STARTS.expand(B, K))
