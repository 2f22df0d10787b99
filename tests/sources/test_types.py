"""Inferred types and ids, each against what pandas says of the same values."""

import re
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.errors import DataError
from tests.sources.logs import COLUMNS, make_log, write_log


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-5", "0", ""], pa.int64()),
        (["1", "2.5", "1e3", "NaN"], pa.float64()),
        (["007", "12", "13", "14"], pa.string()),
        (["+4912", "12", "13", "14"], pa.string()),
        (["true", "False", "", "TRUE"], pa.bool_()),
        (["2024-02-29", "", "2023-01-01", "2023-01-01"], pa.date32()),
        (["2024-02-30", "2023-01-01", "2023-01-01", "2023-01-01"], pa.string()),
        (["2024-02-29 10:00:00", "2024-02-29T10:00:00Z", "", "2024-02-29 10:00:00.5"], pa.timestamp("us")),
        (["0x1F", "1_000", "1", "2"], pa.string()),
        (["a", "1", "2", "3"], pa.string()),
        (["", "", "", ""], pa.string()),
    ],
)
def test_a_type_is_found_from_all_values(tmp_path: Path, ingest: Callable, values: list[object], expected: pa.DataType) -> None:
    write_log(tmp_path, extra=values)
    assert ingest().table("events").schema.field("log.extra").type == expected


def test_values_survive_typing(tmp_path: Path, ingest: Callable) -> None:
    write_log(
        tmp_path, number=["1.5", "", "-2e3"], flag=["true", "false", ""], day=["2024-02-29", "", "2023-01-01"], text=["a,b", 'q"q', "ü\nx"]
    )
    events = ingest().events()
    assert events["log.number"].tolist()[::2] == [1.5, -2000.0]
    assert np.isnan(events["log.number"][1])
    assert events["log.flag"].tolist() == [True, False, None]
    assert events["log.day"].tolist() == [date(2024, 2, 29), None, date(2023, 1, 1)]
    assert events["log.text"].tolist() == ["a,b", 'q"q', "ü\nx"]


def test_a_stray_text_in_a_number_column_goes_to_quarantine(tmp_path: Path, ingest: Callable) -> None:
    write_log(tmp_path, extra=[*range(99), "oops"])
    result = ingest()
    assert result.account.quarantined == 1
    (row,) = result.table("quarantine").to_pylist()
    assert row["reason"] == 'column extra: found "oops", expected a whole number'
    assert (row["source_file"], row["source_row"]) == ("log.csv", 101)
    assert '"extra": "oops"' in row["raw"]


def test_a_category_with_a_stray_text_is_text(tmp_path: Path, ingest: Callable) -> None:
    write_log(tmp_path, extra=[*range(99), "oops"], plain=list(range(100)), tags=list(range(100)))
    table = ingest(features={"category": ["extra", "plain"], "multi": {"tags": ","}}).table("events")
    types = {name: table.schema.field(f"log.{name}").type for name in ("extra", "plain", "tags")}
    assert types == {"extra": pa.string(), "plain": pa.int64(), "tags": pa.string()}
    assert len(table) == 100


# --- Ids ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3], [1, 2, 3]),
        ([9223372036854775807, -1, 0], [9223372036854775807, -1, 0]),
        (["007", "1", "2"], ["007", "1", "2"]),
        (["9223372036854775808", "1", "2"], ["9223372036854775808", "1", "2"]),
        (["1.0", "2", "3.0"], [1, 2, 3]),
        (["1.5", "2", "3"], ["1.5", "2", "3"]),
    ],
)
def test_ids_of_text_files(tmp_path: Path, ingest: Callable, values: list[object], expected: list[object]) -> None:
    write_log(tmp_path, uid=values)
    assert ingest().events()["user_id"].tolist() == expected


def test_the_query_item_has_the_type_of_the_item(tmp_path: Path, ingest: Callable) -> None:
    write_log(tmp_path, vid=[1, 2, 3], query=["1", "", "x9"])
    events = ingest(columns={**COLUMNS, "query_item_id": "query"}).table("events")
    assert events["item_id"].to_pylist() == ["1", "2", "3"]
    assert events["query_item_id"].to_pylist() == ["1", None, "x9"]


def test_whole_doubles_of_parquet_are_read_as_int64(tmp_path: Path, ingest: Callable) -> None:
    log = make_log(3).assign(uid=[1.0, 2.0, 2.0**53 - 1])
    log.to_parquet(tmp_path / "log.parquet")
    table = ingest("log.parquet").table("events")
    assert table["user_id"].type == pa.int64()
    assert table["user_id"].to_pylist() == [1, 2, 2**53 - 1]


@pytest.mark.parametrize(("bad", "words"), [(2.0**53, "lost digits"), (1.5, "fraction")])
def test_doubles_that_cannot_be_ids_are_refused(tmp_path: Path, ingest: Callable, bad: float, words: str) -> None:
    make_log(3).assign(uid=[1.0, bad, 2.0]).to_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError, match=rf"log\.parquet:2 column uid: found .*{words}.*; 1 of 3 rows\. Fix: "):
        ingest("log.parquet")


def test_scientific_ids_are_refused(tmp_path: Path, ingest: Callable) -> None:
    write_log(tmp_path, uid=["1", "1.65e+18", "2"])
    with pytest.raises(DataError, match=r"log\.csv:3 column uid: found a number that has lost digits \(1\.65e\+18\)"):
        ingest()


def test_a_feature_with_ids_of_its_own_is_never_float(tmp_path: Path, ingest: Callable) -> None:
    write_log(tmp_path, author=["1.0", "", "3.0"])
    table = ingest(features={"ids": ["author"]}).table("events")
    assert table["log.author"].to_pylist() == [1, None, 3]


def test_lists_of_parquet_become_text_with_their_separator(tmp_path: Path, ingest: Callable) -> None:
    log = make_log(3).assign(tags=[["a", "b"], [], None])
    log.to_parquet(tmp_path / "log.parquet")
    events = ingest("log.parquet", features={"multi": {"tags": "|"}}).table("events")
    assert events["log.tags"].to_pylist() == ["a|b", None, None]


def test_a_null_in_a_list_takes_no_value_along(tmp_path: Path, ingest: Callable) -> None:
    tags = pa.array([["a", None, "b"], [None], None, [], ["c"]])
    pq.write_table(pa.Table.from_pandas(make_log(5)).append_column("tags", tags), tmp_path / "log.parquet")
    assert ingest("log.parquet").table("events")["log.tags"].to_pylist() == ["a,b", None, None, None, "c"]


def test_a_separator_within_a_value_of_a_list_is_an_error(tmp_path: Path, ingest: Callable) -> None:
    make_log(3).assign(tags=[["a"], ["rock, pop"], ["b"]]).to_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError, match=r'log\.parquet column tags: found the separator "," within a value.*features\.multi'):
        ingest("log.parquet", features={"multi": {"tags": ","}})
    assert "rock, pop" in set(ingest("log.parquet", features={"multi": {"tags": "|"}}).events()["log.tags"])


@pytest.mark.parametrize(("kind", "exact"), [("float16", 2**11), ("float32", 2**24)])
def test_ids_in_small_floats_are_read_only_where_no_two_could_have_become_one(
    tmp_path: Path, ingest: Callable, kind: str, exact: int
) -> None:
    make_log(3).assign(uid=np.array([1, 2, exact - 1], kind)).to_parquet(tmp_path / "log.parquet")
    table = ingest("log.parquet").table("events")
    assert table["user_id"].type == pa.int64()
    assert table["user_id"].to_pylist() == [1, 2, exact - 1]
    make_log(3).assign(uid=np.array([1, exact, 2], kind)).to_parquet(tmp_path / "log.parquet")
    said = rf"log\.parquet:2 column uid: found a (half)?float that has lost digits \({exact}\.0\).*; 1 of 3 rows\. Fix: "
    with pytest.raises(DataError, match=said):
        ingest("log.parquet")


def test_a_float_of_32_bits_is_the_number_that_it_is_written_as(tmp_path: Path, ingest: Callable) -> None:
    """It was 0.699999988079071: `share >= 0.7` left it out, and so a category or a slice was called."""
    share = np.array([0.7, -0.1, 3, 2**24 + 2, np.nan, 1e-7, 1.5, 3.4e38, 0], "float32")
    make_log(len(share)).assign(share=share).to_parquet(tmp_path / "log.parquet")
    found = ingest("log.parquet").table("events")["log.share"]
    assert found.type == pa.float64()
    assert sorted(found.drop_null().to_pylist()) == [-0.1, 0.0, 1e-7, 0.7, 1.5, 3.0, 16_777_218.0, float(np.float32(3.4e38))]
    assert found.null_count == 1


def test_one_file_of_small_floats_makes_the_ids_of_all_files_inexact(tmp_path: Path, ingest: Callable) -> None:
    make_log(3).assign(uid=[1, 2, 2**24]).to_parquet(tmp_path / "log-1.parquet")
    make_log(3).assign(uid=np.array([1, 2, 3], "float32")).to_parquet(tmp_path / "log-2.parquet")
    with pytest.raises(DataError, match=r"log-1\.parquet:3 column uid: found a float that has lost digits"):
        ingest("log-*.parquet")


@pytest.mark.parametrize(
    ("second", "kind"), [([1, 0, None], pa.int64()), ([0.5, 1.0, None], pa.float64()), ([None] * 3, pa.bool_()), (["a"] * 3, pa.string())]
)
def test_true_and_false_in_one_file_are_numbers_beside_numbers_in_another(
    tmp_path: Path, ingest: Callable, second: list[object], kind: pa.DataType
) -> None:
    """They were texts, `true` beside `1`: a label of the one counted the other as 0."""
    files = {"log-1": [True, False, None], "log-2": second}
    for number, (name, values) in enumerate(files.items()):
        log = make_log(3).assign(ts=lambda log, number=number: log["ts"] + number)
        pq.write_table(pa.Table.from_pandas(log).append_column("opened", pa.array(values)), tmp_path / f"{name}.parquet")
    opened = ingest("log-*.parquet").table("events")["log.opened"]
    assert opened.type == kind
    as_text = {True: "true", False: "false", None: None}
    first = [as_text[value] for value in files["log-1"]] if kind == pa.string() else files["log-1"]
    assert Counter(opened.to_pylist()) == Counter([*first, *second])


@pytest.mark.parametrize(
    ("values", "fix"),
    [
        (pa.array([{"a": 1}] * 3), "take it apart into columns, or name it in leave_out"),
        (pa.array([[{"a": 1}]] * 3), "take it apart into columns, or name it in leave_out"),
        (pa.array([1, 2, 3], pa.duration("ms")), "write it as text or as a number, or name it in leave_out"),
        (pa.array([b"0123456789abcdef"] * 3, pa.binary(16)), "write it as text or as a number, or name it in leave_out"),
    ],
)
def test_a_type_that_cannot_be_read_is_named_with_what_to_do(tmp_path: Path, ingest: Callable, values: pa.Array, fix: str) -> None:
    pq.write_table(pa.Table.from_pandas(make_log(3)).append_column("extra", values), tmp_path / "log.parquet")
    with pytest.raises(DataError, match=re.escape(f"Fix: {fix}")) as caught:
        ingest("log.parquet")
    assert "log.parquet column extra: found values of type " in str(caught.value)
