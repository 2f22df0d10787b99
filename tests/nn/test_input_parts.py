import pytest
import torch
from torch import nn

from recsys.models import build
from recsys.nn.input_parts import InputLinear, InputParts, learned_only, parts_product_outside_autocast, times_one_plus
from tests.models import factory

T, B, P, E, H = 3, 7, 5, 4, 6


def parts_of(numbers: int = P, learned: int = E) -> InputParts:
    return InputParts(torch.randn(B, numbers), torch.randn(T, B, learned, requires_grad=True))


def randomised(layer: nn.Module) -> nn.Module:
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer


def test_the_numbers_come_first_in_every_table():
    parts = parts_of()
    for t in range(T):
        torch.testing.assert_close(parts.whole()[t], torch.cat([parts.numbers_BP, parts.learned_TBE[t]], dim=1), rtol=0, atol=0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("numbers", "learned"), [(P, E), (0, E), (P, 0)])
def test_a_layer_is_a_map_of_the_whole_with_its_gradients(numbers, learned, bias):
    layer, parts = randomised(InputLinear(T, numbers + learned, H, bias=bias)), parts_of(numbers, learned)
    whole = parts.whole()
    expected = torch.stack([whole[t] @ layer.weight[t] + (layer.bias[t] if bias else 0.0) for t in range(T)])
    found = layer(parts)
    torch.testing.assert_close(found, expected)
    pull, of = torch.randn(T, B, H), [parts.learned_TBE, *layer.parameters()]
    torch.testing.assert_close(torch.autograd.grad(found, of, pull), torch.autograd.grad(expected, of, pull))


@pytest.mark.parametrize(("architecture", "changes"), [("mmoe", {"cross_rank": 0}), ("single_task", {})])
def test_no_gradient_is_computed_for_the_numbers(architecture, changes):
    """It would be the costliest product of a step. No product of the backward pass has a row for each row of the batch and that width.

    Without the cross layer of several outputs: what its map reads, a product of inputs and factors, is as wide.
    """
    layout = factory.layout()
    rows, options = 11, factory.options(architecture=architecture, d_shared=16, **changes)
    ranker = build(options, layout, factory.objectives(), torch.zeros(len(factory.KINDS)), 1)
    parts, _ = ranker.inputs(batch := factory.batch(layout, rows), batch.bias)
    numbers, learned = (part.shape[-1] for part in parts)
    total = ranker(batch, position="logged").outputs_BK.sum()
    with torch.profiler.profile(record_shapes=True) as profile:
        total.backward()
    products = [event.input_shapes[:2] for event in profile.events() if event.name in ("aten::bmm", "aten::mm")]
    made = {(left[-2], right[-1]) for left, right in products}
    assert (numbers, 16) in made  # the weights of the numbers do learn
    assert (rows, learned) in made  # what is learned below gets its gradient
    assert not {(rows, numbers), (rows, numbers + learned)} & made


def test_inputs_that_are_all_learned():
    whole = torch.randn(T, B, E)
    assert torch.equal(learned_only(whole).whole(), whole)


def test_the_last_tables_keep_the_numbers():
    parts = parts_of()
    assert parts.of_last_tables(T) is parts
    assert torch.equal(parts.of_last_tables(2).whole(), parts.whole()[1:])


def test_outputs_leave_autocast_and_are_the_same_without_gradients():
    parts, weight_TDH = parts_of(), torch.randn(T, P + E, H)
    expected = parts.whole() @ weight_TDH
    torch.testing.assert_close(parts_product_outside_autocast(parts, weight_TDH), expected)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(parts_product_outside_autocast(parts, weight_TDH), expected)
    with torch.no_grad():
        torch.testing.assert_close(parts_product_outside_autocast(parts, weight_TDH), expected)


def test_factors_scale_what_they_stand_beside():
    parts, factors_TBD = parts_of(), torch.randn(T, B, P + E)
    torch.testing.assert_close(times_one_plus(parts, factors_TBD), parts.whole() * (factors_TBD + 1))
