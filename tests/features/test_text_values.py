"""What is said where text stands in a column that is read as a number."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.features.feature_columns import Columns
from recsys.features.operands import TextError
from recsys.features.text_values import text_problem
from recsys.workspace import EVENTS, PART, day_folder


@pytest.mark.parametrize(
    ("days", "said"),
    [
        ([["0", "1"], ["1", None], ["0", "yes", "no"]], "opened holds '0', '1', and on 2024-01-03 also 'no', 'yes'. Fix: write that day"),
        ([["False", "True"], [None], ["0", "1"]], "opened holds 'False', 'True', and on 2024-01-03 also '0', '1'. Fix: write that day"),
        ([["no", "yes"], ["0"]], "opened holds 'no', 'yes'. Fix: name its values in quotes, such as opened = 'yes'"),
        ([["0", "1"], ["1"]], "opened holds '0', '1'. Fix: name its values in quotes, such as opened = '1'"),
        ([[None], [None]], "found no value in the column opened"),
    ],
)
def test_the_day_that_makes_a_column_text_is_named(days: list[list[str | None]], said: str, tmp_path: Path) -> None:
    for number, values in enumerate(days, start=1):
        folder = day_folder(tmp_path / EVENTS, f"2024-01-0{number}")
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"log.opened": pa.array(values, pa.string())}), folder / PART)
    error = TextError("found text beside a number")
    error.columns = ("log.opened",)
    none = pa.schema([])
    assert said in text_problem(error, Columns(none, none, none, tmp_path))
