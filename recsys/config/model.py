"""The model: the frame in which all architectures are compared, and the options of each architecture in a table of its own."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from recsys.options import Options

Share = Annotated[float, Field(ge=0, lt=1)]
Widths = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
Descriptor = Literal["one_hot", "metadata"]  # a task's place, or its kind, group and base rate


# --- Nets side by side --------------------------------------------------------------------------------------------
class SingleTaskOptions(Options):
    """One net and one embedding table per objective."""

    hidden: Widths = (64,)


class SharedBottomOptions(Options):
    """One net for all objectives, with a tower for each: the multi-head net (Caruana 1997)."""

    hidden: Widths = (128,)


class SoftOptions(Options):
    """One net per objective, pulled together by an L2 penalty (Duong et al., ACL 2015)."""

    hidden: Widths = (64,)
    strength: NonNegativeFloat = 1e-2  # of ½ Σ ‖W_k − mean W‖²; 0: nets that share nothing but their input


# --- One net that is told the task --------------------------------------------------------------------------------
class GatedIndependentOptions(Options):
    """Nets that share nothing, gated by the task descriptor (CS330, lecture 2)."""

    hidden: Widths = (64,)
    descriptor: Descriptor = "one_hot"


class ConcatTaskOptions(Options):
    """The task descriptor beside the input of every layer."""

    hidden: Widths = (128,)
    descriptor: Descriptor = "one_hot"


class AddTaskOptions(Options):
    """A vector of the task, added in every layer. Concatenation amounts to the same."""

    hidden: Widths = (128,)
    descriptor: Descriptor = "one_hot"


class FiLMOptions(Options):
    """Every layer scaled and shifted by the task (Perez et al., AAAI 2018)."""

    hidden: Widths = (128,)
    descriptor: Descriptor = "one_hot"


# --- Nets that look into one another ------------------------------------------------------------------------------
class CrossStitchOptions(Options):
    """Learned mixtures between the objectives' nets after each layer (Misra et al., CVPR 2016)."""

    hidden: Widths = (64, 64)
    own: float = Field(default=0.9, gt=0, le=1)  # a net's initial weight for itself; the rest is spread over the others


class SluiceOptions(Options):
    """Cross-stitch between subspaces, and a learned mixture of layers (Ruder et al., AAAI 2019)."""

    hidden: PositiveInt = 64  # of every layer, because layers of different widths could not be mixed
    layers: PositiveInt = 2
    subspaces: PositiveInt = 2  # parts that a layer is cut into
    orthogonality: NonNegativeFloat = 1e-3  # strength of Σ ‖G₁ᵀ G₂‖² over the subspaces of a layer
    own: float = Field(default=0.9, gt=0, le=1)  # a subspace's initial weight for itself; the rest is spread over all others

    @model_validator(mode="after")
    def _equal_subspaces(self) -> "SluiceOptions":
        if self.hidden % self.subspaces:
            raise ValueError(f"found hidden = {self.hidden} with subspaces = {self.subspaces}, expected a multiple of the subspaces")
        return self


class MTANOptions(Options):
    """A shared net, and an attention mask per objective and layer (Liu et al., CVPR 2019)."""

    hidden: Widths = (96, 64)  # shared
    d_mask: PositiveInt = 32  # of a mask's hidden layer


class DeepRelationshipOptions(Options):
    """Layers of the tasks under a matrix-normal prior whose task covariance is learned (Long et al., NeurIPS 2017)."""

    hidden: Widths = (64,)  # shared
    task_hidden: Widths = (64,)  # each objective's own, under the prior
    strength: NonNegativeFloat = 1e-3  # of ½ tr(Wᵀ Ω⁻¹ W)


# --- Experts ------------------------------------------------------------------------------------------------------
class ExpertOptions(Options):
    """The options that all mixtures of experts have."""

    hidden: Widths = (64,)
    expert_dropout: Share = 0.1  # probability that a gate loses an expert in a training step (Zhao et al. 2019)
    top_k: PositiveInt | None = None  # experts that a gate may use for a row; none: all


class OMoEOptions(ExpertOptions):
    """One gate for all objectives (Ma et al., KDD 2018)."""

    num_experts: PositiveInt = 4


class MMoEOptions(ExpertOptions):
    """Multi-gate mixture of experts (Ma et al., KDD 2018; Zhao et al., RecSys 2019)."""

    num_experts: PositiveInt = 4


class CGCOptions(ExpertOptions):
    """Customized gate control: each objective's own experts beside shared ones (Tang et al., RecSys 2020)."""

    own_experts: PositiveInt = 1  # of each objective
    shared_experts: int = Field(default=2, ge=0)


class PLEOptions(CGCOptions):
    """Progressive layered extraction: CGC in levels (Tang et al., RecSys 2020)."""

    levels: PositiveInt = 2
    hidden: Widths = (64,)  # of an expert, on every level


class HoMEOptions(ExpertOptions):
    """Hierarchy of experts by the objectives' groups (Wang et al., 2024)."""

    own_experts: PositiveInt = 1
    group_experts: PositiveInt = 1
    shared_experts: PositiveInt = 1
    feature_rank: PositiveInt = 8  # of the low-rank gate on an expert's input


class PEPNetOptions(Options):
    """Inputs scaled by the context, towers scaled by the user, the item and its author (Chang et al., KDD 2023)."""

    hidden: Widths = (64,)  # of each objective's tower, below `d_tower`
    d_gate: PositiveInt = 32  # of a gate's hidden layer


class STEMOptions(ExpertOptions):
    """Shared and own embedding tables, stop-gradient between objectives (Su et al., AAAI 2024)."""

    own_experts: PositiveInt = 1
    shared_experts: PositiveInt = 1


class AITMOptions(Options):
    """Information handed from tower to tower along a chain (Xi et al., KDD 2021)."""

    hidden: Widths = (64,)  # of each objective's tower, below `d_tower`


Sharing = Literal[
    "single_task",
    "shared_bottom",
    "soft",
    "gated_independent",
    "concat_task",
    "add_task",
    "film",
    "cross_stitch",
    "sluice",
    "mtan",
    "deep_relationship",
    "omoe",
    "mmoe",
    "cgc",
    "ple",
    "home",
    "pepnet",
    "stem",
    "aitm",
]


class Model(Options):
    """The frame in which all architectures are compared, and the options of each architecture in a table of its own."""

    sharing: Sharing = "mmoe"
    budget_macs: PositiveInt | None = None  # multiplications per row, over all objectives and members, that the widths are scaled to
    members: PositiveInt = 1
    input_share: float = Field(default=1.0, gt=0, le=1)  # share of the inputs that each member sees
    d_embedding: PositiveInt = 8
    d_shared: int = Field(default=128, ge=0)  # width of the shared hidden layer; 0: the architecture reads the input itself
    d_tower: PositiveInt = 32
    dropout: Share = 0.2
    d_attention: PositiveInt = 16
    cross_rank: int = Field(default=32, ge=0)  # of the low-rank cross layer (Wang et al. 2021); 0: none
    skip: bool = True  # a linear path from the inputs to the outputs, started at zero
    position: Literal["tower", "input", "blind"] = "tower"  # where the model reads `features.bias`; blind: nowhere, nor do trees
    position_dropout: Share = 0.1  # probability that a row loses its position, and independently its device, in a training step
    single_task: SingleTaskOptions = SingleTaskOptions()
    shared_bottom: SharedBottomOptions = SharedBottomOptions()
    soft: SoftOptions = SoftOptions()
    gated_independent: GatedIndependentOptions = GatedIndependentOptions()
    concat_task: ConcatTaskOptions = ConcatTaskOptions()
    add_task: AddTaskOptions = AddTaskOptions()
    film: FiLMOptions = FiLMOptions()
    cross_stitch: CrossStitchOptions = CrossStitchOptions()
    sluice: SluiceOptions = SluiceOptions()
    mtan: MTANOptions = MTANOptions()
    deep_relationship: DeepRelationshipOptions = DeepRelationshipOptions()
    omoe: OMoEOptions = OMoEOptions()
    mmoe: MMoEOptions = MMoEOptions()
    cgc: CGCOptions = CGCOptions()
    ple: PLEOptions = PLEOptions()
    home: HoMEOptions = HoMEOptions()
    pepnet: PEPNetOptions = PEPNetOptions()
    stem: STEMOptions = STEMOptions()
    aitm: AITMOptions = AITMOptions()
