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

    alpha: NonNegativeFloat = 1.5  # how much longer; 0: all alike
    learning_rate: PositiveFloat = 0.025  # of the weights' logarithms


class WorstCaseOptions(Options):
    """The objective that is worst off counts most: the one whose loss is furthest above its expected loss."""

    form: Literal["group_dro", "min_max"] = "group_dro"  # weights drift to the worst (Sagawa et al., ICLR 2020), or all go to it at once
    rate: PositiveFloat = 0.01  # η of group_dro: how fast the weights drift
    smoothing: float = Field(default=0.9, ge=0, lt=1)  # share of the past in the moving average of a loss
    baseline: Path | None = None  # folder of the run whose last losses are expected; none: the best constant prediction's losses


class LearnedScaleOptions(Options):
    """One scale per objective, learned beside the model. The bounds keep a loss near 0 from taking all the weight."""

    learning_rate: PositiveFloat = 0.01  # of the scales' logarithms
    min_weight: float = Field(default=1e-3, gt=0, le=1)
    max_weight: float = Field(default=100.0, ge=1)


# --- TorchJD's ----------------------------------------------------------------------------------------------------
class DWAOptions(Options):
    """Dynamic weight average (Liu et al., CVPR 2019)."""

    temperature: PositiveFloat = 2.0


class FAMOOptions(Options):
    """Fast adaptive multitask optimization (Liu et al., NeurIPS 2023)."""

    learning_rate: PositiveFloat = 0.025
    weight_decay: NonNegativeFloat = 1e-3


class STCHOptions(Options):
    """Smooth Tchebycheff scalarization (Lin et al., ICML 2024)."""

    mu: PositiveFloat = 0.1  # small: close to the largest loss alone; large: close to the mean


class MGDAOptions(Options):
    """The shortest convex combination of gradients (Désidéri 2012; Sener & Koltun, NeurIPS 2018)."""

    epsilon: PositiveFloat = 1e-3  # the Frank-Wolfe solver stops at steps this small
    max_iters: PositiveInt = 100


class CAGradOptions(Options):
    """Conflict-averse gradient descent (Liu et al., NeurIPS 2021)."""

    c: NonNegativeFloat = 0.5  # radius around the mean gradient, in units of its length; below 1, the mean loss is still minimised


class AlignedMTLOptions(Options):
    """Independent component alignment (Senushkin et al., CVPR 2023)."""

    scale_mode: Literal["min", "median", "rmse"] = "min"  # the common length of the aligned components


class FairGradOptions(Options):
    """α-fair descent (Ban & Ji, ICML 2024)."""

    alpha: PositiveFloat = 1.0  # 1: proportional fairness, as in Nash-MTL; larger: closer to max-min
    max_iters: PositiveInt = 50  # needed where the Gramian is rank-deficient: then there is no solution to reach


class GradVacOptions(Options):
    """Gradient vaccine (Wang et al., ICLR 2021)."""

    beta: float = Field(default=0.5, ge=0, le=1)  # how fast the target similarity follows the observed one


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

    method: Method = "fixed"
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
