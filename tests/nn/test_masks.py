import torch

from recsys.nn.masks import AttentionMasks
from tests.models.plain import randomised

K, B, D, M, H = 3, 7, 5, 2, 4


def test_a_mask_is_a_net_of_its_task_that_ends_in_a_sigmoid():
    masks = randomised(AttentionMasks(K, D, M, H))
    read_KBD = torch.randn(K, B, D)
    (first,), second = masks.read.layers, masks.mask
    for k, found in enumerate(masks(read_KBD)):
        hidden = (read_KBD[k] @ first.weight[k] + first.bias[k]).relu()
        logits = hidden @ second.weight[k] + second.bias[k]
        torch.testing.assert_close(found, 1 / (1 + (-logits).exp()))
