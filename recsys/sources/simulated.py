"""The simulated feed (`source.kind = "world"`): its raw files are written first, then read like any other log."""

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from recsys import artifacts
from recsys.config import WorldOptions, WorldSource
from recsys.progress import Console
from recsys.sources.description import Description
from recsys.sources.raw_source import RawSource
from recsys.sources.table import Table
from recsys.workspace import RAW

_FEWEST_USERS = 20  # of a sample: fewer would tell nothing about labels
_BYTES_PER_IMPRESSION = 90  # of raw files and events (docs/reliability.md, "Room on the disk")


class Simulated(RawSource[WorldSource]):
    def describe(self, folder: Path, console: Console) -> Description:
        """Simulate into `folder`/raw, unless the files there have the same options and seed. Return their description."""
        from recsys.world import simulate  # not at the top: reading a log needs no simulator

        raw = folder / RAW
        options = self._world()
        fingerprint = artifacts.fingerprint({"options": options.model_dump(mode="json"), "seed": self.seed})
        if artifacts.is_fresh(raw, fingerprint):
            artifacts.verify(raw)
            console.say(f"world: {raw} is fresh")
        else:
            with artifacts.writing(raw, stage="world", fingerprint=fingerprint, config=options.model_dump(mode="json")) as output:
                simulate(options, self.seed, output.path("truth.parquet").parent)
        return self._files(raw)

    def peeked(self) -> AbstractContextManager[Description]:
        """Yield the description of a world of a few users, in a folder that is removed afterwards."""
        return self._made(WorldOptions(users=20, days=1, videos=20, new_videos=0))

    def sampled(self, most: int | None) -> AbstractContextManager[Description]:
        """Yield the description of a world with fewer users, so that it has about `most` impressions. It is removed afterwards."""
        options = self._world()
        users = options.users if most is None else int(most / (options.days * options.requests * options.slots))
        return self._made(options.model_copy(update={"users": min(options.users, max(_FEWEST_USERS, users))}))

    @contextmanager
    def _made(self, options: WorldOptions) -> Iterator[Description]:
        from recsys.world import simulate

        with tempfile.TemporaryDirectory(prefix="recsys-world-") as scratch:
            simulate(options, self.seed, Path(scratch))
            yield self._files(Path(scratch))

    def _world(self) -> WorldOptions:
        return WorldOptions.model_validate({name: getattr(self.options, name) for name in WorldOptions.model_fields})

    def states(self) -> dict[str, Any]:
        return {"seed": self.seed}

    def expected_bytes(self) -> int:
        """Return the bytes of the impressions and of their truth, which grow with the expected number of impressions."""
        options = self.options
        return int(_BYTES_PER_IMPRESSION * options.users * options.days * options.requests * options.slots)

    def _files(self, raw: Path) -> Description:
        from recsys.world import table_source

        return Table(table_source(raw), self.seed).files()
