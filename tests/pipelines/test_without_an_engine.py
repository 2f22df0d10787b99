"""A machine that has the encoded days needs no engine and no figures to train, score and evaluate."""

import subprocess
import sys
from pathlib import Path

import pytest

from recsys.cli import run_command

from .test_whole_path import TINY

BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ImportError(f"{{name}} is not on this machine")

sys.meta_path.insert(0, Blocker())
from recsys.cli import run_command
sys.exit(max(run_command([stage, *sys.argv[1:]]) for stage in {stages}))
"""


@pytest.mark.words
@pytest.mark.parametrize(
    ("stages", "blocked"),
    [(["train", "score", "evaluate"], ("duckdb", "ibis", "altair")), (["evaluate"], ("duckdb", "ibis", "altair", "torch"))],
)
def test_stages_after_encode_run_where_these_cannot_be_imported(tiny: Path, workspace: Path, stages: list[str], blocked: tuple[str, ...]):
    assert run_command(["run", TINY, "--workspace", str(workspace), "--run", "first", "--quiet"]) == 0  # whatever other tests did to it
    sets = ["--set", "train.passes=3", "--set", "evaluate.baselines=[]"] if len(stages) > 1 else ["--set", "evaluate.bootstrap=19"]
    run = "elsewhere" if len(stages) > 1 else "first"
    program = BLOCKED.format(blocked=blocked, stages=stages)
    command = [sys.executable, "-c", program, TINY, "--workspace", str(workspace), "--run", run, *sets]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
