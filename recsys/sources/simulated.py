"""The simulated feed (`source.kind = "world"`): its raw files are written first, then read like any other log."""

import tempfile
from pathlib import Path

from recsys import artifacts
from recsys.config import WorldOptions, WorldSource
from recsys.progress import Console
from recsys.sources import table
from recsys.sources.description import Description
from recsys.workspace import RAW


def describe(source: WorldSource, seed: int, folder: Path, console: Console) -> Description:
    """Simulate into `folder`/raw, unless the files there have the same options and seed. Return their description."""
    from recsys.world import simulate, table_source  # not at the top: reading a log needs no simulator

    raw = folder / RAW
    options = WorldOptions.model_validate({name: getattr(source, name) for name in WorldOptions.model_fields})
    fingerprint = artifacts.fingerprint({"options": options.model_dump(mode="json"), "seed": seed})
    if artifacts.is_fresh(raw, fingerprint):
        console.say(f"world: {raw} is fresh")
    else:
        with artifacts.writing(raw, stage="world", fingerprint=fingerprint, config=options.model_dump(mode="json")) as output:
            simulate(options, seed, output.path("truth.parquet").parent)
    return table.describe(table_source(raw))


def describe_small(seed: int, folder: Path) -> Description:
    """Simulate and describe a world of a few users, for the names of its columns."""
    from recsys.world import simulate, table_source

    small = WorldOptions(users=20, days=1, videos=20, new_videos=0)
    simulate(small, seed, folder)
    return table.describe(table_source(folder))


def scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="recsys-world-")
