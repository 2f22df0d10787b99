"""Require that a day of the log has come as a whole: a file says so (`source.closed`), or the log goes on after it (`source.grace`)."""

from datetime import datetime
from pathlib import Path

from recsys import artifacts, schema
from recsys.config import DAY, Pipeline, duration_ms
from recsys.days import Day, clock
from recsys.errors import NotClosedError
from recsys.stages.stage import Job
from recsys.workspace import EVENTS, PART, day_folder, days_in

_FIX = "Fix: wait, and run the same command again"


def require_said_closed(pipeline: Pipeline, day: str) -> None:
    """Raise NotClosedError where the TOML names a file that says that an ISO day is whole, and it is not there."""
    closed = pipeline.source.closed
    if closed is None:
        return
    file = Path(str(closed).replace(DAY, day))
    if not file.exists():
        raise NotClosedError(f"{file}: found no such file, expected it once {day} is whole (source.closed). {_FIX}")


def require_later_row(job: Job, day: str) -> None:
    """Raise NotClosedError where events/ has no impression so long after the end of an ISO day as `source.grace` says."""
    grace = job.pipeline.source.grace
    if grace is None:
        return
    due = Day(day, job.pipeline.zone).end + duration_ms(grace)
    last_day = days_in(job.folder / EVENTS)[-1]
    moments = artifacts.read_table(day_folder(job.folder / EVENTS, last_day) / PART, columns=[schema.TIMESTAMP])[schema.TIMESTAMP]
    last = moments[-1].as_py()  # the rows of a day are sorted
    if last < due:
        found, expected = (_text(moment, job.pipeline.zone) for moment in (last, due))
        raise NotClosedError(
            f'{day}: found the last impression of the log at {found}, expected one from {expected} on (source.grace = "{grace}"). {_FIX}'
        )


def _text(moment: int, zone: str) -> str:
    return datetime.fromtimestamp(moment / 1000, clock(zone)).isoformat(timespec="seconds")
