import pytest
import torch
from torch import nn

from recsys.nn.cross import LowRankCross
from recsys.nn.input_parts import InputParts, parts_product_outside_autocast

B, T, D, R = 9, 2, 6, 3


def parts_of(rows: int = B, tables: int = T, numbers: int = 2, learned: int = D - 2, **kinds) -> InputParts:
    return InputParts(torch.randn(rows, numbers, **kinds), torch.randn(tables, rows, learned, **kinds))


def drawn(*sizes: int) -> LowRankCross:
    cross = LowRankCross(*sizes)
    for parameter in cross.parameters():
        nn.init.normal_(parameter)
    return cross


@pytest.mark.parametrize("C", [1, 4])
def test_equals_the_formula_table_by_table(C):
    cross = drawn(T, D, R, C)
    parts = parts_of()
    out_BTC = cross(parts)
    for b in range(B):
        for t in range(T):
            x, V, U = parts.whole()[t, b], cross.down.weight[t].T, cross.up.weight[t].T
            crossed = x * (U @ (V @ x) + cross.up.bias[t, 0]) + x
            torch.testing.assert_close(out_BTC[b, t], cross.out.weight[t].T @ crossed, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("C", [1, 4])
def test_has_the_gradients_of_the_formula(C):
    cross = drawn(T, D, R, C).double()
    parts = parts_of(dtype=torch.float64)
    learned = [parts.learned_TBE.requires_grad_(), *cross.parameters()]
    found = torch.autograd.grad(cross(parts).square().sum(), learned)
    x_TBD = parts.whole()
    by_formula = (x_TBD * (x_TBD @ cross.down.weight @ cross.up.weight + cross.up.bias) + x_TBD) @ cross.out.weight
    torch.testing.assert_close(found, torch.autograd.grad(by_formula.square().sum(), learned))


def test_a_logit_has_more_digits_than_bf16():
    cross, parts = drawn(T, D, R, 1), parts_of()
    with torch.autocast("cpu", torch.bfloat16):
        found = cross(parts)
    torch.testing.assert_close(found, cross(parts))


@torch.no_grad()
def test_a_row_has_the_same_bits_wherever_it_stands_if_the_product_under_it_has():
    cross, parts = drawn(6, 384, 32, 1), parts_of(3_001, 6, 287, 97)
    order = torch.randperm(3_001)
    moved = InputParts(parts.numbers_BP[order], parts.learned_TBE[:, order])
    product = parts_product_outside_autocast(parts, cross.down.weight)
    if not torch.equal(parts_product_outside_autocast(moved, cross.down.weight), product[:, order]):
        pytest.skip("on this processor a row's place changes the last digit of a matrix product")
    assert torch.equal(cross(moved), cross(parts)[order])


@pytest.mark.parametrize("C", [1, 4])
def test_starts_as_nothing(C):
    assert not LowRankCross(T, D, R, C)(parts_of()).any()
