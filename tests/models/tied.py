"""A single-task model tied to one on a single embedding table, so that what differs is the architecture."""

import torch


def tied(single, model):
    """`single_task` made to read K copies of the other's table, attention, cross layer, linear path and towers; all but its nets."""
    num = len(model.towers.heads.bias)
    d = model.inputs.d_embedding
    table_RW = model.inputs.embeddings.tables.table
    copies = [torch.cat([table_RW[:, :d], table_RW[:, d + k, None]], dim=1) for k in range(num)]
    single.inputs.embeddings.tables.table.copy_(torch.cat(copies))
    single.inputs.skip.load_state_dict(model.inputs.skip.state_dict())
    for name, tensor in model.inputs.attention.named_parameters():
        single.inputs.attention.get_parameter(name).copy_(tensor.expand(num, *tensor.shape[1:]))
    for part in ("down", "up"):
        for name, tensor in getattr(model.cross, part).named_parameters():
            getattr(single.cross, part).get_parameter(name).copy_(tensor.expand(num, *tensor.shape[1:]))
    single.cross.out.weight.copy_(model.cross.out.weight[0].T.unsqueeze(-1))
    single.towers.load_state_dict(model.towers.state_dict())
    single.bias_tower.load_state_dict(model.bias_tower.state_dict())
