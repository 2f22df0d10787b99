import itertools

import torch

from recsys.nn.penalties import distance_to_mean, overlap_of_subspaces

K, D, G, S = 3, 5, 2, 4


def test_the_distance_is_a_loop_over_tasks_and_numbers():
    parts = [torch.randn(K, D, S), torch.randn(K, S)]
    expected = 0.0
    for part in parts:
        mean = sum(part) / K
        for k in range(K):
            expected += 0.5 * sum((float(a) - float(b)) ** 2 for a, b in zip(part[k].flatten(), mean.flatten(), strict=True))
    torch.testing.assert_close(distance_to_mean(parts).item(), expected, rtol=1e-5, atol=0)


def test_the_distance_is_that_of_all_pairs():
    part_KP = torch.randn(K, 9)
    pairs = sum((part_KP[j] - part_KP[k]).square().sum() for j, k in itertools.combinations(range(K), 2))
    torch.testing.assert_close(distance_to_mean([part_KP]), pairs / (2 * K))


def test_the_distance_pulls_every_task_to_the_mean_and_nowhere_else():
    part_KP = torch.randn(K, 9, requires_grad=True)
    distance_to_mean([part_KP]).backward()
    torch.testing.assert_close(part_KP.grad, part_KP.detach() - part_KP.detach().mean(0))


def test_the_overlap_is_a_loop_over_tasks_and_pairs_of_subspaces():
    weight_KDH = torch.randn(K, D, 3 * S)
    expected = torch.zeros(())
    for k in range(K):
        for i, j in itertools.combinations(range(3), 2):
            product = weight_KDH[k][:, S * i : S * i + S].T @ weight_KDH[k][:, S * j : S * j + S]
            expected += product.norm() ** 2
    torch.testing.assert_close(overlap_of_subspaces(weight_KDH, 3), expected)


def test_orthogonal_subspaces_do_not_overlap():
    orthogonal_DD = torch.linalg.qr(torch.randn(G * S, G * S)).Q
    weight_KDH = torch.cat([orthogonal_DD[:, :S] @ torch.randn(S, S), orthogonal_DD[:, S:] @ torch.randn(S, S)], dim=1).unsqueeze(0)
    assert overlap_of_subspaces(weight_KDH, G) < 1e-9
    assert overlap_of_subspaces(torch.randn(K, D, G * S), 1) == 0.0


def test_the_overlap_leaves_autocast():
    weight_KDH = torch.randn(K, D, G * S)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = overlap_of_subspaces(weight_KDH, G)
    torch.testing.assert_close(low, overlap_of_subspaces(weight_KDH, G))
