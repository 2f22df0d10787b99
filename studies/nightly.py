"""One night after the other: each day of a log is looked at, judged by a model of the days before, and that model promoted or refused.

    python -m studies.nightly pipelines/demo.toml --nights 2024-01-06 2024-01-30 --set source.days=30 --out docs/nightly-world.csv \\
        --figure docs/nightly-world.png

It does what docs/nightly.md says, night by night: `recsys run --through DAY --until features`, `recsys health`, the rest of the run,
`recsys promote`. It writes one row per night and objective: the number of the day, its difference to the current model, the decision, the
warnings, the rows of the log that were read, the seconds of each part, and on Linux the MiB that were read by system calls (encoded days
are mapped, and do not count) and the peak of resident memory. An interrupted study goes on where it stopped.

With `--files`, the log of a simulated feed arrives as files of single days: on each night those of its day.
"""

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from recsys import artifacts, config, promoting, registry, schema, walk
from recsys.config import Pipeline, TableSource, WorldOptions
from recsys.encoding import rows_of_day
from recsys.errors import ConfigError, NotPromotedError
from recsys.evaluation import main_metric
from recsys.health import health
from recsys.jobs import open_job
from recsys.objectives import Objective
from recsys.progress import Console
from recsys.stages import Job
from recsys.workspace import EVENTS, HEALTH, HEALTH_ROWS, METRICS
from recsys.world import table_source


def main() -> None:
    """Run every night. Each finished night is a block of the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline", type=Path, help="a pipeline's TOML")
    parser.add_argument("--nights", nargs=2, type=date.fromisoformat, required=True, metavar=("FIRST", "LAST"), help="days to judge")
    parser.add_argument("--out", type=Path, required=True, help="CSV of one row per night and objective")
    parser.add_argument("--figure", type=Path, help="PNG of the numbers over the nights")
    parser.add_argument("--files", action="store_true", help="let a simulated log arrive as files of single days")
    parser.add_argument("--workspace", type=Path, default=Path("data"))
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    arguments = parser.parse_args()
    rows = pd.read_csv(arguments.out).to_dict("records") if arguments.out.exists() else []
    first, last = arguments.nights
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:  # a process per night, as with cron
        for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
            if day.isoformat() not in {row["night"] for row in rows}:
                rows += pool.submit(night, arguments, day).result()
                pd.DataFrame(rows).to_csv(arguments.out, index=False)
    table = pd.DataFrame(rows)
    print(table.drop_duplicates("night")[["night", "outcome", "warnings", "learned", *_PARTS]].to_string(index=False))
    if arguments.figure:
        figure(table).save(arguments.figure, scale_factor=1.5)


_PARTS = ("rows_read", "features_s", "health_s", "training_s", "promotion_s", "read_mib", "peak_mib")


def night(arguments: argparse.Namespace, day: date) -> list[dict[str, Any]]:
    """Do what one night does, and return its rows."""
    options = config.load(arguments.pipeline, ["evaluate.baselines=[]", "evaluate.importance=false", *arguments.overrides])
    if arguments.files:
        options = options.model_copy(update={"source": arrived(options, arguments.workspace / f"{options.name}-files", day)})
    pipeline = options.model_copy(update={"split": options.split.ending(day)})
    before = _read_bytes()
    job = open_job(pipeline, arguments.workspace, run=f"night-{day}", console=Console(quiet=True))
    rows_before = _rows_read(job)
    seconds = {
        "features_s": _timed(lambda: walk.run(job, until="features")),
        "health_s": _timed(lambda: health(job, job.console)),
        "training_s": _timed(lambda: walk.run(job, until="evaluate")),
        "promotion_s": _timed(lambda: _promote(job)),
    }
    decision = registry.decisions(job.folder)[-1]
    about = {
        "outcome": decision["outcome"],
        "current": decision["current before"],
        "warnings": _warnings(job, day),
        "learned": _learned(job),
        "rows_read": _rows_read(job) - rows_before,
        **seconds,
        "read_mib": round((_read_bytes() - before) / 2**20, 1),
        "peak_mib": _peak_mib(),
    }
    votes = {vote["objective"]: vote for vote in decision["objectives"]}
    return [{"night": day.isoformat(), **_numbers(job, each), **_differences(votes[each.name]), **about} for each in pipeline.objective]


def arrived(pipeline: Pipeline, folder: Path, day: date) -> TableSource:
    """Write the files of a simulated log that have come by the end of `day`, where they are not there, and return their source.

    Users and videos are there from the beginning. Raise ConfigError for another kind of source.
    """
    if pipeline.source.kind != "world":
        raise ConfigError(f'--files: found source.kind = "{pipeline.source.kind}", expected "world": other logs have files of their own')
    whole = folder / "whole"
    if not whole.exists():
        walk.make_world(whole, WorldOptions.model_validate(pipeline.source.model_dump(include=set(WorldOptions.model_fields))),
                        seed=pipeline.seed, console=Console(quiet=True))  # fmt: skip
    source = table_source(whole)
    assert isinstance(source.log, Path)
    (feedback,) = source.feedback
    tables = {"log": pd.read_parquet(source.log), "answers": pd.read_csv(feedback.file)}
    for name, table in tables.items():
        days = pd.to_datetime(table["ts"], unit="ms").dt.strftime("%Y-%m-%d")
        for each in sorted({*days[days <= day.isoformat()]}):
            path = folder / name / f"{each}.parquet"
            if not path.exists():
                path.parent.mkdir(exist_ok=True)
                table[days == each].to_parquet(path, index=False)
    answers = feedback.model_copy(update={"file": folder / "answers"})
    return source.model_copy(update={"log": folder / "log", "feedback": (answers,)})


def _read_bytes() -> int:
    """Return what this process has read by system calls so far; 0 where the system does not tell."""
    place = Path("/proc/self/io")
    fields = dict(line.split(": ") for line in place.read_text().splitlines()) if place.exists() else {}
    return int(fields.get("rchar", 0))


def _peak_mib() -> int:
    """Return the peak of this process's resident memory; 0 where the system does not tell."""
    place = Path("/proc/self/status")
    fields = dict(line.split(":", 1) for line in place.read_text().splitlines()) if place.exists() else {}
    return int(fields.get("VmHWM", "0").split()[0]) // 1024


def _rows_read(job: Job) -> int:
    """Return how many rows of the log all nights so far have read."""
    events = artifacts.manifest(job.folder / EVENTS)
    return 0 if events is None or events.rows is None else events.rows["read"]


def _learned(job: Job) -> int:
    """Return the rows of the days that the model has learned."""
    days = job.days(schema.TRAIN, schema.VALIDATION)
    return sum(rows_of_day(job.encoded, day) for day in days)


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return round(time.perf_counter() - start, 1)


def _promote(job: Job) -> None:
    try:
        promoting.promote(job.run, job.console)
    except NotPromotedError as error:
        print(error)


def _warnings(job: Job, day: date) -> int:
    rows = artifacts.read_table(job.folder / HEALTH / HEALTH_ROWS).to_pylist()
    return sum(row["day"] == day.isoformat() and row["verdict"] == schema.WARNS for row in rows)


def _numbers(job: Job, objective: Objective) -> dict[str, Any]:
    """Return the objective's main number on the night's day, with its interval over users."""
    metric = main_metric(objective)
    rows = artifacts.read_table(job.run / METRICS).to_pandas()
    of = rows[(rows["objective"] == objective.name) & (rows["metric"] == metric) & (rows["split"] == schema.TEST)]
    (row,) = of[of["day"].isna() & (of["slice"] == schema.ALL) & of["against"].isna()].to_dict("records")
    return {"objective": objective.name, "metric": metric, **{name: row[name] for name in ("value", "low", "high", "n", "n_positive")}}


def _differences(vote: dict[str, Any]) -> dict[str, Any]:
    return {"difference": vote["difference"], "difference_low": vote["low"], "difference_high": vote["high"], "silent": vote["silent"]}


def figure(table: pd.DataFrame) -> alt.FacetChart:
    """Draw, per objective, its number on each day with the interval over users. A triangle is a model that was refused."""
    rows = table.assign(number=table["metric"] + " of " + table["objective"])
    outcomes = [registry.PROMOTED, registry.REFUSED]
    shape = alt.Shape("outcome:N", title=None, scale=alt.Scale(domain=outcomes, range=["circle", "triangle-down"]))
    base = alt.Chart(rows[["night", "number", "value", "low", "high", "outcome"]]).encode(x=alt.X("night:O", title=None))
    layers = alt.layer(
        base.mark_rule(color="#8a8f98").encode(y=alt.Y("low:Q", title=None, scale=alt.Scale(zero=False)), y2="high:Q"),
        base.mark_point(filled=True, size=50, opacity=1).encode(
            y="value:Q", shape=shape, color=alt.Color("outcome:N", title=None, scale=alt.Scale(domain=outcomes))
        ),
    ).properties(width=520, height=75)
    return layers.facet(row=alt.Row("number:N", title=None, sort=list(rows["number"].unique()))).resolve_scale(y="independent")


if __name__ == "__main__":
    main()
