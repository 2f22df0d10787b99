"""The task's descriptor beside the input of every layer."""

from recsys.models.conditioned import TaskConditioned
from recsys.nn.conditioning import ConcatLinear


class ConcatTask(TaskConditioned):
    """h_{l+1,k} = ReLU([h_lk; z_k] W_l + b_l), h_0k = x (CS330, lecture 2: concatenation-based conditioning).

    The same functions as `add_task`'s, with W_l = [W; V] (Dumoulin et al., Distill 2018, "Feature-wise transformations"); it starts
    with the tasks apart, as W_l is drawn whole, where `add_task` starts with all as one.
    """

    layer = ConcatLinear
