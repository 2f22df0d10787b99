"""Read what a control group of Linux grants to this process, as to all of a container (cgroups(7), both versions)."""

import os
from collections.abc import Iterator
from pathlib import Path

_OF_PROCESS = Path("/proc/self/cgroup")
_MOUNTED = Path("/sys/fs/cgroup")
_VERSION_2 = ""  # its line in /proc/self/cgroup names no controller


def granted_memory() -> Iterator[int]:
    """Yield each bound on the memory of the groups that this process is in, in bytes."""
    for group in _groups(_VERSION_2):
        if (text := _text(group / "memory.max")).isdigit():  # else "max"
            yield int(text)
    for group in _groups("memory"):
        if (text := _text(group / "memory.limit_in_bytes")).isdigit():
            yield int(text)  # without a bound a number beyond any memory


def granted_cores() -> Iterator[float]:
    """Yield each bound on the cores of the groups that this process is in: seconds of computing per second."""
    for group in _groups(_VERSION_2):
        quota, _, period = _text(group / "cpu.max").partition(" ")
        yield from _share(quota, period)
    for group in _groups("cpu"):
        yield from _share(_text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us"))


def _share(quota: str, period: str) -> Iterator[float]:
    if quota.isdigit() and period.isdigit():  # without a bound the quota is "max" or -1
        yield int(quota) / int(period)


def _groups(controller: str) -> Iterator[Path]:
    """Yield the folder of the process's group, where a controller is at work, and those of the groups around it.

    In a container the path may be that of the host, where nothing is. The groups around it then end with the container's own.
    """
    for line in _text(_OF_PROCESS).splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            root = _MOUNTED / controller
            group = root / path.lstrip("/")
            yield from (each for each in (group, *group.parents) if each.is_relative_to(root))


def _text(file: Path) -> str:
    try:
        return os.fsdecode(file.read_bytes()).strip()  # a group may have any name
    except OSError:  # no Linux, or no such bound
        return ""
