"""A vector of the task, added in every layer."""

from recsys.models.conditioned import TaskConditioned
from recsys.nn.conditioning import AddLinear


class AddTask(TaskConditioned):
    """Additive conditioning, h_{l+1,k} = ReLU(h_lk W_l + b_l + z_k V_l), h_0k = x (CS330, lecture 2).

    V_l = 0 at the start, where the net is `shared_bottom`. With one-hot descriptors it learns one bias per objective in every layer.
    """

    layer = AddLinear

    def axes(self) -> dict[str, str]:
        return {r"net\..*\.shift\.weight": "* z"}
