"""Every layer scaled and shifted by the task."""

from recsys.models.conditioned import TaskConditioned
from recsys.nn.conditioning import FiLMLinear


class FiLM(TaskConditioned):
    """h_{l+1,k} = ReLU(γ_l(z_k) ⊙ (h_lk W_l + b_l) + β_l(z_k)), γ_l(z) = 1 + z Γ_l, β_l(z) = z V_l (Perez et al., AAAI 2018, eq. 1–2).

    Γ_l = V_l = 0 at the start, where it is `shared_bottom`; with Γ_l = 0 it is `add_task`.
    """

    layer = FiLMLinear
