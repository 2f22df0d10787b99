"""The script of docs/nightly.md, as cron would run it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from recsys import registry

from .conftest import PIPELINES

NIGHTLY = Path(__file__).resolve().parents[2] / "docs" / "nightly.md"
OPTIONS = {
    "days = 5": "days = 7",
    "[evaluate]": "[promote]\nmargin = 1.0\ncalibration = 9.0\n[evaluate]\nbaselines = []\nimportance = false",
}


def script() -> str:
    found = re.search(r"```sh\n(DAY=.*?)```", NIGHTLY.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found.group(1)


@pytest.mark.words
def test_the_script_runs_night_after_night(tmp_path: Path) -> None:
    toml = (PIPELINES / "tiny.toml").read_text(encoding="utf-8")
    for old, new in OPTIONS.items():
        assert old in toml
        toml = toml.replace(old, new)
    (tmp_path / "feed.toml").write_text(toml, encoding="utf-8")
    candidates = {"user_id": [1, 1, 2], "item_id": [3, 4, 5], "query_item_id": 7, "device": "phone"}
    pd.DataFrame(candidates).to_parquet(tmp_path / "candidates.parquet")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for day in ("2024-01-05", "2024-01-06"):
        words = script().replace("DAY=$(date -d yesterday +%F)", f"DAY={day}")
        assert f"DAY={day}" in words
        ran = subprocess.run(
            ["bash", "-c", words], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert len(pd.read_parquet(tmp_path / "lists.parquet")) == 3
    decisions = registry.decisions(tmp_path / "data" / "tiny")
    assert [(each["run"], each["outcome"]) for each in decisions] == [(f"night-2024-01-0{day}", "promoted") for day in (5, 6)]
    (tmp_path / "lists.parquet").unlink()
    late = script().replace("DAY=$(date -d yesterday +%F)", "DAY=2024-01-30")
    ran = subprocess.run(["bash", "-c", late], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
    assert ran.returncode == 3, "a day that has not arrived ends the night before anything is learned"
    assert "no rows in split" in ran.stderr
    assert len(registry.decisions(tmp_path / "data" / "tiny")) == 2
    assert len(pd.read_parquet(tmp_path / "lists.parquet")) == 3, "the current model writes lists all the same"


@pytest.mark.parametrize(("verb", "code"), [("run", 0), ("run", 7), ("health", 3), ("promote", 2), ("promote", 6), ("predict", 4)])
def test_the_script_ends_with_the_code_of_what_failed_and_writes_lists(verb: str, code: int) -> None:
    recsys = f'recsys() {{ echo "$1"; [ "$1" != {verb} ] || return {code}; }}\n'
    ran = subprocess.run(["bash", "-c", recsys + script()], capture_output=True, text=True, check=False)
    assert ran.returncode == (0 if (verb, code) == ("promote", 6) else code)
    said = ran.stdout.split()
    assert said[-1] == "predict"
    assert "promote" in said or verb in ("run", "health")
