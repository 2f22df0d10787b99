"""[balance]: how K losses become one step, and the options of each way in a table of its own."""

from functools import reduce
from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from recsys.options import Options


class NoOptions(Options):
    """Of a method that has none."""


# --- Ours ---------------------------------------------------------------------------------------------------------
class GradNormOptions(Options):
    """Gradients of like length, longer for what learns slower (Chen et al., ICML 2018)."""

    alpha: NonNegativeFloat = 1.5  # how much longer; 0: all alike
    learning_rate: PositiveFloat = 0.025  # of the weights' logarithms


class WorstCaseOptions(Options):
    """The objective that is worst off counts most, by its loss beyond what it can be expected to have."""

    form: Literal["group_dro", "min_max"] = "group_dro"  # weights that drift to the worst (Sagawa et al., ICLR 2020), or all on it at once
    rate: PositiveFloat = 0.01  # η of group_dro: how fast they drift
    smoothing: float = Field(default=0.9, ge=0, lt=1)  # share of the past in the moving average of a loss
    baseline: Path | None = None  # a run's folder, whose last losses are what can be expected; none: the best constant prediction's


class LearnedScaleOptions(Options):
    """A scale an objective, learned beside the model. The bounds keep a loss near 0 from taking all."""

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

    epsilon: PositiveFloat = 1e-3  # step of the Frank-Wolfe solver at which it stops
    max_iters: PositiveInt = 100


class CAGradOptions(Options):
    """Conflict-averse gradient descent (Liu et al., NeurIPS 2021)."""

    c: NonNegativeFloat = 0.5  # radius around the mean gradient, in its lengths; below 1 it still minimises the mean loss


class AlignedMTLOptions(Options):
    """Independent component alignment (Senushkin et al., CVPR 2023)."""

    scale_mode: Literal["min", "median", "rmse"] = "min"  # the common length of the aligned components


class FairGradOptions(Options):
    """α-fair descent (Ban & Ji, ICML 2024)."""

    alpha: PositiveFloat = 1.0  # 1: proportional fairness, as in Nash-MTL; larger: closer to max-min
    max_iters: PositiveInt = 50  # a rank-deficient Gramian has no solution to arrive at


class GradVacOptions(Options):
    """Gradient vaccine (Wang et al., ICLR 2021)."""

    beta: float = Field(default=0.5, ge=0, le=1)  # how fast the similarity that is aimed at follows the one that is met


class TorchJDOptions(Options):
    """What is used from TorchJD, each under its name there."""

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
    """How K losses become one step. Each loss comes in units of its best constant prediction's.

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
