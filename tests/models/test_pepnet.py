import pytest
import torch

from recsys.config.architectures import PEPNetOptions
from recsys.models import Priors, build
from recsys.models.pepnet import PEPNet
from recsys.nn.input_parts import learned_only
from recsys.nn.linear import stacked, unstacked
from tests.models import factory
from tests.models.plain import randomised

B, D, X, K = 9, 6, 8, len(factory.KINDS)
HIDDEN, D_TOWER = (5, 7), 4


def pepnet(d_entity=3, d_context=2, d_in=D, **changes):
    setting = factory.setting(d_in=d_in, d_tower=D_TOWER, d_entity=d_entity, d_context=d_context, d_inputs=D, **changes)
    return PEPNet(PEPNetOptions(hidden=HIDDEN, d_gate=8), setting)


def example(d_entity=3, d_context=2):
    return torch.randn(B, 1, D), Priors(torch.randn(B, d_entity), torch.randn(B, d_context))


def unit(gate, x_BD):
    hidden = (x_BD @ gate.hidden.weight[0] + gate.hidden.bias[0]).relu()
    return 2 * torch.sigmoid(hidden @ gate.out.weight[0] + gate.out.bias[0])


def by_the_paper(model, inputs_BD, entity_BP, context_BC, hidden):
    """O_ep = δ ⊗ E, then each objective's tower above `hidden` of it, layer by layer: (what the towers read, their outputs)."""
    delta_BD = unit(model.input_gate, torch.cat([context_BC, inputs_BD], dim=1))
    scaled_BD = inputs_BD * delta_BD
    prior = torch.cat([entity_BP, scaled_BD], dim=1)
    shared_BX = hidden(scaled_BD)
    towers = []
    for k in range(K):
        tower_BH = shared_BX
        for layer, gate in zip(model.layers, model.layer_gates, strict=True):
            width = layer.weight.shape[2]
            tower_BH = (tower_BH @ layer.weight[k] + layer.bias[k]).relu() * unit(gate, prior)[:, width * k : width * k + width]
        towers.append(tower_BH)
    return shared_BX, torch.stack(towers, dim=1)


@pytest.mark.parametrize(("d_entity", "d_context"), [(3, 2), (0, 2), (3, 0), (0, 0)])
@pytest.mark.parametrize("d_in", [D, X], ids=["without a shared layer", "below a shared layer"])
def test_it_is_a_loop_over_towers_and_their_layers(d_entity, d_context, d_in):
    model = randomised(pepnet(d_entity, d_context, d_in))
    inputs_BTD, priors = example(d_entity, d_context)
    weight_DX = torch.randn(D, X)
    hidden = torch.nn.Identity() if d_in == D else lambda x: (x @ weight_DX).relu()
    expected_shared, expected = by_the_paper(model, inputs_BTD[:, 0], *priors, hidden)
    found = model.from_inputs(learned_only(stacked(inputs_BTD)), lambda parts: unstacked(hidden(parts.whole())), priors)
    torch.testing.assert_close(found.shared, expected_shared)
    torch.testing.assert_close(found.outputs_BKH, expected)
    if d_in == D:
        torch.testing.assert_close(model(inputs_BTD, priors).outputs_BKH, expected)


@pytest.mark.parametrize("d_shared", [0, 16])
def test_in_the_frame_the_gate_scales_what_the_shared_layer_reads(d_shared):
    """The towers' inputs, and the outputs without the paths beside them, from the batch's inputs on, on the ranker's own weights."""
    layout = factory.layout().model_copy(update={"dense": ("item.a", "context.b", "agg.c")})
    options = factory.options(architecture="pepnet", numeric_bins=0, d_shared=d_shared, skip=False, cross_rank=0, position="blind")
    model = randomised(build(options, layout, factory.objectives(), torch.zeros(K), 1)).eval()
    batch = factory.batch(layout, B)
    inputs_BD = model.inputs(batch, batch.bias)[0].whole()[0]
    entity_BP = torch.cat([batch.dense[:, :1], inputs_BD[:, 5:17]], dim=1)  # item.a; past it and two more numbers and signals, the slots
    hidden = torch.nn.Identity()
    if d_shared:
        (layer,) = model.hidden.layers
        hidden = lambda x: (x @ layer.weight[0] + layer.bias[0]).relu()  # noqa: E731
    shared_BX, expected_BKH = by_the_paper(model.architecture, inputs_BD, entity_BP, batch.dense[:, 1:2], hidden)
    found = model(batch, position="logged")
    torch.testing.assert_close(found.shared, shared_BX)
    torch.testing.assert_close(found.read_BKH, expected_BKH)
    heads = model.towers.heads
    expected_BK = torch.stack([(expected_BKH[:, k] @ heads.weight[k] + heads.bias[k])[:, 0] for k in range(K)], dim=1)
    torch.testing.assert_close(found.outputs_BK, expected_BK)


def test_a_fresh_gate_is_one_whatever_it_reads():
    model = pepnet()
    show = model(*example()).show["gate scale"]
    assert show.columns == ("inputs", "layer 1", "layer 2", "layer 3")
    assert torch.equal(show.values_KN, torch.ones(K, 4))


def test_it_shows_the_mean_scale_of_inputs_and_layers():
    model = pepnet()
    with torch.no_grad():
        model.input_gate.out.bias += torch.log(torch.tensor(3.0))  # 2 σ(log 3) = 1.5
        model.layer_gates[1].out.bias[0, 0, 7:14] = -torch.log(torch.tensor(3.0))  # 0.5, of the second objective
    values_KN = model(*example()).show["gate scale"].values_KN
    expected_KN = torch.ones(K, 4)
    expected_KN[:, 0], expected_KN[1, 2] = 1.5, 0.5
    torch.testing.assert_close(values_KN, expected_KN)


def test_gates_change_no_input_that_they_only_read():
    """The gradient of the inputs is that of the products alone, the gates held fixed."""
    model = randomised(pepnet())
    inputs_BTD, priors = example()
    inputs_BTD.requires_grad_()
    (grad_BTD,) = torch.autograd.grad(model(inputs_BTD, priors).outputs_BKH.sum(), inputs_BTD)

    x_BD = inputs_BTD[:, 0].detach().requires_grad_()
    scale_BD = unit(model.input_gate, torch.cat([priors.context_BC, x_BD], dim=1)).detach()
    prior = torch.cat([priors.entity_BP, x_BD * scale_BD], dim=1).detach()
    total = torch.zeros(())
    for k in range(K):
        tower_BH = x_BD * scale_BD
        for layer, gate, width in zip(model.layers, model.layer_gates, (*HIDDEN, D_TOWER), strict=True):
            tower_BH = (tower_BH @ layer.weight[k] + layer.bias[k]).relu() * unit(gate, prior)[:, width * k : width * k + width].detach()
        total = total + tower_BH.sum()
    torch.testing.assert_close(grad_BTD[:, 0], torch.autograd.grad(total, x_BD)[0])


def test_who_and_what_is_met_does_get_gradients():
    model = randomised(pepnet())
    inputs_BTD, (entity_BP, context_BC) = example()
    priors = Priors(entity_BP.requires_grad_(), context_BC.requires_grad_())
    grads = torch.autograd.grad(model(inputs_BTD, priors).outputs_BKH.sum(), priors)
    assert all(grad.any() for grad in grads)


def test_in_the_frame_the_context_scales_inputs_and_entities_scale_towers():
    layout = factory.layout(history_length=0).model_copy(update={"dense": ("item.a", "context.b", "agg.c")})
    model = build(factory.options(architecture="pepnet", numeric_bins=0), layout, factory.objectives(), torch.zeros(K), 1)
    assert model.inputs.context_columns.tolist() == [1]
    assert len(model.inputs.entity_columns) == 1 + 3 * 4  # item.a; item.one, item.tags and user.two, 4 wide each
    assert model.inputs.d_out == 16  # 3 numbers, 3 slots of 4, and one of padding
    assert model.architecture.input_gate.hidden.weight.shape[1:] == (1 + 16, 8)
    assert model.architecture.input_gate.out.weight.shape[1:] == (8, 16)
    assert model.architecture.layer_gates[0].hidden.weight.shape[1] == 13 + 16
    batch = factory.batch(layout, B)
    inputs, _ = model.inputs(batch, batch.bias)
    priors = model._priors(inputs)
    assert torch.equal(priors.context_BC, batch.dense[:, 1:2])
    assert torch.equal(priors.entity_BP[:, 0], batch.dense[:, 0])


def test_only_layers_below_the_last_are_dropped_here():
    """The frame drops of the last, as it does for every architecture."""
    model = pepnet(dropout=0.99)
    with torch.no_grad():
        model.layers[-1].bias.fill_(1.0)
        model.layers[-1].weight.zero_()
    assert torch.equal(model(*example()).outputs_BKH, torch.ones(B, K, D_TOWER))
