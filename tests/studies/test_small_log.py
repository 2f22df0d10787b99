from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from studies.small_log import LOG, means, thin


def write_source(folder: Path) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    log = pd.DataFrame({"user_id": rng.integers(0, 400, 5_000), "video_id": rng.integers(0, 50, 5_000)})
    folder.mkdir()
    log.to_csv(folder / LOG, index=False)
    (folder / "user_features_pure.csv").write_text("user_id\n1\n")
    return log


def test_a_part_has_all_rows_of_the_users_it_keeps_in_order(tmp_path: Path):
    log = write_source(tmp_path / "source")
    thin(tmp_path / "source", tmp_path / "part", 0.25, seed=3)
    part = pd.read_csv(tmp_path / "part" / LOG)
    assert part["user_id"].nunique() == round(0.25 * log["user_id"].nunique())
    pd.testing.assert_frame_equal(part, log[log["user_id"].isin(part["user_id"])].reset_index(drop=True))
    assert (tmp_path / "part" / "user_features_pure.csv").read_text() == "user_id\n1\n"


def test_seeds_draw_other_users_and_one_seed_the_same(tmp_path: Path):
    write_source(tmp_path / "source")
    for name, seed in (("a", 0), ("again", 0), ("b", 1)):
        thin(tmp_path / "source", tmp_path / name, 0.25, seed)
    a, again, b = (pd.read_csv(tmp_path / name / LOG) for name in ("a", "again", "b"))
    pd.testing.assert_frame_equal(a, again)
    assert set(a["user_id"]) != set(b["user_id"])


def test_means_are_students_over_the_quarters():
    values = [0.01, 0.03, -0.02]
    about = {"objective": "click", "metric": "auc", "run": "mmoe", "n": 100}
    table = pd.DataFrame([{**about, "against": "gbdt", "value": value} for value in values] + [{**about, "against": None, "value": 0.7}])
    (row,) = means(table).to_dict("records")
    half = stats.t.ppf(0.975, 2) * np.std(values, ddof=1) / np.sqrt(3)
    assert (row["mean"], row["low"], row["high"]) == pytest.approx(
        (np.mean(values), np.mean(values) - half, np.mean(values) + half), abs=1e-4
    )
    assert (row["least"], row["quarters"]) == (-0.02, 3)
