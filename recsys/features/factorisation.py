"""Matrix factorisation by variational Bayes (Lim and Teh, KDD Cup Workshop 2007), with priors and noise learned from the data.

A value y of user a and item b is normal around p_a + q_b + u_a · v_b. Each user and each item has an offset and a vector, and each of their
coordinates is normal around 0. The posterior of all users and that of all items are found in turns, each in closed form given the other.
Then the variances of priors and noise are set to what the posteriors expect (empirical Bayes), within bounds. So there is no decay to
tune, and a user or an item of which little is known stays near 0. Where the pairs tell next to nothing of taste, there is no factorisation.

Shape letters: U users, I items, N or M either, P pairs, D the vector's length + 1 (the offset comes last).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

_MOST_SWEEPS = 30
_SETTLED = 1e-4  # relative change of the noise in a sweep
_START = 0.3  # standard deviation of a first vector's coordinates; values have variance 1
_PRIOR, _PRIOR_OF_OFFSET = 1.0, 0.1  # variances at the start
# Least variance of a prior. Without it, the mean-field posterior gives up all coordinates on logs of which a third of the taste can be
# learned. The price: on a dense log of pure noise the products have .08 of the values' standard deviation. Chosen on one log of rank 8,
# with 8 factors (docs/factors.md).
_LEAST_PRIOR = 0.1
_LEAST_NOISE = 0.01  # where the values follow exactly from user and item, the noise would fall to 0, and all that divides by it overflow
_LEAST_TASTE = 0.02  # root mean square of the products over the pairs, below which they are the dust of a prior that gave up

Numbers = NDArray[np.float64]


class Posterior(NamedTuple):
    """Normal posteriors of N vectors with their offsets."""

    mean_ND: Numbers
    cov_NDD: Numbers


class Evidence(NamedTuple):
    """The same posteriors as sums, to which more values can be added: the precision, and the precision times the mean."""

    precision_NDD: Numbers
    information_ND: Numbers

    def means(self) -> Numbers:
        """Return the posterior means, [N, D]."""
        mean_ND: Numbers = np.asarray(np.linalg.solve(self.precision_NDD, self.information_ND[:, :, None]), np.float64)[:, :, 0]
        return mean_ND

    def posterior(self) -> Posterior:
        cov_NDD: Numbers = np.asarray(np.linalg.inv(self.precision_NDD), np.float64)
        return Posterior(np.einsum("nij,nj->ni", cov_NDD, self.information_ND), cov_NDD)


class Moments(NamedTuple):
    """Expectations over M posteriors, where x = (vector, 1) and c is the offset: what a value tells the other side."""

    x_MD: Numbers
    xx_MDD: Numbers
    xc_MD: Numbers
    cc_M: Numbers

    @classmethod
    def of(cls, side: Posterior) -> "Moments":
        mean_MD, cov_MDD = side
        x_MD = mean_MD.copy()
        x_MD[:, -1] = 1.0
        xx_MDD = x_MD[:, :, None] * x_MD[:, None, :]
        xx_MDD[:, :-1, :-1] += cov_MDD[:, :-1, :-1]
        xc_MD = x_MD * mean_MD[:, -1:]
        xc_MD[:, :-1] += cov_MDD[:, :-1, -1]
        return cls(x_MD, xx_MDD, xc_MD, mean_MD[:, -1] ** 2 + cov_MDD[:, -1, -1])


class Factorisation(NamedTuple):
    """A fitted factorisation. Values are centred and scaled before they are evidence: y = (value − centre) / scale.

    `bounds` are the least and the largest y of the pairs.
    """

    centre: float
    scale: float
    bounds: tuple[float, float]
    noise: float
    prior_of_users_D: Numbers
    users: Evidence
    items: Posterior


class _Heard(NamedTuple):
    """Sums over the pairs of each of N users or items, weighted: of x xᵀ, of x y and of x c; and over all pairs, of c² − 2 c y."""

    xx_NDD: Numbers
    xy_ND: Numbers
    xc_ND: Numbers
    offsets: float


def factorise(weights_UI: sparse.csr_array, values_UI: sparse.csr_array, d_factors: int) -> Factorisation | None:
    """Fit a factorisation; return None where there is no pair, where all values are equal, or where next to no taste is found.

    `values_UI` holds the mean value of each pair, and `weights_UI`, with entries at the same places, the number of values that it is the
    mean of. Each user and each item has a pair. The start is drawn from a fixed seed.
    """
    weight_P, value_P = weights_UI.data, values_UI.data
    if len(value_P) == 0 or value_P.min() == value_P.max():
        return None
    centre = float(np.average(value_P, weights=weight_P))
    scale = float(np.sqrt(np.average((value_P - centre) ** 2, weights=weight_P)))
    value_P = (value_P - centre) / scale
    sums_UI = weights_UI.copy()
    sums_UI.data = weight_P * value_P
    users, prior_D, noise, items = _alternate(weights_UI, sums_UI, float((weight_P * value_P**2).sum()), d_factors)
    found = Factorisation(centre, scale, (float(value_P.min()), float(value_P.max())), noise, prior_D, users, items)
    return None if _taste(found, weights_UI) < _LEAST_TASTE else found


def _taste(found: Factorisation, pairs_UI: sparse.csr_array) -> float:
    """Return the root mean square of the products of vectors, over the pairs."""
    user_P, item_P = pairs_UI.tocoo().coords
    vector_UD, vector_ID = found.users.means()[:, :-1], found.items.mean_ND[:, :-1]
    product_P = sum(vector_UD[user_P, d] * vector_ID[item_P, d] for d in range(vector_UD.shape[1]))
    return float(np.sqrt(np.mean(np.square(product_P))))


def _alternate(
    weights_UI: sparse.csr_array, sums_UI: sparse.csr_array, squares: float, d_factors: int
) -> tuple[Evidence, Numbers, float, Posterior]:
    weights_IU, sums_IU = weights_UI.T.tocsr(), sums_UI.T.tocsr()
    num_items, num_pairs = weights_UI.shape[1], weights_UI.nnz
    start_ID = np.random.default_rng(0).standard_normal((num_items, d_factors + 1)) * _START
    start_ID[:, -1] = 0.0
    items = Posterior(start_ID, np.zeros((num_items, d_factors + 1, d_factors + 1)))
    prior_of_users_D = prior_of_items_D = np.array([_PRIOR] * d_factors + [_PRIOR_OF_OFFSET])
    noise = max(squares / num_pairs, _LEAST_NOISE)
    by_users = _heard(weights_UI, sums_UI, items)
    for _ in range(_MOST_SWEEPS):
        users = _evidence(by_users, noise, prior_of_users_D).posterior()
        prior_of_users_D = _expected_square(users)
        items = _evidence(_heard(weights_IU, sums_IU, users), noise, prior_of_items_D).posterior()
        prior_of_items_D = _expected_square(items)
        by_users = _heard(weights_UI, sums_UI, items)
        before, noise = noise, max(_squared_error(by_users, users, squares) / num_pairs, _LEAST_NOISE)
        if abs(before - noise) <= _SETTLED * noise:
            break
    return _evidence(by_users, noise, prior_of_users_D), prior_of_users_D, noise, items


def _heard(weights_NM: sparse.csr_array, sums_NM: sparse.csr_array, others: Posterior) -> _Heard:
    moments = Moments.of(others)
    d = moments.x_MD.shape[1]
    xx_NDD = (weights_NM @ moments.xx_MDD.reshape(-1, d * d)).reshape(-1, d, d)
    offsets = float((weights_NM.sum(axis=0) * moments.cc_M - 2.0 * sums_NM.sum(axis=0) * others.mean_ND[:, -1]).sum())
    return _Heard(xx_NDD, sums_NM @ moments.x_MD, weights_NM @ moments.xc_MD, offsets)


def _evidence(heard: _Heard, noise: float, prior_D: Numbers) -> Evidence:
    return Evidence(heard.xx_NDD / noise + np.diag(1.0 / prior_D), (heard.xy_ND - heard.xc_ND) / noise)


def _expected_square(side: Posterior) -> Numbers:
    """Return the expected square of each coordinate, [D]: the variance of its prior."""
    square_ND = side.mean_ND**2 + np.einsum("nii->ni", side.cov_NDD)
    variance_D: Numbers = np.maximum(square_ND.mean(axis=0), _LEAST_PRIOR)
    return variance_D


def _squared_error(heard: _Heard, side: Posterior, squares: float) -> float:
    """Return the expected sum over pairs of weight · (y − x · w − c)², where w are the vectors and offsets of the hearing side.

    `squares` is the sum of weight · y².
    """
    ww_NDD = side.mean_ND[:, :, None] * side.mean_ND[:, None, :] + side.cov_NDD
    fitted = (ww_NDD * heard.xx_NDD).sum() + 2.0 * (side.mean_ND * (heard.xc_ND - heard.xy_ND)).sum()  # no BLAS: equal on any threads
    return squares + float(fitted) + heard.offsets
