"""`[tracking] mlflow`: a run with its page is a run of MLflow too, read back from its store."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from recsys import artifacts, tracking
from recsys.cli import run_command
from recsys.report.pages import page
from recsys.runs import pipeline_of

from .conftest import PIPELINES

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # of MLflow's own queries
TINY = str(PIPELINES / "tiny.toml")


@pytest.fixture
def mine(tiny: Path, tmp_path: Path) -> Path:
    """The run "first", in a workspace of this test's own."""
    shutil.copytree(tiny, tmp_path / "data" / "tiny")
    return tmp_path / "data" / "tiny" / "runs" / "first"


def track(run: Path, uri: str, *more: str, verb: str = "run") -> int:
    words = [verb, TINY, "--workspace", str(run.parents[2]), "--run", "first", "--set", f'tracking.mlflow="{uri}"']
    return run_command([*words, *more])


def runs_in(uri: str, experiment: str = "tiny") -> list[Any]:
    client = MlflowClient(uri)
    known = client.get_experiment_by_name(experiment)
    return [] if known is None else list(client.search_runs([known.experiment_id]))


@pytest.mark.words
def test_a_store_holds_the_run_once(mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert track(mine, uri) == 0
    said = capsys.readouterr().out
    assert "train: fresh" in said, "where a run is kept makes no other run"
    assert f"track: first stands in the experiment tiny of {uri}" in said
    (found,) = runs_in(uri)
    where = json.loads((mine / "tracked.json").read_text(encoding="utf-8"))
    assert where == {"store": uri, "experiment": "tiny", "run": "first", "id": found.info.run_id}
    assert (found.info.run_name, found.info.status) == ("first", "FINISHED")
    assert (found.data.params["train.order"], found.data.params["objective.click.label"]) == ("time", "clicked = 1")
    assert json.loads(found.data.params["split.train"]) == ["2024-01-02", "2024-01-03"]
    frame = artifacts.read_table(mine / "metrics.parquet").to_pandas()
    whole = frame[(frame["split"] == "test") & frame["day"].isna() & (frame["slice"] == "all") & (frame["run"] == "first")]
    for objective, metric, key in (
        ("click", "auc", "test/click/auc"),
        ("watch_time", "captured@10%", "test/watch_time/captured at 10 percent"),
    ):
        rows = whole[(whole["objective"] == objective) & (whole["metric"] == metric)]
        (own,) = rows[rows["against"].isna()].to_dict("records")
        (gained,) = rows[rows["against"].str.startswith("gbdt", na=False)].to_dict("records")
        for name, row in ((key, own), (f"{key} minus gbdt", gained)):
            for part, value in (("", row["value"]), (" low", row["low"]), (" high", row["high"])):
                assert found.data.metrics[f"{name}{part}"] == value

    assert track(mine, uri) == 0
    assert f"track: fresh ({uri})" in capsys.readouterr().out
    assert track(mine, uri, "--set", "evaluate.bootstrap=150", "--quiet") == 0
    (again,) = runs_in(uri)
    assert again.info.run_id != found.info.run_id, "its intervals are others"


@pytest.mark.words
def test_two_machines_with_one_path_and_one_store_keep_their_runs(mine: Path, tmp_path: Path) -> None:
    uri, elsewhere = f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "elsewhere"
    assert track(mine, uri, "--quiet") == 0
    (tmp_path / "data").rename(elsewhere)
    shutil.copytree(elsewhere, tmp_path / "data")
    for made in (mine / "tracked.json", mine.parents[1] / "tracking.json"):
        artifacts.remove(made)
    assert track(mine, uri, "--quiet") == 0
    assert len(runs_in(uri)) == 2
    assert track(mine, uri, "--set", "evaluate.bootstrap=150", "--quiet") == 0
    assert len(runs_in(uri)) == 2, "its own run before is deleted"


@pytest.mark.words
def test_days_page_and_model_stand_in_the_store(mine: Path, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert track(mine, uri, "--set", 'tracking.experiment="watch next"', "--quiet") == 0
    (found,) = runs_in(uri, "watch next")
    client = MlflowClient(uri)
    rows = artifacts.read_table(mine / "progressive.parquet").to_pandas()
    rows = rows[(rows["objective"] == "like") & (rows["metric"] == "auc")]
    history = client.get_metric_history(found.info.run_id, "progressive/like/auc")
    days = [pd.Timestamp(entry.timestamp, unit="ms").date().isoformat() for entry in history]
    assert (days, [entry.value for entry in history]) == (rows["day"].tolist(), rows["value"].tolist())
    assert [entry.step for entry in history] == [(pd.Timestamp(day) - pd.Timestamp("2024-01-02")).days for day in days]
    folder = Path(found.info.artifact_uri.removeprefix("file://"))
    assert folder.is_relative_to(tmp_path / "mlartifacts")
    for name in ("report.html", "config.json", "model/model.safetensors"):
        assert (folder / name).read_bytes() == (mine / name).read_bytes()


@pytest.mark.words
@pytest.mark.parametrize("error", [OSError("413 Client Error"), ModuleNotFoundError("No module named 'boto3'")])
def test_a_store_that_refuses_files_ends_with_a_message(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(MlflowClient, "log_artifact", refuse)
    assert track(mine, f"sqlite:///{tmp_path / 'runs.db'}", "--quiet") == 4
    assert f"did not take the run ({error}). Fix: mend the address or the store" in capsys.readouterr().err


@pytest.mark.words
def test_a_store_that_is_not_there_ends_with_a_message_and_the_run_stands(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert track(mine, "http://127.0.0.1:9", "--quiet") == 4
    said = capsys.readouterr().err
    assert "tracking.mlflow: found that http://127.0.0.1:9 did not take the run" in said
    assert "only this is left to do" in said
    assert (mine / "report.html").exists()
    assert not (mine / "tracked.json").exists()
    (tmp_path / "a file").touch()
    assert track(mine, f"sqlite:///{tmp_path}/a file/mlflow.db", "--quiet") == 4
    assert track(mine, f"sqlite:///{tmp_path}/mlflow.db", "--quiet") == 0


def test_a_missing_library_is_said_before_anything_is_learned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    words = ["run", TINY, "--workspace", str(tmp_path), "--set", 'tracking.mlflow="sqlite:///x.db"']
    assert run_command(words) == 2
    assert 'Fix: pip install -e ".[mlflow]" in the checkout' in capsys.readouterr().err
    assert not (tmp_path / "tiny" / "events").exists()


def test_nothing_is_tracked_unless_that_is_asked_for(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["track", TINY, "--workspace", str(mine.parents[2]), "--run", "first"]) == 0
    assert "track: not asked for" in capsys.readouterr().out


def test_a_password_is_refused_because_it_would_stand_in_each_run(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert track(mine, "https://me:secret@host:5000") == 2
    said = capsys.readouterr().err
    assert "tracking.mlflow: found a password, expected none" in said
    assert "secret" not in said
    assert track(mine, "postgresql://db/mlflow") == 2
    assert "found another address, expected sqlite:///FILE, or the http address of a server" in capsys.readouterr().err


def test_a_run_in_shuffled_order_has_no_days_of_a_former_training(tiny: Path) -> None:
    """Of a run in time order that was trained anew under its name, progressive.parquet may still lie there."""
    run = tiny / "runs" / "first"
    in_time = pipeline_of(run)
    shuffled = in_time.model_copy(update={"train": in_time.train.model_copy(update={"order": "shuffled"})})
    assert [bool(list(tracking._of_days(run, each))) for each in (in_time, shuffled)] == [True, False]
    assert [page._progressive(run, each) is not None for each in (in_time, shuffled)] == [True, False]


def test_columns_of_any_name_are_parameters_and_runs_of_one_kind_keep_their_names() -> None:
    found = tracking._named([("features.multi.Genre (all)", "|"), ("features.multi.Genre [all]", ","), ("a//b", "1")])
    assert found == {"features.multi.Genre _all_": "|", "features.multi.Genre _all__": ",", "a__b": "1"}
    assert tracking._called(["gbdt-1a2b", "night-a", "night-b"]) == {"gbdt-1a2b": "gbdt", "night-a": "night-a", "night-b": "night-b"}
    assert tracking._called(["a+b", "a_b", "mmoe-1"]) == {"a+b": "a_b", "a_b": "a_b_", "mmoe-1": "mmoe"}


def test_a_conditional_metric_has_no_name_of_another_objective() -> None:
    row = {"value": 0.5, "low": None, "high": None}
    names = [metric.key for name in ("like|click", "like_click") for metric in tracking._numbers(f"test/{name}/auc", row, 0, 0)]
    assert names == ["test/like given click/auc", "test/like_click/auc"]
