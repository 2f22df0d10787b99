"""What commands print: messages and results, as text and as JSON."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recsys import schema
from recsys.cli import run_command
from tests.pipelines.conftest import PIPELINES
from tests.staged import sign

TINY = str(PIPELINES / "tiny.toml")


def _json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict:
    """The one object on stdout."""
    capsys.readouterr()
    assert run_command(arguments) == code
    return json.loads(capsys.readouterr().out)


def test_show_gives_the_rows_of_metrics(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _json(capsys, "show", "first", "--workspace", str(tiny.parent), "--json")
    rows = pq.read_table(tiny / "runs" / "first" / "metrics.parquet")
    assert found["run"] == "first"
    assert len(found["rows"]) == len(rows)
    assert list(found["rows"][0]) == schema.METRICS.names
    assert found["rows"][0]["value"] == rows["value"][0].as_py()


def test_compare_gives_differences_and_status_gives_stages(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    baseline = next(path.name for path in (tiny / "runs").iterdir() if path.name.startswith("gbdt"))
    found = _json(capsys, "compare", "first", baseline, "--workspace", str(tiny.parent), "--json")
    assert {row["run"] for row in found["rows"]} == {"first", baseline}
    assert list(found["rows"][0]) == schema.COMPARISON.names
    stages = _json(capsys, "status", TINY, "--workspace", str(tiny.parent), "--run", "first", "--json")["stages"]
    assert [stage["stage"] for stage in stages][:2] == ["ingest", "features"]
    assert {"stage", "state", "because"} == set(stages[0])


def _documented(command: str) -> tuple[set[str], set[str]]:
    """The fields of a result, and of each of its rows, as the runbook names them."""
    section = (PIPELINES.parent / "docs" / "runbook.md").read_text(encoding="utf-8").split("## A result for programs")[1]
    (line,) = re.findall(rf"^\| [^|]*`{command}`[^|]* \|(.+?)\|(.+?)\|$", section, re.MULTILINE)
    whole, row = ({name for name in re.findall("`([^`]+)`", cell) if "/" not in name} for cell in line)
    return whole, row


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("runs", []),
        ("status", [TINY, "--run", "first"]),
        ("show", ["first"]),
        ("compare", ["first", "BASELINE"]),
        ("health", [TINY, "--set", "checks.warn.rows=1.0001"]),
        ("check", [TINY]),
    ],
)
def test_the_runbook_names_the_fields_of_results(tiny: Path, capsys: pytest.CaptureFixture[str], command: str, words: list[str]) -> None:
    baseline = next(path.name for path in (tiny / "runs").iterdir() if path.name.startswith("gbdt"))
    place = [] if command == "check" else ["--workspace", str(tiny.parent)]
    found = _json(capsys, command, *(baseline if word == "BASELINE" else word for word in words), *place, "--json")
    whole, row = _documented(command)
    assert set(found) == whole
    rows = [each for value in found.values() if isinstance(value, list) for each in value]
    assert rows
    assert {name for each in rows if isinstance(each, dict) for name in each} == row


def test_the_runbook_names_the_fields_of_decisions(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(tiny, tmp_path / "tiny")
    shutil.rmtree(tmp_path / "tiny" / "models", ignore_errors=True)
    shutil.copytree(tmp_path / "tiny" / "runs" / "first", tmp_path / "tiny" / "runs" / "second")
    place = ["--workspace", str(tmp_path), "--json"]
    judged = _json(capsys, "promote", "first", *place)
    decisions = [judged, _json(capsys, "promote", "second", "--because", "a test", *place), _json(capsys, "rollback", TINY, *place)]
    whole, row = _documented("promote")
    assert _documented("rollback") == (whole, row)
    assert {name for decision in decisions for name in decision} == whole
    assert {name for vote in judged["objectives"] for name in vote} == row


def test_compare_asks_for_the_same_impressions_of_the_judged_days_alone(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An older model, tested on today's days, has other validation days."""
    shutil.copytree(tiny, tmp_path / "tiny")
    older = Path(shutil.copytree(tmp_path / "tiny" / "runs" / "first", tmp_path / "tiny" / "runs" / "older"))
    table = pq.read_table(older / "predictions.parquet")
    pq.write_table(table.filter(pc.equal(table["split"], "test")), older / "predictions.parquet")
    (older / "_manifest.predictions.parquet.json").unlink()
    sign(older / "predictions.parquet")
    found = _json(capsys, "compare", "first", "older", "--workspace", str(tmp_path), "--json")
    differences = [row["difference"] for row in found["rows"] if row["run"] == "older" and row["difference"] is not None]
    assert differences
    assert not any(differences)


@pytest.mark.words
def test_check_gives_its_findings_and_keeps_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _json(capsys, "check", TINY, "--json")
    (few,) = found["warnings"]
    assert few.startswith("objective.like: found 65 rows with the rarer answer on the test days, by as many users as ")
    assert (found["config"], found["data"]) == ([], [])
    assert any(line.startswith("log: ") for line in found["facts"])
    found = _json(capsys, "check", TINY, "--json", "--set", "features.slizes=[]", code=2)
    assert "features.slizes: unknown key" in found["config"][0]


def test_runs_are_listed(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {entry["run"]: entry for entry in _json(capsys, "runs", "--workspace", str(tiny.parent), "--json")["runs"]}
    first = found["first"]
    assert (first["pipeline"], first["architecture"], first["state"]) == ("tiny", "mmoe", "reported")
    assert {entry["architecture"] for name, entry in found.items() if name.startswith(("gbdt", "popularity"))} == {"baseline"}
    assert run_command(["runs", "--workspace", str(tiny.parent)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["pipeline", "run", "architecture", "state", "changed"]
    assert "first" in out


def test_a_workspace_without_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["runs", "--workspace", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == f"{tmp_path}: no runs"


def test_quiet_keeps_the_table_and_the_page(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["run", TINY, "--workspace", str(tiny.parent), "--run", "first", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "first: test"
    assert out.splitlines()[-1] == f"report: {tiny / 'runs' / 'first' / 'report.html'}"
    assert "ingest" not in out


@pytest.mark.words
@pytest.mark.parametrize("words", [["--help"], ["-h"], ["--version"], ["runs", "-h"]])
def test_short_answers(words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "recsys", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout


@pytest.mark.words
def test_the_shell_can_complete() -> None:
    environment = {"_RECSYS_COMPLETE": "complete_bash", "COMP_WORDS": "recsys ru", "COMP_CWORD": "1"}
    done = subprocess.run([sys.executable, "-c", "from recsys.cli import main; import sys; sys.argv[0] = 'recsys'; main()"],
                          capture_output=True, text=True, check=False, env={**os.environ, **environment})  # fmt: skip
    assert set(done.stdout.split()) == {"run", "runs"}


@pytest.mark.words
def test_a_log_of_objects_says_what_each_stage_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object per line, on stdout and on stderr; each stage and each day of features with rows, seconds and memory."""
    run = ["run", TINY, "--workspace", str(tmp_path), "--until", "features", "--log", "json"]
    assert run_command(run) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    first, second = [line for line in lines if line.get("event") == "stage"]
    assert (first["stage"], first["made"], first["fresh"]) == ("ingest", ["ingest"], 0)
    assert first["rows"]["read"] == sum(first["rows"].values()) - first["rows"]["read"] > 10_000
    assert (second["stage"], len(second["made"])) == ("features", 5)
    days = [line for line in lines if line.get("event") == "day"]
    assert [(line["day"], line["examples"]) for line in days][:2] == [("2024-01-01", False), ("2024-01-02", True)]
    assert sum(line["rows"] for line in days) == first["rows"]["kept"]
    assert sum(line["seconds"] for line in days) <= second["seconds"] <= first["seconds"] + second["seconds"]
    assert first["peak_mib"] <= second["peak_mib"]
    assert run_command([*run, "--set", "train.batch_size=0"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["level"] == "error"
    assert run_command(["run", TINY, "--set", "train.batch_size=0"]) == 2
    assert capsys.readouterr().err.startswith("error: ")  # the form of one command is not that of the next
