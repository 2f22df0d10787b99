"""`recsys health`: every day of a pipeline's log against the days before it, as rows, in words and as a page."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsys import artifacts, schema
from recsys.config import Pipeline
from recsys.errors import ConfigError, DataError, many
from recsys.health.judged_days import judged_days, require_events
from recsys.health.verdicts import FEWEST_DAYS
from recsys.progress import Console
from recsys.stages import Job
from recsys.workspace import HEALTH, HEALTH_PAGE, HEALTH_ROWS

_MOST_LINES = 20  # of warnings that the console says; the page has all


def health(job: Job, console: Console, *, day: str | None = None) -> pa.Table:
    """Judge each day of events/, write what was found, and give `console` what is not usual. Return the rows, of `schema.HEALTH`.

    Labels and features are judged on the days that have examples. Raise DataError, with every reason, where the last day, or `day`, is
    beyond a limit of [checks.stop]; what was found is written before. Raise ConfigError where `day` has no impressions.
    """
    from recsys import report

    folder = job.folder / HEALTH
    require_events(job)  # before a lock makes a folder
    with job.at_work(), job.locked(folder):
        rows = judged_days(job, None)
        fingerprint = artifacts.fingerprint([job.pipeline.checks.model_dump(mode="json"), rows.to_pylist()])
        artifacts.write_file(folder / HEALTH_ROWS, lambda draft: pq.write_table(rows, draft), stage="health", fingerprint=fingerprint)
        report.write_health(folder / HEALTH_PAGE, rows, job.pipeline.name, _facts(job.pipeline, rows), fingerprint=fingerprint)
    found = rows.to_pylist()
    days = sorted({row["day"] for row in found})
    if day is not None and day not in days:
        raise ConfigError(f"--day: found {day}, on which the log has no impressions, expected a day from {days[0]} to {days[-1]}")
    if all(row["verdict"] == schema.UNTOLD_DAY for row in found):
        console.result(f"health: nothing can be said of {many(len(days), 'day')}: each needs {FEWEST_DAYS} or more before it")
    for line in _said(found):
        console.result(line)
    console.result(f"health: {many(len(days), 'day')}, {days[0]} to {days[-1]}; {folder / HEALTH_PAGE}")
    console.give({"pipeline": job.pipeline.name, "rows": [row for row in found if row["verdict"] in (schema.WARNS, schema.STOPS)]})
    for each in days:
        verdicts = [row["verdict"] for row in found if row["day"] == each]
        counts = {verdict: verdicts.count(verdict) for verdict in (schema.WARNS, schema.STOPS)}
        console.event("health", pipeline=job.pipeline.name, day=each, **counts)
    if stopping := [row for row in found if row["verdict"] == schema.STOPS and row["day"] == (day or days[-1])]:
        raise DataError("\n".join(f"health: {_words(row)}" for row in stopping))
    return rows


def stops(job: Job, days: Sequence[str]) -> list[str]:
    """Return in words what on one of these days is beyond a limit of [checks.stop]. Without limits there, nothing is read."""
    if not any(value is not None for value in job.pipeline.checks.stop.__dict__.values()):
        return []
    with job.locked(job.folder / HEALTH):
        rows = judged_days(job, max(days)).to_pylist()
    return [f"{_words(row)} (checks.accept takes a day as it is)" for row in rows if row["verdict"] == schema.STOPS and row["day"] in days]


def _said(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of what is not usual, those that stop first, then the newest first."""
    bad = [row for row in rows if row["verdict"] in (schema.STOPS, schema.WARNS)]
    bad.sort(key=lambda row: (row["verdict"] == schema.STOPS, row["day"]), reverse=True)
    for row in bad[:_MOST_LINES]:
        yield f"{row['verdict']}: {_words(row)}"
    if len(bad) > _MOST_LINES:
        yield f"and {len(bad) - _MOST_LINES:,} more on the page"


_NAMES = {
    "gap": "days without impressions before it",
    "labels": "share of impressions with a label of {column}",
    "rows": "{column}",
    "nulls": "share of nulls in {column}",
    "unknown": "share of impressions with a new {column}",
    "base_rate": "mean label of {column}",
    "shift": "standard deviations by which the mean of {column} moved",
    "psi": "population stability index of {column}",
}


def _words(row: dict[str, Any]) -> str:
    what = _NAMES[row["check"]].format(column=row["column"])
    form = ",.0f" if row["check"] == "rows" else ".4g"
    usual = "" if row["check"] in ("psi", "shift") else f", usual is {row['usual']:{form}}"
    return f"{row['day']}: {what}: found {row['value']:{form}}{usual}"


def _facts(pipeline: Pipeline, rows: pa.Table) -> dict[str, str]:
    days = sorted(set(rows["day"].to_pylist()))
    limits = {name: limit for name, limit in pipeline.checks.warn.__dict__.items() if limit is not None}
    stop = {name: limit for name, limit in pipeline.checks.stop.__dict__.items() if limit is not None}
    return {
        "Days": f"{days[0]} to {days[-1]}, {len(days)} with impressions",
        "Held against": f"the {pipeline.checks.trailing} days with impressions before each",
        "Warned of": ", ".join(f"{name} {limit:g}" for name, limit in limits.items()) or "nothing",
        "Stopped at": ", ".join(f"{name} {limit:g}" for name, limit in stop.items()) or "nothing",
    }
