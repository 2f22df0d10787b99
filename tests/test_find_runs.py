"""Runs by their names: anywhere in the workspace, or in the pipeline of the first one."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys import artifacts
from recsys.errors import ConfigError
from recsys.found_runs import find_run, find_runs, is_made_of
from recsys.progress import Console
from recsys.runs import list_runs
from recsys.workspace import METRICS, MODEL, PREDICTIONS, UNCALIBRATED


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The pipelines `feed` and `shop`. Both have a run `gbdt`."""
    for pipeline, names in {"feed": ("mmoe", "gbdt"), "shop": ("ple", "gbdt")}.items():
        for name in names:
            (tmp_path / pipeline / "runs" / name).mkdir(parents=True)
            (tmp_path / pipeline / "runs" / name / PREDICTIONS).touch()
    return tmp_path


def test_names_after_the_first_are_of_its_pipeline(workspace: Path) -> None:
    found = find_runs(["ple", "gbdt"], workspace, file=PREDICTIONS)
    assert [path.relative_to(workspace).parts[0] for path in found] == ["shop", "shop"]
    with pytest.raises(ConfigError, match=r"gbdt: found in .*feed.*, .*shop.*, expected one"):
        find_runs(["gbdt", "ple"], workspace, file=PREDICTIONS)


def test_what_is_offered_can_be_compared(workspace: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        find_runs(["mmoe", "ple"], workspace, file=PREDICTIONS)
    found, fix = str(raised.value).split(". Fix: ")
    assert found == '"ple": found no scored run of that name of the pipeline feed; there are: gbdt, mmoe'
    assert fix == "name one of them; recsys runs shows how far each is"
    with pytest.raises(ConfigError, match="there are: gbdt, mmoe, ple"):
        find_run("nothing", workspace, file=PREDICTIONS)


def test_a_path_names_any_run(workspace: Path) -> None:
    path = str(workspace / "shop" / "runs" / "ple")
    assert find_runs(["mmoe", path], workspace, file=PREDICTIONS)[1] == Path(path)


def test_a_run_that_lacks_what_is_asked_for_is_told_from_one_that_is_not_there(workspace: Path) -> None:
    run = workspace / "feed" / "runs" / "gbdt"
    for name in ("gbdt", str(run)):
        with pytest.raises(
            ConfigError, match=rf"{run.parent}/gbdt: found no model, expected a run that is trained: it is a baseline, or"
        ) as raised:
            find_run(name, workspace, file=MODEL)
        assert str(raised.value).endswith("there are: none. Fix: recsys run PIPELINE.toml makes one; --workspace says where runs are")
    (workspace / "shop" / "runs" / "ple" / MODEL).mkdir()
    (run / PREDICTIONS).unlink()
    with pytest.raises(
        ConfigError,
        match=r"is trained: it was not run to its end; there are: ple\. Fix: recsys run PIPELINE\.toml, as it was begun, ",
    ):
        find_run(str(run), workspace, file=MODEL)
    with pytest.raises(ConfigError, match=r'"gb[*]": found no scored run of that name'):
        find_run("gb*", workspace, file=PREDICTIONS)


def test_a_file_that_goes_while_runs_are_listed_is_passed_over(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a link that leads nowhere: its name is found, and nothing stands there."""
    run = workspace / "feed" / "runs" / "mmoe"
    (run / "config.json").touch()
    (run / ".metrics.parquet.7.draft").symlink_to(run / "gone")
    list_runs(workspace, Console())
    assert "mmoe" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("place", "found", "fix"),
    [
        (
            "elsewhere/candidates.csv",
            "a file, expected a run that is scored, such as data/NAME/runs/RUN; there are: gbdt, mmoe, ple",
            "one of",
        ),
        (
            "elsewhere/empty",
            "an empty folder, expected a run that is scored, such as data/NAME/runs/RUN; there are: gbdt, mmoe, ple",
            "one of",
        ),
        (
            ".",
            "a folder that holds 4 runs, expected a run",
            "one of them, {0}/feed/runs/gbdt, {0}/feed/runs/mmoe, {0}/shop/runs/gbdt, {0}/shop",
        ),
        ("feed", "a folder that holds 2 runs, expected a run", "one of them, {0}/feed/runs/gbdt, {0}/feed/runs/mmoe"),
        ("feed/runs", "a folder that holds 2 runs, expected a run", "one of them, {0}/feed/runs/gbdt, {0}/feed/runs/mmoe"),
        ("feed/events", "a folder of the pipeline feed, expected a run", "one of them, {0}/feed/runs/gbdt, {0}/feed/runs/mmoe"),
        ("shop/runs/ple/model", "a folder of the run ple, expected the run", "it, {0}/shop/runs/ple"),
        ("shop/runs/ple/predictions.parquet", "a file of the run ple, expected the run", "it, {0}/shop/runs/ple"),
    ],
)
def test_what_is_no_run_is_told_with_the_runs_that_were_meant(workspace: Path, place: str, found: str, fix: str) -> None:
    for folder in ("elsewhere/empty", "feed/events/day=2024-01-01", "shop/runs/ple/model/a"):
        (workspace / folder).mkdir(parents=True)
    (workspace / "elsewhere" / "candidates.csv").touch()
    with pytest.raises(ConfigError) as raised:
        find_run(str(workspace / place), workspace, file=PREDICTIONS)
    assert str(raised.value).startswith(f"{workspace / place}: found {found}. Fix: name {fix.format(workspace)}")


@pytest.mark.parametrize("given", ["feed", "feed/runs"])
def test_the_workspace_is_named_where_a_folder_in_it_was_given(workspace: Path, given: str, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace / "feed" / "runs" / "mmoe" / "config.json").touch()
    with pytest.raises(ConfigError, match=rf"there are: none\. Fix: --workspace {workspace}, which has runs"):
        find_run("mmoe", workspace / given, file=PREDICTIONS)
    list_runs(workspace / given, Console())
    assert capsys.readouterr().out == f"{workspace / given}: no runs; --workspace {workspace} has some\n"


def test_no_text_is_no_run(workspace: Path) -> None:
    with pytest.raises(ConfigError, match=r"RUN: found no text, expected .* Fix: recsys runs lists them"):
        find_run("", workspace, file=PREDICTIONS)


def test_a_file_of_that_name_hides_no_run(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mmoe").touch()
    assert find_run("mmoe", workspace, file=PREDICTIONS) == workspace / "feed" / "runs" / "mmoe"


def test_what_a_file_of_a_run_is_made_of(tmp_path: Path) -> None:
    """Of a run by its name, or by an earlier one; metrics name the predictions of baselines, too."""
    run = tmp_path / "mine"
    contents = {}
    for name in (MODEL, PREDICTIONS):
        artifacts.write_file(run / name, lambda draft, name=name: pq.write_table(pa.table({name: [1]}), draft), stage="any", fingerprint="")
        contents[name] = artifacts.verify(run / name).content
    for inputs, source, expected in (
        ({f"mine/{MODEL}": contents[MODEL]}, MODEL, True),
        ({f"mine/{MODEL}": "another"}, MODEL, False),
        ({f"renamed/{MODEL}": contents[MODEL]}, MODEL, True),
        ({f"renamed/{MODEL}": "another"}, MODEL, False),
        ({"predicted": contents[MODEL]}, MODEL, None),
        ({f"mine/{PREDICTIONS}": "another", f"gbdt/{PREDICTIONS}": contents[PREDICTIONS]}, PREDICTIONS, False),
        ({f"renamed/{PREDICTIONS}": "another", f"gbdt/{PREDICTIONS}": contents[PREDICTIONS]}, PREDICTIONS, None),
        ({f"mine/{UNCALIBRATED}": "gone"}, UNCALIBRATED, None),
    ):
        artifacts.write_file(
            run / METRICS, lambda draft: pq.write_table(pa.table({"n": [1]}), draft), stage="any", fingerprint="", inputs=inputs
        )
        assert is_made_of(run, METRICS, source) is expected, inputs
