import pytest
import torch

from recsys.config import PEPNetOptions
from recsys.models import Priors, build
from recsys.models.pepnet import PEPNet
from tests.models import factory
from tests.models.plain import randomised

B, D, K = 9, 6, len(factory.KINDS)
HIDDEN, D_TOWER = (5, 7), 4


def pepnet(d_entity=3, d_context=2, **changes):
    setting = factory.setting(d_in=D, d_tower=D_TOWER, d_entity=d_entity, d_context=d_context, **changes)
    return PEPNet(PEPNetOptions(hidden=HIDDEN, d_gate=8), setting)


def example(d_entity=3, d_context=2):
    return torch.randn(B, 1, D), Priors(torch.randn(B, d_entity), torch.randn(B, d_context))


def unit(gate, x_BD):
    hidden = (x_BD @ gate.hidden.weight[0] + gate.hidden.bias[0]).relu()
    return 2 * torch.sigmoid(hidden @ gate.out.weight[0] + gate.out.bias[0])


@pytest.mark.parametrize(("d_entity", "d_context"), [(3, 2), (0, 2), (3, 0), (0, 0)])
def test_it_is_a_loop_over_towers_and_their_layers(d_entity, d_context):
    model = randomised(pepnet(d_entity, d_context))
    inputs_BTD, priors = example(d_entity, d_context)
    x_BD = inputs_BTD[:, 0]
    scaled = x_BD * unit(model.input_gate, torch.cat([priors.context_BC, x_BD], dim=1))
    prior = torch.cat([priors.entity_BP, scaled], dim=1)
    found = model(inputs_BTD, priors)
    torch.testing.assert_close(found.shared, scaled)
    for k in range(K):
        tower_BH = scaled
        for layer, gate, width in zip(model.layers, model.layer_gates, (*HIDDEN, D_TOWER), strict=True):
            scale_BH = unit(gate, prior)[:, width * k : width * k + width]
            tower_BH = (tower_BH @ layer.weight[k] + layer.bias[k]).relu() * scale_BH
        torch.testing.assert_close(found.outputs_BKH[:, k], tower_BH)


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
    model = build(factory.options(sharing="pepnet"), layout, factory.objectives(), torch.zeros(K), 1)
    assert model.inputs.context_columns.tolist() == [1]
    assert len(model.inputs.entity_columns) == 1 + 3 * 4  # item.a; item.one, item.tags and user.two, 4 wide each
    assert model.sharing.input_gate.hidden.weight.shape[1] == 1 + 16
    assert model.sharing.layer_gates[0].hidden.weight.shape[1] == 13 + 16
    batch = factory.batch(layout, B)
    inputs_BTD, _ = model.inputs(batch, batch.bias)
    priors = model._priors(inputs_BTD)
    assert torch.equal(priors.context_BC, batch.dense[:, 1:2])
    assert torch.equal(priors.entity_BP[:, 0], batch.dense[:, 0])


def test_only_layers_below_the_last_are_dropped_here():
    """The frame drops of the last, as it does for every way of sharing."""
    model = pepnet(dropout=0.99)
    with torch.no_grad():
        model.layers[-1].bias.fill_(1.0)
        model.layers[-1].weight.zero_()
    assert torch.equal(model(*example()).outputs_BKH, torch.ones(B, K, D_TOWER))
