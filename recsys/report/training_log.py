"""What a training left beside its model: training.jsonl and model/inside.json, read strictly; a whole file may be absent."""

from pathlib import Path
from typing import TypeVar

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from recsys.errors import ArtifactError


class _Form(BaseModel):
    """Keys beyond the ones named here are other readers'."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class JournalLine(_Form):
    """One event of a training: losses are in units of the best constant prediction's, null where no label was observed."""

    event: str
    member: int
    phase: str
    day: str | None
    step: int
    part: str
    loss: dict[str, float | None]
    auc: dict[str, float | None]


class PositionBias(_Form):
    """One output of the bias tower. `position` null: the learned value of a missing position."""

    objective: str
    device: str | int | None
    position: int | None
    logit: float


class Parameters(_Form):
    dense: int
    embedding: int


class Inside(_Form):
    """What a model can show of itself. `gates`: the mean share of each expert, per objective."""

    sharing: str
    members: int
    precision: str
    device: str
    multiplications: int
    parameters: Parameters
    gates: dict[str, list[float]]
    polarisation: dict[str, float]
    position_bias: list[PositionBias]


_FORM = TypeVar("_FORM", bound=_Form)


def read_inside(path: Path) -> Inside | None:
    """None where there is no such file. Raises ArtifactError, with every problem, where its form is another."""
    return _parsed(Inside, path.read_bytes(), path) if path.is_file() else None


def read_journal(path: Path) -> pd.DataFrame | None:
    """Learning curves as long rows: event, member, phase, day, step, part, objective, loss, auc. None where there is no such file.

    Raises ArtifactError naming the line (from 1) whose form is another.
    """
    if not path.is_file():
        return None
    lines = [_parsed(JournalLine, line, f"{path}:{number}") for number, line in enumerate(path.read_bytes().splitlines(), 1)]
    rows = [
        {**line.model_dump(exclude={"loss", "auc"}), "objective": objective, "loss": loss, "auc": line.auc.get(objective)}
        for line in lines
        for objective, loss in line.loss.items()
    ]
    return pd.DataFrame(rows, columns=["event", "member", "phase", "day", "step", "part", "objective", "loss", "auc"])


def _parsed(form: type[_FORM], text: bytes, place: Path | str) -> _FORM:
    try:
        return form.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors(include_url=False))
        raise ArtifactError(f"{place}: found another form than training writes ({problems}). Fix: train the run again") from error
