import pytest
import torch

from recsys.nn.stitch import CrossStitch, LayerMixture, combine
from tests.models.plain import randomised

K, B, S = 3, 7, 4


def test_a_combination_is_a_weighted_sum_of_nets():
    weights_KN, nets_NBH = torch.randn(K, 2), torch.randn(2, B, S)
    expected = torch.stack([weights_KN[k, 0] * nets_NBH[0] + weights_KN[k, 1] * nets_NBH[1] for k in range(K)])
    torch.testing.assert_close(combine(weights_KN, nets_NBH), expected)


@pytest.mark.parametrize("subspaces", [1, 2, 3])
def test_every_subspace_of_every_net_reads_all_of_all(subspaces):
    stitch = randomised(CrossStitch(K, 0.9, subspaces))
    nets_KBH = torch.randn(K, B, subspaces * S)
    expected = torch.zeros_like(nets_KBH)
    for k in range(K):
        for g in range(subspaces):
            for j in range(K):
                for f in range(subspaces):
                    weight = stitch.mixture[k * subspaces + g, j * subspaces + f]
                    expected[k, :, g * S : g * S + S] += weight.detach() * nets_KBH[j, :, f * S : f * S + S]
    torch.testing.assert_close(stitch(nets_KBH), expected)


@pytest.mark.parametrize(("num", "subspaces"), [(3, 1), (3, 2), (1, 2), (1, 1)])
@pytest.mark.parametrize("own", [0.9, 1.0])
def test_a_net_starts_as_mostly_its_own(num, subspaces, own):
    mixture = CrossStitch(num, own, subspaces).mixture.detach()
    size = num * subspaces
    torch.testing.assert_close(mixture.sum(1), torch.ones(size))
    torch.testing.assert_close(mixture.diagonal(), torch.full((size,), own if size > 1 else 1.0))
    if size > 1:
        torch.testing.assert_close(mixture[0, 1:], torch.full((size - 1,), (1 - own) / (size - 1)))


def test_what_a_net_takes_of_another_is_by_hand():
    stitch = CrossStitch(2, 0.9, 2)
    with torch.no_grad():
        stitch.mixture.copy_(torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8], [0, 0, 1, 0], [0, 0, 0, 1]]))
    # rows of net 1: (1 + 2 + 5 + 6) / 2 of itself, (3 + 4 + 7 + 8) / 2 of the other
    assert stitch.between_nets().tolist() == [[7.0, 11.0], [0.0, 1.0]]
    assert not stitch.between_nets().requires_grad


def test_a_mixture_of_layers_is_a_weighted_sum_an_objective():
    mixture = LayerMixture(K, 2)
    assert torch.equal(mixture.mixture, torch.full((K, 2), 0.5))
    randomised(mixture)
    layers_KLBH = torch.randn(K, 2, B, S)
    expected = torch.stack([mixture.mixture[k, 0] * layers_KLBH[k, 0] + mixture.mixture[k, 1] * layers_KLBH[k, 1] for k in range(K)])
    torch.testing.assert_close(mixture(layers_KLBH), expected)
