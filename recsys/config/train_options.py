"""[train]: the order of the rows, the optimisers, the device."""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationInfo, field_validator, model_validator

from recsys.config.forms import DEVICE, number_or_auto
from recsys.options import Options

SamplingWord = Literal["joint", "uniform", "proportional"]
Frozen = Literal["embeddings", "shared", "experts", "towers"]
Auto = Literal["auto"]
Count = PositiveInt | Auto
Rate = PositiveFloat | Auto


class Negatives(Options):
    """The thinning of training rows whose label of `objective` is 0.

    The share `keep` of them is kept. Each kept row then counts 1 / keep times, in every loss.
    """

    objective: str = Field(description="Name of the binary objective whose rows with label 0 are thinned.")
    keep: float = Field(
        gt=0, le=1, description="Share of the rows with label 0 that is kept, drawn anew in each pass; each then counts 1 / keep times."
    )


class Train(Options):
    """The training: the order of the rows, the optimisers, the device."""

    order: Literal["time", "shuffled"] = Field(
        default="shuffled", description="Order of the training rows: day after day, or shuffled, in passes over all training days at once."
    )
    refit: bool = Field(default=True, description="Whether the validation days are learned too, before the test days are predicted.")
    passes: Count = Field(default="auto", description="Largest number of passes over all training days, when shuffled; auto: 4.")
    day_passes: Count = Field(default="auto", description="Number of passes over each day, when in time order; auto: 1.")
    warm_days: PositiveInt = Field(
        default=3,
        description="Number of first training days that give numbers their scales, objectives their base rates, and the vocabulary its"
        " first values, when in time order; days that the log lacks count. Some labels of each objective must be known by their end. Later"
        " days add values alone.",
    )
    kept_days: PositiveInt = Field(
        default=7, description="Number of last days whose states are kept for a later training to go on from, when in time order."
    )
    patience: PositiveInt = Field(
        default=2,
        description="Number of shuffled passes without a better validation loss before stopping; per objective where nothing is shared.",
    )
    averaging: float = Field(
        default=1.0,
        ge=0,
        description="Window of the moving average of the parameters, in passes, where it shrinks with the learning rate; in time order in"
        " days. The averages are judged and served, but embedding tables of more than 30,000 rows in all are not averaged. 0: no averages.",
    )
    batch_size: Count = Field(default="auto", description="Number of rows per training step; auto: 1024, or fewer on a small log.")
    learning_rate: Rate = Field(
        default="auto",
        description="Learning rate of AdamW, for all parameters but the embedding tables and the bias tower; auto: .002 when shuffled, else"
        " .001.",
    )
    embedding_learning_rate: PositiveFloat = Field(
        default=2e-2, description="Learning rate of the embedding tables (row-wise Adagrad); the bias tower's tables divide it among them."
    )
    weight_decay: NonNegativeFloat = Field(
        default=1e-2, description="Weight decay of AdamW, on neither biases nor the bias tower; 0: none."
    )
    embedding_decay: NonNegativeFloat = Field(
        default=0.0, description="Weight decay of the embedding vectors that a step touches; 0: none."
    )
    sampling: SamplingWord | Annotated[float, Field(ge=0, le=1)] = Field(
        default="joint",
        description="Labels of a step: all, or those of one objective drawn by its rows to a power (`uniform`: 0, `proportional`: 1).",
    )
    late: Literal["next_day", "drop"] = Field(
        default="next_day",
        description="Fate of labels that are known only after their day, in time order: learned on a later day, or never.",
    )
    negatives: Negatives | None = Field(
        default=None, description="Thinning of training rows; metrics still use all rows. Without it: no thinning."
    )
    weight: str | None = Field(
        default=None,
        description="Column of the log, or a feedback, with the weights of training rows, 0 or more; only their ratios count. Without it:"
        " each row counts 1.",
    )
    schedule: Literal["constant", "cosine"] = Field(
        default="cosine",
        description="Course of the learning rate over shuffled passes; cosine: to zero over the planned passes. In time order: constant.",
    )
    device: str = Field(default="auto", pattern=DEVICE, description="Device that computes; auto: CUDA where there is one, else the CPU.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="Precision of matrix products; auto: bf16 on a CUDA device that supports it, else fp32."
    )
    deterministic: bool = Field(
        default=False,
        description="Whether torch uses deterministic algorithms alone; on CUDA, an interrupted run ends in equal bits only then.",
    )
    checkpoint_seconds: PositiveFloat = Field(
        default=60.0, description="Seconds between two checkpoints; one is also written at the end of each pass or day."
    )
    init_from: Path | None = Field(
        default=None,
        description="Folder of a trained run, such as data/NAME/runs/RUN, whose weights this one starts from; without it: fresh weights.",
    )
    freeze: tuple[Frozen, ...] = Field(
        default=(),
        description="Parts of the run of `init_from` that are not trained further; numbers that it did not have always are. Empty: none.",
    )
    distil_from: Path | None = Field(
        default=None,
        description="Folder of a trained run, the teacher, such as data/NAME/runs/RUN, whose predictions of the training rows are learned"
        " beside the labels, when shuffled. It has learned the same rows, with `keep_chosen`. Without it: the labels alone.",
    )
    distil_share: float | None = Field(
        default=None, gt=0, le=1, description="Share of each loss that follows the run of `distil_from` and not the labels; without it: .9."
    )
    keep_chosen: bool = Field(
        default=False,
        description="Whether the model folder also keeps the members as they were before the refit: `distil_from` needs them of a teacher.",
    )

    def alone(self) -> "Train":
        """Return the same training apart from all other runs: none to start from, none that teaches it, and none that it teaches."""
        others = {"init_from": None, "freeze": (), "distil_from": None, "distil_share": None}
        return self.model_copy(update={**others, "keep_chosen": False})

    @field_validator("batch_size", "passes", "day_passes", "learning_rate", mode="before")
    @classmethod
    def _number_or_auto(cls, value: Any, info: ValidationInfo) -> Any:
        return number_or_auto(value, whole=info.field_name != "learning_rate")

    @field_validator("sampling", mode="before")
    @classmethod
    def _word_or_exponent(cls, sampling: Any) -> Any:
        """Check the value here, because for a union pydantic reports the errors of each of its parts."""
        words = get_args(SamplingWord)
        is_number = isinstance(sampling, int | float) and not isinstance(sampling, bool)
        if sampling in words or (is_number and 0 <= sampling <= 1):
            return sampling
        found = f'"{sampling}"' if isinstance(sampling, str) else sampling
        raise ValueError(f'found {found}, expected one of {", ".join(words)}, or a number from 0 (as "uniform") to 1 (as "proportional")')

    @model_validator(mode="after")
    def _frozen_is_loaded(self) -> "Train":
        if self.freeze and self.init_from is None:
            raise ValueError(
                f"freeze: found {', '.join(self.freeze)} without init_from, expected it only with init_from:"
                " what nothing has learned is not worth freezing. Fix: name the run to start from"
            )
        return self

    @model_validator(mode="after")
    def _kept_is_refitted(self) -> "Train":
        if self.keep_chosen and not self.refit:
            raise ValueError(
                "keep_chosen: found with refit = false, expected a refit: without one the model is what was chosen. Fix: leave it out"
            )
        return self

    @model_validator(mode="after")
    def _kept_teaches(self) -> "Train":
        if self.keep_chosen and self.order == "time":
            raise ValueError(
                'keep_chosen: found with order = "time", expected order = "shuffled": only there a run can teach. Fix: leave it out'
            )
        return self

    @model_validator(mode="after")
    def _teacher_is_of_use(self) -> "Train":
        if self.distil_from is None and self.distil_share is not None:
            raise ValueError(
                f"distil_share: found {self.distil_share:g} without distil_from, expected it only with distil_from. Fix: name the teacher"
            )
        if self.distil_from is not None and self.order == "time":
            raise ValueError(
                'distil_from: found with order = "time", expected order = "shuffled": the teacher has learned all training days, so no day'
                " would be predicted before it is learned. Fix: another order, or no teacher"
            )
        return self
