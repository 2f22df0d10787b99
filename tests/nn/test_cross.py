import pytest
import torch
from torch import nn

from recsys.nn.cross import LowRankCross
from recsys.nn.linear import product_outside_autocast, stacked, unstacked

B, T, D, R = 9, 2, 6, 3


def drawn(*sizes: int) -> LowRankCross:
    cross = LowRankCross(*sizes)
    for parameter in cross.parameters():
        nn.init.normal_(parameter)
    return cross


@pytest.mark.parametrize("C", [1, 4])
def test_equals_the_formula_table_by_table(C):
    cross = drawn(T, D, R, C)
    x_BTD = torch.randn(B, T, D)
    out_BTC = cross(x_BTD)
    for b in range(B):
        for t in range(T):
            x, V, U = x_BTD[b, t], cross.down.weight[t].T, cross.up.weight[t].T
            crossed = x * (U @ (V @ x) + cross.up.bias[t, 0]) + x
            torch.testing.assert_close(out_BTC[b, t], cross.out.weight[t].T @ crossed, rtol=1e-4, atol=1e-4)


def test_one_output_has_the_gradients_of_the_formula():
    cross = drawn(T, D, R, 1).double()
    x_BTD = torch.randn(B, T, D, dtype=torch.float64, requires_grad=True)
    learned = [x_BTD, *cross.parameters()]
    found = torch.autograd.grad(cross(x_BTD).square().sum(), learned)
    by_formula = unstacked(cross.out(cross._crossed(stacked(x_BTD))))
    torch.testing.assert_close(found, torch.autograd.grad(by_formula.square().sum(), learned))


def test_a_logit_has_more_digits_than_bf16():
    cross, x_BTD = drawn(T, D, R, 1), torch.randn(B, T, D)
    with torch.autocast("cpu", torch.bfloat16):
        found = cross(x_BTD)
    torch.testing.assert_close(found, cross(x_BTD))


@torch.no_grad()
def test_a_row_has_the_same_bits_wherever_it_stands_if_the_product_under_it_has():
    cross, x_BTD = drawn(6, 384, 32, 1), torch.randn(3_001, 6, 384)
    order = torch.randperm(len(x_BTD))
    product = product_outside_autocast(stacked(x_BTD), cross.down.weight)
    if not torch.equal(product_outside_autocast(stacked(x_BTD[order]), cross.down.weight), product[:, order]):
        pytest.skip("on this processor a row's place changes the last digit of a matrix product")
    assert torch.equal(cross(x_BTD[order]), cross(x_BTD)[order])


@pytest.mark.parametrize("C", [1, 4])
def test_starts_as_nothing(C):
    assert not LowRankCross(T, D, R, C)(torch.randn(B, T, D)).any()
