"""Scores against scikit-learn's QuantileTransformer and SciPy, and the sample behind them."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, rankdata
from sklearn.preprocessing import QuantileTransformer

from recsys import schema
from recsys.encoding.layout import NUM_QUANTILES
from recsys.encoding.normaliser import MAX_SCORE, Normaliser, NormaliserFitter


def fit(values: np.ndarray, ids: np.ndarray | None = None, sample_rows: int = 200_000) -> Normaliser:
    fitter = NormaliserFitter(["x"], sample_rows)
    fitter.add(np.arange(len(values)) if ids is None else ids, pa.table({"x": pa.array(values, pa.float64(), from_pandas=True)}))
    return fitter.normaliser()


def scores(normaliser: Normaliser, values: list[float | None] | np.ndarray) -> np.ndarray:
    return normaliser.transform(pa.table({"x": pa.array(values, pa.float64())}))


@pytest.mark.parametrize("law", ["normal", "lognormal", "uniform", "zeros"])
def test_scores_are_those_of_scikit_learn(rng, law: str) -> None:
    draws = {
        "normal": lambda n: rng.normal(5, 2, n),
        "lognormal": lambda n: rng.lognormal(0, 3, n),
        "uniform": lambda n: rng.uniform(-1, 1, n),
        "zeros": lambda n: np.where(rng.random(n) < 0.4, 0.0, rng.exponential(1, n)),
    }
    training, test = draws[law](50_000), draws[law](5_000)
    theirs = QuantileTransformer(n_quantiles=256, output_distribution="normal", subsample=None).fit(training[:, None])
    expected = theirs.transform(test[:, None])[:, 0].clip(-MAX_SCORE, MAX_SCORE)
    got = scores(fit(training), test)[:, 0]
    if law == "zeros":  # scikit-learn puts ties at the very edge to the edge; here they have their mid-rank, Φ⁻¹(0.2)
        np.testing.assert_allclose(got[test == 0], norm.ppf((training == 0).mean() / 2), atol=1e-6)
        got, expected = got[test > 0.02], expected[test > 0.02]
    inner = np.abs(expected) < 2
    assert inner.mean() > 0.8
    np.testing.assert_allclose(got[inner], expected[inner], atol=0.02)
    assert np.abs(got - expected).max() < 0.35, "between the outermost quantiles the two interpolate on different scales"


def test_few_values_get_their_mid_ranks(rng) -> None:
    training = rng.choice([1.0, 2.0, 5.0, 9.0], 997, p=[0.5, 0.3, 0.19, 0.01])
    expected = norm.ppf((rankdata(training, "average") - 0.5) / len(training))
    np.testing.assert_allclose(scores(fit(training), training)[:, 0], expected.clip(-3, 3), atol=1e-6)


def test_between_knots_scores_are_linear_and_beyond_them_flat() -> None:
    normaliser = fit(np.array([0.0, 10.0]))
    low, high = norm.ppf(0.25), norm.ppf(0.75)
    expected = [low, low, low + 0.3 * (high - low), high, high]
    np.testing.assert_allclose(scores(normaliser, [-1e300, 0.0, 3.0, 10.0, 1e300])[:, 0], expected, atol=1e-6)


def test_a_constant_column_is_zero_and_a_column_of_nulls_is_zero_with_an_indicator() -> None:
    assert scores(fit(np.full(9, 4.0)), [4.0, -7.0, None]).tolist() == [[0.0], [0.0], [0.0]]
    nothing = fit(np.full(9, np.nan))
    assert nothing.names == ("x", "x?")
    assert scores(nothing, [4.0, None]).tolist() == [[0.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("value", [0.1, 0.7, -2.3456789])
def test_a_constant_aggregate_is_zero_although_its_mean_is_rounded(value: float) -> None:
    column = schema.aggregate_column(["user_id"], "is_click", 7)
    table = pa.table({column: np.full(1000, value)})
    fitter = NormaliserFitter([column])
    fitter.add(np.arange(1000), table)
    assert not fitter.normaliser().transform(table).any()


def test_the_indicator_is_there_only_where_training_had_nulls() -> None:
    assert fit(np.array([1.0, 2.0])).names == ("x",)
    assert fit(np.array([1.0, np.nan, 2.0])).names == ("x", "x?")


def test_one_null_outside_the_sample_makes_an_indicator() -> None:
    values = np.arange(1000.0)
    for place in (0, 500, 999):
        one_null = values.copy()
        one_null[place] = np.nan
        assert fit(one_null, sample_rows=10).names == ("x", "x?")


def test_the_sample_is_uniform_bounded_and_the_same_in_any_order(rng) -> None:
    values = rng.normal(0, 1, 40_000)
    ids = rng.permutation(40_000)
    whole = fit(values, ids, sample_rows=4_000)
    shuffled = rng.permutation(40_000)
    fitter = NormaliserFitter(["x"], 4_000)
    for part in np.array_split(shuffled, 7):
        fitter.add(ids[part], pa.table({"x": values[part]}))
    assert fitter._sample_DN.shape == (1, 4_000)
    assert fitter.normaliser().table().equals(whole.table())
    grid = np.linspace(-1.5, 1.5, 31)
    np.testing.assert_allclose(scores(whole, grid)[:, 0], grid, atol=0.08)  # 4 standard errors at n = 4,000


def test_ids_in_running_order_do_not_favour_early_rows() -> None:
    values = np.arange(100_000.0)
    normaliser = fit(values, sample_rows=5_000)
    assert abs(np.median(normaliser.knots[0]) - 50_000) < 4_000


def test_integers_and_booleans_are_numbers() -> None:
    for column in (pa.array([0, 1, None], pa.int64()), pa.array([False, True, None])):
        fitter = NormaliserFitter(["x"])
        fitter.add(np.arange(3), pa.table({"x": column}))
        got = fitter.normaliser().transform(pa.table({"x": column}))
        np.testing.assert_allclose(got, [[norm.ppf(0.25), 0], [norm.ppf(0.75), 0], [0, 1]], atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=40),
    st.lists(st.floats(allow_nan=True, allow_infinity=True) | st.none(), max_size=10),
)
def test_scores_are_finite_bounded_and_monotone(training: list[float], test: list[float | None]) -> None:
    normaliser = fit(np.array(training, np.float64))
    got = scores(normaliser, test)[:, 0]
    assert got.dtype == np.float32
    assert np.isfinite(got).all()
    assert (np.abs(got) <= MAX_SCORE).all()
    known = [(value, score) for value, score in zip(test, got, strict=True) if value is not None and np.isfinite(value)]
    ordered = [score for _, score in sorted(known)]
    assert (np.diff(ordered) >= -1e-6).all()


@pytest.mark.parametrize("column", ["x", schema.aggregate_column(["user_id"], "is_click", 7)])
def test_quantiles_are_the_scores_of_values_at_evenly_spaced_ranks(rng, column: str) -> None:
    values = np.concatenate([np.zeros(3_200), rng.exponential(1, 6_400), np.full(900, np.nan)])
    fitter = NormaliserFitter([column])
    table = pa.table({column: pa.array(rng.permutation(values), pa.float64(), from_pandas=True)})
    fitter.add(np.arange(len(values)), table)
    normaliser = fitter.normaliser()
    quantiles, of_indicator = fitter.quantiles(normaliser)
    assert of_indicator == ()
    known = np.sort(normaliser.transform(table)[~np.isnan(table[column].to_numpy()), 0])
    assert len(quantiles) == NUM_QUANTILES == 33
    assert (quantiles[0], quantiles[-1]) == pytest.approx((known[0], known[-1]), abs=1e-6)
    inner = [known[round(len(known) * place / 32) - 1] for place in range(1, 32)]  # of 9,600 known values, 300 between two ranks
    np.testing.assert_allclose(quantiles[1:-1], inner, atol=1e-6)
    assert set(quantiles[:10]) == {quantiles[0]}, "a third of the values are equal"


@pytest.mark.parametrize("values", [np.full(9, 4.0), np.full(9, np.nan)], ids=["a constant", "nothing"])
def test_quantiles_of_a_constant_and_of_nothing_are_zero(values: np.ndarray) -> None:
    fitter = NormaliserFitter(["x"])
    fitter.add(np.arange(9), pa.table({"x": pa.array(values, pa.float64(), from_pandas=True)}))
    assert fitter.quantiles(fitter.normaliser())[0] == (0.0,) * NUM_QUANTILES


def test_the_table_form_gives_the_same_normaliser(rng) -> None:
    normaliser = fit(np.where(rng.random(5_000) < 0.1, np.nan, rng.normal(0, 1, 5_000)))
    again = Normaliser.from_table(normaliser.table())
    values = rng.normal(0, 2, 100)
    np.testing.assert_array_equal(scores(again, values), scores(normaliser, values))
    assert again.names == normaliser.names
