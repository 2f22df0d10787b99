"""What a control group grants: memory and cores, by files as Linux has them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recsys import control_groups, threads
from recsys.memory_limits import memory_limits

V2 = {
    "cgroup": "0::/outer/inner",
    "outer/memory.max": "123456",
    "outer/inner/memory.max": "max",
    "outer/cpu.max": "250000 100000",
    "outer/inner/cpu.max": "max 100000",
}
V1 = {
    "cgroup": "4:memory:/outer\n2:cpu,cpuacct:/outer/inner\n1:name=systemd:/\n0::/",
    "memory/outer/memory.limit_in_bytes": "123456",
    "memory/memory.limit_in_bytes": "9223372036854771712",
    "cpu/outer/cpu.cfs_quota_us": "125000",
    "cpu/outer/cpu.cfs_period_us": "50000",
    "cpu/outer/inner/cpu.cfs_quota_us": "-1",
    "cpu/outer/inner/cpu.cfs_period_us": "100000",
}
ODD = {"cgroup": "0::/café", "café/memory.max": "123456", "café/cpu.max": "250000 100000"}
# A container sees its own group at the root, and may see the path that the host knows.
IN_A_CONTAINER = {"cgroup": "0::/kubepods/pod1", "memory.max": "123456", "cpu.max": "250000 100000"}


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A system on which this process is in these groups."""
    for name, text in request.param.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    monkeypatch.setattr(control_groups, "_OF_PROCESS", tmp_path / "cgroup")
    monkeypatch.setattr(control_groups, "_MOUNTED", tmp_path)
    for variable in ("LOCAL_WORLD_SIZE", "OMP_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)


GROUPS = {"version 2": V2, "version 1": V1, "a container": IN_A_CONTAINER, "an odd name": ODD}
everywhere = pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS, indirect=True)


@everywhere
def test_the_least_memory_is_found(groups: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert min(memory_limits()) == (123456, "the memory of its control group")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert min(memory_limits()) == (123456 // 2, "the memory of its control group")


@everywhere
@pytest.mark.parametrize(("allowed", "expected"), [(8, "3"), (3, None), (2, None)])
def test_libraries_take_a_thread_per_core_that_is_granted(
    groups: None, monkeypatch: pytest.MonkeyPatch, allowed: int, expected: str | None
) -> None:
    """2.5 cores are three threads. Where the process may not run on more, libraries know that by themselves."""
    monkeypatch.setattr(threads, "_allowed", lambda: allowed)
    environment = {"PATH": "/bin"}
    monkeypatch.setattr(threads.os, "environ", environment)
    threads.set_defaults()
    assert environment.pop("OMP_NUM_THREADS", None) == expected
    assert threads.cores() == min(3, allowed)
    environment["OMP_NUM_THREADS"] = "1"
    threads.set_defaults()
    assert environment == {"PATH": "/bin", "OMP_NUM_THREADS": "1"} | threads.SHORT_SPIN


# As a command of a container that is granted one core; then what each library says.
ASKED = """
import contextlib, json, sys
from recsys import threads
threads.granted_cores = lambda: iter([1.0])
threads._allowed = lambda: 2
from recsys.__main__ import main
sys.argv = ["recsys", "--help"]
with contextlib.suppress(SystemExit):
    main()
import numpy, pyarrow, threadpoolctl, torch
print(json.dumps([torch.get_num_threads(), pyarrow.cpu_count(), *(pool["num_threads"] for pool in threadpoolctl.threadpool_info())]))
"""


@pytest.mark.words
def test_every_library_takes_them() -> None:
    bare = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=True, env=bare)
    assert set(json.loads(done.stdout.splitlines()[-1])) == {1}


NOTHING = {"no Linux": {}, "no bound": {"cgroup": "0::/"}, "half a bound": {"cgroup": "1:cpu:/", "cpu/cpu.cfs_quota_us": "1000"}}


@pytest.mark.parametrize("groups", NOTHING.values(), ids=NOTHING, indirect=True)
def test_nothing_is_bound_where_nothing_is_said(groups: None) -> None:
    assert not list(control_groups.granted_memory())
    assert not list(control_groups.granted_cores())
    assert threads.cores() == threads._allowed()
