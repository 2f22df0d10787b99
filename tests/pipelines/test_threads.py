"""`--jobs N` bounds the threads of every library that computes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import threadpoolctl

from recsys.cli import run_command
from recsys.threads import one_thread_each

from .conftest import PIPELINES

# A whole run in a process of its own, since a bound holds for the rest of a process; then what each library says.
ASKED = """
import json, sys
from pathlib import Path
from recsys.cli import run_command
code = run_command(sys.argv[1:])
import pyarrow as pa, sklearn.ensemble, scipy.linalg, threadpoolctl, torch
from recsys.features.duckdb_engine import DuckDBEngine
from recsys.sources.database import engine
with engine(Path(sys.argv[-1]), "1GB") as con:
    ingest = con.execute("SELECT current_setting('threads')").fetchone()[0]
with DuckDBEngine(memory_limit="1GB", spill=Path(sys.argv[-1])) as features:
    asked = features._connection.execute("SELECT current_setting('threads')").fetchone()[0]
pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
print(json.dumps([code, ingest, asked, pa.cpu_count(), pa.io_thread_count(), torch.get_num_threads(), *pools]))
"""


@pytest.mark.parametrize("jobs", ["0", "-1", "x", "99999999999999"])
def test_a_number_that_is_none(capsys: pytest.CaptureFixture, jobs: str) -> None:
    for verb in ("run", "train", "evaluate"):
        assert run_command([verb, str(PIPELINES / "tiny.toml"), "--jobs", jobs]) == 2
        assert "--jobs" in capsys.readouterr().err


@pytest.mark.words
@pytest.mark.parametrize("jobs", [1, 3])
def test_every_library_keeps_to_the_bound(tmp_path: Path, jobs: int) -> None:
    command = ["run", str(PIPELINES / "tiny.toml"), "--until", "baselines", "--quiet", "--jobs", str(jobs), "--workspace", str(tmp_path)]
    done = subprocess.run([sys.executable, "-c", ASKED, *command], capture_output=True, text=True, check=True)
    code, *engines = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    assert engines[:4] == [jobs] * 4  # ingest, features, and both pools of Arrow
    assert all(threads <= jobs for threads in engines[4:]), engines  # some libraries take no more threads than there are cores


def test_overlapping_blocks_end_with_the_threads_there_were_before_the_first() -> None:
    def blas() -> list[int]:
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]

    with threadpoolctl.threadpool_limits(2, "blas"):
        first, second = one_thread_each(), one_thread_each()
        before = blas()
        first.__enter__()
        second.__enter__()
        assert set(blas()) == {1}
        first.__exit__(None, None, None)
        assert set(blas()) == {1}
        second.__exit__(None, None, None)
        assert blas() == before != [1] * len(before)
