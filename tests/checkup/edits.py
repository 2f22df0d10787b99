"""A small pipeline with its files, and how a mistake is made in it: by an edit, with the words by which it must be found."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

START = 1_704_067_200_000  # 2024-01-01 00:00 UTC
DAY = 86_400_000

TOML = """\
[source]
kind = "table"
log = "log.csv"
users = "users.csv"
items = "items.csv"

[source.columns]
user_id = "uid"
item_id = "vid"
timestamp = "ts"
position = "slot"

[source.time]
unit = "ms"

[[source.feedback]]
name = "survey"
file = "survey.csv"
value = "stars"
within = "2h"

[split]
train = ["2024-01-02", "2024-01-04"]
validation = ["2024-01-05", "2024-01-05"]
test = ["2024-01-06", "2024-01-06"]

[[objective]]
name = "click"
label = "clicked = 1"

[[objective]]
name = "like"
group = "satisfaction"
label = "liked = 1"

[[objective]]
name = "watch_time"
kind = "watch_time"
label = "watched"

[features]
user = ["age"]
item = ["length", "genre"]
context = ["surface"]
signals = ["clicked", "watched"]
entities = [["user_id"], ["item_id"], ["genre"]]
slices = ["surface"]
bias = ["position"]
"""


def make_files(folder: Path, rows: int = 3_000) -> None:
    """Write the files of a sound pipeline: six days, 120 users, 60 items, labels of which none tells another."""
    rng = np.random.default_rng(7)
    log = pd.DataFrame({
        "uid": rng.integers(0, 120, rows), "vid": rng.integers(0, 60, rows), "ts": START + np.sort(rng.integers(0, 6 * DAY, rows)),
        "slot": rng.integers(1, 11, rows), "surface": rng.choice(["home", "search", "related"], rows),
        "clicked": (rng.random(rows) < 0.3).astype(int), "liked": (rng.random(rows) < 0.2).astype(int),
        "watched": np.round(rng.random(rows) * 60, 2),
    })  # fmt: skip
    log.to_csv(folder / "log.csv", index=False)
    pd.DataFrame({"uid": range(120), "age": rng.integers(14, 80, 120)}).to_csv(folder / "users.csv", index=False)
    pd.DataFrame({"vid": range(60), "length": rng.integers(5, 600, 60), "genre": rng.choice(["news", "music"], 60)}).to_csv(
        folder / "items.csv", index=False
    )
    answers = log.iloc[::40]
    pd.DataFrame({"uid": answers["uid"], "vid": answers["vid"], "ts": answers["ts"] + 60_000, "stars": 3}).to_csv(
        folder / "survey.csv", index=False
    )
    (folder / "own.toml").write_text(TOML)


Edit = Callable[[Path], None]


@dataclass(frozen=True)
class Mistake:
    edit: Edit
    words: str  # a regular expression that one finding matches, and no other
    exit_code: int  # 2: the TOML, 3: the files, 0: a warning


def toml(old: str, new: str) -> Edit:
    """Replace text in the TOML, which must be there once."""

    def edit(folder: Path) -> None:
        text = (folder / "own.toml").read_text()
        assert text.count(old) == 1, (old, text.count(old))
        (folder / "own.toml").write_text(text.replace(old, new))

    return edit


def frame(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Edit:
    def edit(folder: Path) -> None:
        change(pd.read_csv(folder / name, dtype=object, keep_default_na=False)).to_csv(folder / name, index=False)

    return edit


def bytes_of(name: str, change: Callable[[bytes], bytes]) -> Edit:
    def edit(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return edit


def both(*edits: Edit) -> Edit:
    def edit(folder: Path) -> None:
        for each in edits:
            each(folder)

    return edit


def some_as(log: pd.DataFrame, column: str, value: str, every: int = 20) -> pd.DataFrame:
    log.loc[log.index % every == 1, column] = value
    return log


def noisy(log: pd.DataFrame, of: str) -> pd.Series:
    return log[of].astype(int) + (log.index % 97 == 0) * 0.2


CLICKED_IN_WORDS = frame("log.csv", lambda log: log.assign(clicked=np.where(log["clicked"] == "1", "yes", "no")))
