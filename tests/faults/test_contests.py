"""Several jobs on one workspace at once: each ends right, or says who holds what it has to write."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recsys.cli import run_command

from .amounts import ROUNDS

LONG = ["--quiet", "--until", "score", "--set", "train.batch_size=16", "--set", "train.day_passes=3"]
OTHER = ["--set", "train.learning_rate=0.003"]


def jobs(workspace: Path, commands: list[list[str]], seed: int) -> list[tuple[int, str]]:
    """Start the commands, at the same moment or (seed > 0) some time after each other; return each one's exit code and what it said."""
    pauses, started = random.Random(seed), []
    for command in commands:
        command = [sys.executable, "-m", "recsys", *command, "--workspace", str(workspace)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        time.sleep(pauses.uniform(0, 2) if seed else 0)
    return [(process.wait(), said) for process in started for _, said in [process.communicate()]]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file() and ".locks" not in path.parts}


@pytest.fixture(scope="module")
def alone(toml: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two configs leave when they run one after the other."""
    workspace = tmp_path_factory.mktemp("alone")
    for name, more in (("one", []), ("two", OTHER)):
        assert run_command(["run", str(toml), "--run", name, *LONG, *more, "--workspace", str(workspace)]) == 0
    return workspace


rounds = pytest.mark.parametrize("seed", range(ROUNDS))


@pytest.mark.faults
@pytest.mark.parametrize("count", [2, 4])
@rounds
def test_the_same_job_several_times_with_wait_leaves_what_one_job_leaves(
    toml: Path, alone: Path, tmp_path: Path, count: int, seed: int
) -> None:
    command = ["run", str(toml), "--run", "one", "--wait", *LONG]
    for code, said in jobs(tmp_path, [command] * count, seed):
        assert (code, said) == (0, "")
    before = {name: content for name, content in files(alone / "small").items() if not name.startswith("runs/two/")}
    after = files(tmp_path / "small")
    assert after.keys() == before.keys()
    assert [name for name in before if before[name] != after[name]] == []


@pytest.mark.faults
@rounds
def test_the_same_job_twice_without_wait_ends_once_and_is_told_once_or_both_end(toml: Path, alone: Path, tmp_path: Path, seed: int) -> None:
    command = ["run", str(toml), "--run", "one", *LONG]
    ended = jobs(tmp_path, [command] * 2, seed)
    assert {code for code, _ in ended} <= {0, 5}
    assert min(code for code, _ in ended) == 0
    for code, said in ended:
        assert ("in use by" in said) == (code == 5), said
    assert run_command([*command, "--workspace", str(tmp_path)]) == 0
    name = "small/runs/one/predictions.parquet"
    assert (tmp_path / name).read_bytes() == (alone / name).read_bytes()


@pytest.mark.faults
@rounds
def test_two_configs_share_what_is_the_same(toml: Path, alone: Path, tmp_path: Path, seed: int) -> None:
    commands = [["run", str(toml), "--run", name, "--wait", *LONG, *more] for name, more in (("one", []), ("two", OTHER))]
    for code, said in jobs(tmp_path, commands, seed):
        assert (code, said) == (0, "")
    before, after = files(alone / "small"), files(tmp_path / "small")
    assert after.keys() == before.keys()
    assert [name for name in before if before[name] != after[name]] == []


@pytest.mark.faults
@pytest.mark.parametrize("wait", [[], ["--wait"]])
@rounds
def test_two_configs_under_one_name_never_mix(toml: Path, alone: Path, tmp_path: Path, wait: list[str], seed: int) -> None:
    """One of them ends. The other is told that the name is taken (2) or in use (5). The config is that of the model."""
    commands = [["run", str(toml), "--run", "same", *wait, *LONG, *more] for more in ([], OTHER)]
    ended = jobs(tmp_path, commands, seed)
    codes = sorted(code for code, _ in ended)
    assert codes[0] == 0, ended
    assert codes[1] in ((2,) if wait else (2, 5)), ended
    run = tmp_path / "small" / "runs" / "same"
    rate = json.loads((run / "config.json").read_text())["pipeline"]["train"]["learning_rate"]
    twin = alone / "small" / "runs" / ("two" if rate == 0.003 else "one")
    for name in ("model/model.safetensors", "training.jsonl", "predictions.parquet"):
        assert (run / name).read_bytes() == (twin / name).read_bytes(), name
