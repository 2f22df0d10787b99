"""Tables with their optimiser's sums that are one and a half times what a process may hold: one is refused, two train them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.conftest import encoded_of, tables

LIMIT = 4_000 << 20
WIDTH = 64
ROWS = LIMIT * 3 // 2 // (4 * (WIDTH + 3 + 4))  # a vector, three linear weights, and a sum for each of these four
DISK = 18 << 30


@pytest.mark.faults
def test_two_processes_train_what_one_cannot_hold(tmp_path: Path) -> None:
    if shutil.disk_usage(tmp_path).free < DISK:
        pytest.skip("the files of such tables need 18 GiB")
    _, encoded = encoded_of(tmp_path, tables())
    (out := tmp_path / "out").mkdir()
    # Arrow's own allocator maps a gigabyte that it does not use, which RLIMIT_DATA counts.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    arguments = ["tests.training.together_memory", str(encoded), str(out), str(ROWS), str(WIDTH), str(LIMIT)]
    alone = subprocess.run([sys.executable, "-m", *arguments], env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert alone.returncode == 2
    assert "expected at most 3.9 GiB (ulimit -d). Fix: more processes" in alone.stderr
    shutil.rmtree(out / "scratch-0")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "--"]
    together = subprocess.run([*torchrun, *arguments], env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert together.returncode == 0, together.stderr
    assert (out / "weights.safetensors").stat().st_size > ROWS * 4 * (WIDTH + 3)
    shutil.rmtree(out)
