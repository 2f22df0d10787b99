from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.baselines import fit_and_score
from recsys.baselines.popularity import SHRINKAGE
from recsys.progress import Console
from tests.staged import ORIGIN


def predictions(pipeline, log, run: Path) -> pd.DataFrame:
    fit_and_score("popularity", pipeline, log.examples, log.encoded, run / "predictions.parquet", ORIGIN, console=Console(quiet=True))
    return pq.read_table(run / "predictions.parquet").to_pandas()


def test_is_the_items_mean_shrunk_towards_the_base_mean(pipeline, log, tables, tmp_path) -> None:
    found = predictions(pipeline, log, tmp_path)
    train = pa.concat_tables([tables[day] for day in pipeline.split.days("train")]).to_pandas()
    by_item = train.groupby("item_id")["label.stars"].agg(["sum", "count"])
    expected = (by_item["sum"] + SHRINKAGE * train["label.stars"].mean()) / (by_item["count"] + SHRINKAGE)
    validation = found[found["split"] == "validation"]
    pd.testing.assert_series_equal(validation["pred.stars"], validation["item_id"].map(expected), check_names=False)


def test_an_unseen_item_gets_the_base_mean(pipeline, log, tables, write_log, tmp_path) -> None:
    test = pipeline.split.days("test")[0]
    unseen = tables[test].set_column(2, "item_id", pa.array([999_999] * len(tables[test]), pa.int64()))
    found = predictions(pipeline, write_log(tmp_path, pipeline, tables | {test: unseen}), tmp_path / "run")
    learned = pa.concat_tables([tables[day] for day in tables if day != test]).to_pandas()
    base = learned["label.click"].mean()
    assert found.loc[found["split"] == "test", "pred.click"].to_numpy() == pytest.approx(base)


def test_text_ids_are_matched_as_text(pipeline, tables, write_log, tmp_path) -> None:
    as_text = {day: table.set_column(2, "item_id", table["item_id"].cast(pa.string())) for day, table in tables.items()}
    as_text = {
        day: table.set_column(
            table.column_names.index("history.item_id"), "history.item_id", table["history.item_id"].cast(pa.list_(pa.string()))
        )
        for day, table in as_text.items()
    }
    found = predictions(pipeline, write_log(tmp_path / "text", pipeline, as_text), tmp_path / "a")
    numbers = predictions(pipeline, write_log(tmp_path / "numbers", pipeline, tables), tmp_path / "b")
    pd.testing.assert_series_equal(found["pred.click"], numbers["pred.click"])
