"""The files that a training left beside its model: training.jsonl and model/inside.json. They are read strictly; each may be absent."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from recsys import artifacts
from recsys.errors import ArtifactError


class _Form(BaseModel):
    """A form of JSON. It ignores keys that it does not name: they are for other readers."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class JournalLine(_Form):
    """One event of a training. Losses are in units of the best constant prediction's loss, null where no label was observed.

    An event is a step, a pass or a day that was judged, or the passes that were kept: each objective at the pass chosen for it.
    Only lines of steps hold balancing weights. Only the last step of a round holds products of gradients (null: not enough labels).
    """

    event: str
    member: int
    phase: str
    number: int = Field(alias="pass")
    day: str | None
    step: int
    part: str
    loss: dict[str, float | None]
    auc: dict[str, float | None]
    weight: dict[str, float] = Field(default_factory=dict)
    gradient_product: dict[str, dict[str, float | None]] = Field(default_factory=dict)


class PositionBias(_Form):
    """One output of the bias tower. Where `position` is null, it is the learned value of a missing position."""

    objective: str
    device: str | int | None
    position: int | None
    logit: float


class Parameters(_Form):
    dense: int
    embedding: int


class Look(_Form):
    """A matrix that an architecture shows: one value per objective and column, a mean over rows where it depends on them.

    `polarised` is for gates only: the share of rows on which one expert holds nearly all of the objective's gate.
    """

    name: str
    columns: list[str]
    rows: dict[str, list[float]]
    polarised: dict[str, float]

    @property
    def is_gate(self) -> bool:
        return bool(self.polarised)

    @model_validator(mode="after")
    def _is_a_matrix(self) -> "Look":
        if not self.rows or not self.columns or len(set(self.columns)) < len(self.columns):
            raise ValueError(f"found {len(self.rows)} rows of the columns {self.columns}, expected some, and no column twice")
        other = [f"{name} with {len(values)}" for name, values in self.rows.items() if len(values) != len(self.columns)]
        if other or (self.is_gate and set(self.polarised) != set(self.rows)):
            raise ValueError(
                f"found {', '.join(other) or 'other objectives that are polarised'}, expected {len(self.columns)} values per row"
            )
        return self


class Pace(_Form):
    """The numbers of a training: rows of its days, rows of a step, times over the rows at most, and learning rate."""

    rows: int
    batch_size: int
    passes: int
    day_passes: int
    learning_rate: float


class Inside(_Form):
    """Facts that a model can show about itself."""

    architecture: str
    members: int
    precision: str
    device: str
    pace: Pace
    multiplications: int
    parameters: Parameters
    looks: list[Look]
    position_bias: list[PositionBias]


_FORM = TypeVar("_FORM", bound=_Form)
_PLACE = ["member", "phase", "pass", "day", "step", "part"]  # columns that place a line in its training


def read_inside(path: Path) -> Inside | None:
    """Read model/inside.json, None where there is no such file. Raises ArtifactError, with every problem, where it has another form."""
    return _parsed(Inside, artifacts.checked(path).read_bytes(), path) if path.is_file() else None


@dataclass(frozen=True)
class Journal:
    """A training's lines as long rows, in their order. All three frames hold member, phase, pass, day, step and part.

    `curves` also holds event, objective, loss, auc. `balance` also holds objective, weight. `products`, of a round's gradients, also holds
    objective, other (which may be the objective itself), product.
    """

    curves: pd.DataFrame
    balance: pd.DataFrame
    products: pd.DataFrame


def read_journal(path: Path) -> Journal | None:
    """Read training.jsonl, None where there is no such file. Raises ArtifactError naming the line (from 1) that has another form."""
    if not path.is_file():
        return None
    texts = artifacts.checked(path).read_bytes().splitlines()
    lines = [_parsed(JournalLine, line, f"{path}:{number}") for number, line in enumerate(texts, 1)]
    curves, balance, products = [], [], []
    for line in lines:
        place = {"member": line.member, "phase": line.phase, "pass": line.number, "day": line.day, "step": line.step, "part": line.part}
        for name, loss in line.loss.items():
            curves.append(place | {"event": line.event, "objective": name, "loss": loss, "auc": line.auc.get(name)})
        for name, weight in line.weight.items():
            balance.append(place | {"objective": name, "weight": weight})
        for name, others in line.gradient_product.items():
            products += [place | {"objective": name, "other": other, "product": value} for other, value in others.items()]
    return Journal(
        pd.DataFrame(curves, columns=[*_PLACE, "event", "objective", "loss", "auc"]),
        pd.DataFrame(balance, columns=[*_PLACE, "objective", "weight"]).astype({"weight": float}),
        pd.DataFrame(products, columns=[*_PLACE, "objective", "other", "product"]).astype({"product": float}),
    )


def _parsed(form: type[_FORM], text: bytes, place: Path | str) -> _FORM:
    try:
        return form.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors(include_url=False))
        raise ArtifactError(f"{place}: found another form than training writes ({problems}). Fix: train the run again") from error
