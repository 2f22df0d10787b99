"""Every balancing method walks the path to its metrics by its word alone. Minutes: under a marker, run by .ci/run, not by `make test`."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from recsys.cli import run_command
from recsys.config.balance import METHODS

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"

pytestmark = pytest.mark.words


@pytest.mark.parametrize("method", list(METHODS))
def test_tiny(method: str, workspace: Path, tiny: Path):
    sets = [part for override in (f"balance.method={method}", "evaluate.baselines=[]") for part in ("--set", override)]
    pipeline = str(PIPELINES / "tiny.toml")
    assert run_command(["run", pipeline, "--workspace", str(workspace), "--until", "evaluate", "--run", method, *sets]) == 0
    run = workspace / "tiny" / "runs" / method
    metrics = pq.read_table(run / "metrics.parquet").to_pandas()
    whole = metrics[(metrics["slice"] == "all") & metrics["day"].isna() & (metrics["split"] == "test") & metrics["against"].isna()]
    assert whole[(whole["metric"] == "auc") & (whole["objective"] == "click")]["value"].iloc[0] > 0.55
    lines = [json.loads(line) for line in (run / "training.jsonl").read_text().splitlines()]
    assert all(set(line["weight"]) == {"click", "watch_time", "like"} for line in lines if line["event"] == "step")
