"""Candidates are asked for, as `recsys predict` does it, up to their features."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsys import features, sources
from recsys.config import Pipeline
from recsys.days import Day
from recsys.progress import Console
from recsys.stages import STAGES, Job, bring_states_forward, examples_of, states_of

QUIET = Console(quiet=True)
OF_THE_IMPRESSION = ("event_id", "bias.position", "slice.", "label.", "known.", "request_id")  # what a candidate has not


def ask(pipeline: Pipeline, folder: Path, rows: Sequence[dict[str, Any]], scratch: Path) -> pa.Table:
    """The features of candidates, in the order in which they are given."""
    options = STAGES["features"].receives(pipeline)
    job = Job(pipeline, folder, folder / "runs" / "test", examples_of(pipeline, folder), folder / "encoded", QUIET)
    days = features.days_with_events(options, folder)
    columns = features.read_columns(folder, days[0].day.iso)
    needed = {field.name: field.type for field in features.needed_columns(options, columns)}
    scratch.mkdir()
    pq.write_table(pa.Table.from_pylist(list(rows)), scratch / "given.parquet")
    sources.stage_candidates(
        pipeline, scratch / "given.parquet", needed, scratch / "staged.parquet", at=None, first=days[0].day, scratch=scratch
    )
    with features.DuckDBEngine(memory_limit="1GB", spill=scratch) as engine:
        candidates = features.Candidates(options, folder, columns, engine, scratch / "staged.parquet", scratch)
        found = []
        for iso, count in candidates.days().items():
            earlier = [step for step in bring_states_forward(job, iso) if step.day.iso < iso]
            today = next((step for step in days if step.day.iso == iso), None)
            found += [rows() for rows in candidates.examples(Day(iso, pipeline.zone), count, earlier, today, states_of(job))]
    table = pa.concat_tables(found).sort_by("event_id")
    assert table["event_id"].to_pylist() == list(range(len(rows)))
    return comparable(table)


def comparable(examples: pa.Table) -> pa.Table:
    return examples.select([name for name in examples.column_names if not name.startswith(OF_THE_IMPRESSION)]).combine_chunks()
