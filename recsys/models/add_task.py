"""A vector of the task added in every layer."""

from recsys.models.conditioned import TaskConditioned
from recsys.nn.conditioning import AddLinear


class AddTask(TaskConditioned):
    """h_{l+1,k} = ReLU(h_lk W_l + b_l + z_k V_l), h_0k = x, V_l = 0 at the start (CS330, lecture 2: additive conditioning).

    At its start it is `shared_bottom`; with one-hot descriptors it learns a bias an objective in every layer.
    """

    layer = AddLinear
