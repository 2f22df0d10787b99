import pytest
import torch
from torch import nn

from recsys.models import build
from tests.models import factory

K = len(factory.KINDS)


@pytest.fixture
def ranker():
    model = build(factory.options(architecture="single_task"), factory.layout(), factory.objectives(), torch.zeros(K), 1)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.dense_parameters():
            nn.init.normal_(parameter, std=0.3)
        model.inputs.embeddings.tables.table[1:] = torch.randn(K * 30 - 1, model.inputs.embeddings.tables.table.shape[1])
    return model.eval()


def owned(model, tensors, k):
    """The part of each parameter that is objective k's: the first axis, but for the linear path and the bias tables."""
    for name, tensor in tensors:
        if name == "inputs.skip.weight" or name.startswith("bias_tower."):
            yield name, tensor[..., k]
        elif name == "inputs.embeddings.tables.table":
            yield name, tensor.unflatten(0, (K, -1))[k]
        else:
            yield name, tensor[k]


@pytest.mark.parametrize("k", range(K - 1))
def test_an_objective_gives_gradients_to_its_own_only(ranker, k):
    ranker(factory.batch(factory.layout(), 64), position="logged").outputs_BK[:, k].sum().backward()
    grads = [(name, p.grad.to_dense() if p.grad.is_sparse else p.grad) for name, p in ranker.named_parameters()]
    for other in range(K):
        for name, part in owned(ranker, grads, other):
            assert part.any() == (other == k), (name, other)


def test_an_objective_hears_nothing_of_others_parameters(ranker):
    example = factory.batch(factory.layout(), 64)
    before = ranker(example, position="logged").outputs_BK
    with torch.no_grad():
        for _, part in owned(ranker, ranker.named_parameters(), 2):
            part.add_(1.0)
    after = ranker(example, position="logged").outputs_BK
    assert torch.equal(after[:, [0, 1, 3]], before[:, [0, 1, 3]])
    assert not torch.equal(after[:, 2], before[:, 2])
