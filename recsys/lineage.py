"""Hold what a state of a training in time order has learned, by its manifest, against what it would learn now.

Inputs are named by the files of the encoded days: `encoder` and other models; `day=D`, the rows of a day; `day=D/added.parquet`, what it
has added to the vocabulary; `day=D/late.json`, the late labels that the training learns with day D, on the rows of earlier days. The rows
of a day stand for what was known of it when it ended. So labels that become known later, and are learned then, do not change them.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from recsys import artifacts
from recsys.artifacts import Manifest, Origin, Output
from recsys.errors import ArtifactError
from recsys.workspace import LEARNED_DAYS, day_folder, day_of, days_in

ADDED_FILE = "added.parquet"  # in the folder of an encoded day: the rows of the vocabulary that it has added
OWN_FILE = "own.json"  # in the folder of an encoded day, in time order: a hash of what was known of it when it ended
LATE_FILE = "late.json"  # beside it, where there are some: later ISO day → a hash of this day's labels that become known on it
Inputs = Mapping[str, str]  # name → content
_THROUGH = "through"


def write_learned(output: Output, through: str) -> None:
    """Write into a model's folder the last ISO day whose labels its weights know."""
    output.write_json(LEARNED_DAYS, {_THROUGH: through})


def learned_by(model: Path) -> str | None:
    """Return the last ISO day whose labels the weights of a model know, learned by themselves or by the runs that they started from.

    Return None where a model of an earlier version does not say it. Raise ArtifactError where what it says is damaged.
    """
    file = model / LEARNED_DAYS
    return str(artifacts.read_json(file)[_THROUGH]) if file.exists() else None


@dataclass(frozen=True)
class KeptFit:
    """Name a baseline that is kept (`evaluate.baseline_refit_days`): where it lies, the ISO days that it learns, what it is made of."""

    folder: Path
    days: tuple[str, ...]
    origin: Origin


def inputs_of_days(encoded: Path, days: Sequence[str], *, learns_late: bool) -> dict[str, str]:
    """Return the inputs that these encoded days are, as they stand now. Raises ArtifactError where one does not stand.

    `days` are in order. `learns_late`: whether labels that become known after their day are learned (`train.late`).
    """
    found: dict[str, str] = {}
    late: dict[str, dict[str, str]] = {}
    for day in days:
        found |= inputs_of_day(encoded, day)
        for known, content in _late_labels(encoded, day).items() if learns_late else ():
            place = bisect_left(days, known)  # a day without impressions has no night: the next one learns
            if place < len(days):
                late.setdefault(days[place], {})[f"{day} {known}"] = content
    return found | {_late_name(day): artifacts.fingerprint(parts) for day, parts in late.items()}


def inputs_of_day(encoded: Path, day: str) -> dict[str, str]:
    """Return the inputs that an encoded day is by itself, as it stands now. Raises ArtifactError where it does not stand."""
    folder = day_folder(encoded, day)
    files = artifacts.require_manifest(folder).files
    if OWN_FILE not in files:
        raise ArtifactError(f"{folder}: found no {OWN_FILE}, expected a day that was encoded in time order. Fix: delete it and run encode")
    found = {folder.name: files[OWN_FILE]["sha256"]}
    return found | ({f"{folder.name}/{ADDED_FILE}": files[ADDED_FILE]["sha256"]} if ADDED_FILE in files else {})


def _late_labels(encoded: Path, day: str) -> dict[str, str]:
    """Return later ISO day → a hash of this day's labels that become known on it."""
    folder = day_folder(encoded, day)
    if LATE_FILE not in artifacts.require_manifest(folder).files:
        return {}
    found: dict[str, str] = artifacts.read_json(folder / LATE_FILE)
    return found


def _late_name(day: str) -> str:
    return f"day={day}/{LATE_FILE}"


def through(inputs: Inputs, last: str) -> dict[str, str]:
    """Return the inputs that are no later than the ISO day `last`."""
    return {name: content for name, content in inputs.items() if (day_of(name) or "") <= last}


def labels_of(inputs: Inputs) -> dict[str, str]:
    """Return the inputs that a training learns once, and does not learn again where they change: rows of days, and late labels."""
    return {name: content for name, content in inputs.items() if day_of(name) is not None and ("/" not in name or _is_late(name))}


def _is_late(name: str) -> bool:
    return name.endswith(f"/{LATE_FILE}")


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
    """Return the inputs, rows and late labels of days apart, that are not the same in both."""
    learned = {*labels_of(manifest.inputs), *labels_of(now)}
    return sorted(name for name in {*manifest.inputs, *now} - learned if manifest.inputs.get(name) != now.get(name))


def why_none_fits(states: Path, member: int, now: Inputs, last: str) -> str | None:
    """Return in words in what the newest state up to `last` differs from now; None where it fits, or where no state stands."""
    for day in reversed([day for day in days_in(states) if day <= last]):
        manifest = artifacts.manifest(state_path(states, day, member))
        if manifest is not None:
            others = sorted(_others(manifest, through(now, day)), key=lambda name: day_of(name) or "")  # the encoder before any day
            return None if not others else f"vocabulary of {of}" if (of := day_of(others[0])) else others[0]
    return None


def as_learned(states: Path, fingerprint: str, now: Inputs, last: str) -> dict[str, str]:
    """Return the inputs of a training through `last`: what a fitting state has learned, as it has learned it; all else as it is now."""
    fitting = days_that_fit(states, 0, fingerprint, now, last)
    manifest = artifacts.manifest(state_path(states, fitting[-1], 0)) if fitting else None
    if manifest is None:
        return dict(now)
    learned = {name: content for name, content in labels_of(manifest.inputs).items() if f"day={day_of(name)}" in now}
    unlearned = {name for name in labels_of(through(now, fitting[-1])) if name not in learned and _is_late(name)}
    return {name: content for name, content in now.items() if name not in unlearned} | learned


class Changed(NamedTuple):
    """Name the days whose rows, and those whose late labels, are not as a state has learned them; each in order."""

    rows: list[str]
    late: list[str]


def changed(states: Path, member: int, day: str, now: Inputs) -> Changed:
    """Return what is other now than when this day's state learned it, days that it has not learned among them."""
    manifest = artifacts.manifest(state_path(states, day, member))
    learned = {} if manifest is None else labels_of(manifest.inputs)
    known = labels_of(through(now, day))
    names = {name for name in {*learned, *known} if learned.get(name) != known.get(name) and f"day={day_of(name)}" in known}
    late = {name for name in names if _is_late(name)}
    days = [sorted(found for name in part if (found := day_of(name)) is not None) for part in (names - late, late)]
    return Changed(*days)
