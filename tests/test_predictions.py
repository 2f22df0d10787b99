import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.errors import DataError
from recsys.objectives import Objective
from recsys.predictions import assemble, fused_score, read_foreign, train_means

CLICK = Objective(name="click", label="c", fusion_weight=2.0)
SECONDS = Objective(name="seconds", kind="watch_time", label="s", fusion_weight=0.5)
DISMISSAL = Objective(name="dismissal", label="d", better="lower", fusion_weight=3.0)
SKIPS = Objective(name="skips", kind="regression", label="k", better="lower", fusion_weight=1.0)


def test_the_fused_score_is_the_weighted_product_in_logs():
    values = np.array([[0.2, 30.0, 0.1, 4.0]])
    expected = 2 * math.log(0.2) + 0.5 * math.log(30) + 3 * math.log(0.9) - math.log(4)
    assert fused_score(values, [CLICK, SECONDS, DISMISSAL, SKIPS])[0] == pytest.approx(expected)


def test_nothing_below_the_floor_decides_alone():
    values = np.array([[0.0], [1e-7]])
    assert np.all(fused_score(values, [CLICK]) == pytest.approx(2 * math.log(1e-6)))
    assert fused_score(np.array([[1.0]]), [DISMISSAL])[0] == pytest.approx(3 * math.log(1e-6))


def examples(rows: int = 2) -> pa.Table:
    return pa.table(
        {
            "event_id": pa.array(range(rows), pa.int64()),
            "user_id": pa.array([f"u{n}" for n in range(rows)]),
            "item_id": pa.array(range(rows), pa.int64()),
            "timestamp": pa.array(range(rows), pa.int64()),
            "agg.item_id.count.7": pa.array([0.0] * rows, pa.float32()),
            "bias.position": pa.array([3] * rows, pa.int64()),
            "slice.device": pa.array(["tv"] * rows),
            "label.click": pa.array([1.0] + [None] * (rows - 1), pa.float32()),
        }
    )


def test_predictions_carry_labels_slices_position_and_the_rank_that_the_score_is_made_of():
    predicted, ranking = np.array([[0.5], [0.25]]), np.array([[0.75], [0.125]])
    table = assemble(
        examples(),
        day="2024-01-01",
        split="test",
        objectives=[CLICK],
        predicted_NK=predicted,
        ranking_NK=ranking,
        train_means={"click": 0.3},
    )
    ids = ["event_id", "user_id", "item_id", "timestamp", "day", "split", "position"]
    assert table.column_names == [*ids, "slice.device", "label.click", "pred.click", "rank.click", "score"]
    assert table["score"].to_pylist() == pytest.approx([2 * math.log(0.75), 2 * math.log(0.125)])
    assert table["label.click"].to_pylist() == [1.0, None]
    assert train_means(table.schema) == {"click": 0.3}


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_another_systems_scores_get_day_split_and_score(tmp_path: Path, suffix: str):
    table = pa.table(
        {"event_id": [1, 2], "user_id": [7, 8], "timestamp": [0, 86_400_000], "label.click": [0, 1], "pred.click": [0.5, 0.25]}
    )
    path = tmp_path / f"theirs{suffix}"
    pq.write_table(table, path) if suffix == ".parquet" else pa.csv.write_csv(table, path)
    read = read_foreign(path, [CLICK])
    assert read["day"].to_pylist() == ["1970-01-01", "1970-01-02"]
    assert set(read["split"].to_pylist()) == {"test"}
    assert read["score"].to_pylist() == pytest.approx([2 * math.log(0.5), 2 * math.log(0.25)])


def test_every_missing_column_is_named_at_once(tmp_path: Path):
    path = tmp_path / "theirs.parquet"
    pq.write_table(pa.table({"event_id": [1], "user_id": [1], "pred.click": [0.1]}), path)
    with pytest.raises(DataError, match=r"no column timestamp, label\.click, label\.dismissal, pred\.dismissal"):
        read_foreign(path, [CLICK, DISMISSAL])


@pytest.mark.parametrize(("name", "content"), [("a.parquet", b"PAR1 no"), ("a.parquet", b""), ("a.csv", b"")])
def test_a_file_that_cannot_be_read_is_told_by_name(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        read_foreign(tmp_path / name, [CLICK])
