from functools import partial

import pytest
import torch

from recsys.nn.experts import Experts, OwnAndSharedExperts, mix, mix_own
from recsys.nn.linear import StackedMLP
from tests.models.plain import net

N, K, B, D = 3, 2, 13, 6


def test_batched_experts_are_a_loop_over_experts():
    experts = Experts(N, D, (5, 4))
    x_BD = torch.randn(B, D)
    (second,) = experts.rest.layers
    for n in range(N):
        own = slice(5 * n, 5 * n + 5)
        first = (x_BD @ experts.first.weight[0][:, own] + experts.first.bias[0, :, own]).relu()
        expected = (first @ second.weight[n] + second.bias[n]).relu()
        torch.testing.assert_close(experts(x_BD)[n], expected)
    assert experts.d_out == 4


def test_a_mixture_is_the_gated_sum():
    gates_BKN, experts_NBH = torch.rand(B, K, N), torch.randn(N, B, 4)
    mixed = mix(gates_BKN, experts_NBH)
    for k in range(K):
        expected = sum(gates_BKN[:, k, n, None] * experts_NBH[n] for n in range(N))
        torch.testing.assert_close(mixed[:, k], expected)


@pytest.mark.parametrize(("own", "shared"), [(1, 1), (2, 3), (2, 0)])
def test_own_and_shared_experts_read_their_owner_s_input(own, shared):
    experts = OwnAndSharedExperts(K, own, shared, partial(StackedMLP, d_in=D, hidden=(5, 4)))
    own_KBD, shared_1BD = torch.randn(K, B, D), torch.randn(1, B, D)
    found_NBH = experts(own_KBD, shared_1BD)
    expected = [net(experts.own, k * own + m, own_KBD[k]) for k in range(K) for m in range(own)]
    expected += [net(experts.shared, s, shared_1BD[0]) for s in range(shared)]
    torch.testing.assert_close(found_NBH, torch.stack(expected))
    assert experts.num == len(expected)
    own_KMBH, shared_SBH = experts.split(found_NBH)
    assert torch.equal(own_KMBH[1, own - 1], found_NBH[2 * own - 1])
    assert torch.equal(shared_SBH, found_NBH[K * own :])


def test_a_mixture_of_own_experts_is_each_owner_s_gated_sum():
    gates_BKM, own_KMBH = torch.rand(B, K, N), torch.randn(K, N, B, 4)
    for k in range(K):
        expected = sum(gates_BKM[:, k, m, None] * own_KMBH[k, m] for m in range(N))
        torch.testing.assert_close(mix_own(gates_BKM, own_KMBH)[:, k], expected)
