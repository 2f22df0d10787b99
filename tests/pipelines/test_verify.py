"""`recsys verify`: every damaged file is named, with the stage that makes it again, and `--repair` has it made again."""

import shutil
from pathlib import Path

import pytest

from recsys.cli import run_command

from .test_whole_path import TINY

pytestmark = pytest.mark.words  # whole runs, damaged and made again
FIRST = ["--run", "first", "--set", "evaluate.bootstrap=20", "--set", "evaluate.importance_rows=300"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of this file alone: other tests run the same pipeline with other options, and share its baselines."""
    workspace = tmp_path_factory.mktemp("finished")
    assert run_command(["run", TINY, *FIRST, "--workspace", str(workspace), "--quiet"]) == 0
    return workspace


@pytest.fixture
def mine(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "workspace"))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_whole_workspace_is_said_to_be_whole(mine: Path, capsys: pytest.CaptureFixture):
    """What is hidden is being written, by another job."""
    (mine / "tiny" / "runs" / "first" / ".metrics.parquet.123.draft").write_bytes(b"half")
    assert run_command(["verify", TINY, *FIRST, "--workspace", str(mine)]) == 0
    said = capsys.readouterr().out
    assert "are as they were written" in said
    assert "not compared" not in said


def test_files_that_have_lost_their_manifest_are_named(mine: Path, capsys: pytest.CaptureFixture):
    """As after half a copy. The list of decisions has no manifest, and is read by itself."""
    (mine / "tiny" / "raw" / "_manifest.json").unlink()
    assert run_command(["promote", "first", "--because", "a test", "--workspace", str(mine), "--quiet"]) == 0
    assert run_command(["verify", TINY, *FIRST, "--workspace", str(mine)]) == 0
    assert "verify: not compared: 5 files that no manifest names, such as raw/impressions.parquet." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("pattern", "stage"),
    [
        ("events/day=*/part-0.parquet", "ingest"),
        ("users/part-0.parquet", "ingest"),
        ("state/*/day=*/*.parquet", "features"),
        ("examples/*/day=*/part-0.parquet", "features"),
        ("encoded/*/encoder/vocabulary.parquet", "encode"),
        ("encoded/*/day=*/part-0.arrow", "encode"),
        ("runs/first/model/model.safetensors", "train"),
        ("runs/first/training.jsonl", "train"),
        ("runs/first/predictions.parquet", "score"),
        ("runs/gbdt-*/predictions.parquet", "baselines"),
        ("runs/first/metrics.parquet", "evaluate"),
        ("runs/first/report.html", "report"),
        ("learned/*/judged/2024-01-04.parquet", "progressive"),
        ("runs/first/config.json", None),
        ("runs/gbdt-*/config.json", None),
        ("runs/first/model/_manifest.json", "train"),
        ("runs/first/_manifest.predictions.parquet.json", "score"),
    ],
)
def test_a_damaged_file_is_named_and_made_again(mine: Path, capsys: pytest.CaptureFixture, pattern: str, stage: str | None):
    before = bytes_of(mine)
    path = sorted((mine / "tiny").glob(pattern))[0]
    flip(path)
    arguments = ["verify", TINY, *FIRST, "--workspace", str(mine)]
    assert run_command(arguments) == 4
    said = capsys.readouterr().err
    assert f"{path}: found " in said
    if stage:
        assert f"made by the stage {stage}" in said
    assert run_command([*arguments, "--repair", "--quiet"]) == 0, capsys.readouterr().err
    after = bytes_of(mine)
    assert after.keys() == before.keys()
    assert [name for name in before if before[name] != after[name]] == []


@pytest.mark.parametrize(
    ("pattern", "stage"),
    [
        ("items/_manifest.json", "ingest"),
        ("events/day=2024-01-02/_manifest.json", "ingest"),  # where none is to be
        ("runs/first/_manifest.metrics.parquet.json", "evaluate"),
    ],
)
def test_a_folder_in_the_place_of_a_manifest_is_named_and_removed(mine: Path, capsys: pytest.CaptureFixture, pattern: str, stage: str):
    before = bytes_of(mine)
    place = mine / "tiny" / pattern
    place.unlink(missing_ok=True)
    place.mkdir()
    arguments = ["verify", TINY, *FIRST, "--workspace", str(mine)]
    assert run_command(arguments) == 4
    assert f"{place}: found a folder, expected a manifest; made by the stage {stage}" in capsys.readouterr().err
    assert run_command([*arguments, "--repair", "--quiet"]) == 0, capsys.readouterr().err
    assert bytes_of(mine) == before
    assert run_command(arguments) == 0


@pytest.mark.parametrize(
    ("pattern", "what_follows"),
    [
        ("raw/users.csv", "The next `recsys run` for which ingest reads the log again, or which has the baseline truth, makes it again"),
        ("learned/*/journals/day=2024-01-02/member-0.jsonl", "says that its journal does not tell of it"),
    ],
)
def test_what_nothing_needs_is_removed_and_that_is_said(mine: Path, capsys: pytest.CaptureFixture, pattern: str, what_follows: str):
    (path,) = (mine / "tiny").glob(pattern)
    flip(path)
    assert run_command(["verify", TINY, *FIRST, "--workspace", str(mine), "--repair", "--quiet"]) == 0
    target = path.parent if path.parent.name == "raw" else path
    last = capsys.readouterr().out.splitlines()[-1]
    assert not target.exists()
    assert last.startswith(f"verify: {target} was removed and is not there again: nothing needs it now. ")
    assert what_follows in last


def test_simulated_files_that_a_baseline_reads_are_made_again(mine: Path, capsys: pytest.CaptureFixture):
    truth = mine / "tiny" / "raw" / "truth.parquet"
    before = truth.read_bytes()
    flip(truth)
    command = ["verify", TINY, *FIRST, "--workspace", str(mine), "--repair", "--quiet"]
    assert run_command([*command, "--set", 'evaluate.baselines=["truth"]', "--run", "with-truth"]) == 0
    assert truth.read_bytes() == before
    assert "is not there again" not in capsys.readouterr().out


def test_what_another_run_left_is_named_and_stays(mine: Path, capsys: pytest.CaptureFixture):
    runs = mine / "tiny" / "runs"
    shutil.copytree(runs / "first", runs / "other")
    flip(runs / "other" / "metrics.parquet")
    assert run_command(["verify", TINY, *FIRST, "--workspace", str(mine), "--repair"]) == 4
    assert f"{runs / 'other' / 'metrics.parquet'}: found other bytes" in (said := capsys.readouterr().err)
    assert "made by another run or experiment" in said
    assert "Fix: --repair with the options of that run, or delete" in said  # and not the command that has just left it as it is
    assert (runs / "other" / "metrics.parquet").exists()
    assert run_command(["verify", TINY, *FIRST, "--run", "other", "--workspace", str(mine), "--repair", "--quiet"]) == 0


def test_a_run_of_another_config_is_not_trained_anew(mine: Path, capsys: pytest.CaptureFixture):
    model = mine / "tiny" / "runs" / "first" / "model" / "model.safetensors"
    before = model.read_bytes()
    flip(sorted((mine / "tiny").glob("encoded/*/day=*/part-0.arrow"))[0])
    command = ["verify", TINY, *FIRST, "--set", "train.learning_rate=0.5", "--workspace", str(mine), "--repair"]
    assert run_command(command) == 2
    assert "stands for another config, which differs in train.learning_rate" in capsys.readouterr().err
    assert model.read_bytes() == before


def test_what_the_messages_advise_helps(mine: Path, capsys: pytest.CaptureFixture):
    """Of a damaged manifest and of a damaged config: delete what is named, and run again."""
    run = mine / "tiny" / "runs" / "first"
    for name, gone in (("_manifest.predictions.parquet.json", None), ("config.json", None)):
        flip(run / name)
        again = ["run", TINY, *FIRST, "--workspace", str(mine), "--quiet"]
        assert run_command(again) == 4
        said = capsys.readouterr().err
        assert f"{run / name}: found" in said
        assert "Fix: delete" in said
        (run / name).unlink()
        assert run_command(again) == 0, gone


def test_a_registry_that_is_not_as_it_was_written_is_found(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(tiny, tmp_path / "tiny")
    (tmp_path / "tiny" / "models").mkdir()
    (tmp_path / "tiny" / "models" / "registry.jsonl").write_text("garbage\n")
    assert run_command(["verify", TINY, "--workspace", str(tmp_path), "--run", "first"]) == 4
    assert "registry.jsonl: found something else than recsys promote has written" in capsys.readouterr().err
