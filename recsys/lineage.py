"""Hold what a state of a training in time order has learned, by its manifest, against what it would learn now.

Inputs are named by the files of the encoded days: `encoder` and other models; `day=D`, the rows of a day; `day=D/added.parquet`, what it
has added to the vocabulary. The rows of a day stand for what was known of it when it ended. So labels that become known later, and are
learned then, do not change them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recsys import artifacts
from recsys.artifacts import Manifest, Origin
from recsys.errors import ArtifactError
from recsys.workspace import day_folder, day_of, days_in

ADDED_FILE = "added.parquet"  # in the folder of an encoded day: the rows of the vocabulary that it has added
OWN_FILE = "own.json"  # in the folder of an encoded day, in time order: a hash of what was known of it when it ended
Inputs = Mapping[str, str]  # name → content


@dataclass(frozen=True)
class KeptFit:
    """Name a baseline that is kept (`evaluate.baseline_refit_days`): where it lies, the ISO days that it learns, what it is made of."""

    folder: Path
    days: tuple[str, ...]
    origin: Origin


def inputs_of_day(encoded: Path, day: str) -> dict[str, str]:
    """Return the inputs that an encoded day is, as it stands now. Raises ArtifactError where it does not stand."""
    folder = day_folder(encoded, day)
    files = artifacts.require_manifest(folder).files
    if OWN_FILE not in files:
        raise ArtifactError(f"{folder}: found no {OWN_FILE}, expected a day that was encoded in time order. Fix: delete it and run encode")
    found = {folder.name: files[OWN_FILE]["sha256"]}
    return found | ({f"{folder.name}/{ADDED_FILE}": files[ADDED_FILE]["sha256"]} if ADDED_FILE in files else {})


def through(inputs: Inputs, last: str) -> dict[str, str]:
    """Return the inputs that are no later than the ISO day `last`."""
    return {name: content for name, content in inputs.items() if (day_of(name) or "") <= last}


def rows_of(inputs: Inputs) -> dict[str, str]:
    """Return ISO day → the content of its rows."""
    return {day: content for name, content in inputs.items() if "/" not in name and (day := day_of(name)) is not None}


def state_path(states: Path, day: str, member: int) -> Path:
    """Return the file of a member's state at the end of a day."""
    return day_folder(states, day) / f"member-{member}.safetensors"


def days_that_fit(states: Path, member: int, fingerprint: str, now: Inputs, last: str) -> list[str]:
    """Return the days up to `last` whose state may be gone on from: its options, encoder, other models and vocabulary are those of now."""
    return [day for day in days_in(states) if day <= last and _fits(state_path(states, day, member), fingerprint, through(now, day))]


def _fits(path: Path, fingerprint: str, now: Inputs) -> bool:
    manifest = artifacts.manifest(path)
    return manifest is not None and artifacts.is_fresh(path, fingerprint) and not _others(manifest, now)


def _others(manifest: Manifest, now: Inputs) -> list[str]:
    """Return the inputs, rows of days apart, that are not the same in both."""
    rows = {f"day={day}" for inputs in (manifest.inputs, now) for day in rows_of(inputs)}
    return sorted(name for name in {*manifest.inputs, *now} - rows if manifest.inputs.get(name) != now.get(name))


def why_none_fits(states: Path, member: int, now: Inputs, last: str) -> str | None:
    """Return in words in what the newest state up to `last` differs from now; None where it fits, or where no state stands."""
    for day in reversed([day for day in days_in(states) if day <= last]):
        manifest = artifacts.manifest(state_path(states, day, member))
        if manifest is not None:
            others = sorted(_others(manifest, through(now, day)), key=lambda name: day_of(name) or "")  # the encoder before any day
            return None if not others else f"vocabulary of {of}" if (of := day_of(others[0])) else others[0]
    return None


def as_learned(states: Path, fingerprint: str, now: Inputs, last: str) -> dict[str, str]:
    """Return the inputs of a training through `last`: of days that a fitting state has learned, the rows as it has learned them."""
    fitting = days_that_fit(states, 0, fingerprint, now, last)
    manifest = artifacts.manifest(state_path(states, fitting[-1], 0)) if fitting else None
    learned = {} if manifest is None else {f"day={day}": content for day, content in rows_of(manifest.inputs).items()}
    return dict(now) | {name: content for name, content in learned.items() if name in now}


def changed(states: Path, member: int, day: str, now: Inputs) -> list[str]:
    """Return the days that have other rows now than when this day's state learned them, and those that it has not learned."""
    manifest = artifacts.manifest(state_path(states, day, member))
    learned = {} if manifest is None else rows_of(manifest.inputs)
    return sorted(each for each, content in rows_of(through(now, day)).items() if learned.get(each) != content)
