"""The memory that a process may have."""

from pathlib import Path

import pytest

from recsys import memory_limits


def test_the_limits_of_this_process_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("0::/outer/inner\n")
    (tmp_path / "outer/inner").mkdir(parents=True)
    (tmp_path / "outer/memory.max").write_text("123456\n")
    (tmp_path / "outer/inner/memory.max").write_text("max\n")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(memory_limits, "_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(memory_limits, "_CGROUPS", tmp_path)
    assert min(memory_limits.memory_limits()) == (123456 // 2, "the cgroup's memory.max")
