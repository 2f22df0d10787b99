"""Judge each day of a log once and keep its rows: a night looks at its new day and at those that it is held against, and at no others.

`health/day=D/` holds the rows of a day, and the users and items that came on it for the first time.
"""

from collections import deque
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from recsys import artifacts, schema
from recsys.artifacts import Manifest, Origin
from recsys.days import Day, ordinal
from recsys.errors import ArtifactError, ConfigError, nearest
from recsys.features import signal_delays
from recsys.health.measures import OF_THE_DAY, DayMeasures, Known, checked_features, delays_of_labels, measure
from recsys.health.verdicts import judge
from recsys.stages import Job
from recsys.workspace import EVENTS, HEALTH, PART, day_folder, day_of

_VERSION = 2  # raised when the rows of the same days change their meaning
_NEW_IDS = "new_{}.parquet"  # of an id: its values that came for the first time


def judged_days(job: Job, last: str | None) -> pa.Table:
    """Return the rows of the days of events/ (`schema.HEALTH`), in order, up to the ISO day `last`. Judge those whose rows are not kept.

    The caller holds health/. Raise ArtifactError where there is no events/, and ConfigError where a name in checks.ignore
    is no column that is checked.
    """
    require_events(job)
    return _Days(job).judged(last)


def require_events(job: Job) -> None:
    """Raise ArtifactError where there is no events/."""
    if artifacts.manifest(job.folder / EVENTS) is None:
        raise ArtifactError(f"{job.folder / EVENTS}: found no events, expected the output of ingest. Fix: recsys ingest PIPELINE.toml")


class _Days:
    """Walk the days of a log and keep what is found of each."""

    def __init__(self, job: Job) -> None:
        self.job, self.pipeline = job, job.pipeline
        self.folder = job.folder / HEALTH
        self.events: Manifest = artifacts.require_manifest(job.folder / EVENTS)
        self.days = sorted({day for name, entry in self.events.files.items() if (day := day_of(name)) is not None and entry["rows"]})
        self.end = Day(self.days[-1], self.pipeline.zone).end if self.days else 0
        self.feedback_delays = signal_delays(self.pipeline)
        # Of the days that the last one is held against, too: it may have no label yet.
        latest = [day_folder(job.examples, day) / PART for day in self.days[-1 - self.pipeline.checks.trailing :]]
        self.label_delays = delays_of_labels([path for path in latest if path.exists()], self.pipeline.objective)
        self.longest_delay = max([*self.label_delays.values(), *self.feedback_delays.values()], default=0)
        self.without = frozenset([OF_THE_DAY, *self.pipeline.checks.ignore])
        self.known = Known()
        self.known_through = 0  # number of first days whose ids `known` has
        self.measured: deque[DayMeasures] = deque(maxlen=self.pipeline.checks.trailing)

    def judged(self, last: str | None) -> pa.Table:
        days = [day for day in self.days if last is None or day <= last]
        self._require_columns()
        rows, fingerprint = [schema.HEALTH.empty_table()], ""
        with self.job.console.bar("health", len(days)) as advance:
            for place, day in enumerate(days):
                fingerprint = self._fingerprint(day, fingerprint)
                target = day_folder(self.folder, day)
                if not artifacts.is_fresh(target, fingerprint):
                    self._judge(place, Origin("health", fingerprint), target)
                rows.append(artifacts.read_table(target / PART))
                advance(note=day)
        return pa.concat_tables(rows)

    def _require_columns(self) -> None:
        """Raise ConfigError where a name to ignore is a column of neither the log nor the features. Without examples, raise nothing."""
        examples = [path for day in self.days if (path := day_folder(self.job.examples, day) / PART).exists()]
        if not self.pipeline.checks.ignore or not examples:
            return
        events = day_folder(self.job.folder / EVENTS, self.days[-1]) / PART
        there = {*artifacts.read_schema(events).names, *checked_features(artifacts.read_schema(examples[-1]))}
        unknown = [name for name in self.pipeline.checks.ignore if name not in there]
        if unknown:
            expected = "expected a column of the log, or a feature that is checked"
            raise ConfigError([f'checks.ignore: found "{name}", {expected}{nearest(name, there)}' for name in unknown])

    def _fingerprint(self, day: str, before: str) -> str:
        """Return what stands for a day's rows: its own events and examples, those of all days before, and the options.

        Where labels are known only after the log's end, that end, too: with more days, there is more to say of this one.
        """
        is_open = Day(day, self.pipeline.zone).end + self.longest_delay > self.end
        events = {name: entry["sha256"] for name, entry in self.events.files.items() if day_of(name) == day}
        examples = artifacts.manifest(day_folder(self.job.examples, day))
        options = [
            self.pipeline.checks.model_dump(mode="json", exclude={"accept"}),
            [each.isoformat() for each in self.pipeline.checks.accept if each.isoformat() == day],
            max(self.pipeline.features.windows, default=1),
            [objective.name for objective in self.pipeline.objective],
            [self.end, self.label_delays, self.feedback_delays] if is_open else None,
        ]
        return artifacts.fingerprint([_VERSION, options, events, None if examples is None else examples.content, before])

    def _judge(self, place: int, origin: Origin, target: Path) -> None:
        day, checks = self.days[place], self.pipeline.checks
        before = self._before(place)
        self._know(place)
        found = self._measured(day, self.known)
        age = ordinal(before[0].day) - ordinal(self.days[0]) if before else 0
        longest = max(self.pipeline.features.windows, default=1)
        rows = [each.row(day) for each in judge(found, before, checks, age=age, longest=longest)]
        if day in {accepted.isoformat() for accepted in checks.accept}:
            rows = [row | {"verdict": _accepted(row["verdict"])} for row in rows]
        with origin.writing(target) as output:
            output.write_table(PART, pa.Table.from_pylist(rows, schema=schema.HEALTH))
            for name, ids in self.known.latest.items():
                output.write_table(_NEW_IDS.format(name), pa.table({name: ids}))
        self.known_through = place + 1
        self.measured.append(found)

    def _before(self, place: int) -> list[DayMeasures]:
        """Return the measures of the days that a day is held against. What is kept of them says how many ids came for the first time."""
        wanted = self.days[max(0, place - self.pipeline.checks.trailing) : place]
        there = {each.day: each for each in self.measured}
        self.measured.clear()
        for day in wanted:
            self.measured.append(there[day] if day in there else self._measured(day, self._unknown_of(day)))
        return list(self.measured)

    def _know(self, place: int) -> None:
        """Tell `known` the ids of the days before one."""
        for day in self.days[self.known_through : place]:
            for name in (schema.USER_ID, schema.ITEM_ID):
                self.known.add(name, artifacts.read_table(day_folder(self.folder, day) / _NEW_IDS.format(name))[name].combine_chunks())
        self.known_through = place

    def _unknown_of(self, day: str) -> Mapping[str, float]:
        rows = artifacts.read_table(day_folder(self.folder, day) / PART).to_pylist()
        return {row["column"]: row["value"] for row in rows if row["check"] == "unknown"}

    def _measured(self, day: str, known: Known | Mapping[str, float]) -> DayMeasures:
        return measure(
            self.job.folder,
            day,
            examples=self.job.examples,
            known=known,
            without=self.without,
            end=self.end,
            label_delays=self.label_delays,
            feedback_delays=self.feedback_delays,
        )


def _accepted(verdict: str) -> str:
    """Return the verdict on a day that was looked at and taken as it is: it stops nothing any more."""
    return schema.WARNS if verdict == schema.STOPS else verdict
