"""Baselines that are fitted while the run trains: in a process of their own, on what the training leaves of the cores.

A small net leaves much of two cores. Trees need no model, and nobody needs them before they are judged. The training goes first: it takes
no longer, as far as was measured (docs/benchmarks.md). Both end in the bits that they have one after the other.
"""

import contextlib
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from recsys import artifacts, schema
from recsys.config import Pipeline
from recsys.errors import InUseError
from recsys.jobs import job_of
from recsys.memory_limits import memory_limits
from recsys.processes import Begun, ProcessDiedError, Task, begun
from recsys.progress import Console
from recsys.signals import deferred_interrupt
from recsys.stages import STAGES, Job, are_to_be_fitted, baseline_kinds, is_to_be_trained, single_tasks
from recsys.threads import most_threads
from recsys.workspace import PART, day_folder

WORTH = 20_000  # rows; a process takes some two seconds of a core before it does anything
_LOWEST = 19  # added to the niceness
_LOOK = 0.3  # seconds for which the cores are looked at
_LEFT = 0.75  # cores that others must leave, per thread
_STAT = Path("/proc/stat")
_MEMORY_OF_A_BYTE = 4  # of encoded rows: the matrix of the trees, parts of it for some objectives, its bins
_MEMORY_OF_LIBRARIES = 500 << 20
_MOST_ROWS = 1_000_000  # baselines.gbdt.MAX_ROWS, which cannot be read without importing scikit-learn


@dataclass(frozen=True)
class _MakeBaselines(Task):
    """The stage *baselines* of a run, on cores that nobody else wants."""

    pipeline: Pipeline
    run_folder: Path

    def run(self, console: Console) -> None:
        try:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # runs where nobody else wants the core
        except (AttributeError, OSError):  # not on this system
            os.nice(_LOWEST)
        with contextlib.suppress(OSError):  # not on this system
            Path("/proc/self/oom_score_adj").write_text("1000")  # where memory runs out, this process is killed and not the training
        STAGES["baselines"].run(job_of(self.pipeline, self.run_folder, console))


@contextlib.contextmanager
def baselines_beside(job: Job) -> Iterator["BaselinesBeside | None"]:
    """Begin the stage *baselines* where the run trains meanwhile, and it pays. Yield None where it is not begun.

    A stage that nobody has ended by the end of the block is given up: what stands stays.
    """
    threads = _threads_for(job)
    if threads < 2:
        yield None
        return
    with contextlib.ExitStack() as process:
        process.callback(_free, job)
        going_on: Begun | None = None
        try:
            task = _MakeBaselines("the baselines", "", job.pipeline, job.run)
            going_on = process.enter_context(begun(task, threads, job.console))
            job.console.say("baselines: begun beside the training, on what it leaves of the cores")
        except OSError as error:  # no process more, or no memory for one
            process.pop_all()
            job.console.say(f"baselines: not begun beside the training: {error.strerror or error}")
        yield None if going_on is None else BaselinesBeside(job, going_on, process)


@dataclass(frozen=True)
class BaselinesBeside:
    """The stage *baselines* of a job as it goes on in a process of its own."""

    job: Job
    going_on: Begun
    process: contextlib.ExitStack  # which ends at its close

    def end(self) -> None:
        """Wait for the stage, and raise what it raises.

        Run it here in three cases: others want the cores; the process died, or got no memory or no thread (there may be more now); or
        another job held the places when the process began. That job may be making the same baselines beside its own training, so here
        they are waited for.
        """
        is_done = self._is_done()
        self.process.close()
        if not is_done:
            STAGES["baselines"].run(replace(self.job, wait=True))

    def _is_done(self) -> bool:
        try:
            with deferred_interrupt() as interruption:
                is_done = self.going_on.wait(interruption)
        except InUseError:
            return False
        except (ProcessDiedError, MemoryError, OSError, RuntimeError) as error:  # an error of the stage itself comes again here
            self.job.console.say(f"baselines: begun anew: {str(error).partition('. Fix')[0] or type(error).__name__}")
            return False
        if not is_done:
            self.job.console.say("baselines: begun anew, at ordinary priority, because others use the cores")
        return is_done


def _free(job: Job) -> None:
    """Take the places of the stage and give them back. So nothing is left there of a process that was given up: its name, its drafts."""
    stage = STAGES["baselines"]
    with contextlib.suppress(InUseError), replace(job, wait=False).locked(*(stage.holds or stage.writes)(job)):
        pass


def _threads_for(job: Job) -> int:
    """Return the threads of the stage *baselines* beside a training; 0 where it does not pay, or there is no room for it.

    Whoever bounds the threads (`--jobs`) wants no more of them at once.
    """
    if most_threads() is not None or not are_to_be_fitted(job) or not _trains(job):
        return 0
    days = job.days(schema.TRAIN, schema.VALIDATION)
    rows = sum(artifacts.count_rows(day_folder(job.examples, day) / PART) for day in days)
    if rows < WORTH or not _has_room([day_folder(job.encoded, day) for day in days], rows):
        return 0
    import torch  # not at the top: where all stands, it is not needed

    from recsys.processes.together import joined

    if joined().size > 1:
        return 0
    threads = torch.get_num_threads()
    return threads if threads > 1 and _idle_cores() >= _LEFT * threads else 0


def _idle_cores() -> float:
    """Return how many cores nobody uses, the training not having begun; infinity where the system does not tell."""
    if not _STAT.exists():
        return math.inf
    before, begin = _idle_time(), time.monotonic()
    time.sleep(_LOOK)
    return (_idle_time() - before) / (time.monotonic() - begin)


def _idle_time() -> float:
    """Return the seconds that the cores of this machine have been idle for, together."""
    fields = _STAT.read_text().split(maxsplit=6)  # of all cores: user, nice, system, idle, iowait (proc(5))
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


def _trains(job: Job) -> bool:
    """Return whether the run trains a net, or the baseline *single_task* does."""
    return is_to_be_trained(job) or (schema.SINGLE_TASK in baseline_kinds(job.pipeline) and is_to_be_trained(single_tasks(job)))


def _has_room(encoded_days: Sequence[Path], rows: int) -> bool:
    """Return whether trees of these days, which have so many rows, fit into half of the memory that this process may have."""
    encoded = sum(path.stat().st_size for day in encoded_days for path in day.iterdir())
    needed = _MEMORY_OF_LIBRARIES + _MEMORY_OF_A_BYTE * encoded * min(1.0, _MOST_ROWS / rows)
    limit, _ = min(memory_limits())
    return needed <= limit / 2
