from itertools import chain

import pytest
import torch

from recsys.config.architectures import HoMEOptions
from recsys.models.home import HoME
from recsys.nn.normalisation import EPSILON
from tests.models import factory
from tests.models.plain import gate, mixture, net, randomised

B, D, H, K = 9, 6, 4, len(factory.KINDS)
MIXED = ("engagement", "satisfaction", "engagement", "satisfaction")
GROUPS = {"two groups": MIXED, "only satisfaction": ("satisfaction",) * K}


def setting(groups):
    found = factory.setting(d_in=D)
    objectives = [objective.model_copy(update={"group": group}) for objective, group in zip(found.objectives, groups, strict=True)]
    return type(found)(d_in=D, d_tower=4, dropout=0.0, objectives=tuple(objectives), starts_K=found.starts_K)


def home(groups=MIXED, *, own=2, group=1, shared=2, seed=0, **options):
    options = HoMEOptions(
        hidden=(5, H), own_experts=own, group_experts=group, shared_experts=shared, feature_rank=3, expert_dropout=0.0, **options
    )
    model = randomised(HoME(options, setting(groups)), seed)
    for _ in range(3):
        model(torch.randn(50, 1, D))  # statistics of their own
    return model.eval()


def expert(experts, n, x_BD):
    """swish(batch norm(net(v ⊙ 2σ(vAB)))) of the n-th expert, by the running statistics."""
    x_BD = x_BD * 2 * torch.sigmoid(x_BD @ experts.gate.down.weight[n] @ experts.gate.up.weight[n])
    x_BH = net(experts.below, n, x_BD) @ experts.last.weight[n]
    norm = experts.norm
    x_BH = (x_BH - norm.running_mean[n]) / (norm.running_variance[n] + EPSILON).sqrt() * norm.scale[n] + norm.shift[n]
    return x_BH * torch.sigmoid(x_BH)


def several(experts, first, num, x_BD):
    return [expert(experts, n, x_BD) for n in range(first, first + num)]


def self_gate(gates, k, x_BD):
    logits_BM = x_BD @ gates.linear.weight[k]
    return logits_BM.sigmoid() if logits_BM.shape[1] == 1 else logits_BM.softmax(1)


def plain(model, groups, x_BD, own, group, shared):
    """The equations of the class, one expert, group and objective at a time."""
    names = sorted(set(groups))
    level = model.meta.level
    of_group = [several(level.experts.own, g * group, group, x_BD) for g in range(len(names))]
    of_all = several(level.experts.shared, 0, shared, x_BD)
    metas = [
        mixture(gate(level.gates.linear, g, x_BD), of_group[g] + of_all) + mixture(self_gate(model.meta.group_self, g, x_BD), of_group[g])
        for g in range(len(names))
    ]
    meta_shared = mixture(gate(level.shared_gate.linear, 0, x_BD), [*chain(*of_group), *of_all])
    meta_shared = meta_shared + mixture(self_gate(model.meta.shared_self, 0, x_BD), of_all)

    task, outputs = model.task, []
    for k, name in enumerate(groups):
        g = names.index(name)
        mine = several(task.own, k * own, own, metas[g])
        others = several(task.group, g * group, group, metas[g]) + several(task.shared, 0, shared, meta_shared)
        mixed = mixture(gate(task.gates.linear, k, torch.cat([metas[g], meta_shared], dim=1)), mine + others)
        outputs.append(mixed + mixture(self_gate(task.own_self, k, metas[g]), mine))
    return torch.stack(outputs, dim=1)


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize("counts", [(1, 1, 1), (2, 1, 2), (1, 2, 1)])
def test_it_is_a_loop_over_groups_objectives_and_experts(groups, counts):
    own, group, shared = counts
    model = home(groups, own=own, group=group, shared=shared)
    inputs_BTD = torch.randn(B, 1, D)
    torch.testing.assert_close(model(inputs_BTD).outputs_BKH, plain(model, groups, inputs_BTD[:, 0], *counts))


@pytest.mark.parametrize("k", range(K))
def test_an_objective_reads_its_own_its_group_s_and_the_shared_experts(k):
    found = home()(torch.randn(B, 1, D))
    (grad_EBH,) = torch.autograd.grad(found.outputs_BKH[:, k].sum(), found.shared)
    own = [n // 2 == k for n in range(2 * K)]
    group = [name == MIXED[k] for name in ("engagement", "satisfaction")]
    assert grad_EBH.flatten(1).any(1).tolist() == own + group + [True, True]


def test_it_shows_a_group_s_experts_in_the_columns_of_the_group():
    show = home()(torch.randn(B, 1, D)).show
    meta, task = show["gates, meta level"], show["gates, task level"]
    assert meta.columns == ("engagement 1", "satisfaction 1", "shared 1", "shared 2")
    assert task.columns == ("own 1", "own 2", *meta.columns)
    for look in (meta, task):
        torch.testing.assert_close(look.values_KN.sum(1), torch.ones(K))
        mine = torch.tensor([[name == group for name in ("engagement", "satisfaction")] for group in MIXED])
        by_group = look.values_KN[:, -4:-2]
        assert (by_group[mine] > 0).all()
        assert not by_group[~mine].any()
    assert torch.equal(meta.values_KN[0], meta.values_KN[2])  # a gate of the group


def test_objectives_in_another_order_are_the_same_ones():
    """What is a group's stays, what is an objective's moves along."""
    model, order = home(), [3, 0, 2, 1]
    other = home([MIXED[k] for k in order])
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        for name, tensor in [*other.task.named_parameters(), *other.task.named_buffers()]:
            if name.split(".")[0] in ("own", "gates", "own_self") and tensor.ndim == 3:
                tensor.copy_(torch.unflatten(tensor, 0, (K, -1))[order].flatten(0, 1))
    inputs_BTD = torch.randn(B, 1, D)
    torch.testing.assert_close(other(inputs_BTD).outputs_BKH, model(inputs_BTD).outputs_BKH[:, order])


def test_a_training_batch_of_one_row_is_learned_from():
    model = home().train()
    statistics = {name: tensor.clone() for name, tensor in model.named_buffers()}
    outputs_BKH = model(torch.randn(1, 1, D)).outputs_BKH
    outputs_BKH.square().sum().backward()
    assert outputs_BKH.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert all(torch.equal(tensor, statistics[name]) for name, tensor in model.named_buffers())


def test_statistics_are_saved_with_the_weights():
    model, fresh = home(), home(seed=1)
    fresh.load_state_dict(model.state_dict())
    inputs_BTD = torch.randn(B, 1, D)
    assert torch.equal(fresh(inputs_BTD).outputs_BKH, model(inputs_BTD).outputs_BKH)
