"""The factorisation against plain loops over pairs, against draws from its posteriors, and on values whose vectors are known."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from recsys.features.factorisation import Factorisation, Moments, Posterior, factorise

USERS, ITEMS, D = 60, 40, 3
Numbers = NDArray[np.float64]


def a_log(rng: np.random.Generator, *, noise: float, taste: float, share: float = 0.6) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Pairs of users and items, the mean of each pair's values, their number, and the true product of the pair's vectors."""
    product_UI = taste * rng.standard_normal((USERS, 2)) @ rng.standard_normal((2, ITEMS))
    user_P, item_P = np.nonzero(rng.random((USERS, ITEMS)) < share)
    times_P = rng.integers(1, 4, len(user_P)).astype(np.float64)
    offsets = 0.3 * rng.standard_normal(USERS)[user_P] + 0.3 * rng.standard_normal(ITEMS)[item_P]
    value_P = 5.0 + offsets + product_UI[user_P, item_P] + noise * rng.standard_normal(len(user_P)) / np.sqrt(times_P)
    return np.stack([user_P, item_P]), value_P, times_P, product_UI


def fitted(pairs_2P: Numbers, value_P: Numbers, times_P: Numbers, d_factors: int = D) -> Factorisation:
    found = factorise(*tables(pairs_2P, value_P, times_P), d_factors)
    assert found is not None
    return found


def tables(pairs_2P: Numbers, value_P: Numbers, times_P: Numbers) -> tuple[sparse.csr_array, sparse.csr_array]:
    weights, values = (sparse.csr_array((numbers, tuple(pairs_2P)), (USERS, ITEMS)) for numbers in (times_P, value_P))
    return weights, values


def product(found: Factorisation) -> Numbers:
    product_UI: Numbers = found.users.means()[:, :-1] @ found.items.mean_ND[:, :-1].T * found.scale
    return product_UI


def test_products_of_the_vectors_are_those_that_made_the_values(rng: np.random.Generator) -> None:
    pairs_2P, value_P, times_P, true_UI = a_log(rng, noise=0.3, taste=1.0)
    found_UI = product(fitted(pairs_2P, value_P, times_P, d_factors=6))
    unseen = np.ones((USERS, ITEMS), bool)
    unseen[tuple(pairs_2P)] = False
    centred_UI = true_UI - true_UI.mean(0) - true_UI.mean(1, keepdims=True) + true_UI.mean()  # offsets take the rest
    assert np.corrcoef(found_UI[unseen], centred_UI[unseen])[0, 1] > 0.97
    assert np.polyfit(found_UI[unseen], centred_UI[unseen], 1)[0] == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(("share", "most"), [(0.1, 0.0), (0.95, 0.15)])
def test_noise_is_hardly_taken_for_taste(rng: np.random.Generator, share: float, most: float) -> None:
    """Of a sparse log nothing is found. Of a dense one the least prior lets some through: it is the price of that bound."""
    pairs_2P, value_P, times_P, _ = a_log(rng, noise=1.0, taste=0.0, share=share)
    found = factorise(*tables(pairs_2P, value_P, times_P), D)
    assert (0.0 if found is None else product(found).std() / value_P.std()) <= most


@pytest.mark.parametrize(
    "exact",
    [
        lambda user, item: item % 5 == 0,
        lambda user, item: user * 1000.0,
        lambda user, item: (user + item) % 2 == 0,
        lambda user, item: np.where(user < 9, 1e12, item),
    ],
    ids=["the item alone", "the user alone", "two clusters", "huge values"],
)
def test_values_that_follow_exactly_give_bounded_products(rng: np.random.Generator, exact: Callable[..., Numbers]) -> None:
    pairs_2P, _, times_P, _ = a_log(rng, noise=1.0, taste=0.0, share=0.9)
    value_P = exact(*pairs_2P).astype(np.float64)
    found = factorise(*tables(pairs_2P, value_P, times_P), 8)
    if found is not None:
        assert found.noise >= 0.01
        assert np.abs(product(found)).max() < 3 * np.ptp(value_P)


def test_a_users_evidence_is_a_sum_over_his_pairs(rng: np.random.Generator) -> None:
    pairs_2P, value_P, times_P, _ = a_log(rng, noise=0.5, taste=0.7)
    found = fitted(pairs_2P, value_P, times_P)
    y_P = (value_P - found.centre) / found.scale
    assert np.average(y_P, weights=times_P) == pytest.approx(0.0, abs=1e-12)
    for user in (0, 7, USERS - 1):
        precision, information = np.diag(1.0 / found.prior_of_users_D), np.zeros(D + 1)
        for (of_user, item), y, times in zip(pairs_2P.T, y_P, times_P, strict=True):
            if of_user == user:
                mean, cov = found.items.mean_ND[item], found.items.cov_NDD[item]
                x = np.append(mean[:D], 1.0)
                spread = np.zeros((D + 1, D + 1))
                spread[:D, :D] = cov[:D, :D]
                precision += times / found.noise * (np.outer(x, x) + spread)
                information += times / found.noise * (y * x - x * mean[D] - np.append(cov[:D, D], 0.0))
        np.testing.assert_allclose(found.users.precision_NDD[user], precision, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found.users.information_ND[user], information, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found.users.means()[user], np.linalg.inv(precision) @ information, rtol=1e-7, atol=1e-9)


def test_moments_are_means_over_the_posterior(rng: np.random.Generator) -> None:
    root = rng.standard_normal((D + 1, D + 1))
    side = Posterior(rng.standard_normal((1, D + 1)), (0.1 * root @ root.T)[None])
    drawn = rng.multivariate_normal(side.mean_ND[0], side.cov_NDD[0], 400_000)
    x, c = np.hstack([drawn[:, :D], np.ones((len(drawn), 1))]), drawn[:, D]
    moments = Moments.of(side)
    np.testing.assert_allclose(moments.x_MD[0], x.mean(0), atol=0.02)
    np.testing.assert_allclose(moments.xx_MDD[0], x.T @ x / len(x), atol=0.06)
    np.testing.assert_allclose(moments.xc_MD[0], x.T @ c / len(x), atol=0.06)
    np.testing.assert_allclose(moments.cc_M[0], (c**2).mean(), atol=0.06)


def test_the_noise_is_what_the_posteriors_expect(rng: np.random.Generator) -> None:
    """Draws of users and items, independent of one another, miss the values by the noise, squared and weighted."""
    pairs_2P, value_P, times_P, _ = a_log(rng, noise=0.5, taste=0.7)
    found = fitted(pairs_2P, value_P, times_P)
    y_P, (user_P, item_P) = (value_P - found.centre) / found.scale, pairs_2P
    users = found.users.posterior()
    errors = []
    for _ in range(200):
        user_UD, item_ID = (
            side.mean_ND + np.einsum("nij,nj->ni", np.linalg.cholesky(side.cov_NDD), rng.standard_normal(side.mean_ND.shape))
            for side in (users, found.items)
        )
        fit_P = (user_UD[user_P, :D] * item_ID[item_P, :D]).sum(1) + user_UD[user_P, D] + item_ID[item_P, D]
        errors.append(np.mean(times_P * (y_P - fit_P) ** 2))
    assert found.noise == pytest.approx(np.mean(errors), rel=0.01)


def test_the_scale_of_the_values_is_that_of_the_products(rng: np.random.Generator) -> None:
    pairs_2P, value_P, times_P, _ = a_log(rng, noise=0.3, taste=1.0)
    once, thousand = (product(fitted(pairs_2P, scale * value_P, times_P)) for scale in (1.0, 1000.0))
    np.testing.assert_allclose(thousand, 1000.0 * once, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("values", [[], [1.0, 1.0]], ids=["no pair", "equal values"])
def test_nothing_is_fitted_where_there_is_nothing_to_learn(values: list[float]) -> None:
    places, shape = (np.arange(len(values)), np.arange(len(values))), (len(values), len(values))
    weights, means = (sparse.csr_array((np.array(numbers), places), shape) for numbers in (np.ones(len(values)), values))
    assert factorise(weights, means, D) is None
