"""pipelines/nightly.py, the nights as a Dagster job: three partitions in this process, on a world that grows by files."""

import importlib.util
import sys
import warnings
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from recsys import config, registry
from recsys.config import Pipeline

from .conftest import PIPELINES

dagster: Any = pytest.importorskip("dagster", reason="the optional package dagster is not installed")
TINY = ["source.days=8", "train.warm_days=2", "evaluate.baselines=[]", "evaluate.importance=false", "evaluate.bootstrap=20"]
NIGHTS = ("2024-01-05", "2024-01-06", "2024-01-07")
EASY = {"promote": {"margin": 1.0, "calibration": 9.0}}


@pytest.fixture(scope="module")
def nightly() -> ModuleType:
    spec = importlib.util.spec_from_file_location("nightly_job", PIPELINES / "nightly.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["nightly_job"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def pipeline_of(**tables: Any) -> Pipeline:
    raw = config.load(PIPELINES / "tiny.toml", TINY).model_dump(mode="json")
    return Pipeline.model_validate({**raw, **tables})


def instance_in(folder: Path) -> Any:
    (folder / "dagster").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dagster.DagsterInstance.ephemeral(tempdir=str(folder / "dagster"))


def materialise(definitions: Any, day: str, instance: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the package says of its own parts
        return definitions.resolve_job_def("nightly").execute_in_process(partition_key=day, instance=instance, raise_on_error=False)


@pytest.mark.words
def test_three_nights_in_this_process(nightly: ModuleType, tmp_path: Path) -> None:
    candidates = tmp_path / "candidates.parquet"
    pd.DataFrame({"user_id": [1, 1, 2], "item_id": [3, 4, 5], "query_item_id": 7, "device": "phone"}).to_parquet(candidates)
    nights = nightly.Nights(pipeline_of(**EASY), tmp_path / "data", date.fromisoformat(NIGHTS[0]))
    definitions = nightly.definitions(nights, candidates=candidates, top=2)
    instance = instance_in(tmp_path)
    for day in NIGHTS:
        result = materialise(definitions, day, instance)
        assert result.success
        made = {event.asset_key.path[-1]: event for event in result.get_asset_materialization_events()}
        assert list(made)[:3] == ["ingest", "features", "encode"]
        assert {"report", "promotion", "lists"} <= set(made)
        rows = made["ingest"].materialization.metadata
        assert rows["rows read"].value == rows["rows kept"].value > 20_000
        checks = {found.check_name: found for found in result.get_asset_check_evaluations()}
        assert (checks["health"].passed, checks["promoted"].passed) == (True, True)
        assert len(pd.read_parquet(tmp_path / f"candidates.{day}.parquet")) == 3
    runs = tmp_path / "data" / "tiny" / "runs"
    assert sorted(path.name for path in runs.iterdir()) == [f"night-{day}" for day in NIGHTS]
    assert [decision["run"] for decision in registry.decisions(tmp_path / "data" / "tiny")] == [f"night-{day}" for day in NIGHTS]
    assert (runs / f"night-{NIGHTS[-1]}" / "report.html").exists()
    states = (tmp_path / "data" / "tiny" / "learned").glob("*/day=*/member-0.safetensors")
    assert sorted(path.parent.name for path in states) == [f"day=2024-01-0{day}" for day in range(3, 7)]


@pytest.mark.words
def test_a_day_beyond_a_limit_ends_the_night_before_it_is_learned(nightly: ModuleType, tmp_path: Path) -> None:
    pipeline = pipeline_of(checks={"stop": {"rows": 1.0001}})
    nights = nightly.Nights(pipeline, tmp_path / "data", date.fromisoformat(NIGHTS[0]))
    result = materialise(nightly.definitions(nights), NIGHTS[0], instance_in(tmp_path))
    assert not result.success
    (health,) = [found for found in result.get_asset_check_evaluations() if found.check_name == "health"]
    assert not health.passed
    assert "impressions" in health.metadata["stops"].value
    assert not (tmp_path / "data" / "tiny" / "encoded").exists()


def test_the_environment_says_what_is_run(nightly: ModuleType, tmp_path: Path) -> None:
    environment = {"RECSYS_PIPELINE": str(PIPELINES / "tiny.toml"), "RECSYS_WORKSPACE": str(tmp_path), "RECSYS_FIRST_NIGHT": NIGHTS[1]}
    definitions = nightly.of_environment(environment)
    assert definitions.resolve_job_def("nightly").partitions_def.get_first_partition_key() == NIGHTS[1]
    with pytest.raises(KeyError, match="RECSYS_PIPELINE"):
        nightly.of_environment({})
