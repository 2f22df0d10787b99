import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.errors import DataError, Place
from recsys.foreign_predictions import name_of, read_foreign
from recsys.objectives import Objective
from recsys.predictions import assemble, conditional, fused_score, known_before, ranking_names, train_means, value_names

CLICK = Objective(name="click", label="c", fusion_weight=2.0)
SECONDS = Objective(name="seconds", kind="watch_time", label="s", fusion_weight=0.5)
DISMISSAL = Objective(name="dismissal", label="d", better="lower", fusion_weight=3.0)
LIKE = Objective(name="like", label="l", given="click")
SURVEY = Objective(name="survey", kind="ordinal", label="s", levels=(1, 2.5))
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
        predicted_NV=predicted,
        ranking_NR=ranking,
        train_means={"click": 0.3},
    )
    ids = ["event_id", "user_id", "item_id", "timestamp", "day", "split", "position"]
    assert table.column_names == [*ids, "slice.device", "label.click", "pred.click", "rank.click", "score"]
    assert table["score"].to_pylist() == pytest.approx([2 * math.log(0.75), 2 * math.log(0.125)])
    assert table["label.click"].to_pylist() == [1.0, None]
    assert train_means(table.schema) == {"click": 0.3}


def test_what_is_fitted_to_sees_no_label_that_is_known_later():
    """Of validation rows alone; a label whose moment is not told is known."""
    table = pa.table(
        {
            "split": ["validation"] * 3 + ["test"],
            "label.click": pa.array([1.0, 0.0, None, 1.0], pa.float32()),
            "known.click": pa.array([99, 100, None, 100], pa.int64()),
            "label.like": pa.array([1.0, 1.0, 1.0, 1.0], pa.float32()),
        }
    )
    seen = known_before(table, 100)
    assert seen["label.click"].to_pylist() == [1.0, None, None, 1.0]
    assert seen["label.click"].type == pa.float32()
    assert seen.drop_columns(["label.click"]).equals(table.drop_columns(["label.click"]))
    assert known_before(table, None).equals(table)
    assert known_before(table.drop_columns(["known.click"]), 100).equals(table.drop_columns(["known.click"]))


def assembled(objectives, predicted, ranking=None):
    return assemble(
        examples(), day="2024-01-01", split="test", objectives=objectives, predicted_NV=predicted, ranking_NR=ranking, train_means={}
    )


def test_levels_and_conditional_forms_stand_beside_the_expected_values_and_do_not_count_in_the_score():
    objectives = [LIKE, SURVEY, CLICK]
    assert value_names(objectives) == ("like", "survey", "click", "survey=1", "survey=2.5")
    predicted = np.array([[0.1, 1.3, 0.5, 0.8, 0.2], [0.0, 2.2, 0.0, 0.2, 0.8]])
    table = assembled(objectives, predicted, ranking=predicted * 0.5)
    written = [name for name in table.column_names if name.startswith(("pred.", "rank."))]
    pairs = [f"{prefix}.{name}" for name in ("like", "survey", "click") for prefix in ("pred", "rank")]
    assert written == [*pairs, "pred.survey=1", "pred.survey=2.5", "pred.like|click"]
    assert table["pred.like|click"].to_pylist() == [0.2, 0.0]
    assert table["pred.survey=2.5"].to_pylist() == [0.2, 0.8]
    assert table["rank.click"].to_pylist() == [0.25, 0.0]
    assert table["score"].to_pylist() == fused_score(predicted[:, :3] * 0.5, objectives).tolist()


def test_percentiles_and_their_ranks_stand_beside_the_expected_values_and_do_not_count_in_the_score():
    watch = Objective(name="watch", kind="watch_time", duration="seconds", label="x")
    objectives = [watch, SURVEY]
    assert ranking_names(objectives) == ("watch", "survey", "watch%")
    assert value_names(objectives) == ("watch", "survey", "watch%", "survey=1", "survey=2.5")
    predicted = np.array([[9.0, 1.3, 0.7, 0.8, 0.2], [4.0, 2.2, 0.4, 0.2, 0.8]])
    table = assembled(objectives, predicted, ranking=predicted[:, :3] * 0.5)
    written = [name for name in table.column_names if name.startswith(("pred.", "rank."))]
    assert written == [
        *(f"{of}.{name}" for name in ("watch", "survey", "watch%") for of in ("pred", "rank")),
        "pred.survey=1",
        "pred.survey=2.5",
    ]
    assert table["pred.watch%"].to_pylist() == [0.7, 0.4]
    assert table["rank.watch%"].to_pylist() == [0.35, 0.2]
    assert table["score"].to_pylist() == fused_score(predicted[:, :2] * 0.5, objectives).tolist()
    assert "pred.watch%" not in assembled(objectives, predicted[:, :2]).column_names


def test_a_baseline_may_leave_the_levels_out_and_no_other_number_of_values_fits():
    table = assembled([SURVEY, CLICK], np.array([[1.3, 0.5]] * 2))
    assert [name for name in table.column_names if name.startswith("pred.")] == ["pred.survey", "pred.click"]
    with pytest.raises(ValueError, match="3 values per row, expected 2, or with percentiles and levels 4"):
        assembled([SURVEY, CLICK], np.zeros((2, 3)))


def test_a_conditional_probability_is_a_quotient_that_stays_one():
    joint, given = np.array([0.1, 0.3, 0.2, 0.0, 1e-9, np.nan]), np.array([0.4, 0.3, 0.1, 0.0, 0.0, 0.5])
    found = conditional(joint, given, Place("here", column="pred.like|click"))
    assert found[:5] == pytest.approx([0.25, 1.0, 1.0, 0.0, 1.0])
    assert np.isnan(found[5])
    with pytest.raises(DataError, match=r"here column pred\.like\|click: .*; 2 of 3 rows\. Fix: write probabilities"):
        conditional(np.array([-0.1, 0.1, 0.2]), np.array([0.5, 1.5, 0.5]), Place("here", column="pred.like|click"))


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_another_systems_scores_get_day_split_and_score(tmp_path: Path, suffix: str):
    table = pa.table(
        {"event_id": [1, 2], "user_id": [7, 8], "timestamp": [0, 86_400_000], "label.click": [0, 1], "pred.click": [0.5, 0.25]}
    )
    path = tmp_path / f"theirs{suffix}"
    pq.write_table(table, path) if suffix == ".parquet" else pa.csv.write_csv(table, path)
    read, _ = read_foreign(path, [CLICK])
    assert read["day"].to_pylist() == ["1970-01-01", "1970-01-02"]
    assert set(read["split"].to_pylist()) == {"test"}
    assert read["score"].to_pylist() == pytest.approx([2 * math.log(0.5), 2 * math.log(0.25)])


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_text_is_read_whatever_separates_its_columns(tmp_path: Path, separator: str):
    header = ["event_id", "user_id", "timestamp", "label.click", "pred.click"]
    lines = [header, ["1", "7", "0", "0", "0.5"], ["2", "8", "1", "1", "0.25"]]
    (tmp_path / "theirs.csv").write_text("".join(separator.join(line) + "\n" for line in lines))
    assert read_foreign(tmp_path / "theirs.csv", [CLICK])[0]["pred.click"].to_pylist() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["7", "-12", "0"], [7, -12, 0]),
        (["007", "7", "12"], ["007", "7", "12"]),
        (["9223372036854775808", "7", "8"], ["9223372036854775808", "7", "8"]),
        (['"7"', '"8"', "x"], ["7", "8", "x"]),
        (["1.5", "7", ""], ["1.5", "7", None]),
        (["12", " 7", "NULL"], [12, 7, None]),
        (["ann", "NA", ""], ["ann", "NA", None]),
    ],
)
def test_ids_of_a_text_are_whole_numbers_only_where_each_is_written_as_one(written: list[str], read: list[object], tmp_path: Path):
    rows = "".join(f"{number},{user},0,0,0.5\n" for number, user in enumerate(written))
    (tmp_path / "theirs.csv").write_text("event_id,user_id,timestamp,label.click,pred.click\n" + rows)
    table = read_foreign(tmp_path / "theirs.csv", [CLICK])[0]
    assert table["user_id"].to_pylist() == read
    assert table["event_id"].to_pylist() == [0, 1, 2]


@pytest.mark.parametrize("more", ["9", "0.5"])
def test_values_of_a_slice_that_no_double_holds_stay_apart(more: str, tmp_path: Path):
    """Hashes in 64 bits, as doubles, would be named by their first digits, and two that share these would be one."""
    values = ["18446744073709551614", "18446744073709551615", more]
    rows = "".join(f"{number},u,0,0,0.5,{value}\n" for number, value in enumerate(values))
    (tmp_path / "theirs.csv").write_text("event_id,user_id,timestamp,label.click,pred.click,slice.topic\n" + rows)
    assert read_foreign(tmp_path / "theirs.csv", [CLICK])[0]["slice.topic"].to_pylist() == values


def test_a_bar_in_a_name_is_no_separator(tmp_path: Path):
    scores = "event_id,user_id,timestamp,label.click,label.like,pred.click,pred.like,pred.like|click\n1,7,0,0,0,0.5,0.1,0.3\n"
    (tmp_path / "theirs.csv").write_text(scores)
    assert read_foreign(tmp_path / "theirs.csv", [CLICK, LIKE])[0]["pred.like|click"].to_pylist() == [0.3]


def test_parquet_under_the_name_of_a_text_is_told(tmp_path: Path):
    table = pa.table({"event_id": [1], "user_id": [7], "timestamp": [0], "label.click": [0], "pred.click": [0.5]})
    pq.write_table(table, tmp_path / "theirs.csv")
    with pytest.raises(DataError, match=r"theirs\.csv: found a parquet file, expected UTF-8 text, as its name says"):
        read_foreign(tmp_path / "theirs.csv", [CLICK])


HEADER = "event_id;user_id;timestamp;label.click;pred.click;slice.region;slice.grade;slice.new\n"
ROWS = ["1;7;0;0;0,5;01;3;true\n", "2;8;1;1;0,25;02;;false\n", "3;9;2;1;0,75;11;2;NULL\n", "4;9;3;0;0,1;11;2;false\n"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_text_is_read_in_any_form_that_a_log_may_have(tmp_path: Path, encoding: str):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "part-0.csv").write_text("".join([HEADER, *ROWS[:3]]), encoding)
    (tmp_path / "theirs" / "part-1.csv").write_text("".join([HEADER, *ROWS[3:]]), encoding)
    table = read_foreign(tmp_path / "theirs", [CLICK])[0]
    assert table["pred.click"].to_pylist() == [0.5, 0.25, 0.75, 0.1]
    assert table["slice.region"].to_pylist() == ["01", "02", "11", "11"]
    assert table["slice.grade"].to_pylist() == [3, None, 2, 2]
    assert table["slice.new"].to_pylist() == [True, False, None, False]


def test_texts_of_parquet_stay_texts(tmp_path: Path):
    """They have a type already: a user may be called NA, and a slice true."""
    texts = {"user_id": ["1", "NA"], "slice.new": ["true", "false"], "slice.code": ["1", "2"]}
    table = foreign(tmp_path / "theirs.parquet", **texts, **{"pred.click": [0.5, 0.25], "pred.like": [0.1, 0.05]})
    assert {name: table[name].to_pylist() for name in texts} == texts


def test_files_of_several_days_are_all_read(tmp_path: Path):
    for day, rows in (("2024-01-01", ROWS[:3]), ("2024-01-02", ROWS[3:])):
        (tmp_path / f"theirs-{day}.csv").write_text("".join([HEADER, *rows]))
    assert read_foreign(tmp_path / "theirs-{day}.csv", [CLICK])[0]["event_id"].to_pylist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("out/theirs.parquet", "theirs"), ("out/theirs", "theirs"), ("theirs.v2/*.parquet", "theirs.v2"),
        ("a/theirs/day=*/*.csv", "theirs"), ("theirs/{day}.csv", "theirs"), ("/*.csv", "*.csv"),
    ],
)  # fmt: skip
def test_several_files_are_named_by_their_folder(path: str, name: str):
    assert name_of(Path(path)) == name


def test_a_row_with_a_wrong_number_of_fields_is_not_left_out(tmp_path: Path):
    (tmp_path / "theirs.csv").write_text("".join([HEADER, *ROWS[:2], "3;9;2;1\n"]))
    with pytest.raises(DataError, match=r"theirs\.csv:4: found 4 fields, expected 8, as in the header; 1 of 3 rows"):
        read_foreign(tmp_path / "theirs.csv", [CLICK])


def foreign(path: Path, **columns) -> pa.Table:
    shared = {"event_id": [1, 2], "user_id": [7, 8], "timestamp": [0, 1], "label.click": [0, 1], "label.like": [0, 0]}
    pq.write_table(pa.table(shared | columns), path)
    return read_foreign(path, [CLICK, LIKE])[0]


def test_another_systems_conditional_form_is_derived_unless_it_is_there(tmp_path: Path):
    scores = {"pred.click": [0.5, 0.25], "pred.like": [0.1, 0.05]}
    derived = foreign(tmp_path / "a.parquet", **scores)
    assert derived["pred.like|click"].to_pylist() == pytest.approx([0.2, 0.2])
    assert foreign(tmp_path / "b.parquet", **scores, **{"pred.like|click": [0.3, 0.4]})["pred.like|click"].to_pylist() == [0.3, 0.4]
    with pytest.raises(DataError, match=r"c\.parquet column pred\.like\|click: .*outside \[0, 1\].*; 1 of 2 rows"):
        foreign(tmp_path / "c.parquet", **scores | {"pred.click": [-0.5, 0.25]})
    with pytest.raises(DataError, match=r"d\.parquet column pred\.click: found values of type string, expected numbers"):
        foreign(tmp_path / "d.parquet", **scores | {"pred.click": ["high", "low"]})


def test_every_missing_column_is_named_at_once(tmp_path: Path):
    path = tmp_path / "theirs.parquet"
    pq.write_table(pa.table({"event_id": [1], "user_id": [1], "pred.click": [0.1]}), path)
    with pytest.raises(DataError, match=r"no column timestamp, label\.click among event_id, user_id, pred\.click, expected"):
        read_foreign(path, [CLICK, DISMISSAL])
    pq.write_table(pa.table({"event_id": [1], "user_id": [1], "timestamp": [0], "label.click": [1.0], "pred.clik": [0.1]}), path)
    with pytest.raises(DataError, match=r'no column pred\.click; did you mean "pred\.clik"\?'):
        read_foreign(path, [CLICK])


def test_a_column_that_stands_twice_is_named(tmp_path: Path):
    (tmp_path / "theirs.csv").write_text("event_id,user_id,timestamp,label.click,pred.click,pred.click\n1,1,0,0,0.1,0.2\n")
    with pytest.raises(DataError, match=r"theirs\.csv column pred\.click: found that name more than once.*Fix: rename one of them"):
        read_foreign(tmp_path / "theirs.csv", [CLICK])


@pytest.mark.parametrize(("name", "content"), [("a.parquet", b"PAR1 no"), ("a.parquet", b""), ("a.csv", b"")])
def test_a_file_that_cannot_be_read_is_told_by_name(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        read_foreign(tmp_path / name, [CLICK])
