"""The states of a training in time order at the ends of its days, from which a later training goes on.

`learned/FINGERPRINT/day=D/member-M.safetensors` holds everything of a member at the end of day D: weights, optimisers, random state. The
fingerprint stands for the options that shape a state. The manifest beside the file names what was learned (recsys/lineage.py).

A state is not made anew where the rows of a day that it has learned have changed since: a training never steps back by itself. That is
said, and `recsys run --from DAY` drops the states from a day on. Where a day has brought other values into the vocabulary, the rows of the
tables are others. Then no state from that day on fits.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError

from recsys import artifacts, lineage
from recsys.artifacts import Origin
from recsys.errors import ArtifactError
from recsys.scoring.tensor_files import hand_over
from recsys.training.checkpoint import Saved, read_saved, write_saved
from recsys.training.journal import as_text
from recsys.training.state import State
from recsys.workspace import JOURNALS, PREDICTED, day_folder, day_of, days_in

_KEPT = "kept."  # prefix of the tensors that a run keeps of its own choosing phase; no state of a day has them


@dataclass(frozen=True)
class KeptStates:
    """The states in one folder. `origin` has as inputs all that a state would learn now."""

    folder: Path
    encoded: Path
    origin: Origin
    most: int  # days whose states are kept
    writes: bool = True  # of several processes that train together, the first one does

    def days(self, member: int, last: str) -> list[str]:
        """Return the days up to the ISO day `last` whose state of this member may be gone on from."""
        return lineage.days_that_fit(self.folder, member, self.origin.fingerprint, self.origin.inputs, last)

    def newest(self, member: int, last: str) -> Saved | None:
        """Return the state of the newest such day; None without any. Raise ArtifactError where it is damaged."""
        days = self.days(member, last)
        return self._read(member, days[-1]) if days else None

    def why_none_fits(self, member: int, last: str) -> str | None:
        """Return what differs from the newest state that stands; None where none stands."""
        return lineage.why_none_fits(self.folder, member, self.origin.inputs, last)

    def learned_with(self, day: str) -> dict[str, str]:
        """Return what is learned with a day, its rows and late labels of earlier days: name → content. Every byte of the day is read.

        Raise ArtifactError where it is damaged, or another one than when the training began.
        """
        artifacts.verify(day_folder(self.encoded, day))
        for name, content in lineage.inputs_of_day(self.encoded, day).items():
            if self.origin.inputs.get(name) != content:
                raise ArtifactError(f"{day_folder(self.encoded, day)}: changed meanwhile, expected it to stay. Fix: run again")
        return {name: content for name, content in lineage.labels_of(self.origin.inputs).items() if day_of(name) == day}

    def write(self, state: State) -> None:
        """Keep the state of a member at the end of its last day."""
        place = state.place
        self.learned_with(place.day)
        facts = state.facts()
        facts["place"] = {**facts["place"], "phase": "choose"}
        tensors = {name: tensor for name, tensor in state.tensors().items() if not name.startswith(_KEPT)}
        if not self.writes:
            hand_over(tensors)
            return
        inputs = lineage.through(self.origin.inputs, place.day)
        inputs = {name: content for name, content in inputs.items() if name not in lineage.labels_of(inputs)} | place.learned
        origin = Origin(self.origin.stage, self.origin.fingerprint, inputs)
        origin.write_file(self._path(place.member, place.day), lambda path: write_saved(path, tensors, facts))

    def remove_older(self, member: int, day: str, last_train: str) -> None:
        """Remove the states of a member that are not needed once that of the ISO day `day` stands.

        The `most` last ones up to the last training day stay, and as many after it.
        """
        if not self.writes:
            return
        standing = [each for each in days_in(self.folder) if each <= day and self._path(member, each).exists()]
        before, after = ([each for each in standing if (each <= last_train) == is_before] for is_before in (True, False))
        for each in (*before[: -self.most], *after[: -self.most]):
            artifacts.remove(self._path(member, each))

    def write_predicted(self, member: int, day: str, table: pa.Table) -> None:
        """Keep what a member predicted of a day before it learned the day."""
        path = predicted_path(self.folder, day, member)
        if self.writes:
            self.origin.write_file(path, lambda draft: pq.write_table(table, draft, compression="zstd"))

    def write_journal(self, member: int, day: str, lines: Sequence[Mapping[str, Any]]) -> None:
        """Keep the lines of a member's journal about a day."""
        text = "".join(map(as_text, lines))
        if self.writes:
            self.origin.write_file(self._journal(member, day), lambda draft: draft.write_text(text, encoding="utf-8"))

    def journal(self, member: int, day: str) -> list[dict[str, Any]] | None:
        """Return the lines of a member's journal about a day; None where none are kept. Raise ArtifactError where they are damaged."""
        path = self._journal(member, day)
        if artifacts.manifest(path) is None:
            return None
        return [json.loads(line) for line in artifacts.checked(path).read_text(encoding="utf-8").splitlines()]

    def _journal(self, member: int, day: str) -> Path:
        return day_folder(self.folder / JOURNALS, day) / f"member-{member}.jsonl"

    def _path(self, member: int, day: str) -> Path:
        return lineage.state_path(self.folder, day, member)

    def _read(self, member: int, day: str) -> Saved:
        path = artifacts.checked(self._path(member, day))
        try:
            saved = read_saved(path)
            if saved is None:
                raise ValueError("no hash in it")
            return saved
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> ArtifactError:
    """Return the error for a state that cannot be read, or does not fit the model."""
    what = " ".join(str(error).split())
    return ArtifactError(f"{path}: found a state that cannot be used ({what}). Fix: delete {path.parent} and run again")


def predicted_path(folder: Path, day: str, member: int) -> Path:
    """Return the file of what a member predicted of a day before it learned the day."""
    return day_folder(folder / PREDICTED, day) / f"member-{member}.parquet"
