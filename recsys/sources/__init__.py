"""The reading of raw files into events, users, items and quarantine: one module per kind of source, one reader for all of them."""

from recsys.sources.candidate_file import files_of, stage_candidates
from recsys.sources.checking import check, columns, expected_bytes, is_raw, raw_states, time_options
from recsys.sources.increment import ingest
from recsys.sources.instants import as_written, expected_time, is_iso_time, moments_or_null
from recsys.sources.named_paths import said_left_out
from recsys.sources.sample import Sample, TableSample, sample
from recsys.sources.staging import EXACT
from recsys.sources.unknown_file import UnknownFile, read_unknown, read_whole

__all__ = [
    "EXACT",
    "Sample",
    "TableSample",
    "UnknownFile",
    "as_written",
    "check",
    "columns",
    "expected_bytes",
    "expected_time",
    "files_of",
    "ingest",
    "is_iso_time",
    "is_raw",
    "moments_or_null",
    "raw_states",
    "read_unknown",
    "read_whole",
    "said_left_out",
    "sample",
    "stage_candidates",
    "time_options",
]
