import pytest
import torch

from recsys.models import build, multiplications, parameters
from tests.models import factory

K = len(factory.KINDS)
D = 32  # 3 numbers, 2 mean signals, 3 slots × 4, 4 attended: 21, padded
FEATURES, ENTRY, ATTENTION = 17, 10, 4  # of the attention's query; of a history entry: 2 slots × 4 and 2 signals
ATTENDED = FEATURES * ATTENTION + ATTENTION * ENTRY + ATTENTION + ENTRY * ATTENTION  # query, key, null entry, value
SKIP = 5 * K


def by_hand(sharing):
    towers = K * (8 * 8 + 8)
    match sharing:
        case "mmoe":
            experts = 16 * 3 * 8 + 3 * 8 * 8
            gates, mixing = 16 * K * 3, K * 3 * 8
            return ATTENDED + D * 16 + experts + gates + mixing + towers + SKIP + (2 * D * 4 + D * K)
        case "shared_bottom":
            return ATTENDED + D * 16 + 16 * 16 + K * (16 * 8 + 8) + SKIP + (2 * D * 4 + D * K)
        case "single_task":
            return K * (ATTENDED + D * 16 + 16 * 8 + 2 * D * 4 + D) + towers + SKIP


def ranker(sharing):
    return build(factory.options(sharing=sharing), factory.layout(), factory.objectives(), torch.zeros(K), 1)


@pytest.mark.parametrize("sharing", ["mmoe", "shared_bottom", "single_task"])
def test_multiplications_are_those_counted_by_hand(sharing):
    model = ranker(sharing)
    assert multiplications(model, factory.batch(factory.layout(), 1)) == by_hand(sharing)
    assert model.training


def test_the_cost_is_that_of_one_row():
    with pytest.raises(ValueError, match="found a batch of 2 rows, expected 1"):
        multiplications(ranker("mmoe"), factory.batch(factory.layout(), 2))


@pytest.mark.parametrize("sharing", ["mmoe", "single_task"])
def test_parameters_add_up(sharing):
    model = ranker(sharing)
    counted = parameters(model)
    assert counted.dense + counted.embedding == sum(p.numel() for p in model.parameters())
    assert counted.embedding == (30 * (4 + K) if sharing == "mmoe" else K * 30 * (4 + 1))
