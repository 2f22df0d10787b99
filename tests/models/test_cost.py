import pytest
import torch

from recsys.models import build, multiplications, parameters
from tests.models import factory

K = len(factory.KINDS)
D = 32  # 3 numbers, 2 × 2 bins, 2 mean signals, 3 slots × 4, 4 attended: 25, padded
FEATURES, ENTRY, ATTENTION = 21, 10, 4  # of the attention's query; of a history entry: 2 slots × 4 and 2 signals
ATTENDED = FEATURES * ATTENTION + ATTENTION * ENTRY + ATTENTION + ENTRY * ATTENTION  # query, key, null entry, value
SKIP = 9 * K


CROSS = 2 * D * 4
BELOW = ATTENDED + D * 16  # the shared hidden layer
OUT = D * K  # of the cross layer


def towers(width):
    return K * (width * 8 + 8) + SKIP


BY_HAND = {
    "shared_bottom": BELOW + 16 * 16 + towers(16) + CROSS + OUT,
    "single_task": K * (BELOW + 16 * 8 + CROSS) + towers(8) + OUT,
    "film": BELOW + 16 * 8 + K * 8 * 8 + towers(8) + CROSS + OUT,  # what scales and shifts is of the task, not of the row
    "cross_stitch": BELOW + K * (16 * 8 + 8 * 8) + 2 * K * K * 8 + towers(8) + CROSS + OUT,
    "deep_relationship": BELOW + 16 * 8 + 2 * K * 8 * 8 + towers(8) + CROSS + OUT,  # without its penalty
    "mmoe": BELOW + 3 * (16 * 8 + 8 * 8) + K * 3 * (16 + 8) + towers(8) + CROSS + OUT,
    "cgc": BELOW + (K + 2) * 16 * 8 + K * 3 * 16 + K * 2 * 8 + towers(8) + CROSS + OUT,  # the own experts' weighing left out
    "stem": (1 + K) * BELOW + (K + 1) * 16 * 8 + K * (K + 1) * (16 + 8) + towers(8) + K * CROSS + OUT,
    "pepnet": BELOW
    + (D * 8 + 8 * D)  # the gate of the inputs; no feature of the context
    + 2 * ((12 + D) * 8 + 8 * K * 8)  # the gates of two layers, which read 3 slots × 4 of user and item too
    + K * (16 * 8 + 8 * 8 + 8)
    + SKIP
    + CROSS
    + OUT,
}


def ranker(architecture):
    return build(factory.options(architecture=architecture), factory.layout(), factory.objectives(), torch.zeros(K), 1)


@pytest.mark.parametrize("architecture", BY_HAND)
def test_multiplications_are_those_counted_by_hand(architecture):
    model = ranker(architecture)
    assert multiplications(model, factory.batch(factory.layout(), 1)) == BY_HAND[architecture]
    assert model.training


@pytest.mark.parametrize(
    "product",
    [
        lambda x_BD: x_BD @ torch.ones(D, 7),
        lambda x_BD: torch.einsum("bd,dh->bh", x_BD, torch.ones(D, 7)),
        lambda x_BD: torch.bmm(x_BD.expand(7, -1, -1), torch.ones(7, D, 1)),
        lambda x_BD: torch.baddbmm(torch.zeros(1, 1, 7), x_BD.unsqueeze(0), torch.ones(1, D, 7)),
        lambda x_BD: torch.addmm(torch.zeros(7), x_BD, torch.ones(D, 7)),
        lambda x_BD: torch.stack([x_BD @ torch.ones(D) for _ in range(7)]),
        lambda x_BD: torch.stack([torch.addmv(torch.zeros(len(x_BD)), x_BD, torch.ones(D)) for _ in range(7)]),
    ],
    ids=["matmul", "einsum", "bmm", "baddbmm", "addmm", "mv", "addmv"],
)
def test_every_product_counts(product):
    class Extra(torch.nn.Module):
        def forward(self, inputs):
            product(inputs.whole().squeeze(0))
            return torch.zeros(len(inputs.numbers_BP), 1, K)

    model = ranker("mmoe")
    before = multiplications(model, factory.batch(factory.layout(), 1))
    model.cross = torch.nn.Sequential(Extra())
    model.cross.num_tables = 1
    assert multiplications(model, factory.batch(factory.layout(), 1)) == before - CROSS - OUT + D * 7


def test_the_cost_is_that_of_one_row():
    with pytest.raises(ValueError, match="found a batch of 2 rows, expected 1"):
        multiplications(ranker("mmoe"), factory.batch(factory.layout(), 2))


@pytest.mark.parametrize("architecture", ["mmoe", "single_task"])
def test_parameters_add_up(architecture):
    model = ranker(architecture)
    counted = parameters(model)
    assert counted.dense + counted.embedding == sum(p.numel() for p in model.parameters())
    assert counted.embedding == (30 * (4 + K) if architecture == "mmoe" else K * 30 * (4 + 1))
