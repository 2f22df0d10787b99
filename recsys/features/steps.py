"""The steps of a build: the days with events, and the chain of fingerprints that tells which days are stale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa

from recsys import artifacts, schema
from recsys.config import Pipeline
from recsys.days import Day
from recsys.errors import ArtifactError, data_error
from recsys.features.feature_columns import Columns
from recsys.features.sides import side_file
from recsys.workspace import EVENTS, ITEMS, PART, USERS, day_folder, day_of


@dataclass(frozen=True)
class Step:
    """One day with events: its files, what its output depends on besides the day before, and whether its examples are wanted."""

    day: Day
    files: tuple[Path, ...]
    rows: int
    inputs: Mapping[str, str]  # name → fingerprint of the content
    wanted: bool


def all_steps(pipeline: Pipeline, folder: Path) -> list[Step]:
    """Return the days with events up to the last of the split, in order. Raises DataError where a part of the split has no rows."""
    wanted = {day for part in schema.SPLITS for day in pipeline.split.days(part)}
    steps = days_with_events(pipeline, folder)
    _require_parts(pipeline, folder, [step.day.iso for step in steps])
    return [replace(step, wanted=step.day.iso in wanted) for step in steps if step.day.iso <= max(wanted)]


def days_with_events(pipeline: Pipeline, folder: Path) -> list[Step]:
    """Return all days with events, in order. No examples are wanted of them."""
    by_day: dict[str, dict[str, Mapping[str, object]]] = {}
    for name, entry in _manifest(folder / EVENTS).files.items():
        if (day := day_of(name)) is not None and entry["rows"]:
            by_day.setdefault(day, {})[name] = entry
    sides = {name: _manifest(folder / name) for name in (USERS, ITEMS) if (folder / name).exists()}
    found: list[Step] = []
    for day, entries in sorted(by_day.items()):
        content = artifacts.fingerprint({name: entry["sha256"] for name, entry in entries.items()})
        files = tuple(folder / EVENTS / name for name in sorted(entries))
        rows = sum(int(str(entry["rows"])) for entry in entries.values())
        joined = {name: _content_of_day(manifest, folder / name, day) for name, manifest in sides.items()}
        found.append(Step(Day(day, pipeline.zone), files, rows, {"events": content, **joined}, wanted=False))
    return found


def _content_of_day(manifest: artifacts.Manifest, folder: Path, day: str) -> str:
    """Return the content of users/ or items/ that a day joins: of the snapshot alone, where there are snapshots."""
    path = side_file(folder, day)
    assert path is not None, f"{folder} has a manifest"
    name = path.relative_to(folder).as_posix()
    return manifest.content if name == PART else str(manifest.files[name]["sha256"])


def _manifest(folder: Path) -> artifacts.Manifest:
    found = artifacts.manifest(folder)
    if found is None:
        raise ArtifactError(f"{folder}: found no artifact with a manifest, expected the output of ingest. Fix: run ingest")
    return found


_SPANNED = "; over a missing day, --set split.validation, or split.test, to several days (docs/runbook.md, The log has a day missing)"


def _require_parts(pipeline: Pipeline, folder: Path, days: Sequence[str]) -> None:
    """Raise a DataError that names every part of the split without rows, and the days that have rows."""
    empty = {part: span for part, span in pipeline.split.parts().items() if not set(pipeline.split.days(part)) & set(days)}
    if empty:
        raise data_error(
            folder / EVENTS,
            found=f"no rows in {', '.join(f'split.{part} ({first} to {last})' for part, (first, last) in empty.items())}",
            expected="rows in each part of the split",
            fix=f"choose from the days that have rows: {spans(days) or 'none'}{'' if schema.TRAIN in empty else _SPANNED}",
        )


def spans(days: Sequence[str]) -> str:
    """Return days as text, in order, neighbouring days as one span: `2022-04-25 to 2022-05-01, 2022-05-04`."""
    spans: list[list[date]] = []
    for day in map(date.fromisoformat, days):
        if spans and day - spans[-1][-1] == timedelta(days=1):
            spans[-1][1:] = [day]
        else:
            spans.append([day])
    return ", ".join(" to ".join(day.isoformat() for day in span) for span in spans)


# --- Reading -----------------------------------------------------------------------------------------------------------
def read_columns(folder: Path, day: str) -> Columns:
    """Read the columns of a day's events, of users and of items, in a workspace."""
    events = _schema(_parquet_files(day_folder(folder / EVENTS, day))[0])
    sides = {}
    for name, key in ((USERS, schema.USER_ID), (ITEMS, schema.ITEM_ID)):
        path = side_file(folder / name, day)
        sides[name] = pa.schema([events.field(key)]) if path is None else _schema(path)
    return Columns(events, sides["users"], sides["items"], folder)


def require_whole(step: Step, columns: Columns) -> None:
    """Raise ArtifactError where a day's events differ from the bytes of their manifest, or have other columns than the first day."""
    for path in step.files:
        if not _schema(path).equals(columns.events):
            raise ArtifactError(
                f"{path}: found other columns or types than on the first day, expected the same."
                f" Fix: delete {path.parent.parent} and run ingest again"
            )


def _parquet_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.parquet"))


def _schema(path: Path) -> pa.Schema:
    return artifacts.read_schema(path).remove_metadata()
