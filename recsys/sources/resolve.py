"""The one map from a kind of source to its description."""

from pathlib import Path

from recsys.config import KuaiRandSource, OpenBanditSource, Pipeline, TableSource
from recsys.progress import Console
from recsys.sources import kuairand, open_bandit, simulated, table
from recsys.sources.description import Description


def describe(pipeline: Pipeline, folder: Path, console: Console) -> Description:
    """Describe the source of a pipeline. A simulated source is simulated here, into `folder`/raw.

    Raises ConfigError where the parts of the source do not fit each other.
    """
    match pipeline.source:
        case TableSource() as source:
            return table.describe(source)
        case KuaiRandSource() as source:
            return kuairand.describe(source)
        case OpenBanditSource() as source:
            return open_bandit.describe(source)
        case source:
            return simulated.describe(source, pipeline.seed, folder, console)
