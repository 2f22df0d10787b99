import pytest
import torch

from recsys.config.architectures import AITMOptions
from recsys.models.aitm import AITM, steps
from recsys.nn.information_transfer import Step
from recsys.objectives import Objective
from tests.models import factory
from tests.models.plain import net, randomised

B, D, H = 9, 6, 4
IN_FILE = ("binary", "watch_time", "regression", "binary")
TREE = ("binary|3", "binary|0", "regression", "binary", "binary|3")  # 3 → 0 → 1 and 3 → 4; 2 by itself


def aitm(kinds):
    return randomised(AITM(AITMOptions(hidden=(5,)), factory.setting(kinds, d_in=D, d_tower=H))).eval()


def objective(name, given=None):
    return Objective(name=name, label="x", given=given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [Step((1,), (0,)), Step((2,), (1,)), Step((3,), (2,))]),
        ({"a": "b"}, [Step((0,), (1,))]),
        ({"b": "a", "c": "a", "d": "c"}, [Step((1, 2), (0, 0)), Step((3,), (2,))]),
        ({"a": "d", "b": "c"}, [Step((0, 1), (3, 2))]),
        ({"a": "b", "b": "c", "c": "d"}, [Step((2,), (3,)), Step((1,), (2,)), Step((0,), (1,))]),
    ],
    ids=["in the order of the file", "one pair against it", "a tree", "two chains", "a chain against the file"],
)
def test_the_chain(given, expected):
    assert steps([objective(name, given.get(name)) for name in "abcd"]) == expected


def test_a_single_objective_receives_nothing():
    assert steps([objective("a")]) == []
    model = aitm(("binary",))
    inputs_BTD = torch.randn(B, 1, D)
    own_BH = net(model.towers, 0, net(model.below, 0, inputs_BTD[:, 0]))
    torch.testing.assert_close(model(inputs_BTD).outputs_BKH[:, 0], own_BH)
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"below", "towers"}


def test_a_circle_is_refused():
    with pytest.raises(ValueError, match="found a circle"):
        steps([objective("a", "b"), objective("b", "a")])


def transferred(transfer, hand, row, own_BH, source_BH):
    """Xi et al. (KDD 2021): attention over what a net found itself and what it was handed."""
    h1, h2, h3 = transfer.maps.weight
    handed_BH = (source_BH @ hand.weight[row] + hand.bias[row]).relu()
    parts = [own_BH, handed_BH]
    scores = [((u @ h2) * (u @ h3)).sum(1) / H**0.5 for u in parts]
    weights_B2 = torch.stack(scores, dim=1).softmax(1)
    return sum(weights_B2[:, n, None] * (u @ h1) for n, u in enumerate(parts)), weights_B2[:, 1]


@pytest.mark.parametrize(
    ("kinds", "received"),
    [
        (IN_FILE, [(1, 0, 0, 0), (2, 1, 1, 0), (3, 2, 2, 0)]),
        (TREE, [(0, 3, 0, 0), (4, 3, 0, 1), (1, 0, 1, 0)]),
    ],
    ids=["file", "tree"],
)
def test_it_is_a_loop_along_the_chain(kinds, received):
    """`received`: who, from whom, in which step, and the place in that step."""
    model = aitm(kinds)
    inputs_BTD = torch.randn(B, 1, D)
    found = [net(model.towers, k, net(model.below, k, inputs_BTD[:, 0])) for k in range(len(kinds))]
    shares_KK = torch.eye(len(kinds))
    for k, source, step, row in received:
        found[k], share_B = transferred(model.transfer, model.transfer.handed[step], row, found[k], found[source])
        shares_KK[k, source] = share_B.mean()
        shares_KK[k, k] = 1 - share_B.mean()
    shared = model(inputs_BTD)
    torch.testing.assert_close(shared.outputs_BKH, torch.stack(found, dim=1))
    torch.testing.assert_close(shared.show["attention"].values_KN, shares_KK)
    assert shared.show["attention"].columns == tuple(f"o{k}" for k in range(len(kinds)))


def test_information_flows_down_the_chain_and_never_up():
    model = aitm(IN_FILE)
    inputs_BTD = torch.randn(B, 1, D)
    before_BKH = model(inputs_BTD).outputs_BKH
    with torch.no_grad():
        model.towers.layers[0].bias[1] += 1.0
    changed_K = (model(inputs_BTD).outputs_BKH != before_BKH).any(0).any(-1)
    assert changed_K.tolist() == [False, True, True, True]


def test_with_a_given_the_order_of_the_file_means_nothing():
    """Objectives 0 → 1 → 2, and 3 by itself, then the same in the order 2, 3, 0, 1."""
    model = aitm(("binary", "binary|0", "binary|1", "binary"))
    other = aitm(("binary|3", "binary", "binary", "binary|2"))
    order = [2, 3, 0, 1]
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        for part in ("below", "towers"):
            for name, tensor in getattr(model, part).named_parameters():
                getattr(other, part).get_parameter(name).copy_(tensor[order])
    inputs_BTD = torch.randn(B, 1, D)
    torch.testing.assert_close(other(inputs_BTD).outputs_BKH, model(inputs_BTD).outputs_BKH[:, order])


def test_all_objectives_read_the_shared_inputs():
    found = aitm(IN_FILE)(torch.randn(B, 1, D, requires_grad=True))
    for k in range(4):
        (grad_BD,) = torch.autograd.grad(found.outputs_BKH[:, k].sum(), found.shared, retain_graph=True)
        assert grad_BD.any()
