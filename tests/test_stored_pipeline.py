"""The config that a run holds is the config that it was made with, whatever was left to its default."""

import json
from pathlib import Path
from typing import Any

import pytest

from recsys import config
from recsys.stages import claim, known_config, run_identity, stored_pipeline

TABLES = """
[split]
train = ["2024-01-01", "2024-01-02"]
test = ["2024-01-03", "2024-01-03"]
[[objective]]
name = "click"
label = "clicked = 1"
"""
SOURCES = {  # each has an option that is refused beside another one, but not when it is left to its default
    "time.format": '[source]\nkind = "table"\nlog = "log.csv"\n[source.time]\nformat = "%d.%m.%Y"\nzone = "Europe/Berlin"',
    "separator of two bytes": '[source]\nkind = "table"\nlog = "log.dat"\n[source.format.log]\nseparator = "::"',
    "request_id": '[source]\nkind = "events"\nlog = "log.csv"\nviews = ["pv"]\n[source.columns]\nrequest_id = "list"\naction = "what"',
    "world": '[source]\nkind = "world"',
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))
def test_it_is_read_as_it_was_written(tmp_path: Path, source: str) -> None:
    (tmp_path / "feed.toml").write_text(source + TABLES)
    pipeline = config.load(tmp_path / "feed.toml", ["train.passes=3", "evaluate.bootstrap=10"])
    claim(tmp_path / "run", run_identity(pipeline), pipeline)
    known = known_config(tmp_path / "run")
    assert known is not None
    assert stored_pipeline(known) == pipeline
    assert known["written"]["train"] == {"passes": 3}
    assert config.with_table(pipeline, "fuse", {"maximise": "click"}).fuse.maximise == "click"


def test_a_study_leaves_the_config_of_a_run_that_it_shares_as_the_pipeline_wrote_it(tmp_path: Path) -> None:
    """Of other predictions, by another calibration, it is another config all the same."""
    (tmp_path / "feed.toml").write_text(SOURCES["world"] + TABLES)
    pipeline = config.load(tmp_path / "feed.toml")
    of_study = config.load(tmp_path / "feed.toml", ["evaluate.baselines=[]", "evaluate.bootstrap=50"])
    calibrated = of_study.model_copy(update={"evaluate": of_study.evaluate.model_copy(update={"calibrate": "isotonic"})})
    claim(tmp_path / "run", run_identity(of_study), of_study, keep=True)  # the first who trains it
    claim(tmp_path / "run", run_identity(pipeline), pipeline)
    written = known_config(tmp_path / "run")
    assert written is not None
    assert stored_pipeline(written) == pipeline
    claim(tmp_path / "run", run_identity(of_study), of_study, keep=True)
    assert known_config(tmp_path / "run") == written
    claim(tmp_path / "run", run_identity(calibrated), calibrated, keep=True)
    assert known_config(tmp_path / "run") != written


def test_a_default_that_has_changed_since_stays_what_it_was(tmp_path: Path) -> None:
    (tmp_path / "feed.toml").write_text(SOURCES["world"] + TABLES)
    pipeline = config.load(tmp_path / "feed.toml")
    claim(tmp_path / "run", run_identity(pipeline), pipeline)
    known: dict[str, Any] = json.loads(json.dumps(known_config(tmp_path / "run")))
    known["pipeline"]["train"]["batch_size"] = 77  # as if the default had been another one
    assert stored_pipeline(known).train.batch_size == 77
