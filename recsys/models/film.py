"""A scale and a shift in every layer, set by the task."""

from recsys.models.conditioned import TaskConditioned
from recsys.nn.conditioning import FiLMLinear


class FiLM(TaskConditioned):
    """Layers h_{l+1,k} = ReLU(γ_l(z_k) ⊙ (h_lk W_l + b_l) + β_l(z_k)) (Perez et al., AAAI 2018, eq. 1–2).

    γ_l(z) = 1 + z Γ_l and β_l(z) = z V_l. Γ_l = V_l = 0 at the start, where the net is `shared_bottom`. With Γ_l = 0 it is `add_task`.
    """

    layer = FiLMLinear

    def axes(self) -> dict[str, str]:
        return {r"net\..*\.(scale|shift)\.weight": "* z"}
