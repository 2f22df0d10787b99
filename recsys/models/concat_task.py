"""The task's descriptor, concatenated to the input of every layer."""

from recsys.models.conditioned import TaskConditioned
from recsys.nn.conditioning import ConcatLinear


class ConcatTask(TaskConditioned):
    """Concatenation-based conditioning, h_{l+1,k} = ReLU([h_lk; z_k] W_l + b_l), h_0k = x (CS330, lecture 2).

    It has the same functions as `add_task`, with W_l = [W; V] (Dumoulin et al., Distill 2018, "Feature-wise transformations"). It starts
    with the tasks apart, as W_l is drawn whole; `add_task` starts with all tasks as one.
    """

    layer = ConcatLinear

    def axes(self) -> dict[str, str]:
        return {r"net\..*\.joint\.weight": "* *+z"}
