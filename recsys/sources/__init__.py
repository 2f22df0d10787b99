"""The reading of raw files into events, users, items and quarantine: one module per kind of source, one reader for all of them."""

from recsys.sources.checking import check, columns, expected_bytes, raw_states
from recsys.sources.ingestion import ingest
from recsys.sources.sample import Sample, TableSample, sample

__all__ = ["Sample", "TableSample", "check", "columns", "expected_bytes", "ingest", "raw_states", "sample"]
