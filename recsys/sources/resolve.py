"""The one map from a kind of source to its description."""

from pathlib import Path

from recsys.config import KuaiRandSource, Pipeline, TableSource
from recsys.progress import Console
from recsys.sources import kuairand, simulated, table
from recsys.sources.description import Description


def describe(pipeline: Pipeline, folder: Path, console: Console) -> Description:
    """A simulated source is simulated here, into `folder`/raw. Raises ConfigError where its parts do not fit."""
    match pipeline.source:
        case TableSource() as source:
            return table.describe(source)
        case KuaiRandSource() as source:
            return kuairand.describe(source)
        case source:
            return simulated.describe(source, pipeline.seed, folder, console)
