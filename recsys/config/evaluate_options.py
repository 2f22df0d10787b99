"""[evaluate]: the metrics, their intervals, and the runs to compare with."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from recsys.options import Options


class Evaluate(Options):
    """The evaluation: the metrics, their intervals, and the runs to compare with."""

    bootstrap: PositiveInt = Field(default=1000, description="Number of bootstrap replicates over users; intervals are made of them.")
    confidence: float = Field(default=0.95, gt=0, lt=1, description="Confidence level of the intervals.")
    baselines: tuple[Literal["popularity", "gbdt", "single_task"], ...] = Field(
        default=("popularity", "gbdt"), description="Baselines that the run is compared with; single_task: this model, sharing nothing."
    )
    against: tuple[str, ...] = Field(
        default=(), description="Names of scored runs of this pipeline to compare this one with, such as a single_task one; empty: none."
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

    @model_validator(mode="after")
    def _each_once(self) -> "Evaluate":
        for name, found in (("list_k", self.list_k), ("top_percent", self.top_percent), ("against", self.against)):
            if len(set(found)) < len(found):
                raise ValueError(f"found {name} = {list(found)}, expected each {'run' if name == 'against' else 'number'} once")
        return self
