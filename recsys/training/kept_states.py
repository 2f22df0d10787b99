"""The states of a training in time order at the ends of its days, from which a later training goes on.

`learned/FINGERPRINT/day=D/member-M.safetensors` holds everything of a member at the end of day D: weights, optimisers, random state. The
fingerprint stands for the options that shape a state. The manifest beside the file names the encoder and the days that were learned, with
their content.

A state is not made anew where the rows of a day that it has learned have changed since: a training never steps back by itself. That is
said, and `recsys run --from DAY` drops the states from a day on. Where a day has brought other values into the vocabulary, the rows of the
tables are others. Then no state from that day on fits.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError

from recsys import artifacts
from recsys.artifacts import Origin
from recsys.encoding.growth import ADDED_FILE
from recsys.errors import ArtifactError
from recsys.training.checkpoint import Saved, read_saved, write_saved
from recsys.training.state import State
from recsys.workspace import PREDICTED, day_folder, day_of, days_in

_KEPT = "kept."  # prefix of the tensors that a run keeps of its own choosing phase; no state of a day has them
_DIGESTS = "digests"  # key of a state's facts


@dataclass(frozen=True)
class KeptStates:
    """The states in one folder.

    `origin` has as inputs all that a state may have learned: its name → its content, days by their folder, and the `vocabularies`.
    """

    folder: Path
    origin: Origin
    most: int  # days whose states are kept

    def newest(self, member: int, last: str) -> Saved | None:
        """Return the state of the newest day, up to the ISO day `last`, that has one of this member; None without any."""
        for day in reversed(self.days(member, last)):
            return self._read(member, day)
        return None

    def days(self, member: int, last: str) -> list[str]:
        """Return the days up to `last` whose state of this member has learned from the same encoder and the same other models."""
        return [day for day in days_in(self.folder) if day <= last and self._fits(self._manifest(member, day), day)]

    def changed(self, member: int, day: str, digest: Callable[[str], str]) -> list[str]:
        """Return the days that have other rows now than when this day's state learned them, and those that it has not learned.

        `digest` takes a day and returns the hash of what may be learned of it by the end of the state's day, as it was given to `write`.
        """
        manifest = self._manifest(member, day)
        learned = {} if manifest is None else manifest.inputs
        now = self._inputs_through(day)
        found = sorted(day_of(name) or "" for name, content in now.items() if _is_day(name) and learned.get(name) != content)
        digests = self._read(member, day).facts[_DIGESTS] if found else {}
        return [each for each in found if each not in digests or digests[each] != digest(each)]

    def write(self, state: State, digests: Mapping[str, str]) -> None:
        """Keep the state of a member at the end of its last day.

        `digests`: each day of which labels are still to become known → the hash of what has been learned of it.
        """
        place = state.place
        facts = state.facts() | {_DIGESTS: dict(digests)}
        facts["place"] = {**facts["place"], "phase": "choose"}
        tensors = {name: tensor for name, tensor in state.tensors().items() if not name.startswith(_KEPT)}
        origin = Origin(self.origin.stage, self.origin.fingerprint, self._inputs_through(place.day))
        origin.write_file(self._path(place.member, place.day), lambda path: write_saved(path, tensors, facts))

    def write_predicted(self, member: int, day: str, table: pa.Table) -> None:
        """Keep what a member predicted of a day before it learned the day."""
        before = {name: content for name, content in self.origin.inputs.items() if (day_of(name) or "") < day}
        origin = Origin(self.origin.stage, self.origin.fingerprint, before)
        origin.write_file(predicted_path(self.folder, day, member), lambda path: pq.write_table(table, path, compression="zstd"))

    def drop_old(self, last: str) -> None:
        """Remove the states of all but the `most` last days up to `last`. States of later days stay."""
        for day in [day for day in days_in(self.folder) if day <= last][: -self.most]:
            shutil.rmtree(day_folder(self.folder, day))

    def _fits(self, manifest: artifacts.Manifest | None, day: str) -> bool:
        """Return whether a state of this day may be gone on from: its options, encoder, other models and vocabulary are the same now."""
        if manifest is None or manifest.fingerprint != self.origin.fingerprint:
            return False
        learned, now = (
            {name: text for name, text in inputs.items() if not _is_day(name)} for inputs in (manifest.inputs, self._inputs_through(day))
        )
        return learned == now

    def _inputs_through(self, last: str) -> Mapping[str, str]:
        return {name: content for name, content in self.origin.inputs.items() if (day_of(name) or "") <= last}

    def _manifest(self, member: int, day: str) -> artifacts.Manifest | None:
        return artifacts.manifest(self._path(member, day))

    def _path(self, member: int, day: str) -> Path:
        return day_folder(self.folder, day) / f"member-{member}.safetensors"

    def _read(self, member: int, day: str) -> Saved:
        path = artifacts.checked(self._path(member, day))
        try:
            saved = read_saved(path)
            if saved is None:
                raise ValueError("no hash in it")
            return saved
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path}: found a state that cannot be read ({error}). Fix: delete {path.parent} and run again") from error


def predicted_path(folder: Path, day: str, member: int) -> Path:
    """Return the file of what a member predicted of a day before it learned the day."""
    return day_folder(folder / PREDICTED, day) / f"member-{member}.parquet"


def vocabularies(days: Mapping[str, artifacts.Manifest]) -> dict[str, str]:
    """Return `day=D/added.parquet` → the hash of the rows that an encoded day has added to the vocabulary. `days`: folder → manifest."""
    return {f"{name}/{ADDED_FILE}": manifest.files[ADDED_FILE]["sha256"] for name, manifest in days.items() if ADDED_FILE in manifest.files}


def _is_day(name: str) -> bool:
    """Return whether an input is the rows of a day."""
    return day_of(name) is not None and "/" not in name
