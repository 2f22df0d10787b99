"""A job that dies at any moment at all: the same command ends in the bytes of a job that nobody killed, with nothing left over."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys.stages import STAGES

from .amounts import NIGHT_PARTS, PARTS

TOML = """
name = "small"
[source]
kind = "table"
log = "log.csv"
items = "items.csv"
[split]
train = ["2024-03-01", "2024-03-01"]
validation = ["2024-03-02", "2024-03-02"]
test = ["2024-03-03", "2024-03-03"]
[[objective]]
name = "click"
label = "clicked = 1"
[[objective]]
name = "like"
label = "liked = 1"
[features]
signals = ["clicked"]
entities = [["item_id"]]
windows = [1]
history = 2
[model]
architecture = "shared_bottom"
d_shared = 8
d_tower = 8
members = 2
[train]
checkpoint_seconds = 0.05
batch_size = 64
passes = 1
day_passes = 1
[evaluate]
bootstrap = 20
baselines = ["popularity"]
calibrate = "platt"
"""
STEP = 4
IN_TIME = {
    "log.csv": "nights.csv",
    "members = 2": "members = 1",
    "checkpoint_seconds = 0.05": 'order = "time"\nwarm_days = 1\nkept_days = 1',
    'calibrate = "platt"': "baseline_refit_days = 2",
}
NIGHTS = ("2024-03-03", "2024-03-04", "2024-03-06")  # on the last one a state goes, and a kept baseline


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of three days, with its TOML; and one of six days, with that of a training in time order."""
    folder = tmp_path_factory.mktemp("log")
    text = TOML
    for before, after in IN_TIME.items():
        assert before in text
        text = text.replace(before, after)
    for name, days, toml in (("small", 3, TOML), ("nights", 6, text)):
        rng, rows = np.random.default_rng(4), np.arange(300 * days)
        stamp = 1_709_251_200_000 + 86_400_000 * (days * rows // len(rows)) + 1000 * rows
        columns = {"user_id": rng.integers(0, 60, len(rows)), "item_id": rng.integers(0, 12, len(rows)), "timestamp": stamp}
        columns |= {label: rng.integers(0, 2, len(rows)) for label in ("clicked", "liked")}
        pd.DataFrame(columns).to_csv(folder / ("nights.csv" if toml is text else "log.csv"), index=False)
        (folder / f"{name}.toml").write_text(toml, encoding="utf-8")
    pd.DataFrame({"item_id": range(12), "topic": list("abcdefabcdef")}).to_csv(folder / "items.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def toml(folder: Path) -> Path:
    return folder / "small.toml"


@pytest.mark.faults
@pytest.mark.parametrize("part", PARTS)
def test_a_death_at_every_moment(toml: Path, tmp_path: Path, part: int) -> None:
    assert die(toml, tmp_path, part, list(STAGES)) > 90


@pytest.mark.faults
@pytest.mark.parametrize("part", NIGHT_PARTS)
def test_a_death_at_every_moment_of_a_night_in_time_order(folder: Path, tmp_path: Path, part: int) -> None:
    """The stages that do something else in time order."""
    assert die(folder / "nights.toml", tmp_path, part, ["encode", "train", "baselines", "progressive"], NIGHTS) > 60


def die(toml: Path, workspace: Path, part: int, stages: Sequence[str], nights: Sequence[str] = ()) -> int:
    """Take every fourth moment of these stages, until a job lives to its end. Return how many jobs have died."""
    script = [sys.executable, "-m", "tests.faults.dying", str(toml), str(workspace), str(part + 1), str(STEP), ",".join(stages), *nights]
    done = subprocess.run(script, capture_output=True, text=True, check=False, cwd=Path(__file__).resolve().parents[2])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    ends = [line for line in lines if line["end"]]
    assert [line["stage"] for line in ends] == list(stages), done.stderr
    assert [line for line in ends if line["code"]] == []
    wrong = [line for line in lines if line["code"] or line["said"] or line["different"]]
    assert not wrong, "\n".join(map(str, wrong[:10]))
    return len(lines)
