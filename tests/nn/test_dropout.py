"""The cheap mask against what dropout is defined to be."""

import numpy as np
import pytest
import torch

from recsys.nn.dropout import Dropout

N = 400_001  # no multiple of what one draw gives


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.5, 0.9])
def test_numbers_are_dropped_at_the_rate_and_the_others_scaled_so_that_the_mean_stays(rate):
    torch.manual_seed(1)
    out = Dropout(rate)(torch.full((N,), 3.0))
    dropped = (out == 0).double().mean().item()
    assert dropped == pytest.approx(rate, abs=4 * (rate * (1 - rate) / N) ** 0.5 + 2**-16)
    torch.testing.assert_close(out[out != 0].unique(), torch.tensor([3.0 / (1 - rate)]), rtol=2e-4, atol=0)


def test_neighbours_and_draws_are_independent():
    """Four neighbours come from one draw: no pair of places within 8 is dropped together more often than chance has it."""
    torch.manual_seed(2)
    dropped = (Dropout(0.3)(torch.ones(800_000)) == 0).double().numpy()
    for distance in range(1, 9):
        assert abs(np.corrcoef(dropped[:-distance], dropped[distance:])[0, 1]) < 5 / 800_000**0.5
    by_place = dropped.reshape(-1, 4).mean(0)
    np.testing.assert_allclose(by_place, 0.3, atol=5 * (0.21 / 200_000) ** 0.5)


def test_the_gradient_is_that_of_what_was_kept():
    x = torch.randn(7, 5, 3, requires_grad=True)
    out = Dropout(0.4)(x)
    out.sum().backward()
    torch.testing.assert_close(x.grad * x.detach(), out.detach())
    assert (x.grad == 0).any()


def test_it_is_the_identity_in_evaluation_and_at_rate_zero():
    x = torch.randn(5)
    assert Dropout(0.4).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_the_mask_is_a_function_of_the_random_state():
    x = torch.ones(50, 3)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first, second = Dropout(0.5)(x), Dropout(0.5)(x)
    torch.set_rng_state(state)
    assert torch.equal(Dropout(0.5)(x), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float64])
def test_the_type_stays(kind):
    assert Dropout(0.2)(torch.ones(9, dtype=kind)).dtype == kind


def test_the_highest_rate_has_a_finite_scale():
    assert Dropout(1 - 1e-9)(torch.ones(1000)).isfinite().all()
