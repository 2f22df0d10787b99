"""[balance]: the method that turns K losses into one step, and the options of each method in a table of its own.

A new method is a file in balancing/, and here a class of options with a line in `OwnMethods` (or in `TorchJDOptions`).
"""

from functools import reduce
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from recsys.options import OneOf, Options


class MethodOptions(Options):
    """The options of one method. `implementation` names what is built from them, as MODULE:CLASS.

    It is a text, so that reading a TOML imports no torch. `acts_on` is what the method combines.
    """

    implementation: ClassVar[str]
    acts_on: ClassVar[Literal["losses", "gradients"]] = "losses"


# --- Ours ---------------------------------------------------------------------------------------------------------
class FixedOptions(MethodOptions):
    """The weights that `loss_weight` says, in every step (Kurin et al., Xin et al., NeurIPS 2022)."""

    implementation = "recsys.balancing.fixed:Fixed"


class GradNormOptions(MethodOptions):
    """Gradients of similar length, longer for objectives that learn more slowly (Chen et al., ICML 2018)."""

    implementation = "recsys.balancing.gradnorm:GradNorm"
    acts_on = "gradients"

    alpha: NonNegativeFloat = Field(
        default=1.5,
        description="Exponent α of the gradients' target lengths; larger: slower objectives get longer gradients; 0: all equally long.",
    )
    learning_rate: PositiveFloat = Field(default=0.025, description="Learning rate of the logarithms of the weights.")


class WorstCaseOptions(MethodOptions):
    """The objective that is worst off counts most: the one whose loss is furthest above its expected loss."""

    implementation = "recsys.balancing.worst_case:WorstCase"

    form: Literal["group_dro", "min_max"] = Field(
        default="group_dro",
        description="Form of the weights: they drift to the worst objective (Sagawa et al., ICLR 2020), or all go to it at once.",
    )
    rate: PositiveFloat = Field(default=0.01, description="Rate η per step at which the weights drift, with `group_dro` alone.")
    smoothing: float = Field(
        default=0.9,
        ge=0,
        lt=1,
        description="Share of the past in the moving average of a loss over batches; 0: the loss of the last batch alone.",
    )
    baseline: Path | None = Field(
        default=None,
        description="Folder of the run whose last losses are expected; without it: the losses of the best constant prediction.",
    )


class LearnedScaleOptions(MethodOptions):
    """One scale per objective, learned beside the model. The bounds keep a loss near 0 from taking all the weight."""

    learning_rate: PositiveFloat = Field(default=0.01, description="Learning rate of the logarithms of the scales.")
    min_weight: float = Field(default=1e-3, gt=0, le=1, description="Lower bound of an objective's weight.")
    max_weight: float = Field(default=100.0, ge=1, description="Upper bound of an objective's weight.")


class UncertaintyOptions(LearnedScaleOptions):
    """One noise scale per objective, learned beside the model (Kendall et al., CVPR 2018)."""

    implementation = "recsys.balancing.uncertainty:Uncertainty"


# --- TorchJD's ----------------------------------------------------------------------------------------------------
class DWAOptions(MethodOptions):
    """Dynamic weight average (Liu et al., CVPR 2019)."""

    implementation = "recsys.balancing.dwa:DWA"

    temperature: PositiveFloat = Field(
        default=2.0, description="Temperature T of the softmax over the losses' rates of change; a larger one makes the weights more equal."
    )


class FAMOOptions(MethodOptions):
    """Fast adaptive multitask optimization (Liu et al., NeurIPS 2023)."""

    implementation = "recsys.balancing.famo:FAMO"

    learning_rate: PositiveFloat = Field(
        default=0.025, description="Learning rate of the Adam optimiser that learns the logits of the weights."
    )
    weight_decay: NonNegativeFloat = Field(default=1e-3, description="Weight decay of the logits of the weights; 0: none.")


class STCHOptions(MethodOptions):
    """Smooth Tchebycheff scalarization (Lin et al., ICML 2024)."""

    implementation = "recsys.balancing.scalarizers:STCH"

    mu: PositiveFloat = Field(
        default=0.1, description="Smoothing μ; a small one is close to the largest loss alone, a large one close to the mean of the losses."
    )


class GeometricMeanOptions(MethodOptions):
    """The geometric mean of the losses (Chennupati et al., CVPR Workshops 2019)."""

    implementation = "recsys.balancing.scalarizers:GeometricMean"


class RandomOptions(MethodOptions):
    """Weights that are drawn anew in every step (Lin et al., TMLR 2022)."""

    implementation = "recsys.balancing.scalarizers:Random"


class IMTLLOptions(LearnedScaleOptions):
    """Scaled losses of equal size, by learned scales (Liu et al., ICLR 2021)."""

    implementation = "recsys.balancing.scalarizers:IMTLL"


class MGDAOptions(MethodOptions):
    """The shortest convex combination of gradients (Désidéri 2012; Sener & Koltun, NeurIPS 2018)."""

    implementation = "recsys.balancing.weightings:MGDA"
    acts_on = "gradients"

    epsilon: PositiveFloat = Field(default=1e-3, description="Step size of the Frank-Wolfe solver below which it stops.")
    max_iters: PositiveInt = Field(default=100, description="Largest number of iterations of the Frank-Wolfe solver per training step.")


class PCGradOptions(MethodOptions):
    """Gradient surgery: what goes against another gradient is projected out (Yu et al., NeurIPS 2020)."""

    implementation = "recsys.balancing.weightings:PCGrad"
    acts_on = "gradients"


class CAGradOptions(MethodOptions):
    """Conflict-averse gradient descent (Liu et al., NeurIPS 2021)."""

    implementation = "recsys.balancing.weightings:CAGrad"
    acts_on = "gradients"

    c: NonNegativeFloat = Field(
        default=0.5,
        description="Radius around the mean gradient, in its lengths; below 1, the mean loss is still minimised; 0: the mean gradient.",
    )


class UPGradOptions(MethodOptions):
    """Gradients projected onto the cone of directions in which no loss rises (Quinton & Rey 2024)."""

    implementation = "recsys.balancing.weightings:UPGrad"
    acts_on = "gradients"


class IMTLGOptions(MethodOptions):
    """A step whose projections on all unit gradients are equal (Liu et al., ICLR 2021)."""

    implementation = "recsys.balancing.weightings:IMTLG"
    acts_on = "gradients"


class AlignedMTLOptions(MethodOptions):
    """Independent component alignment (Senushkin et al., CVPR 2023)."""

    implementation = "recsys.balancing.weightings:AlignedMTL"
    acts_on = "gradients"

    scale_mode: Literal["min", "median", "rmse"] = Field(
        default="min",
        description="Common length of the aligned components: the shortest one's, the median one's, or their root mean square.",
    )


class FairGradOptions(MethodOptions):
    """α-fair descent (Ban & Ji, ICML 2024)."""

    implementation = "recsys.balancing.weightings:FairGrad"
    acts_on = "gradients"

    alpha: PositiveFloat = Field(
        default=1.0, description="Fairness α; 1: proportional fairness, as in Nash-MTL; larger: closer to max-min fairness."
    )
    max_iters: PositiveInt = Field(
        default=50,
        description="Largest number of solver evaluations per step; it ends the search where a rank-deficient Gramian has no solution.",
    )


class GradVacOptions(MethodOptions):
    """Gradient vaccine (Wang et al., ICLR 2021)."""

    implementation = "recsys.balancing.weightings:GradVac"
    acts_on = "gradients"

    beta: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Rate at which the target similarity of two gradients follows the observed one; 0: never, 1: at once.",
    )


class TorchJDOptions(Options):
    """The methods that are used from TorchJD, each under its name there."""

    dwa: DWAOptions = DWAOptions()
    famo: FAMOOptions = FAMOOptions()
    stch: STCHOptions = STCHOptions()
    geometric_mean: GeometricMeanOptions = GeometricMeanOptions()
    random: RandomOptions = RandomOptions()
    imtl_l: IMTLLOptions = IMTLLOptions()
    mgda: MGDAOptions = MGDAOptions()
    pcgrad: PCGradOptions = PCGradOptions()
    cagrad: CAGradOptions = CAGradOptions()
    upgrad: UPGradOptions = UPGradOptions()
    imtl_g: IMTLGOptions = IMTLGOptions()
    aligned_mtl: AlignedMTLOptions = AlignedMTLOptions()
    fairgrad: FairGradOptions = FairGradOptions()
    gradvac: GradVacOptions = GradVacOptions()


class OwnMethods(Options):
    """The methods that are written here."""

    fixed: FixedOptions = FixedOptions()
    gradnorm: GradNormOptions = GradNormOptions()
    worst_case: WorstCaseOptions = WorstCaseOptions()
    uncertainty: UncertaintyOptions = UncertaintyOptions()


METHODS: dict[str, MethodOptions] = {  # a method's name in the TOML → its options by default
    **{name: field.default for name, field in OwnMethods.model_fields.items()},
    **{f"torchjd.{name}": field.default for name, field in TorchJDOptions.model_fields.items()},
}


class Balance(OwnMethods):
    """The method that turns K losses into one step. Each loss is in units of the loss of its best constant prediction.

    `method = "torchjd.cagrad"` has its options in `[balance.torchjd.cagrad]`.
    """

    method: Annotated[str, OneOf(METHODS)] = Field(
        default="fixed", description="Balancing method; its options stand in the table of its name."
    )
    torchjd: TorchJDOptions = TorchJDOptions()

    @property
    def chosen(self) -> MethodOptions:
        """The options of `method`."""
        first, *rest = self.method.split(".")
        options: MethodOptions = reduce(getattr, rest, getattr(self, first))
        return options
