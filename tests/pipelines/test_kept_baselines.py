"""Baselines that are kept: several nights predict with one fit (`evaluate.baseline_refit_days`)."""

import re
from pathlib import Path

import pytest
import torch

from recsys import artifacts, beside, config
from recsys.cli import run_command
from recsys.errors import ConfigError

from .conftest import PIPELINES

OPTIONS = [
    "source.days=9",
    "train.warm_days=2",
    'evaluate.baselines=["popularity","gbdt"]',
    "evaluate.baseline_refit_days=2",
    "evaluate.importance=false",
    "evaluate.bootstrap=50",
    "train.batch_size=1024",
]


def night(workspace: Path, day: int, *more: str, run: str = "night") -> int:
    sets = [part for option in (*OPTIONS, *more) for part in ("--set", option)]
    through = ["--through", f"2024-01-0{day}", "--run", f"{run}-{day}"]
    return run_command(["run", str(PIPELINES / "tiny.toml"), "--workspace", str(workspace), *through, *sets])


def kept(workspace: Path, kind: str) -> list[str]:
    return sorted(path.name for path in (workspace / "tiny" / "learned").glob(f"{kind}-*/day=*"))


@pytest.mark.words
def test_a_fit_serves_the_nights_until_the_next_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nights of 5 to 8 January have two, three, four and five training days: fits are of the first two and of the first four.

    Only where there is one, a process is begun for it beside the training.
    """
    monkeypatch.setattr(beside, "WORTH", 1)
    monkeypatch.setattr(beside, "_idle_cores", lambda: 2.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    said = {}
    for day in (5, 6, 7, 8):
        assert night(tmp_path, day) == 0
        said[day] = capsys.readouterr().out
    for sentence in (r"gbdt: click: \d+ trees", "baselines: begun beside the training"):
        assert [bool(re.search(sentence, said[day])) for day in (5, 6, 7, 8)] == [True, False, True, False], sentence
    assert "gbdt: as fitted through 2024-01-03" in said[6]
    assert "gbdt: as fitted through 2024-01-05" in said[8]
    page = (tmp_path / "tiny" / "runs" / "night-8" / "report.html").read_text()
    assert "fitted every 2 training days; this fit learned all days through 2024-01-05" in page
    assert kept(tmp_path, "gbdt") == kept(tmp_path, "popularity") == ["day=2024-01-03", "day=2024-01-05"]

    assert night(tmp_path, 9) == 0
    assert kept(tmp_path, "gbdt") == ["day=2024-01-05", "day=2024-01-07"], "the last two"
    capsys.readouterr()
    assert night(tmp_path, 9, "objective.click.fusion_weight=2", run="fused") == 0
    assert "baseline gbdt: fused anew by other weights" in capsys.readouterr().out

    asked = [str(PIPELINES / "tiny.toml"), "--workspace", str(tmp_path)]
    assert run_command(["prune", *asked, "--keep", "0s", "--yes"]) == 0
    assert kept(tmp_path, "gbdt") == ["day=2024-01-05", "day=2024-01-07"], "runs need them"
    (facts,) = (tmp_path / "tiny" / "learned").glob("gbdt-*/day=2024-01-07/trees.json")
    facts.write_text(facts.read_text().replace("0", "1", 1))
    assert artifacts.damages(tmp_path / "tiny")[1].keys() == {facts.parent}
    (tmp_path / "tiny" / "runs" / "night-9" / "predictions.parquet").unlink()
    for predictions in (tmp_path / "tiny" / "runs").glob("gbdt-*/predictions.parquet"):
        predictions.unlink()
    capsys.readouterr()
    assert night(tmp_path, 9) == 4
    assert "trees.json: found other bytes than its manifest says" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.order=shuffled", "evaluate.baseline_refit_days=7"], 'found 7 with train.order = "shuffled", expected "time"'),
        (["evaluate.baseline_refit_days=7", "evaluate.baseline_window_days=1"], "found 1 beside 1 validation days, expected more"),
        (["evaluate.baseline_refit_days=0"], "evaluate.baseline_refit_days"),
    ],
)
def test_what_it_needs_is_said_when_the_config_is_read(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        config.load(PIPELINES / "tiny.toml", overrides)
