"""[balance]: the method that turns K losses into one step, and the options of each method in a table of its own."""

from functools import reduce
from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from recsys.options import Options


class NoOptions(Options):
    """The options of a method that has none."""


# --- Ours ---------------------------------------------------------------------------------------------------------
class GradNormOptions(Options):
    """Gradients of similar length, longer for objectives that learn more slowly (Chen et al., ICML 2018)."""

    alpha: NonNegativeFloat = Field(
        default=1.5,
        description="Exponent α of the gradients' target lengths; larger: slower objectives get longer gradients; 0: all equally long.",
    )
    learning_rate: PositiveFloat = Field(default=0.025, description="Learning rate of the logarithms of the weights.")


class WorstCaseOptions(Options):
    """The objective that is worst off counts most: the one whose loss is furthest above its expected loss."""

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


class LearnedScaleOptions(Options):
    """One scale per objective, learned beside the model. The bounds keep a loss near 0 from taking all the weight."""

    learning_rate: PositiveFloat = Field(default=0.01, description="Learning rate of the logarithms of the scales.")
    min_weight: float = Field(default=1e-3, gt=0, le=1, description="Lower bound of an objective's weight.")
    max_weight: float = Field(default=100.0, ge=1, description="Upper bound of an objective's weight.")


# --- TorchJD's ----------------------------------------------------------------------------------------------------
class DWAOptions(Options):
    """Dynamic weight average (Liu et al., CVPR 2019)."""

    temperature: PositiveFloat = Field(
        default=2.0, description="Temperature T of the softmax over the losses' rates of change; a larger one makes the weights more equal."
    )


class FAMOOptions(Options):
    """Fast adaptive multitask optimization (Liu et al., NeurIPS 2023)."""

    learning_rate: PositiveFloat = Field(
        default=0.025, description="Learning rate of the Adam optimiser that learns the logits of the weights."
    )
    weight_decay: NonNegativeFloat = Field(default=1e-3, description="Weight decay of the logits of the weights; 0: none.")


class STCHOptions(Options):
    """Smooth Tchebycheff scalarization (Lin et al., ICML 2024)."""

    mu: PositiveFloat = Field(
        default=0.1, description="Smoothing μ; a small one is close to the largest loss alone, a large one close to the mean of the losses."
    )


class MGDAOptions(Options):
    """The shortest convex combination of gradients (Désidéri 2012; Sener & Koltun, NeurIPS 2018)."""

    epsilon: PositiveFloat = Field(default=1e-3, description="Step size of the Frank-Wolfe solver below which it stops.")
    max_iters: PositiveInt = Field(default=100, description="Largest number of iterations of the Frank-Wolfe solver per training step.")


class CAGradOptions(Options):
    """Conflict-averse gradient descent (Liu et al., NeurIPS 2021)."""

    c: NonNegativeFloat = Field(
        default=0.5,
        description="Radius around the mean gradient, in its lengths; below 1, the mean loss is still minimised; 0: the mean gradient.",
    )


class AlignedMTLOptions(Options):
    """Independent component alignment (Senushkin et al., CVPR 2023)."""

    scale_mode: Literal["min", "median", "rmse"] = Field(
        default="min",
        description="Common length of the aligned components: the shortest one's, the median one's, or their root mean square.",
    )


class FairGradOptions(Options):
    """α-fair descent (Ban & Ji, ICML 2024)."""

    alpha: PositiveFloat = Field(
        default=1.0, description="Fairness α; 1: proportional fairness, as in Nash-MTL; larger: closer to max-min fairness."
    )
    max_iters: PositiveInt = Field(
        default=50,
        description="Largest number of solver evaluations per step; it ends the search where a rank-deficient Gramian has no solution.",
    )


class GradVacOptions(Options):
    """Gradient vaccine (Wang et al., ICLR 2021)."""

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
    geometric_mean: NoOptions = NoOptions()
    random: NoOptions = NoOptions()
    imtl_l: LearnedScaleOptions = LearnedScaleOptions()
    mgda: MGDAOptions = MGDAOptions()
    pcgrad: NoOptions = NoOptions()
    cagrad: CAGradOptions = CAGradOptions()
    upgrad: NoOptions = NoOptions()
    imtl_g: NoOptions = NoOptions()
    aligned_mtl: AlignedMTLOptions = AlignedMTLOptions()
    fairgrad: FairGradOptions = FairGradOptions()
    gradvac: GradVacOptions = GradVacOptions()


Method = Literal[
    "fixed",
    "gradnorm",
    "worst_case",
    "uncertainty",
    "torchjd.dwa",
    "torchjd.famo",
    "torchjd.stch",
    "torchjd.geometric_mean",
    "torchjd.random",
    "torchjd.imtl_l",
    "torchjd.mgda",
    "torchjd.pcgrad",
    "torchjd.cagrad",
    "torchjd.upgrad",
    "torchjd.imtl_g",
    "torchjd.aligned_mtl",
    "torchjd.fairgrad",
    "torchjd.gradvac",
]


class Balance(Options):
    """The method that turns K losses into one step. Each loss is in units of the loss of its best constant prediction.

    `method = "torchjd.cagrad"` has its options in `[balance.torchjd.cagrad]`.
    """

    method: Method = Field(default="fixed", description="Balancing method; its options stand in the table of its name.")
    fixed: NoOptions = NoOptions()
    gradnorm: GradNormOptions = GradNormOptions()
    worst_case: WorstCaseOptions = WorstCaseOptions()
    uncertainty: LearnedScaleOptions = LearnedScaleOptions()
    torchjd: TorchJDOptions = TorchJDOptions()

    @property
    def chosen(self) -> Options:
        """The options of `method`."""
        options: Options = reduce(getattr, self.method.split("."), self)
        return options
