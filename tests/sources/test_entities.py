"""Users and items: keys in the log's type, one row per key."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from recsys.errors import DataError
from recsys.progress import Console
from tests.sources.logs import make_log


@pytest.fixture(autouse=True)
def _log(tmp_path: Path) -> None:
    make_log().to_csv(tmp_path / "log.csv", index=False)


def _users(tmp_path: Path, ingest: Callable, text: str, **source: object) -> pa.Table:
    (tmp_path / "users.csv").write_text(text)
    return ingest(users=tmp_path / "users.csv", **source).table("users")


@pytest.mark.parametrize("key", ["uid", "user_id"])
def test_the_key_is_called_as_in_the_log_or_as_ours(tmp_path: Path, ingest: Callable, key: str) -> None:
    users = _users(tmp_path, ingest, f"age,{key},zip\n30,2,01234\n40,1,55555\n30,2,01234\n")
    assert users.to_pylist() == [{"user_id": 1, "age": 40, "zip": "55555"}, {"user_id": 2, "age": 30, "zip": "01234"}]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_key_may_be_called_as_the_toml_says(tmp_path: Path, ingest: Callable, suffix: str) -> None:
    frame = pd.DataFrame({"age": [30, 40], "id": [2, 1], "uid": [7, 8]})
    path = tmp_path / f"users.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    users = ingest(users=path, format={"users": {"key": "id"}}).table("users")
    assert users.to_pylist() == [{"user_id": 1, "age": 40, "uid": 8}, {"user_id": 2, "age": 30, "uid": 7}]
    again = ingest(users=path).table("users")  # another key is another state
    assert again["user_id"].to_pylist() == [7, 8]


def test_a_source_without_users_has_an_empty_table_of_keys(ingest: Callable) -> None:
    result = ingest()
    assert result.table("users").schema.equals(pa.schema([("user_id", pa.int64())]))
    assert result.table("items").schema.equals(pa.schema([("item_id", pa.string())]))
    assert len(result.table("users")) == len(result.table("items")) == 0


def test_whole_numbers_become_text_where_the_log_has_text(tmp_path: Path, ingest: Callable) -> None:
    (tmp_path / "items.csv").write_text("vid,kind\n7,a\n8,b\n")
    assert ingest(items=tmp_path / "items.csv").table("items")["item_id"].to_pylist() == ["7", "8"]


def test_text_where_the_log_has_numbers_is_an_error(tmp_path: Path, ingest: Callable) -> None:
    with pytest.raises(DataError, match=r'users\.csv:3 column uid: found "abc", expected an id \(int64\); 1 of 2 rows'):
        _users(tmp_path, ingest, "uid,age\n1,30\nabc,40\n")


def test_two_rows_for_one_key_are_an_error(tmp_path: Path, ingest: Callable) -> None:
    with pytest.raises(
        DataError, match=r"users\.csv:4 column user_id: found the key 1 of users\.csv:2 with other values, expected one row per key"
    ):
        _users(tmp_path, ingest, "uid,age\n1,30\n2,30\n1,31\n")


def test_how_much_of_the_log_is_described_is_said(tmp_path: Path, ingest: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    _users(tmp_path, ingest, "uid,age\n101,30\n102,40\n999,50\n", console=Console())
    assert (
        "users: read 3 = kept 3 + duplicate 0 + quarantined 0; of 17 different user_id in the log 2 have a row" in capsys.readouterr().out
    )


def test_a_table_that_describes_nobody_is_warned_of(tmp_path: Path, ingest: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    _users(tmp_path, ingest, "uid,age\n998,30\n999,50\n", console=Console())
    said = capsys.readouterr().out
    assert "of 17 different user_id in the log 0 have a row: the log has '100', this table has '998'\n" in said
    assert "users: warning: found a row for none of the 17 different user_id in the log, expected one for most" in said


def test_a_missing_key_is_named(tmp_path: Path, ingest: Callable) -> None:
    with pytest.raises(
        DataError, match=r'users\.csv column uid: .* name the right column in source\.format\.users\.key; did you mean "u_id"\?'
    ):
        _users(tmp_path, ingest, "u_id,age\n1,30\n")
    with pytest.raises(
        DataError, match=r'users\.csv column u_ip: .* name the right column in source\.format\.users\.key; did you mean "u_id"\?'
    ):
        _users(tmp_path, ingest, "u_id,age\n1,30\n", format={"users": {"key": "u_ip"}})


def test_two_keys_are_an_error(tmp_path: Path, ingest: Callable) -> None:
    with pytest.raises(
        DataError, match=r"column user_id: found that column beside uid.* or name user_id in source\.format\.users\.leave_out"
    ):
        _users(tmp_path, ingest, "uid,user_id\n1,30\n")
    assert len(_users(tmp_path, ingest, "uid,user_id\n1,30\n", format={"users": {"leave_out": ["user_id"]}})) == 1
