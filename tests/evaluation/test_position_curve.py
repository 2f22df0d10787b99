"""Bins of positions, and what was observed at each: held against pandas, plain loops and the truth of a simulated feed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from recsys import world
from recsys.config import WorldOptions
from recsys.errors import DataError
from recsys.evaluation import UserDraws, interval, position_bins, position_curve
from recsys.evaluation.intervals.bootstrap import effective_number
from recsys.objectives import Objective
from tests.evaluation.samples import frame, one

CLICK = Objective(name="like", label="c = 1")


def bins(positions) -> list[str | None]:
    code_N, names = position_bins(pa.table({"position": positions}), "r")
    assert len(set(names)) == len(names)
    return [None if code < 0 else names[code] for code in code_N]


def test_the_first_twenty_positions_stand_alone_and_others_together() -> None:
    assert bins(pa.array([101, 1, 20, 21, 30, 31, 50, 51, 100, 5000])) == [
        "101 or more", "1", "20", "21–30", "21–30", "31–50", "31–50", "51–100", "51–100", "101 or more",
    ]  # fmt: skip


def test_bins_come_in_the_order_of_the_positions_not_of_their_names() -> None:
    assert position_bins(pa.table({"position": [10, 9, 2, 0, 25]}), "r")[1] == ["0", "2", "9", "10", "21–30"]


def test_a_position_that_is_not_known_is_in_no_bin() -> None:
    assert bins(pa.array([None, -1, 3])) == [None, None, "3"]
    assert bins(pa.array([float("nan"), 2.0])) == [None, "2"]
    assert position_bins(pa.table({"position": pa.array([None, None], pa.int64())}), "r")[1] == []


@pytest.mark.parametrize(("positions", "said"), [([1.5, 2.0], "1 of 2 rows"), (["1", "2"], "expected numbers")])
def test_positions_that_are_no_whole_numbers_are_told(positions: list, said: str) -> None:
    with pytest.raises(DataError, match=said):
        position_bins(pa.table({"position": positions}), "r")


def test_metrics_come_by_position(predictions: pd.DataFrame, rng: np.random.Generator) -> None:
    predictions["position"] = rng.choice([1, 2, 25, 28], len(predictions))
    rows = frame(predictions, [CLICK])
    assert rows.loc[rows["slice"] == "position", "slice_value"].drop_duplicates().tolist() == ["1", "2", "21–30"]
    known = predictions.dropna(subset="label.like")
    for name, at in (("1", known["position"] == 1), ("21–30", known["position"] > 20)):
        row = one(rows, metric="auc", slice="position", slice_value=name)
        assert row["value"] == pytest.approx(roc_auc_score(known.loc[at, "label.like"], known.loc[at, "pred.like"]))
        assert row["n"] == at.sum()
    chosen = frame(predictions, [CLICK], slices=["position"])
    assert set(chosen["slice"]) == {"all", "position"}
    assert set(frame(predictions, [CLICK], slices=())["slice"]) == {"all"}


def test_a_slice_of_the_users_own_called_position_stands(predictions: pd.DataFrame) -> None:
    rows = frame(predictions.assign(position=1, **{"slice.position": "top"}), [CLICK])
    assert rows.loc[rows["slice"] == "position", "slice_value"].unique().tolist() == ["top"]


def test_a_curve_is_the_one_of_a_plain_loop(rng: np.random.Generator) -> None:
    rows, users = 600, 40
    code_N = rng.integers(-1, 4, rows)
    names = ["1", "2", "3", "4", "5"]  # of 5 no row is known
    user_N = rng.integers(0, users, rows) * 3  # with gaps: some users are of other rows
    label_N = np.where(rng.random(rows) < 0.1, np.nan, rng.random(rows) < 0.3)
    shown_N, ranking_N = rng.random(rows), rng.random(rows)
    curve = position_curve(label_N, shown_N, ranking_N, (code_N, names), user_N, bootstrap=50, confidence=0.9, seed=3)
    assert curve["position"].tolist() == names[:4]
    known = pd.DataFrame({"code": code_N, "user": user_N, "y": label_N, "p": shown_N, "r": ranking_N})
    known = known[(known["code"] >= 0) & known["y"].notna()]

    def sums(weight_N: np.ndarray) -> pd.DataFrame:
        return known[["y", "p", "r"]].mul(weight_N, axis=0).assign(n=weight_N).groupby(known["code"]).sum()

    def examined(found: pd.DataFrame, column: str) -> np.ndarray:
        quotient = (found[column] / found["r"]).to_numpy()
        return quotient / quotient[0]

    whole = sums(np.ones(len(known)))
    assert curve["n"].tolist() == whole["n"].tolist()
    for column, by in (("observed", "y"), ("shown", "p"), ("relevant", "r")):
        np.testing.assert_allclose(curve[column], whole[by] / whole["n"])
    np.testing.assert_allclose(curve["examined"], examined(whole, "y"))
    np.testing.assert_allclose(curve["model_examined"], examined(whole, "p"))
    there, user_U = np.unique(known["user"], return_inverse=True)
    draws = np.concatenate(list(UserDraws(len(there), 50, 3).blocks()))
    replicates = [sums(weights_U[user_U].astype(float)) for weights_U in draws]
    rates_RB = [(found["y"] / found["n"]).to_numpy() for found in replicates]
    examined_RB = [examined(found, "y") for found in replicates]
    users_B = [effective_number(of.value_counts().to_numpy()) for _, of in known.groupby("code")["user"]]
    fewer_B = [min(users, users_B[0]) for users in users_B]
    for low, high, found_RB, effective_B in (
        ("low", "high", rates_RB, users_B),
        ("examined_low", "examined_high", examined_RB, fewer_B),
    ):
        for place, (found_R, effective) in enumerate(zip(np.transpose(found_RB), effective_B, strict=True)):
            expected = interval(found_R, 0.0, confidence=0.9, effective_users=effective)
            assert curve[[low, high]].iloc[place].tolist() == pytest.approx(expected[:2])


def test_of_one_user_there_is_a_curve_and_no_interval() -> None:
    label_N, position = np.array([1.0, 0, 1, 0]), (np.array([0, 0, 1, 1]), ["1", "2"])
    curve = position_curve(label_N, np.ones(4), np.ones(4), position, np.zeros(4, int), bootstrap=20, confidence=0.9, seed=1)
    assert curve["observed"].tolist() == [0.5, 0.5]
    assert curve[["low", "high", "examined_low", "examined_high"]].isna().all(axis=None)


def test_rows_without_labels_or_positions_give_no_curve() -> None:
    nothing = np.full(3, np.nan)
    for label_N, code_N in ((nothing, np.zeros(3, int)), (np.ones(3), np.full(3, -1))):
        curve = position_curve(label_N, np.ones(3), np.ones(3), (code_N, ["1"]), np.arange(3), bootstrap=10, confidence=0.9, seed=1)
        assert curve.empty


def test_a_bin_of_no_relevance_has_no_examination() -> None:
    code_N, ones = np.array([0, 0, 1, 1]), np.ones(4)
    ranking_N = np.array([1.0, 1.0, 0.0, 0.0])
    curve = position_curve(ones, ones, ranking_N, (code_N, ["1", "2"]), np.arange(4), bootstrap=20, confidence=0.9, seed=1)
    assert curve["examined"].isna().tolist() == [False, True]
    assert curve["examined_low"].isna().tolist()[1]
    assert curve["observed"].tolist() == [1, 1]


def test_relevance_that_is_known_gives_the_examination_that_only_the_simulator_knows(tmp_path: Path) -> None:
    world.simulate(WorldOptions(users=400, days=3, videos=200, new_videos=10), 3, tmp_path / "feed")
    columns = ["uid", "slot", "expected.examined", world.ATTRACTIVENESS, "expected.clicked"]
    truth = world.read_truth(tmp_path / "feed", columns).to_pandas()
    log = pq.read_table(tmp_path / "feed" / "impressions.parquet").to_pandas()
    assert (log["uid"].to_numpy() == truth["uid"].to_numpy()).all()
    user_N = np.unique(truth["uid"], return_inverse=True)[1]
    curve = position_curve(
        log["clicked"].to_numpy(float),
        truth["expected.clicked"].to_numpy(float),
        truth[world.ATTRACTIVENESS].to_numpy(float),
        position_bins(pa.table({"position": truth["slot"]}), "truth"),
        user_N,
        bootstrap=200,
        confidence=0.99,
        seed=1,
    )
    by_slot = truth.groupby("slot")["expected.examined"].mean()
    expected = (by_slot / by_slot.iloc[0]).to_numpy()
    assert curve["position"].tolist() == [str(slot) for slot in by_slot.index]
    np.testing.assert_allclose(curve["model_examined"], expected, rtol=0.05)
    assert (np.diff(curve["model_examined"]) < 0).all()
    inside = (curve["examined_low"] <= curve["model_examined"]) & (curve["model_examined"] <= curve["examined_high"])
    assert inside.all(), "of clicks alone, as of probabilities"
    assert curve["observed"].iloc[-1] / curve["observed"].iloc[0] < curve["examined"].iloc[-1], "the feed shows the better first"
