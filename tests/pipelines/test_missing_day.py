"""A day of the log that never comes: what the two nights say that would be judged by it, and the command of docs/runbook.md."""

import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys.cli import run_command
from recsys.errors import EXIT_DATA

from .conftest import SMALL_LOG

RUNBOOK = Path(__file__).resolve().parents[2] / "docs" / "runbook.md"
MISSING = "2024-03-05"
NIGHTLY = """[split]
train = ["2024-03-01", "2024-03-02"]
validation = ["2024-03-03", "2024-03-03"]
test = ["2024-03-04", "2024-03-04"]
[train]
order = "time"
warm_days = 1
[[objective]]"""


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    """The TOML of a log from 2024-03-01 to 2024-03-07, without the missing day."""
    rng = np.random.default_rng(4)
    days = [day for day in pd.date_range("2024-03-01", "2024-03-07", tz="UTC").strftime("%Y-%m-%d") if day != MISSING]
    stamp = np.concatenate([pd.Timestamp(day, tz="UTC").value // 1_000_000 + 1000 * np.arange(80) for day in days])
    columns = {name: rng.integers(0, most, len(stamp)) for name, most in (("user_id", 20), ("item_id", 12), ("clicked", 2))}
    pd.DataFrame(columns | {"timestamp": stamp}).to_csv(tmp_path / "log.csv", index=False)
    text = re.sub(r"\[split\].*?\[\[objective\]\]", NIGHTLY, SMALL_LOG, count=1, flags=re.DOTALL)
    (tmp_path / "feed.toml").write_text(text.replace('name = "small"', 'name = "feed"'), encoding="utf-8")
    return tmp_path / "feed.toml"


def documented() -> list[str]:
    found = re.search(r"missing, on the night of .*?```sh\n\s*recsys (.*?)\n", RUNBOOK.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return shlex.split(found.group(1))


@pytest.mark.words
def test_the_command_of_the_runbook_goes_on_over_a_missing_day(
    feed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def night(*words: str) -> int:
        return run_command([*words, "--until", "evaluate", "--quiet"])

    assert night("run", feed.name, "--through", "2024-03-04") == 0
    for day, part in ((MISSING, "test"), ("2024-03-06", "validation")):
        assert night("run", feed.name, "--through", day) == EXIT_DATA
        said = capsys.readouterr().err
        assert f"found no rows in split.{part} ({MISSING} to {MISSING})" in said
        assert "--set split.validation, or split.test, to several days (docs/runbook.md, The log has a day missing)" in said
    assert night(*documented()) == 0
    assert night("run", feed.name, "--through", "2024-03-07") == 0
