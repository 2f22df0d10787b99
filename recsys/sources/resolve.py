"""The way from a pipeline to its source."""

from importlib import import_module
from typing import Any

from recsys.config import SOURCES, Pipeline
from recsys.sources.raw_source import RawSource


def raw_source(pipeline: Pipeline) -> RawSource[Any]:
    """Make the source of a pipeline, of the class that SOURCES names for its kind."""
    module, _, name = SOURCES[pipeline.source.kind].reader.partition(":")
    source: RawSource[Any] = getattr(import_module(module), name)(pipeline.source, pipeline.seed)
    return source
