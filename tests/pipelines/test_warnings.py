"""A log of which one user holds too much: said where it is evaluated and where it is shown (the page: tests/report)."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys.cli import run_command

from .conftest import SMALL_LOG


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    """Two days of 600 impressions of 100 users; of the second day every eighth is of one of them."""
    rng = np.random.default_rng(4)
    rows = np.arange(1200)
    user = np.where((rows >= 600) & (rows % 8 == 0), 7, 1000 + rows % 100)
    stamp = 1_709_251_200_000 + 86_400_000 * (rows // 600) + 1000 * rows
    columns = {"user_id": user, "item_id": rng.integers(0, 12, 1200), "timestamp": stamp, "clicked": rng.integers(0, 2, 1200)}
    pd.DataFrame(columns).to_csv(tmp_path / "log.csv", index=False)
    (tmp_path / "small.toml").write_text(SMALL_LOG, encoding="utf-8")
    return tmp_path


def test_a_user_who_holds_too_much_is_named_everywhere(feed: Path, capsys: pytest.CaptureFixture[str]):
    workspace = ["--workspace", str(feed / "data")]
    warning = "warning: test: user 7 holds 12.5% of 600 rows"
    assert run_command(["run", str(feed / "small.toml"), *workspace, "--run", "mine", "--until", "evaluate"]) == 0
    assert capsys.readouterr().out.count(warning) == 1
    assert run_command(["evaluate", str(feed / "small.toml"), *workspace, "--run", "mine"]) == 0
    said = capsys.readouterr().out
    assert said.count(warning) == said.count("evaluate mine: fresh") == 1, "what is fresh is no less doubtful"
    assert run_command(["show", "mine", *workspace]) == 0
    assert warning in capsys.readouterr().out
    mine = feed / "data" / "small" / "runs" / "mine"
    theirs = ["--predictions", str(mine / "predictions.parquet"), "--out", str(feed / "theirs")]
    assert run_command(["evaluate", str(feed / "small.toml"), *theirs]) == 0
    assert warning in capsys.readouterr().out
