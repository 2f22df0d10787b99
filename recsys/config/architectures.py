"""[model.ARCHITECTURE]: the options of each architecture in a table of its own, and the place of its implementation.

A new architecture is a file in models/, and here a class of options with a line in `Architectures`.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from recsys.options import Options

Share = Annotated[float, Field(ge=0, lt=1)]
Widths = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
Descriptor = Annotated[
    Literal["one_hot", "metadata"],
    Field(description="Task descriptor: the objective's place, or its kind, its group and its base rate."),
]


class ArchitectureOptions(Options):
    """The options of one architecture. `implementation` names what is built from them, as MODULE:CLASS.

    It is a text, so that reading a TOML imports no torch.
    """

    implementation: ClassVar[str]

    @property
    def shares(self) -> bool:
        """Return whether several objectives read a tensor that the architecture makes: there gradients can be balanced."""
        return True


# --- Nets side by side --------------------------------------------------------------------------------------------
class SingleTaskOptions(ArchitectureOptions):
    """One net and one embedding table per objective."""

    implementation = "recsys.models.single_task:SingleTask"

    hidden: Widths = Field(default=(64,), description="Widths of the layers of each objective's net.")

    @property
    def shares(self) -> bool:
        return False


class SharedBottomOptions(ArchitectureOptions):
    """One net for all objectives, with a tower for each: the multi-head net (Caruana 1997)."""

    implementation = "recsys.models.shared_bottom:SharedBottom"

    hidden: Widths = Field(default=(128,), description="Widths of the layers of the shared net.")


class SoftOptions(ArchitectureOptions):
    """One net per objective, pulled together by an L2 penalty (Duong et al., ACL 2015)."""

    implementation = "recsys.models.soft:Soft"

    hidden: Widths = Field(default=(64,), description="Widths of the layers of each objective's net.")
    strength: NonNegativeFloat = Field(
        default=1e-2, description="Strength of the penalty ½ Σ ‖W_k − mean W‖²; 0: nets that share nothing but their input."
    )

    @property
    def shares(self) -> bool:
        return False


# --- One net that is told the task --------------------------------------------------------------------------------
class GatedIndependentOptions(ArchitectureOptions):
    """Nets that share nothing, gated by the task descriptor (CS330, lecture 2)."""

    implementation = "recsys.models.gated_independent:GatedIndependent"

    hidden: Widths = Field(default=(64,), description="Widths of the layers of each net.")
    descriptor: Descriptor = "one_hot"

    @property
    def shares(self) -> bool:
        return self.descriptor != "one_hot"


class ConcatTaskOptions(ArchitectureOptions):
    """The task descriptor beside the input of every layer."""

    implementation = "recsys.models.concat_task:ConcatTask"

    hidden: Widths = Field(default=(128,), description="Widths of the layers of the net.")
    descriptor: Descriptor = "one_hot"


class AddTaskOptions(ArchitectureOptions):
    """A vector of the task, added in every layer. Concatenation amounts to the same."""

    implementation = "recsys.models.add_task:AddTask"

    hidden: Widths = Field(default=(128,), description="Widths of the layers of the net.")
    descriptor: Descriptor = "one_hot"


class FiLMOptions(ArchitectureOptions):
    """Every layer scaled and shifted by the task (Perez et al., AAAI 2018)."""

    implementation = "recsys.models.film:FiLM"

    hidden: Widths = Field(default=(128,), description="Widths of the layers of the net.")
    descriptor: Descriptor = "one_hot"


# --- Nets that look into one another ------------------------------------------------------------------------------
class CrossStitchOptions(ArchitectureOptions):
    """Learned mixtures between the objectives' nets after each layer (Misra et al., CVPR 2016)."""

    implementation = "recsys.models.cross_stitch:CrossStitchNets"

    hidden: Widths = Field(default=(64, 64), description="Widths of the layers of each objective's net; a mixture follows each layer.")
    own: float = Field(default=0.9, gt=0, le=1, description="Initial weight of a net for itself; the rest is spread over the others.")


class SluiceOptions(ArchitectureOptions):
    """Cross-stitch between subspaces, and a learned mixture of layers (Ruder et al., AAAI 2019)."""

    implementation = "recsys.models.sluice:Sluice"

    hidden: PositiveInt = Field(
        default=64, description="Width of every layer; one number, because layers of different widths could not be mixed."
    )
    layers: PositiveInt = Field(default=2, description="Number of layers of each objective's net.")
    subspaces: PositiveInt = Field(default=2, description="Number of parts that a layer is cut into; `hidden` is a multiple of it.")
    orthogonality: NonNegativeFloat = Field(
        default=1e-3, description="Strength of the penalty Σ ‖G₁ᵀ G₂‖² over the subspaces of a layer; 0: none."
    )
    own: float = Field(default=0.9, gt=0, le=1, description="Initial weight of a subspace for itself; the rest is spread over all others.")

    @model_validator(mode="after")
    def _equal_subspaces(self) -> "SluiceOptions":
        if self.hidden % self.subspaces:
            raise ValueError(f"found hidden = {self.hidden} with subspaces = {self.subspaces}, expected a multiple of the subspaces")
        return self


class MTANOptions(ArchitectureOptions):
    """A shared net, and an attention mask per objective and layer (Liu et al., CVPR 2019)."""

    implementation = "recsys.models.mtan:MTAN"

    hidden: Widths = Field(default=(96, 64), description="Widths of the layers of the shared net.")
    d_mask: PositiveInt = Field(default=32, description="Width of the hidden layer of each attention mask.")


class DeepRelationshipOptions(ArchitectureOptions):
    """Layers of the tasks under a matrix-normal prior whose task covariance is learned (Long et al., NeurIPS 2017)."""

    implementation = "recsys.models.deep_relationship:DeepRelationship"

    hidden: Widths = Field(default=(64,), description="Widths of the shared layers.")
    task_hidden: Widths = Field(default=(64,), description="Widths of each objective's own layers, which are under the prior.")
    strength: NonNegativeFloat = Field(default=1e-3, description="Strength of the penalty ½ tr(Wᵀ Ω⁻¹ W), which is the prior; 0: none.")


# --- Experts ------------------------------------------------------------------------------------------------------
class ExpertOptions(ArchitectureOptions):
    """The options that all mixtures of experts have."""

    hidden: Widths = Field(default=(64,), description="Widths of the layers of each expert.")
    expert_dropout: Share = Field(
        default=0.1, description="Probability that a gate loses an expert for a row in a training step (Zhao et al. 2019); 0: never."
    )
    top_k: PositiveInt | None = Field(
        default=None, description="Number of experts that a gate may use for a row, at most as many as it has; without it: all."
    )

    def experts_of_a_gate(self, objectives: int) -> int:
        """Return how many experts an objective's gate mixes, where there are so many objectives."""
        raise NotImplementedError


class OMoEOptions(ExpertOptions):
    """One gate for all objectives (Ma et al., KDD 2018)."""

    implementation = "recsys.models.omoe:OMoE"

    num_experts: PositiveInt = Field(default=4, description="Number of experts, all read by every objective.")

    def experts_of_a_gate(self, objectives: int) -> int:
        return self.num_experts


class MMoEOptions(ExpertOptions):
    """Multi-gate mixture of experts (Ma et al., KDD 2018; Zhao et al., RecSys 2019)."""

    implementation = "recsys.models.mmoe:MMoE"

    num_experts: PositiveInt = Field(default=4, description="Number of experts, all read by every objective.")

    def experts_of_a_gate(self, objectives: int) -> int:
        return self.num_experts


class CGCOptions(ExpertOptions):
    """Customized gate control: each objective's own experts beside shared ones (Tang et al., RecSys 2020)."""

    implementation = "recsys.models.cgc:CGC"

    own_experts: PositiveInt = Field(default=1, description="Number of experts that each objective has for itself, on each level.")
    shared_experts: int = Field(default=2, ge=0, description="Number of experts that all objectives share, on each level; 0: none.")

    def experts_of_a_gate(self, objectives: int) -> int:
        return self.own_experts + self.shared_experts


class PLEOptions(CGCOptions):
    """Progressive layered extraction: CGC in levels (Tang et al., RecSys 2020)."""

    implementation = "recsys.models.ple:PLE"

    levels: PositiveInt = Field(default=2, description="Number of levels; 1: as `cgc`.")
    hidden: Widths = Field(default=(64,), description="Widths of the layers of each expert, the same on every level.")


class HoMEOptions(ExpertOptions):
    """Hierarchy of experts by the objectives' groups (Wang et al., 2024)."""

    implementation = "recsys.models.home:HoME"

    own_experts: PositiveInt = Field(default=1, description="Number of experts that each objective has for itself.")
    group_experts: PositiveInt = Field(
        default=1, description="Number of experts that each group of objectives has for itself, on each of the two levels."
    )
    shared_experts: PositiveInt = Field(default=1, description="Number of experts that all objectives share, on each of the two levels.")
    feature_rank: PositiveInt = Field(default=8, description="Rank of the low-rank gate on an expert's input.")

    def experts_of_a_gate(self, objectives: int) -> int:
        return self.own_experts + self.group_experts + self.shared_experts


class PEPNetOptions(ArchitectureOptions):
    """Inputs scaled by the context, towers scaled by the user, the item and its author (Chang et al., KDD 2023)."""

    implementation = "recsys.models.pepnet:PEPNet"

    hidden: Widths = Field(
        default=(64,), description="Widths of the layers of each objective's tower, below the layer of width `model.d_tower`."
    )
    d_gate: PositiveInt = Field(default=32, description="Width of the hidden layer of each gate.")


class STEMOptions(ExpertOptions):
    """Shared and own embedding tables, stop-gradient between objectives (Su et al., AAAI 2024)."""

    implementation = "recsys.models.stem:STEM"

    own_experts: PositiveInt = Field(default=1, description="Number of experts that each objective has for itself.")
    shared_experts: PositiveInt = Field(default=1, description="Number of experts that all objectives share.")

    def experts_of_a_gate(self, objectives: int) -> int:
        return objectives * self.own_experts + self.shared_experts


class AITMOptions(ArchitectureOptions):
    """Information handed from tower to tower along a chain (Xi et al., KDD 2021)."""

    implementation = "recsys.models.aitm:AITM"

    hidden: Widths = Field(
        default=(64,), description="Widths of the layers of each objective's tower, below the layer of width `model.d_tower`."
    )


# --- The table ----------------------------------------------------------------------------------------------------
class Architectures(Options):
    """Every architecture by its name in the TOML."""

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
