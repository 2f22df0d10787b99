"""A log of whole decisions, candidates that were not chosen among them: from its file to the value of the policy that a model would be."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys import Objective, off_policy
from recsys.cli import run_command

from .conftest import SMALL_LOG

TOML = (
    SMALL_LOG
    + """
[source.columns]
request_id = "decision"
propensity = "chance"
target_propensity = "goal"
"""
)


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    """Two days of 200 decisions, each one of three candidates that were equally likely."""
    rng = np.random.default_rng(4)
    decision, place = np.repeat(np.arange(400), 3), np.arange(1200) % 3
    chosen = place == np.repeat(rng.integers(0, 3, 400), 3)
    item = np.argsort(rng.random((400, 12)), axis=1)[:, :3].ravel()
    log = pd.DataFrame(
        {
            "user_id": decision % 60,
            "item_id": item,
            "timestamp": 1_709_251_200_000 + 86_400_000 * (decision // 200) + 1000 * decision,
            "decision": decision,
            "chance": np.where(chosen, 1 / 3, np.nan),
            "goal": np.where(place == 2, 0.0, 0.5),
            "clicked": np.where(chosen, (rng.random(1200) < item / 12).astype(float), np.nan),
        }
    )
    log.to_csv(tmp_path / "log.csv", index=False)
    (tmp_path / "small.toml").write_text(TOML, encoding="utf-8")
    return tmp_path


def run(feed: Path, *sets: str) -> int:
    more = [part for each in sets for part in ("--set", each)]
    arguments = ["run", str(feed / "small.toml"), "--workspace", str(feed / "data"), "--run", "mine", "--until", "evaluate"]
    return run_command([*arguments, *more])


def of_test(rows: pa.Table, metric: str) -> float:
    (value,) = (
        row["value"]
        for row in rows.to_pylist()
        if (row["metric"], row["split"], row["slice"], row["against"]) == (metric, "test", "all", None)
    )
    return value


def test_the_logs_policy_and_the_models_own_are_valued(feed: Path, capsys: pytest.CaptureFixture[str]):
    assert run(feed) == 0
    mine = feed / "data" / "small" / "runs" / "mine"
    predictions = pq.read_table(mine / "predictions.parquet")
    log = pd.read_csv(feed / "log.csv").tail(600)
    assert sorted(predictions["target_propensity"].to_pylist()) == sorted(log["goal"])
    shown = log[log["chance"].notna()]
    weighted = (3 * shown["goal"] * shown["clicked"]).mean()
    assert of_test(pq.read_table(mine / "metrics.parquet"), "ips") == pytest.approx(weighted)

    assert run(feed, "evaluate.target_temperature=0.5") == 0
    said = capsys.readouterr().out
    assert said.count("train: fresh") == 1, "how a run is evaluated is no part of what it is"
    rows = pq.read_table(mine / "metrics.parquet")
    own = off_policy(predictions, [Objective(name="click", label="clicked = 1")], run="mine", temperature=0.5, bootstrap=0)
    assert of_test(rows, "ips") == pytest.approx(of_test(own, "ips"))
    against = {row["against"] for row in rows.to_pylist() if row["metric"] == "snips"}
    assert {str(name).split("-")[0] for name in against} == {"None", "popularity"}


@pytest.mark.words
def test_a_log_without_decisions_refuses_the_option_by_name(feed: Path, capsys: pytest.CaptureFixture[str]):
    text = (feed / "small.toml").read_text().replace('request_id = "decision"\n', "")
    (feed / "small.toml").write_text(text)
    assert run(feed, "evaluate.target_temperature=0.5") == 3
    said = capsys.readouterr().err
    assert "found no column request_id, expected propensity" in said
    assert said.count("error: ") == 1
