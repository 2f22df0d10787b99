"""`recsys run --through DAY`, night after night, in time order: what each night makes, and that it ends as all days at once."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from recsys import artifacts, registry, scoring
from recsys.cli import run_command
from recsys.errors import EXIT_CONFIG
from recsys.runs import pipeline_of
from tests.staged import sign

from .conftest import PIPELINES

pytestmark = pytest.mark.words

TINY = str(PIPELINES / "tiny.toml")
SEVEN_DAYS = ["source.days=8", "train.warm_days=2", "features.ids=['item_id']", "features.min_count=2", "evaluate.baselines=[]"]
NIGHTS = ("2024-01-05", "2024-01-06", "2024-01-07")


def night(workspace: Path, day: str, *more: str) -> int:
    overrides = [part for key in SEVEN_DAYS for part in ("--set", key)]
    run = ["--run", f"night-{day}"] if "--run" not in more else []
    return run_command(["run", TINY, "--workspace", str(workspace), "--through", day, *overrides, *run, *more])


def made(log: str) -> dict[str, list[str]]:
    """Stage → the parts that it has made, by the log."""
    events: list[dict[str, Any]] = [json.loads(line) for line in log.splitlines()]
    return {event["stage"]: event["made"] for event in events if event.get("event") == "stage"}


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace after three nights. A test that makes a later one takes a copy."""
    workspace = tmp_path_factory.mktemp("nights")
    for day in NIGHTS:
        assert night(workspace, day, "--quiet", "--until", "score") == 0
    return workspace


def bytes_of(workspace: Path, *parts: str) -> dict[str, str]:
    """What the days of some folders hold, and the last night's model."""
    folder = workspace / "tiny"
    days = [path for part in parts for path in folder.glob(f"{part}/*/day=*")]
    found = {"/".join(path.parts[-3:]): artifacts.verify(path).content for path in days}
    model = artifacts.verify(folder / "runs" / f"night-{NIGHTS[-1]}" / "model")
    return found | {"model": model.content}


def test_nights_one_by_one_leave_the_bytes_of_one_command(nights: Path, tmp_path: Path) -> None:
    assert night(tmp_path, NIGHTS[-1], "--quiet", "--until", "score") == 0
    at_once, one_by_one = (bytes_of(workspace, "examples", "encoded") for workspace in (tmp_path, nights))
    assert at_once == one_by_one
    assert len(at_once) > 12
    scores = [workspace / "tiny" / "runs" / f"night-{NIGHTS[-1]}" / "predictions.parquet" for workspace in (tmp_path, nights)]
    assert artifacts.read_table(scores[0]).equals(artifacts.read_table(scores[1]))
    journals = [workspace / "tiny" / "runs" / f"night-{NIGHTS[-1]}" / "training.jsonl" for workspace in (tmp_path, nights)]
    assert journals[0].read_bytes() == journals[1].read_bytes()


def test_a_night_makes_its_own_day_and_learns_one(nights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(nights / "tiny", tmp_path / "tiny")
    assert night(tmp_path, "2024-01-08", "--until", "score", "--log", "json") == 0
    log = capsys.readouterr().out
    found = made(log)
    assert (found["ingest"], found["features"], found["encode"]) == ([], ["2024-01-08"], ["2024-01-08"])
    assert "train: goes on from the state of 2024-01-06, 1 day left to learn" in log


def test_a_day_that_was_predicted_before_it_was_learned_is_judged_as_the_night_that_was_tested_on_it(nights: Path) -> None:
    """Night D is tested on D by a model of the days before. Night D+1 learns D, and has predicted it before from the same state."""
    for day, following in (("2024-01-05", "2024-01-06"), ("2024-01-06", "2024-01-07")):
        for each in (day, following):
            assert night(nights, each, "--quiet", "--until", "progressive") == 0
        runs = nights / "tiny" / "runs"
        tested = artifacts.read_table(runs / f"night-{day}" / "metrics.parquet").to_pandas()
        progressive = artifacts.read_table(runs / f"night-{following}" / "progressive.parquet").to_pandas()
        tested = tested[(tested["split"] == "test") & tested["day"].isna() & (tested["slice"] == "all")]
        keys, numbers = ["objective", "metric"], ["value", "low", "high", "n", "n_positive"]
        both = tested.merge(progressive[progressive["day"] == day], on=keys, suffixes=("", "_before"))
        assert {("click", "auc"), ("like", "gauc_list"), ("watch_time", "xauc"), ("watch_time", "calibration")} <= set(
            both[keys].itertuples(index=False, name=None)
        )
        for name in numbers:
            np.testing.assert_allclose(both[name].astype(float), both[f"{name}_before"].astype(float), rtol=1e-6)
        assert set(progressive["run"]) == {f"night-{following}"}
        assert "2024-01-03" not in set(progressive["day"]), "a warm day"


def test_a_night_judges_the_new_day_alone(nights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(nights / "tiny", tmp_path / "tiny")
    assert night(tmp_path, NIGHTS[-1], "--quiet", "--until", "progressive") == 0
    assert night(tmp_path, "2024-01-08", "--until", "progressive", "--log", "json") == 0
    assert made(capsys.readouterr().out)["progressive"] == ["2024-01-07", "progressive"]


def test_the_page_shows_each_day_before_it_was_learned(nights: Path) -> None:
    assert night(nights, NIGHTS[-1], "--quiet") == 0
    html = (nights / "tiny" / "runs" / f"night-{NIGHTS[-1]}" / "report.html").read_text(encoding="utf-8")
    assert "Predicted before learned" in html
    assert "Each day before it was learned: 3 lines" in html


def test_a_training_with_fewer_days_than_warm_ones_keeps_its_states_apart(nights: Path, tmp_path: Path) -> None:
    """Its encoder is another one. A day that it predicted is not shown either where states do lie together, as after a missing day."""
    shutil.copytree(nights / "tiny", tmp_path / "tiny")
    (ours,) = (tmp_path / "tiny" / "learned").iterdir()
    before = sorted(path.relative_to(ours) for path in ours.rglob("*"))
    split = {"train": "2024-01-02", "validation": "2024-01-03", "test": "2024-01-04"}
    shorter = [part for name, day in split.items() for part in ("--set", f'split.{name}=["{day}", "{day}"]')]
    assert night(tmp_path, "2024-01-04", "--quiet", "--until", "score", *shorter) == 0
    assert sorted(path.relative_to(ours) for path in ours.rglob("*")) == before
    (other,) = (path for path in (tmp_path / "tiny" / "learned").iterdir() if path != ours)
    predicted = Path("predicted") / "day=2024-01-03"
    shutil.copytree(other / predicted, ours / predicted)
    assert night(tmp_path, NIGHTS[-1], "--quiet", "--until", "progressive") == 0
    progressive = artifacts.read_table(tmp_path / "tiny" / "runs" / f"night-{NIGHTS[-1]}" / "progressive.parquet")
    assert "2024-01-03" not in progressive["day"].to_pylist()


def test_a_corrected_day_is_said_and_learned_again_where_that_is_asked_for(
    nights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(nights / "tiny", tmp_path / "tiny")
    before = bytes_of(tmp_path)
    correct(tmp_path, "2024-01-05")
    corrected = "found other rows of 2024-01-05 than were learned, expected the same. They are not learned again"
    for _ in range(2):
        assert night(tmp_path, NIGHTS[-1], "--until", "score") == 0
        assert bytes_of(tmp_path) == before, "the model that stands"
        capsys.readouterr()
        assert night(tmp_path, "2024-01-08", "--until", "train") == 0
        assert corrected in capsys.readouterr().out, "it is said each night"
        shutil.rmtree(tmp_path / "tiny" / "runs" / "night-2024-01-08")
    assert night(tmp_path, NIGHTS[-1], "--until", "score", "--from", "2024-01-05") == 0
    said = capsys.readouterr().out
    assert "train: dropped the states from 2024-01-05 on" in said
    assert "train: goes on from the state of 2024-01-04, 2 days left to learn" in said
    again = bytes_of(tmp_path)
    assert again != before
    assert night(tmp_path, NIGHTS[-1], "--until", "score", "--from", "2024-01-05") == 0
    assert "all days are learned as they are now, so nothing is learned again" in capsys.readouterr().out
    assert bytes_of(tmp_path) == again, "no state is dropped"
    shutil.rmtree(tmp_path / "tiny" / "learned")
    shutil.rmtree(tmp_path / "tiny" / "runs")
    assert night(tmp_path, NIGHTS[-1], "--until", "score") == 0
    assert bytes_of(tmp_path) == again, "as if the day had always been so"
    assert night(tmp_path, NIGHTS[-1], "--from", "2024-01-05", "--set", "train.order=shuffled", "--run", "other") == EXIT_CONFIG
    assert 'train.order = "shuffled", expected "time"' in capsys.readouterr().err


def test_answers_that_come_after_their_labels_were_to_be_learned_are_said_and_learned_where_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels of an impression are known 30 hours after it: those of 4 January on the 5th and the 6th."""
    late = ("--set", "features.label_delay=30h", "--until", "progressive")
    assert night(tmp_path, "2024-01-08", *late) == 0
    before = bytes_of_model(tmp_path)
    correct(tmp_path, "2024-01-04")
    assert night(tmp_path, "2024-01-08", *late) == 0
    assert bytes_of_model(tmp_path) == before, "the model that stands"
    (path,) = (tmp_path / "tiny" / "runs").glob("*/progressive.parquet")
    assert "2024-01-05" in artifacts.read_table(path)["day"].to_pylist(), "its rows are those that were predicted"
    said = capsys.readouterr().out
    warning = "train: warning: found other labels that became known on {} than were learned with these days"
    assert warning.format("2024-01-05, 2024-01-06") in said
    assert "--from 2024-01-05" in said
    assert "found other rows" not in said
    assert night(tmp_path, "2024-01-08", *late, "--from", "2024-01-06") == 0
    assert warning.format("2024-01-05") in capsys.readouterr().out, "of the 6th they are learned now"
    half = bytes_of_model(tmp_path)
    assert night(tmp_path, "2024-01-08", *late, "--from", "2024-01-06") == 0
    assert "all days are learned as they are now, so nothing is learned again" in capsys.readouterr().out
    assert night(tmp_path, "2024-01-08", *late, "--from", "2024-01-05") == 0
    assert warning.format("2024-01-05") not in capsys.readouterr().out
    again = bytes_of_model(tmp_path)
    assert len({before, half, again}) == 3
    for folder in ("learned", "runs"):
        shutil.rmtree(tmp_path / "tiny" / folder)
    assert night(tmp_path, "2024-01-08", *late, "--quiet") == 0
    assert bytes_of_model(tmp_path) == again, "as if they had always been there"


def bytes_of_model(workspace: Path) -> str:
    return artifacts.verify(workspace / "tiny" / "runs" / "night-2024-01-08" / "model").content


def test_a_day_that_has_changed_is_left_out_of_what_was_predicted_until_it_is_learned_again(
    nights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With fewer rows, what was predicted would be of other rows."""
    shutil.copytree(nights / "tiny", tmp_path / "tiny")
    (path,) = (tmp_path / "tiny" / "examples").glob("*/day=2024-01-05/part-0.parquet")
    pq.write_table(artifacts.read_table(path).slice(3), path)
    sign(path)
    assert night(tmp_path, "2024-01-08", "--until", "progressive") == 0
    assert "progressive: left out, because they have other rows than were learned: 2024-01-05" in capsys.readouterr().out
    rows = artifacts.read_table(tmp_path / "tiny" / "runs" / "night-2024-01-08" / "progressive.parquet").to_pandas()
    assert set(rows["day"]) == {"2024-01-04", "2024-01-06", "2024-01-07"}
    assert night(tmp_path, "2024-01-08", "--until", "progressive", "--from", "2024-01-05", "--quiet") == 0
    rows = artifacts.read_table(tmp_path / "tiny" / "runs" / "night-2024-01-08" / "progressive.parquet").to_pandas()
    assert set(rows["day"]) == {"2024-01-04", "2024-01-05", "2024-01-06", "2024-01-07"}


def correct(workspace: Path, day: str) -> None:
    """Give the labels of a day's examples to other impressions of the day."""
    (path,) = (workspace / "tiny" / "examples").glob(f"*/day={day}/part-0.parquet")
    table = artifacts.read_table(path)
    order = pa.array(np.random.default_rng(0).permutation(len(table)))
    for name in [name for name in table.column_names if name.startswith(("label.", "known."))]:
        table = table.set_column(table.column_names.index(name), name, table[name].take(order))
    pq.write_table(table, path)
    sign(path)


def test_a_promotion_also_counts_days_as_they_were_predicted_before_they_were_learned(nights: Path, tmp_path: Path) -> None:
    """As far as the current model does not know them. On each of these days that is what the night that was tested on it has predicted."""
    shutil.copytree(nights / "tiny", tmp_path / "tiny")
    runs, rules = (
        tmp_path / "tiny" / "runs",
        ("--set", "promote.days=6", "--set", "promote.min_positives=20", "--set", "promote.margin=1", "--set", "promote.calibration=9"),
    )
    for day in NIGHTS:
        assert night(tmp_path, day, "--quiet", "--until", "score", *rules) == 0
    for day in (NIGHTS[0], NIGHTS[2]):
        assert run_command(["promote", f"night-{day}", "--workspace", str(tmp_path), "--quiet"]) == 0
    decision = registry.decisions(tmp_path / "tiny")[-1]
    assert decision["current before"] == f"night-{NIGHTS[0]}"
    assert decision["predicted_before_learned"] == list(NIGHTS[:2]), "it has learned 2024-01-04"
    assert decision["days"] == [NIGHTS[0], NIGHTS[2]]
    predicted = [artifacts.read_table(runs / f"night-{day}" / "predictions.parquet").to_pandas() for day in NIGHTS]
    ours = pd.concat([table[table["day"] == day] for table, day in zip(predicted, NIGHTS, strict=True)])
    current = runs / f"night-{NIGHTS[0]}"
    (examples,) = (tmp_path / "tiny" / "examples").glob("*")
    theirs = scoring.score_frozen(pipeline_of(current), examples, current, NIGHTS).to_pandas()
    assert theirs["event_id"].tolist() == ours["event_id"].tolist()
    assert decision["rows"] == len(ours)
    (vote,) = [vote for vote in decision["objectives"] if vote["objective"] == "click"]
    aucs = [roc_auc_score(table["label.click"], table["rank.click"]) for table in (ours, theirs)]
    assert vote["difference"] == pytest.approx(aucs[0] - aucs[1], abs=1e-6)
    assert vote["calibration"] == pytest.approx(ours["pred.click"].sum() / ours["label.click"].sum(), rel=1e-6)


def test_runs_that_share_their_days_do_not_stand_in_each_others_way(tmp_path: Path) -> None:
    overrides = [part for key in SEVEN_DAYS for part in ("--set", key)]
    words = ["sweep", TINY, "--workspace", str(tmp_path), "--over", "train.refit=true,false", "--seeds", "1", "--jobs", "2", "--quiet"]
    command = [sys.executable, "-m", "recsys", *words, *overrides, "--set", "model.members=1"]  # --jobs bounds a process for good
    subprocess.run(command, check=True, timeout=600)


def test_states_go_when_no_run_needs_them(nights: Path, tmp_path: Path) -> None:
    shutil.copytree(nights / "tiny", tmp_path / "tiny")
    states = tmp_path / "tiny" / "learned"
    prune = ["prune", TINY, "--workspace", str(tmp_path), "--keep", "0h", "--yes"]
    assert run_command(prune) == 0
    assert len(list(states.glob("*/day=*"))) > 3
    shutil.rmtree(tmp_path / "tiny" / "runs")
    assert run_command(prune) == 0
    assert not list(states.glob("[!.]*"))


def test_a_state_that_is_damaged_is_found_and_mended(nights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(nights / "tiny", tmp_path / "tiny")
    (path,) = (tmp_path / "tiny" / "learned").glob("*/day=2024-01-06/member-0.safetensors")
    path.write_bytes(path.read_bytes()[:-5] + b"other")
    verify = ["verify", TINY, "--workspace", str(tmp_path), "--run", f"night-{NIGHTS[-1]}", "--through", NIGHTS[-1]]
    verify += [part for key in SEVEN_DAYS for part in ("--set", key)]
    assert run_command(verify) == 4
    said = capsys.readouterr().err
    assert "member-0.safetensors" in said
    assert "made by the stage train" in said
    assert run_command([*verify, "--repair", "--quiet"]) == 0
    assert not path.exists(), "the model stands, so nothing asks for it; the next night goes on from the day before"
    said = capsys.readouterr().out
    assert f"{path} was removed and is not there again" in said, "also where messages are quiet"
    assert said.rstrip().endswith("The next training goes on from the state of 2024-01-05")


def test_a_stage_alone_takes_the_night_that_run_took(nights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """*evaluate* too, whose verb reads other systems' scores besides; these have no split to move."""
    shutil.copytree(nights / "tiny", tmp_path / "tiny")
    of_night = ["--workspace", str(tmp_path), "--run", f"night-{NIGHTS[-1]}", "--through", NIGHTS[-1]]
    of_night += [part for key in SEVEN_DAYS for part in ("--set", key)]
    for stage in ("score", "evaluate"):
        assert run_command([stage, TINY, *of_night]) == 0
    run = tmp_path / "tiny" / "runs" / f"night-{NIGHTS[-1]}"
    judged, scored = (artifacts.read_table(run / name) for name in ("metrics.parquet", "predictions.parquet"))
    tested, of_test = (table.filter(pc.equal(table["split"], "test")) for table in (judged, scored))
    assert set(of_test["day"].to_pylist()) == {NIGHTS[-1]}
    assert max(tested["n"].to_pylist()) == len(of_test)
    capsys.readouterr()
    assert run_command(["evaluate", TINY, "--predictions", "x.csv", "--out", str(tmp_path / "theirs"), "--through", NIGHTS[-1]]) == 2
    assert "--through: found beside --predictions" in capsys.readouterr().err


def test_a_damaged_day_beyond_the_split_is_left_to_the_night_that_needs_it(
    nights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(nights / "tiny", tmp_path / "tiny")
    (path,) = (tmp_path / "tiny" / "examples").glob("*/day=2024-01-07/part-0.parquet")
    path.write_bytes(path.read_bytes()[:-5] + b"other")
    verify = ["verify", TINY, "--workspace", str(tmp_path), "--run", f"night-{NIGHTS[1]}", "--through", NIGHTS[1], "--repair", "--quiet"]
    assert run_command([*verify, *(part for key in SEVEN_DAYS for part in ("--set", key))]) == 0
    assert capsys.readouterr().out.rstrip().endswith("nothing needs it now. The next `recsys run` that needs it makes it again")


@pytest.mark.parametrize("members", ["1", "2"])
def test_a_day_whose_predictions_are_damaged_is_judged_no_more(members: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The mean of the members that are left would be another model's; without any the stage ended in a bug."""
    tiny = [TINY, "--workspace", str(tmp_path), "--run", "first", "--set", "evaluate.baselines=[]", "--set", f"model.members={members}"]
    assert run_command(["run", *tiny, "--quiet"]) == 0
    (path,) = (tmp_path / "tiny" / "learned").glob("*/predicted/day=2024-01-04/member-0.parquet")
    path.write_bytes(path.read_bytes()[:-5] + b"other")
    capsys.readouterr()
    assert run_command(["verify", *tiny, "--repair"]) == 0
    said = capsys.readouterr().out
    assert "left out, because what was predicted of them is no longer there: 2024-01-04" in said
    assert said.rstrip().endswith("How this day was predicted before it was learned is no longer judged")
    assert run_command(["verify", *tiny]) == 0
    rows = artifacts.read_table(tmp_path / "tiny" / "runs" / "first" / "progressive.parquet")
    assert not rows.num_rows


def test_a_lost_journal_of_a_day_is_said_and_ends_no_night(nights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(nights / "tiny", tmp_path / "tiny")
    for path in (tmp_path / "tiny" / "learned").glob("*/journals/day=2024-01-0[34]"):
        shutil.rmtree(path)
    shutil.rmtree(tmp_path / "tiny" / "runs" / f"night-{NIGHTS[-1]}")
    assert night(tmp_path, NIGHTS[-1], "--until", "train") == 0
    said = capsys.readouterr().out
    assert "warning: found no journal of 2024-01-03 and 1 more in " in said
    journal = (tmp_path / "tiny" / "runs" / f"night-{NIGHTS[-1]}" / "training.jsonl").read_text(encoding="utf-8")
    assert list(dict.fromkeys(json.loads(line)["day"] for line in journal.splitlines())) == ["2024-01-02", "2024-01-05", "2024-01-06"]
