"""The look itself: the TOML, then the first rows of the source, then what the two give together."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from recsys import features, sources
from recsys.checkup.findings import Findings
from recsys.checkup.labels_seen import label_findings
from recsys.checkup.leaks import leak_findings
from recsys.checkup.split_seen import Seen, split_findings
from recsys.config import Pipeline, load_in_part
from recsys.days import Day
from recsys.errors import ConfigError
from recsys.features import Columns

MOST_ROWS = 200_000  # rows that are read of each file
_LEAK_ROWS = 50_000  # training rows in which leaks are searched


def look(path: Path, overrides: Sequence[str] = (), *, full: bool = False) -> Findings:
    """Look at a pipeline's TOML and at the first rows of its source, of each file at most MOST_ROWS; with `full` at all of them.

    Nothing is written. Raises ConfigError only where the TOML cannot be read at all.
    """
    pipeline, problems = load_in_part(path, overrides)
    found = Findings(config=list(problems))
    if pipeline is None:
        return found
    with tempfile.TemporaryDirectory(prefix="recsys-check-") as scratch:
        try:
            sample = sources.sample(pipeline, Path(scratch), most=None if full else MOST_ROWS)
        except ConfigError as error:
            found.config += error.problems
            return found
        found.data += sample.problems
        found.facts += [_of_table(table) for table in sample.tables]
        _names(pipeline, sample, found)
        if sample.folder is not None:
            _values(pipeline, sample, found)
    return found


def _of_table(table: sources.TableSample) -> str:
    files = f"{table.files:,} files" if table.files > 1 else "1 file"
    read = f"{table.rows:,} rows in {files}" if table.is_whole else f"the first {table.rows:,} rows of {files} (--full reads all of them)"
    return f"{table.role}: {'; '.join((read, *table.notes))}"


def _names(pipeline: Pipeline, sample: sources.Sample, found: Findings) -> None:
    """Hold the names, expressions and types of the TOML against the columns.

    Of a table whose rows cannot be read only the names count. What a table may hold whose header cannot be read is left open.
    """
    if not sample.names:
        return
    columns = Columns.untyped({"users": [], "items": [], **sample.names})
    if sample.folder is not None:
        typed = features.columns_of(sample.folder)
        read = {table.role for table in sample.tables}
        columns = Columns(typed.events, *(getattr(typed if side in read else columns, side) for side in ("users", "items")))
    problems = features.problems(pipeline, columns)
    found.config += problems.config
    open_keys = [key for side, key in (("users", "user"), ("items", "item")) if side not in sample.names]
    if open_keys:
        open_keys += ["entities", "ids", "slices", "category", "multi"]
    found.data += [
        problem for problem in problems.data if not problem.startswith(tuple(f"features.{key}: found the name" for key in open_keys))
    ]


def _values(pipeline: Pipeline, sample: sources.Sample, found: Findings) -> None:
    """Look at the days, labels and features of the rows that were read."""
    assert sample.folder is not None
    first, last = pipeline.split.train
    period = Day(first.isoformat(), pipeline.zone).start, Day(last.isoformat(), pipeline.zone).end
    preview = features.preview(pipeline, sample.folder, period=period, most=_LEAK_ROWS)
    found.data += preview.problems
    seen = Seen.of(pipeline, preview, is_whole=all(table.is_whole for table in sample.tables if table.role == "log"))
    split_findings(seen, found)
    label_findings(seen, found)
    leak_findings(preview, found)
