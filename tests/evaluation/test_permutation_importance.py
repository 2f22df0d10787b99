"""Falls of the main metric, held against scikit-learn with weights that the same bootstrap draws."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from recsys import schema
from recsys.errors import DataError
from recsys.evaluation import UserDraws, evaluate, falls
from recsys.objectives import Objective

CLICK = Objective(name="click", label="c = 1")
LIKE = Objective(name="like", label="l = 1", given="click", group="satisfaction")
WATCH = Objective(name="watch", kind="watch_time", label="seconds")
USERS, ROWS, REPLICATES = 30, 500, 40


@pytest.fixture
def base(rng: np.random.Generator) -> pd.DataFrame:
    """Ids in any order; users of names, as a log may have them; a tenth of the labels not known."""
    taste = rng.normal(size=ROWS)
    click = (taste + rng.normal(size=ROWS) > 0.5).astype(float)
    frame = pd.DataFrame(
        {
            "event_id": rng.permutation(ROWS),
            "user_id": [f"u{user}" for user in rng.integers(0, USERS, ROWS)],
            "label.click": click,
            "label.like": click * (rng.random(ROWS) < 0.4),
            "label.watch": np.exp(taste + rng.normal(size=ROWS)),
            "pred.click": 1 / (1 + np.exp(-taste)),
            "pred.like": 0.4 / (1 + np.exp(-taste)),
            "pred.watch": np.exp(taste),
        }
    )
    frame.loc[rng.random(ROWS) < 0.1, "label.watch"] = np.nan
    return frame


def noisy(base: pd.DataFrame, rng: np.random.Generator, share: float) -> pd.DataFrame:
    """A share of the predictions swapped."""
    frame, at = base.copy(), np.flatnonzero(rng.random(ROWS) < share)
    for name in ("pred.click", "pred.like", "pred.watch"):
        frame.loc[at, name] = base.loc[rng.permutation(at), name].to_numpy()
    return frame


def table(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False)


def fall(base: pd.DataFrame, groups: dict[str, Sequence[pd.DataFrame]], objectives: Sequence[Objective]) -> list[dict]:
    spoiled = ((name, [table(frame) for frame in frames]) for name, frames in groups.items())
    options = {"run": "mine", "split": "test", "bootstrap": REPLICATES, "confidence": 0.9, "seed": 5}
    found = falls(table(base), spoiled, objectives, **options)
    assert found.schema.equals(schema.IMPORTANCE)
    return found.to_pylist()


def test_a_fall_and_its_interval_are_those_of_a_plain_loop(base: pd.DataFrame, rng: np.random.Generator) -> None:
    spoiled = [noisy(base, rng, 0.5), noisy(base, rng, 0.5)]
    (row,) = fall(base, {"half": spoiled}, [CLICK])

    def fall_at(weight_N: np.ndarray | None) -> float:
        whole = roc_auc_score(base["label.click"], base["pred.click"], sample_weight=weight_N)
        parts = [roc_auc_score(base["label.click"], frame["pred.click"], sample_weight=weight_N) for frame in spoiled]
        return float(np.mean([whole - part for part in parts]))

    _, user_N = np.unique(base["user_id"], return_inverse=True)
    positives_U = np.bincount(user_N, base["label.click"])  # the rarer class
    effective = positives_U.sum() ** 2 / np.sum(positives_U**2)
    outside = stats.norm.cdf(stats.t.ppf(0.05, effective - 1) * np.sqrt(effective / (effective - 1)))
    weights_RU = np.concatenate(list(UserDraws(USERS, REPLICATES, 5).blocks()))
    expected = np.quantile([fall_at(weights_U[user_N].astype(float)) for weights_U in weights_RU], [outside, 1 - outside])
    assert row["value"] == pytest.approx(fall_at(None), abs=1e-12)
    assert (row["low"], row["high"]) == pytest.approx(tuple(expected), abs=1e-12)
    assert (row["feature_group"], row["metric"], row["method"], row["permutations"]) == ("half", "auc", "bootstrap", 2)
    assert (row["n"], row["n_positive"], row["seed"], row["split"]) == (ROWS, base["label.click"].sum(), 5, "test")


def test_a_fall_is_the_difference_that_a_comparison_of_two_runs_gives(base: pd.DataFrame, rng: np.random.Generator) -> None:
    """Of ids in order: `evaluate` numbers users so. Conditional forms and values too."""
    ordered = base.sort_values("event_id").assign(timestamp=0)
    other = noisy(ordered.reset_index(drop=True), rng, 0.7)
    found = {row["objective"]: row for row in fall(ordered, {"g": [other]}, (CLICK, LIKE, WATCH))}
    rows = evaluate(
        table(ordered), (CLICK, LIKE, WATCH), run="mine", against={"other": table(other)}, bootstrap=REPLICATES, confidence=0.9, seed=5
    ).to_pylist()
    differences = {(row["objective"], row["metric"]): row for row in rows if row["against"] and row["slice"] == "all"}
    assert set(found) == {"click", "like", "like|click", "watch"}
    for name, row in found.items():
        expected = differences[name, row["metric"]]
        assert row["metric"] == ("xauc" if name == "watch" else "auc")
        for key in ("value", "low", "high"):
            assert row[key] == pytest.approx(expected[key], rel=1e-9, abs=1e-12), (name, key)
        for key in ("n", "n_positive", "method"):
            assert row[key] == expected[key], (name, key)


def test_a_percentile_is_what_falls(base: pd.DataFrame, rng: np.random.Generator) -> None:
    """As it would where it stood in the place of the mean."""
    other = noisy(base, rng, 0.7)
    order = [1 / (1 + np.exp(-2 * frame["pred.watch"] + rng.normal(size=ROWS))) for frame in (base, other)]
    beside = [frame.assign(**{"pred.watch%": each}) for frame, each in zip((base, other), order, strict=True)]
    instead = [frame.assign(**{"pred.watch": each}) for frame, each in zip((base, other), order, strict=True)]
    found, expected, by_mean = (fall(one, {"g": [two]}, [WATCH]) for one, two in (beside, instead, (base, other)))
    assert found[0] == pytest.approx(expected[0])
    assert found[0]["value"] != pytest.approx(by_mean[0]["value"], rel=0.01)


def test_equal_predictions_fall_by_exactly_nothing(base: pd.DataFrame) -> None:
    for row in fall(base, {"unseen": [base, base, base]}, (CLICK, LIKE, WATCH)):
        assert (row["value"], row["low"], row["high"]) == (0.0, 0.0, 0.0)


def test_what_is_undefined_has_a_reason(base: pd.DataFrame, rng: np.random.Generator) -> None:
    one_class = base.assign(**{"label.click": 1.0})
    (row,) = fall(one_class, {"g": [noisy(one_class, rng, 0.5)]}, [CLICK])
    assert (row["value"], row["low"], row["reason"]) == (None, None, "one class: no negative label")
    (alone,) = fall(base.assign(user_id="one"), {"g": [noisy(base, rng, 0.5).assign(user_id="one")]}, [CLICK])
    assert alone["value"] > 0
    assert (alone["low"], alone["reason"]) == (None, "too few users (1)")


def test_a_missing_column_is_told(base: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=r"also pred\.click"):
        fall(base, {"g": [base.drop(columns="pred.click")]}, [CLICK])
