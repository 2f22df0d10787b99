"""[evaluate]: the metrics, their intervals, and the runs to compare with."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from recsys.options import Options

MOST_REPLICATES = 1_000_000  # each takes memory for every number at once
MOST_CONFIDENCE = 0.999999  # beyond, an interval takes more than MOST_REPLICATES
_ENDINGS = (".csv", ".tsv", ".txt", ".parquet", ".gz", ".bz2", ".xz", ".zst")


def names_file(name: str) -> bool:
    """Return whether an entry of `against` names a file: it holds a slash, or ends as files of scores do."""
    return "/" in name or name.endswith(_ENDINGS)


class Evaluate(Options):
    """The evaluation: the metrics, their intervals, and the runs to compare with."""

    bootstrap: int = Field(
        default=1000,
        ge=1,
        le=MOST_REPLICATES,
        description="Number of bootstrap replicates over users; intervals are made of them (20 or more at 0.95).",
    )
    confidence: float = Field(
        default=0.95, gt=0, le=MOST_CONFIDENCE, description="Confidence level of the intervals; at 0.999999 they take 1,000,000 replicates."
    )
    baselines: tuple[Literal["popularity", "gbdt", "lightgbm", "single_task", "truth"], ...] = Field(
        default=("popularity", "gbdt"),
        description="Baselines to compare with; single_task: this model, sharing nothing; truth: what a simulated feed expects.",
    )
    baseline_refit_days: PositiveInt = Field(
        default=1,
        description="Training days after which kept baselines (popularity, gbdt, lightgbm) are fitted anew; 1: each run fits its own.",
    )
    baseline_window_days: PositiveInt | None = Field(
        default=None, description="Number of training days that baselines learn, the last ones; without it: all."
    )
    against: tuple[str, ...] = Field(
        default=(),
        description="Scored runs of this pipeline by name, and files of another system's scores, to compare this run with; empty: none.",
    )
    against_key: str = Field(
        default="event_id",
        description="Columns by which the files of `against` know an impression, as in `user_id=uid,item_id=vid,timestamp`.",
    )
    importance: bool = Field(default=True, description="Whether the page shows the importance of groups of features, by permutation.")
    importance_rows: PositiveInt = Field(
        default=20_000,
        description="Number of rows for `importance`, drawn from the test days; they are scored again for each permuted group.",
    )
    list_k: tuple[PositiveInt, ...] = Field(
        default=(5, 10), description="Numbers K of ndcg@K and captured@K, metrics of the fused order within each list."
    )
    top_percent: tuple[Annotated[float, Field(gt=0, lt=100)], ...] = Field(
        default=(10.0,), description="Percentages P of captured@P%, a metric of the fused order over all impressions."
    )
    target_temperature: PositiveFloat | None = Field(
        default=None,
        description="Temperature T of the off-policy target, P(candidate | request) ∝ exp(score / T); without it: `target_propensity`.",
    )
    calibrate: Literal["none", "isotonic", "platt"] = Field(
        default="none",
        description="Kind of the maps that calibrate predictions, fitted on validation days; platt: for binary objectives only.",
    )

    @property
    def runs_against(self) -> tuple[str, ...]:
        """The names of runs in `against`."""
        return tuple(name for name in self.against if not names_file(name))

    @property
    def files_against(self) -> tuple[Path, ...]:
        """The files in `against`."""
        return tuple(Path(name) for name in self.against if names_file(name))

    @model_validator(mode="after")
    def _each_once(self) -> "Evaluate":
        for name, found in (("list_k", self.list_k), ("top_percent", self.top_percent), ("against", self.against)):
            if len(set(found)) < len(found):
                raise ValueError(f"found {name} = {list(found)}, expected each {'run or file' if name == 'against' else 'number'} once")
        names = [file.name for file in self.files_against]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"found against = {list(self.against)}, expected files of different names, not {', '.join(twice)} twice")
        return self
