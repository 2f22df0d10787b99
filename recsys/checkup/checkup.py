"""The look itself: the TOML, then some rows of the source, then what the two give together."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from recsys import features, sources
from recsys.checkup.contradictions import contradictions
from recsys.checkup.findings import Findings
from recsys.checkup.labels_seen import label_findings
from recsys.checkup.leaks import leak_findings
from recsys.checkup.lists_seen import list_findings
from recsys.checkup.slices_seen import slice_findings
from recsys.checkup.split_seen import Seen, density_findings, split_findings
from recsys.config import Pipeline, load_in_part
from recsys.errors import ConfigError, RecsysError, many
from recsys.features import Columns
from recsys.judge import problems_of_days, problems_of_files
from recsys.workspace import MODEL

MOST_ROWS = 200_000  # rows that are read of each file
_LEAK_ROWS = 50_000  # training rows in which leaks are searched


def look(path: Path, overrides: Sequence[str] = (), *, full: bool = False) -> Findings:
    """Look at a pipeline's TOML and at rows of its source (`sources.sample`), of each file at most MOST_ROWS; with `full` at all of them.

    Nothing is written. Raises ConfigError only where the TOML cannot be read at all.
    """
    pipeline, problems = load_in_part(path, overrides)
    found = Findings(config=list(problems))
    if pipeline is None:
        return found
    found.config += _other_runs(pipeline)
    if not any(": split" in problem for problem in problems):  # days that are written wrongly are not missing
        found.config += problems_of_days(pipeline)
    with tempfile.TemporaryDirectory(prefix="recsys-check-") as scratch:
        try:
            sample = sources.sample(pipeline, Path(scratch), most=None if full else MOST_ROWS)
        except ConfigError as error:
            found.config += error.problems
            return found
        except RecsysError as error:
            found.data.append(str(error))
            return found
        found.data += sample.problems
        found.warnings += sample.doubts
        _refused_rows(sample, found)
        found.facts += [*_of_world(pipeline, sample), *(_of_table(table) for table in sample.tables)]
        _names(pipeline, sample, found)
        if sample.folder is not None:
            _values(pipeline, sample, found)
    return found


def _other_runs(pipeline: Pipeline) -> list[str]:
    """Return the problems of runs and of files that the TOML names."""
    named = {
        "train.init_from": pipeline.train.init_from,
        "train.distil_from": pipeline.train.distil_from,
        "balance.worst_case.baseline": pipeline.balance.worst_case.baseline,
    }
    problems = [
        f"{key}: found no {'trained model in' if path.exists() else 'folder'} {path}, expected a trained run. Fix: mend it"
        for key, path in named.items()
        if path and not (path / MODEL).exists()
    ]
    return problems + problems_of_files(pipeline)


def _refused_rows(sample: sources.Sample, found: Findings) -> None:
    """Report rows that a run would not leave out. Where not all rows were read, their share is not known."""
    said_of_times = any("source.time" in problem for problem in found.config)  # then the times are read as nobody said
    problems = [problem for problem in sample.row_problems if not (said_of_times and "between 1971 and 2100" in problem)]
    if sample.is_whole:
        found.data += problems
    else:
        found.warnings += [f"in the rows that were read: {problem}" for problem in problems]


def _of_world(pipeline: Pipeline, sample: sources.Sample) -> list[str]:
    """Say that a simulated feed was made smaller for the look, where it was."""
    if pipeline.source.kind != "world":
        return []
    made = next((table.rows for table in sample.tables if table.role == "users"), pipeline.source.users)
    if made >= pipeline.source.users:
        return []
    return [f"world: {made:,} of its {pipeline.source.users:,} users were simulated for this look (--full simulates all)"]


def _of_table(table: sources.TableSample) -> str:
    files = f"{table.files:,} files" if table.files > 1 else "1 file"
    read = f"{many(table.rows, 'row')} in {files}"
    if table.is_of_training:
        read = f"{many(table.rows, 'row')} of {files}, from the first of the training days on (--full reads all of them)"
    elif not table.is_whole:
        read = f"the first {many(table.rows, 'row')} of {files} (--full reads all of them)"
    return f"{table.role}: {'; '.join((read, *table.notes))}"


def _names(pipeline: Pipeline, sample: sources.Sample, found: Findings) -> None:
    """Hold the names, expressions and types of the TOML against the columns.

    Of a table whose rows cannot be read only the names count. What a table may hold whose header cannot be read is left open.
    """
    if not sample.names:
        return
    columns = Columns.untyped({"users": [], "items": [], **sample.names})
    problems = features.problems(pipeline, columns)
    if sample.folder is not None:
        by_type = features.problems(pipeline, _typed(columns, sample))
        if sample.is_whole:
            problems = by_type
        else:
            more = [problem for problem in (*by_type.config, *by_type.data) if problem not in (*problems.config, *problems.data)]
            found.warnings += [f"in the rows that were read: {problem}" for problem in more]
    found.config += problems.config
    found.warnings += problems.doubts
    open_keys = [key for side, key in (("users", "user"), ("items", "item")) if side not in sample.names]
    if open_keys:
        open_keys += ["entities", "factors", "ids", "slices", "category", "multi"]
    found.data += [
        problem for problem in problems.data if not problem.startswith(tuple(f"features.{key}: found the name" for key in open_keys))
    ]


def _typed(columns: Columns, sample: sources.Sample) -> Columns:
    """Return the columns with the types of the tables that were read. Columns of the others keep their names."""
    assert sample.folder is not None
    typed = features.columns_of(sample.folder)
    read = {table.role for table in sample.tables}
    lacking = [field for field in columns.events if field.name not in typed.events.names]
    events = pa.schema([*typed.events, *lacking])
    users, items = (getattr(typed if side in read else columns, side) for side in ("users", "items"))
    return Columns(events, users, items, sample.folder)


def _values(pipeline: Pipeline, sample: sources.Sample, found: Findings) -> None:
    """Look at the days, labels and features of the rows that were read."""
    assert sample.folder is not None
    preview = features.preview(pipeline, sample.folder, most=_LEAK_ROWS)
    found.data += preview.problems
    seen = Seen.of(pipeline, preview, is_whole=sample.is_whole)
    split_findings(seen, found)
    density_findings(seen, found)
    label_findings(seen, found)
    list_findings(preview, found)
    slice_findings(preview, found)
    contradictions(preview, found)
    leak_findings(preview, found)
