"""A process that gets next to no time: the only core that it may have is wanted by another one."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def starved(process: int) -> Iterator[None]:
    """Let a process of this number, and the threads that it begins from now on, compute on a core only while nobody else wants it."""
    core = min(os.sched_getaffinity(0))
    os.sched_setscheduler(process, os.SCHED_IDLE, os.sched_param(0))
    os.sched_setaffinity(process, {core})
    with subprocess.Popen([sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"]) as other:
        try:
            yield
        finally:
            other.kill()
