"""Against double loops, Monte Carlo, inclusion and exclusion; and how often noise alone is called domination."""

from itertools import combinations

import numpy as np
import pytest

from recsys.evaluation import beyond_noise, dominates, front_share, hypervolume, hypervolume_replicates, non_dominated


@pytest.mark.parametrize("objectives", [1, 2, 3, 5])
def test_domination_is_that_of_a_double_loop(rng, objectives) -> None:
    value_PK = rng.integers(0, 4, (12, objectives)).astype(float)  # ties, and equal points
    for a, this in enumerate(value_PK):
        for b, that in enumerate(value_PK):
            expected = all(x >= y for x, y in zip(this, that, strict=True)) and any(x > y for x, y in zip(this, that, strict=True))
            assert dominates(value_PK)[a, b] == expected
    assert non_dominated(value_PK).tolist() == [not any(dominates(value_PK)[:, b]) for b in range(12)]


def test_equal_points_are_both_on_the_front() -> None:
    assert non_dominated(np.array([[1.0, 2.0], [1.0, 2.0], [0.0, 2.0]])).tolist() == [True, True, False]


def by_inclusion_and_exclusion(value_PK: np.ndarray, reference_K: np.ndarray) -> float:
    above_PK = np.maximum(value_PK - reference_K, 0)
    return sum(
        (-1) ** (size + 1) * above_PK[list(some)].min(axis=0).prod()
        for size in range(1, len(above_PK) + 1)
        for some in combinations(range(len(above_PK)), size)
    )


@pytest.mark.parametrize("objectives", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("points", [1, 2, 7, 10])
def test_hypervolume_is_that_of_inclusion_and_exclusion(rng, points, objectives) -> None:
    value_PK = rng.normal(size=(points, objectives))
    value_PK[points // 2 :] = np.round(value_PK[points // 2 :])  # ties
    reference_K = np.full(objectives, -0.7)  # some points are not better than it everywhere
    assert hypervolume(value_PK, reference_K) == pytest.approx(by_inclusion_and_exclusion(value_PK, reference_K), abs=1e-12)


def test_hypervolume_is_the_share_of_darts_that_land_below_a_point(rng) -> None:
    direction_PK = np.abs(rng.normal(size=(25, 4)))
    value_PK = direction_PK / np.linalg.norm(direction_PK, axis=1, keepdims=True)  # none dominates another
    darts_NK = rng.random((200_000, 4))
    hit_N = np.zeros(len(darts_NK), bool)
    for value_K in value_PK:
        hit_N |= (darts_NK < value_K).all(axis=1)
    share = hit_N.mean()
    error = np.sqrt(share * (1 - share) / len(darts_NK))
    assert hypervolume(value_PK, np.zeros(4)) == pytest.approx(share, abs=4 * error)


def test_what_is_dominated_or_below_the_reference_adds_no_volume(rng) -> None:
    value_PK = rng.random((6, 3))
    more_PK = np.vstack([value_PK, value_PK * 0.9, [[5.0, 5.0, -1.0]], value_PK])
    assert hypervolume(more_PK, np.zeros(3)) == pytest.approx(hypervolume(value_PK, np.zeros(3)))
    assert hypervolume(value_PK[:0], np.zeros(3)) == 0


def test_a_replicate_is_a_set_of_points_of_its_own(rng) -> None:
    replicates_RPK = rng.random((40, 5, 3))
    assert hypervolume_replicates(replicates_RPK, np.zeros(3)) == pytest.approx([hypervolume(v, np.zeros(3)) for v in replicates_RPK])
    assert front_share(replicates_RPK) == pytest.approx(np.mean([non_dominated(v) for v in replicates_RPK], axis=0))


@pytest.mark.parametrize(("better_in", "clearly"), [(960, False), (976, True)])
def test_some_objective_is_better_more_surely_the_more_objectives_there_are(better_in, clearly) -> None:
    """Two points, two objectives, 95 %: nowhere worse in all of 1,000 replicates, and better in one objective in 1 − .05/2 of them."""
    replicates_RPK = np.zeros((1000, 2, 2))
    replicates_RPK[:better_in, 0, 1] = 1.0
    found = beyond_noise(replicates_RPK, confidence=0.95)
    assert found.share_PP[0, 1] == 1.0
    assert found.clearly_PP.tolist() == [[False, clearly], [False, False]]


def measured(
    rng: np.random.Generator, truth_PK: np.ndarray, covariance_KK: np.ndarray, *, shared: float, replicates: int = 400
) -> np.ndarray:
    """Replicates around a noisy estimate of the truth, with the same noise; a `shared` part of the variance moves all points alike."""
    factor_KK = np.linalg.cholesky(covariance_KK)

    def noise(*size: int) -> np.ndarray:
        own, common = rng.standard_normal((*size, *truth_PK.shape)), rng.standard_normal((*size, 1, truth_PK.shape[1]))
        return (np.sqrt(1 - shared) * own + np.sqrt(shared) * common) @ factor_KK.T

    return truth_PK + noise() + noise(replicates)


CORRELATED = np.full((3, 3), 0.8) + 0.2 * np.eye(3)


@pytest.mark.parametrize(
    "truth_PK",
    [
        np.zeros((2, 3)),  # equal systems
        np.zeros((8, 3)),
        np.array([[9.0, 9.0, 0.0], [0.0, 0.0, 0.0]]),  # as good in the one objective in which it is not far behind: the worst case
        np.vstack([np.tile([9.0, 9.0, 0.0], (7, 1)), np.zeros((1, 3))]),  # and so behind seven
    ],
)
def test_a_point_that_none_beats_everywhere_is_called_dominated_at_most_as_often_as_stated(rng, truth_PK) -> None:
    """The last point: nothing is better than it in the third objective."""
    runs, confidence = 500, 0.9
    wrong = sum(
        beyond_noise(measured(rng, truth_PK, CORRELATED, shared=0.3), confidence=confidence).clearly_PP[:, -1].any() for _ in range(runs)
    )
    assert wrong / runs <= 1 - confidence + 2 * np.sqrt(0.09 / runs)


@pytest.mark.words
def test_of_few_users_a_point_is_called_dominated_no_more_often(rng) -> None:
    """Twenty users, ten points of one truth, the last nearly without noise: replicates of so few users vary too little, most so far out."""
    users, points, runs, confidence = 20, 10, 400, 0.95
    draws_RU = rng.multinomial(users, np.full(users, 1 / users), 1000)
    wrong = 0
    for _ in range(runs):
        value_UP = rng.standard_normal((users, points)) * np.append(np.ones(points - 1), 0.1)
        replicates_RPK = (draws_RU @ value_UP / users)[:, :, None]
        wrong += beyond_noise(replicates_RPK, confidence=confidence, effective_users=users).clearly_PP[:, -1].any()
    assert wrong / runs <= 1 - confidence + 2 * np.sqrt(0.0475 / runs)


def test_what_is_better_everywhere_by_more_than_the_noise_dominates(rng) -> None:
    truth_PK = np.array([[5.0, 5.0, 5.0], [0.0, 0.0, 0.0], [5.0, 5.0, -5.0]])
    found = beyond_noise(measured(rng, truth_PK, 0.1 * np.eye(3), shared=0.0), confidence=0.95)
    assert found.clearly_PP.tolist() == [[False, True, False], [False, False, False], [False, False, False]]
    assert found.share_PP[0, 1] == 1
    assert found.share_PP[1, 0] == 0


def test_the_same_run_twice_does_not_dominate_itself() -> None:
    replicates_RPK = np.repeat(np.random.default_rng(1).normal(size=(100, 1, 2)), 2, axis=1)
    assert not beyond_noise(replicates_RPK, confidence=0.95).clearly_PP.any()
    assert front_share(replicates_RPK).tolist() == [1, 1]
