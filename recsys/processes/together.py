"""The processes that `torchrun` has started: the first one runs the command, the others wait for the tasks that all do together.

The first process reads the command line, takes the locks, writes every file and prints every message. A task goes to the others as a
pickled `Task`; each then runs it beside the first one, and all meet in the sums of `ProcessGroup`. A process that waits is in a broadcast
of gloo, which ends at once when the first process does. `torchrun` ends all processes when one has failed.
"""

import contextlib
import ctypes
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta

from recsys.errors import EXIT_INTERRUPTED, RecsysError
from recsys.process_group import ALONE, LostProcessError, ProcessGroup, meeting_by, patient_group
from recsys.processes.worker import Task
from recsys.progress import Console
from recsys.signals import bear_repeated_signals

_ANSWER = timedelta(minutes=5)  # in which a process must come to a sum that the others wait in
_ORDER = timedelta(days=365)  # in which the next task must come: the first process may make features for hours
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
_GRACE = 5.0  # seconds in which torchrun ends this process after another one has failed

_joined: list[ProcessGroup] = []


def joined() -> ProcessGroup:
    """Return the group that this process has joined; alone, where it has joined none."""
    return _joined[-1] if _joined else ALONE


def run_together(command: Callable[[], int]) -> int:
    """Run the command in the first process, and what it asks for in the others. Return the exit code of this process."""
    with joining() as group:
        if not group.is_first:
            return _follow(group)
        code = command()
        if code == 0:
            order_all(None)
        return code


def order_all(task: Task | None) -> None:
    """Tell the other processes to do a task, which this one then does too; None: there is no more. Called by the first process."""
    import torch.distributed as dist

    with contextlib.suppress(RuntimeError):  # a process is gone: the first sum says so, where there is one
        dist.broadcast_object_list([pickle.dumps(task)], src=0, group=patient_group())


@contextlib.contextmanager
def joining() -> Iterator[ProcessGroup]:
    """Join the group of all processes that `torchrun` has started."""
    import torch
    import torch.distributed as dist

    bear_repeated_signals()
    _end_with_torchrun()
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, timeout=_ANSWER)
    _joined.append(ProcessGroup(dist.get_rank(), dist.get_world_size()))
    try:
        with meeting_by(dist.new_group(backend="gloo", timeout=_ORDER)):
            yield _joined[-1]
    finally:
        _joined.pop()
        dist.destroy_process_group()


def _end_with_torchrun() -> None:
    """Have the kernel ask this process to stop when torchrun dies without a word. Only Linux can."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PARENT_DEATH_SIGNAL, signal.SIGTERM)


def _follow(group: ProcessGroup) -> int:
    """Do the tasks that the first process orders, until it orders none."""
    while True:
        with _ended_by_signals():
            task = _next_task()
        if task is None:
            return 0
        try:
            task.run(Console(quiet=True))
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED
        except LostProcessError:
            _wait_to_be_ended()
            return 1
        except Exception as error:
            _wait_to_be_ended()
            if not isinstance(error, RecsysError):
                traceback.print_exc()
            print(f"error: process {group.rank + 1} of {group.size}: {error}", file=sys.stderr)
            return 1


def _next_task() -> Task | None:
    import torch.distributed as dist

    order: list[bytes | None] = [None]
    try:
        dist.broadcast_object_list(order, src=0, group=patient_group())
    except RuntimeError:  # the first process is gone
        _wait_to_be_ended()
        os._exit(1)
    assert order[0] is not None
    task: Task | None = pickle.loads(order[0])
    return task


def _wait_to_be_ended() -> None:
    """Wait for torchrun to end this process, as it does once another one has failed. So it names that one as the cause.

    What all processes have found is said by the first one alone.
    """
    with _ended_by_signals():
        time.sleep(_GRACE)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let a signal end this process at once: it holds nothing meanwhile, and a handler in Python would wait for gloo."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
