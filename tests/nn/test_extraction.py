from functools import partial

import pytest
import torch

from recsys.nn.experts import OwnAndSharedExperts
from recsys.nn.extraction import ExtractionLevel
from recsys.nn.linear import StackedMLP
from tests.models.plain import extracted, randomised

B, D, K = 9, 6, 3


def level(own, shared, *, shared_gate, **options):
    experts = OwnAndSharedExperts(K, own, shared, partial(StackedMLP, d_in=D, hidden=(5, 4)))
    found = ExtractionLevel(experts, D, shared_gate=shared_gate, **{"dropout": 0.0, "top_k": None} | options)
    return randomised(found)


@pytest.mark.parametrize("shared_gate", [False, True])
@pytest.mark.parametrize(("own", "shared"), [(1, 1), (2, 3)])
def test_a_level_is_a_loop_over_owners_and_experts(own, shared, shared_gate):
    model = level(own, shared, shared_gate=shared_gate)
    own_KBD, shared_1BD = torch.randn(K, B, D), torch.randn(1, B, D)
    found = model(own_KBD, shared_1BD)
    expected, shared_path = extracted(model, list(own_KBD), shared_1BD[0])
    torch.testing.assert_close(found.own_BKH, torch.stack(expected, dim=1))
    assert (found.shared_BH is None) == (not shared_gate)
    if shared_gate:
        torch.testing.assert_close(found.shared_BH, shared_path)
    assert found.experts_EBH.shape == (K * own + shared, B, 4)


def test_all_gates_lose_experts_in_training_and_use_the_largest():
    model = level(2, 2, shared_gate=True, dropout=0.5)
    inputs = torch.randn(K, 500, D), torch.randn(1, 500, D)
    lost = model(*inputs).gates_BKN == 0
    assert 0.3 < lost.float().mean() < 0.6
    assert not torch.equal(model(*inputs).shared_BH, model(*inputs).shared_BH)
    assert torch.equal(model.eval()(*inputs).shared_BH, model(*inputs).shared_BH)
    assert ((level(2, 2, shared_gate=True, top_k=2)(*inputs).gates_BKN > 0).sum(-1) == 2).all()
