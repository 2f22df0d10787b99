"""The first stages on folders of a test's own."""

from dataclasses import dataclass
from pathlib import Path

from recsys.artifacts import Origin
from recsys.config import Pipeline
from recsys.encoding import Encoder
from recsys.progress import Console
from recsys.stages import STAGES, Job, encoded_of, examples_of
from recsys.workspace import ENCODER, days_in

ORIGIN = Origin("test", "test")


@dataclass(frozen=True)
class Built:
    """Where the examples lie. `fresh`: how many of `days` were there already."""

    folder: Path
    days: tuple[str, ...]
    fresh: int


@dataclass(frozen=True)
class Encoded:
    """Where the encoded days lie."""

    folder: Path
    encoder: Encoder
    days: tuple[str, ...]


def build(pipeline: Pipeline, folder: Path, *, console: Console) -> Built:
    """The stage features, in a folder that holds events/, users/ and items/."""
    examples = examples_of(pipeline, folder)
    job = Job(pipeline, folder, folder / "runs" / "test", examples, folder / "encoded", console)
    stage = STAGES["features"]
    options = stage.receives(pipeline)
    with_examples = [part for part in stage.parts(job, options) if len(part.writes) == 2]
    fresh = sum(part.is_fresh for part in with_examples)
    stage.run(job)
    return Built(examples, tuple(part.name for part in with_examples), fresh)


def encode(pipeline: Pipeline, examples: Path, *, console: Console) -> Encoded:
    """The stage encode, beside the folder of the examples."""
    encoded = encoded_of(pipeline, examples.parent, examples)
    STAGES["encode"].run(Job(pipeline, examples.parent, examples.parent / "runs" / "test", examples, encoded, console))
    return Encoded(encoded, Encoder.load(encoded / ENCODER), tuple(days_in(encoded)))
