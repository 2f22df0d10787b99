"""A log of which one user holds too much: said where it is evaluated and where it is shown (the page: tests/report)."""

from pathlib import Path

import numpy as np
import pytest

from recsys.cli import run_command

from .conftest import write_small


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    """Two days of 600 impressions of 100 users; of the second day every eighth is of one of them."""
    rows = np.arange(1200)
    write_small(tmp_path, np.where((rows >= 600) & (rows % 8 == 0), 7, 1000 + rows % 100))
    return tmp_path


@pytest.mark.words
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
