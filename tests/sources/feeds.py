"""A source of files that come one after another, ingested after each, and once more from all of them."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recsys import artifacts, sources
from recsys.errors import DataError
from recsys.progress import Console
from recsys.workspace import EVENTS, ITEMS, QUARANTINE, USERS
from tests.sources.logs import COLUMNS, START, make_pipeline

DAY = 86_400_000
Frames = Mapping[str, pd.DataFrame]


class Said(Console):
    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.texts: list[str] = []
        self.refused: DataError | None = None  # what reading all files says

    def say(self, text: str) -> None:
        self.texts.append(text)

    @property
    def reread(self) -> str | None:
        """Why all files were read again; None where they were not."""
        return next((text for text in self.texts if text.startswith("ingest: reads all files again")), None)


def day_of_log(day: int, rows: int = 60, **columns: Any) -> pd.DataFrame:
    rng = np.random.default_rng(day)
    base = {
        "uid": 100 + rng.integers(0, 17, rows),
        "vid": [f"v{n:03d}" for n in rng.integers(0, 29, rows)],
        "ts": START + day * DAY + np.sort(rng.integers(0, 12 * 3_600_000, rows)),
        "slot": 1 + rng.integers(0, 10, rows),
        "clicked": rng.integers(0, 2, rows),
        "watch": rng.integers(0, 400, rows) / 4,
    }
    return pd.DataFrame({**base, **columns})


def answers_to(log: pd.DataFrame, day: int, late: float = 0.0) -> pd.DataFrame:
    """Stars for every third row, `late` hours after it."""
    rows = log.iloc[::3]
    return pd.DataFrame(
        {
            "uid": rows["uid"],
            "vid": rows["vid"],
            "ts": rows["ts"] + int(late * 3_600_000) + 1000,
            "stars": 1 + (np.arange(len(rows)) + day) % 5,
        }
    )


class Feed:
    """A source of files that come one after another, ingested after each, and once more from all of them."""

    def __init__(self, folder: Path, **source: Any) -> None:
        self.folder = folder
        self.source = {"kind": "table", "log": folder / "log", "columns": COLUMNS, **source}
        for name in ("log", "answers"):
            (folder / name).mkdir(parents=True)

    def with_answers(self, within: str = "48h") -> "Feed":
        self.source["feedback"] = [{"name": "survey", "file": self.folder / "answers", "value": "stars", "within": within}]
        return self

    def write(self, **files: pd.DataFrame) -> None:
        """`log_1=…` goes to log/1.csv, `users=…` to users.csv."""
        for name, frame in files.items():
            path = self.folder / (f"{name.replace('_', '/')}.csv")
            path.parent.mkdir(parents=True, exist_ok=True)
            frame.to_csv(path, index=False)

    def ingest(self, to: str = "night") -> Said:
        said = Said()
        pipeline = make_pipeline(self.source)
        options = artifacts.fingerprint({key: value for key, value in self.source.items() if key not in ("log", "users", "items")})
        fingerprint = artifacts.fingerprint(sources.raw_states(pipeline))
        try:
            self.account = sources.ingest(pipeline, self.folder / to, options=options, fingerprint=fingerprint, console=said)
        except DataError as error:
            said.refused = error
        return said

    def contents(self, to: str) -> dict[str, Any]:
        """Every file by its bytes, and the account of the rows."""
        found: dict[str, Any] = {}
        for name in (EVENTS, USERS, ITEMS, QUARANTINE):
            manifest = artifacts.verify(self.folder / to / name)
            found |= {f"{name}/{file}": entry for file, entry in manifest.files.items()}
            found[f"{name} account"] = manifest.rows
            found[f"{name} origin"] = (manifest.fingerprint, manifest.config)
        return found

    def require_equal(self) -> None:
        """What stands is what all files at once leave."""
        shutil.rmtree(self.folder / "whole", ignore_errors=True)
        assert self.ingest("whole").reread is None
        whole, account = self.contents("whole"), self.account
        assert self.contents("night") == whole
        assert account.read > 0
