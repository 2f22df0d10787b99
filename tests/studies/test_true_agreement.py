import numpy as np
import pandas as pd
import pytest
from scipy import stats

from studies.true_agreement import CLICKBAIT, EXPECTED, agreement, markdown


def truth_of(rng, *, bait):
    """Clicks that clickbait pulls up and stars that it pulls down by `bait`; everything else is noise of its own."""
    rows = 5000
    clickbait, quality = rng.standard_normal(rows), rng.standard_normal(rows)
    truth = {column: rng.standard_normal(rows) for column in EXPECTED.values()}
    truth[EXPECTED["click"]] = quality + bait * clickbait
    truth[EXPECTED["survey"]] = quality - bait * clickbait
    return pd.DataFrame({**truth, CLICKBAIT: clickbait})


def test_it_is_spearman_s_correlation(rng):
    truth = truth_of(rng, bait=1.0)
    found = agreement(truth).set_index(["objective", "other"])
    expected = stats.spearmanr(truth[EXPECTED["click"]], truth[EXPECTED["like"]]).statistic
    assert found.loc[("click", "like"), "correlation"] == pytest.approx(expected)
    assert len(found) == 15


def test_with_clickbait_held_fixed_what_it_sets_apart_agrees_again(rng):
    pair = agreement(truth_of(rng, bait=1.0)).set_index(["objective", "other"]).loc[("click", "survey")]
    assert pair["correlation"] == pytest.approx(0.0, abs=0.05)
    assert pair["clickbait_fixed"] > 0.9


def test_the_residuals_of_ranks_give_the_same_partial_correlation(rng):
    truth = truth_of(rng, bait=0.5)
    ranks = truth.rank()
    bait = np.column_stack([np.ones(len(ranks)), ranks[CLICKBAIT]])
    left, right = (
        ranks[EXPECTED[name]] - bait @ np.linalg.lstsq(bait, ranks[EXPECTED[name]], rcond=None)[0] for name in ("click", "survey")
    )
    pair = agreement(truth).set_index(["objective", "other"]).loc[("click", "survey")]
    assert pair["clickbait_fixed"] == pytest.approx(np.corrcoef(left, right)[0, 1])


def test_the_matrix_has_each_pair_once(rng):
    text = markdown(agreement(truth_of(rng, bait=1.0)), "correlation")
    assert len(text.splitlines()) == 2 + 5
    assert sum(cell.strip().startswith(("+", "-0", "-1")) for line in text.splitlines() for cell in line.split("|")) == 15
