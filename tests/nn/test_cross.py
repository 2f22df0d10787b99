import pytest
import torch
from torch import nn

from recsys.nn.cross import LowRankCross

B, T, D, R = 9, 2, 6, 3


@pytest.mark.parametrize("C", [1, 4])
def test_equals_the_formula_table_by_table(C):
    cross = LowRankCross(T, D, R, C)
    for parameter in cross.parameters():
        nn.init.normal_(parameter)
    x_BTD = torch.randn(B, T, D)
    out_BTC = cross(x_BTD)
    for b in range(B):
        for t in range(T):
            x, V, U = x_BTD[b, t], cross.down.weight[t].T, cross.up.weight[t].T
            crossed = x * (U @ (V @ x) + cross.up.bias[t, 0]) + x
            torch.testing.assert_close(out_BTC[b, t], cross.out.weight[t].T @ crossed, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("C", [1, 4])
def test_starts_as_nothing(C):
    assert not LowRankCross(T, D, R, C)(torch.randn(B, T, D)).any()
