"""[model]: the frame in which all architectures are compared."""

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, field_validator

from recsys.config.architectures import Architectures, Share
from recsys.config.forms import number_or_auto
from recsys.options import OneOf

MEMBERS, MEMBER_ROWS = 4, 1_000_000  # of "auto": so many members up to so many training rows (docs/training.md)


class Model(Architectures):
    """The frame in which all architectures are compared, and the options of each architecture in a table of its own."""

    architecture: Annotated[str, OneOf(Architectures.model_fields)] = Field(
        default="mmoe", description="Architecture; its options stand in the table of its name."
    )
    budget_macs: PositiveInt | None = Field(
        default=None,
        description="Multiplications per row, over all objectives and members, to which widths are scaled; without it: widths as given.",
    )
    members: PositiveInt | Literal["auto"] = Field(
        default="auto",
        description="Number of ensemble members, which differ by their seed; a prediction is the mean of theirs. `auto`: 4 up to 1,000,000"
        " training rows (in time order: rows of the warm days), 1 beyond (docs/training.md), but 4 with an `input_share` below 1; with"
        " `train.init_from`: as many as that run has.",
    )
    input_share: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Share of the numbers and categorical features that each member sees, drawn by its seed; all see the history. Below 1,"
        " several members are needed.",
    )
    numeric_bins: Literal[0, 2, 4, 8, 16, 32] = Field(
        default=2,
        description="Number of bins into which each number is cut, with equally many training rows in each; the nets read per bin how much"
        " of it lies below the number (Gorishniy et al. 2022, piecewise linear encoding). 0: the nets read the numbers alone.",
    )
    d_embedding: PositiveInt = Field(default=8, description="Width of the vector of a categorical value.")
    d_shared: int = Field(default=128, ge=0, description="Width of the shared hidden layer; 0: the architecture reads the input itself.")
    d_tower: PositiveInt = Field(default=32, description="Width of the hidden layer of each objective's tower.")
    dropout: Share = Field(
        default=0.2,
        description="Probability that a unit of the shared hidden layer, of the architecture's output or of a tower is dropped in a step.",
    )
    d_attention: PositiveInt = Field(default=16, description="Width of the attention over the user's history.")
    cross_rank: int = Field(
        default=32, ge=0, description="Rank of the low-rank cross layer beside the architecture (Wang et al. 2021); 0: no such layer."
    )
    skip: bool = Field(
        default=True, description="Whether there is a linear path from the inputs to the outputs; its weights start at zero."
    )
    position: Literal["tower", "input", "blind"] = Field(
        default="tower",
        description="Place where the model reads `features.bias`: bias tower, inputs, or (`blind`) nowhere, and trees neither.",
    )
    position_dropout: Share = Field(
        default=0.1, description="Probability that a row loses its position, and independently its device, in a training step."
    )

    @field_validator("members", mode="before")
    @classmethod
    def _number_or_auto(cls, value: Any) -> Any:
        return number_or_auto(value)

    @property
    def most_members(self) -> int:
        """The number of members; where it is "auto", the largest that it can be."""
        return MEMBERS if self.members == "auto" else self.members

    def settled(self, rows: int) -> "Model":
        """Return the model with its number of members for so many training rows."""
        several = rows <= MEMBER_ROWS or self.input_share < 1  # one alone would see a share of the columns
        members = (MEMBERS if several else 1) if self.members == "auto" else self.members
        return self.model_copy(update={"members": members})
