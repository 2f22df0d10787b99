"""The study of fine-tuning, on a world of a minute."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from studies import transfer
from studies.transfer import WAYS, auc, gains, one_world

SMALL = ("source.users=150", "source.days=4", "split.train=['2024-01-02', '2024-01-03']", "split.test=['2024-01-04', '2024-01-04']")


def test_auc_leaves_out_what_is_not_observed():
    generator = np.random.default_rng(0)
    value_N, label_N = generator.integers(0, 20, 300).astype(float), generator.integers(0, 2, 300).astype(float)
    label_N[::3] = np.nan
    known_N = ~np.isnan(label_N)
    assert np.isclose(auc(value_N, label_N), roc_auc_score(label_N[known_N], value_N[known_N]))


@pytest.mark.words  # it walks whole pipelines
def test_a_way_learns_from_as_many_labels_as_asked_and_is_judged_by_all(monkeypatch):
    monkeypatch.setattr(transfer, "WAYS", ("alone", "fine-tuned, trunk frozen"))
    rows = pd.DataFrame(one_world(1, [*SMALL, "train.passes=1"], (200,)))
    assert list(rows["way"]) == ["alone", "fine-tuned, trunk frozen"]
    assert rows["labels"].nunique() == 1
    assert 150 < rows["labels"].iloc[0] < 250
    assert rows["auc"].between(0.3, 1).all()


def test_gains_are_paired_by_world():
    rows = pd.DataFrame(
        [{"seed": seed, "asked": 500, "way": way, "auc": 0.6 + 0.1 * seed + 0.01 * WAYS.index(way)} for seed in (1, 2, 3) for way in WAYS]
    )
    table = gains(rows).set_index("way")
    assert np.allclose(table["gain"], [0.01, 0.02, 0.03])
    assert np.allclose(table["low"], table["gain"], atol=1e-4)
    assert transfer.LABELS[-1] == 500


def test_the_figure_shows_intervals_over_worlds_beside_the_levels():
    rows = pd.DataFrame(
        [
            {"seed": seed, "asked": asked, "labels": asked + seed, "way": way, "auc": 0.6 + 0.1 * seed}
            for seed in (1, 2)
            for asked in (9000, 500)
            for way in WAYS
        ]
    )
    shown = transfer.figure(rows).to_dict()
    assert len(shown["hconcat"]) == 2
    drawn = [row for data in shown["datasets"].values() for row in data if "low" in row]
    assert {row["labels"] for row in drawn} == {"all", "500"}
    assert all(row["low"] <= row["gain"] <= row["high"] for row in drawn)
