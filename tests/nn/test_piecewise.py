"""Bins against the formula of the paper, number by number."""

from itertools import pairwise

import pytest
import torch

from recsys.encoding.layout import NUM_QUANTILES
from recsys.nn.piecewise import PiecewiseLinear


def quantiles(values):
    """Return the quantiles of numbers that are known exactly: equal values stay equal."""
    places = torch.linspace(0, len(values) - 1, NUM_QUANTILES).round().long()
    return tuple(torch.tensor(values, dtype=torch.float64).sort().values[places].tolist())


def by_the_formula(x, edges):
    """Eq. 1 of Gorishniy et al. for one number, with the outer bins closed."""
    found = []
    for low, high in pairwise(edges):
        if low == high or x < low:
            found.append(0.0)
        elif x >= high:
            found.append(1.0)
        else:
            found.append((x - low) / (high - low))
    return found


@pytest.mark.parametrize("num_bins", [2, 4, 8, 16, 32])
def test_bins_are_those_of_the_formula(num_bins):
    torch.manual_seed(0)
    columns = [torch.randn(1_000).tolist(), [0.0] * 700 + torch.rand(300).tolist(), [1.5] * 10]
    given = [quantiles(values) for values in columns]
    module = PiecewiseLinear([given[0], (), given[1], given[2]], num_bins)
    x_BD = torch.randn(50, 4)
    x_BD[:10, 2] = 0.0
    x_BD[-1] = torch.tensor([-9.0, 1.0, 9.0, 1.5])
    step = (NUM_QUANTILES - 1) // num_bins
    for x_D, found in zip(x_BD.tolist(), module(x_BD).tolist(), strict=True):
        numbers = [x_D[0], x_D[2], x_D[3]]  # the second has no quantiles
        expected = [value for x, edges in zip(numbers, given, strict=True) for value in by_the_formula(x, edges[::step])]
        assert found == pytest.approx(expected, abs=1e-5)
    assert module.d_out == 3 * num_bins


def test_a_bin_without_width_gives_zero_everywhere():
    module = PiecewiseLinear([(2.0,) * NUM_QUANTILES], 4)
    assert not module(torch.tensor([[-1.0], [2.0], [3.0], [9e9]])).any()


def test_no_bins_and_no_quantiles_give_nothing():
    assert PiecewiseLinear([quantiles([1.0, 2.0])], 0)(torch.ones(3, 1)).shape == (3, 0)
    assert PiecewiseLinear([(), ()], 4)(torch.ones(3, 2)).shape == (3, 0)


def test_a_linear_map_of_bins_bends_at_each_edge():
    """|x| on [−2, 2]: no line is close to it, a line of two bins is it."""
    module = PiecewiseLinear([quantiles(torch.linspace(-2, 2, 1_001).tolist())], 2)
    x_B1 = torch.linspace(-2, 2, 101).unsqueeze(1)
    design = torch.cat([torch.ones(101, 1), module(x_B1)], dim=1)
    solution = torch.linalg.lstsq(design, x_B1.abs()).solution
    torch.testing.assert_close(design @ solution, x_B1.abs(), atol=1e-5, rtol=0)


def test_the_edges_are_saved_and_loaded():
    """A model that continues another's training keeps the edges that its weights were made for."""
    first, other = (PiecewiseLinear([quantiles(torch.linspace(0, width, 100).tolist())], 4) for width in (1, 7))
    x_B1 = torch.linspace(0, 7, 20).unsqueeze(1)
    assert not torch.equal(first(x_B1), other(x_B1))
    other.load_state_dict(first.state_dict())
    assert torch.equal(first(x_B1), other(x_B1))
