"""[promote]: when a run may take the place of the current model."""

from pydantic import Field, NonNegativeFloat, PositiveInt

from recsys.options import Options


class Promote(Options):
    """The conditions under which `recsys promote` makes a run's model the current one.

    Each objective with enough positives votes. It is for the run where the lower bound of its paired difference to the current model is not
    below minus its margin, and where the interval of its calibration is not wholly more than `calibration` off 1.
    """

    days: PositiveInt | None = Field(
        default=None,
        description="Number of last days to judge on; without it: all test days. In time order, days before them fill it up.",
    )
    margin: NonNegativeFloat = Field(
        default=0.01, description="Most that an objective may lose of its AUC (of values: XAUC), by the lower bound of the difference."
    )
    margins: dict[str, NonNegativeFloat] = Field(default_factory=dict, description="Margins of single objectives, in place of `margin`.")
    min_positives: PositiveInt = Field(
        default=200, description="Positives on these days from which an objective votes; of a value its known labels count."
    )
    calibration: NonNegativeFloat = Field(
        default=0.1, description="Most that Σ prediction / Σ label may be off 1; refused where its whole interval is further off."
    )

    def margin_of(self, objective: str) -> float:
        return self.margins.get(objective, self.margin)
