"""The first stages on folders of a test's own."""

from dataclasses import dataclass, replace
from pathlib import Path

from recsys import artifacts
from recsys.artifacts import MANIFEST, Manifest, Origin
from recsys.artifacts.manifests import beside, describe
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


def sign(path: Path, **changes: str) -> None:
    """Make a manifest agree with a file that a test has written: that of the folder artifact it lies in, or else one of its own.

    `changes` are other fields of the manifest that shall change.
    """
    holder = next((folder for folder in path.parents if (folder / MANIFEST).is_file()), None)
    if holder is None or beside(path).exists():
        known = artifacts.manifest(path) or Manifest(ORIGIN.stage, ORIGIN.fingerprint)
        content, about = path.read_bytes(), {"stage": known.stage, "fingerprint": known.fingerprint} | changes
        artifacts.write_file(path, lambda draft: draft.write_bytes(content), **about)
        return
    found = artifacts.manifest(holder)
    assert found is not None
    files = {**found.files, path.relative_to(holder).as_posix(): describe(path, path.name)}
    (holder / MANIFEST).write_text(replace(found, files=files, **changes).text, encoding="utf-8")
