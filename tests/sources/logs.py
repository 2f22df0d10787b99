"""Small logs written by hand, and the pipeline that reads them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from recsys import artifacts
from recsys.artifacts import RowAccount
from recsys.config import Pipeline

START = 1_704_103_200_000  # 2024-01-01 10:00 UTC


def make_pipeline(source: Mapping[str, Any], features: Mapping[str, Any] | None = None) -> Pipeline:
    objective = {"name": "click", "kind": "binary", "group": "engagement", "label": "clicked = 1"}
    split = {"train": ["2024-01-01", "2024-01-02"]}
    return Pipeline.model_validate(
        {"name": "t", "source": dict(source), "split": split, "objective": [objective], "features": dict(features or {})}
    )


def make_log(rows: int = 200) -> pd.DataFrame:
    """Distinct impressions over two days; hand-made so that every column has a known type."""
    return pd.DataFrame(
        {
            "uid": [100 + n % 17 for n in range(rows)],
            "vid": [f"v{n % 29:03d}" for n in range(rows)],
            "ts": [START + n * 400_000 for n in range(rows)],
            "slot": [1 + n % 10 for n in range(rows)],
            "clicked": [int(n % 3 == 0) for n in range(rows)],
            "watch": [n / 4 for n in range(rows)],
        }
    )


COLUMNS = {"user_id": "uid", "item_id": "vid", "timestamp": "ts"}


def write_log(folder: Path, **columns: list[object]) -> None:
    """Write log.csv with these columns in the place of those of `make_log`, or beside them."""
    log = make_log(len(next(iter(columns.values()))))
    for name, values in columns.items():
        log[name] = values
    log.to_csv(folder / "log.csv", index=False)


class Ingested:
    def __init__(self, folder: Path, account: RowAccount) -> None:
        self.folder, self.account = folder, account

    def table(self, name: str) -> pa.Table:
        return pa.concat_tables([artifacts.read_table(path) for path in sorted((self.folder / name).rglob("*.parquet"))])

    def events(self) -> pd.DataFrame:
        return self.table("events").to_pandas()
