import torch

from recsys.nn.experts import Experts, mix

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
