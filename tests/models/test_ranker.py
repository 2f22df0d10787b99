import pytest
import torch

from recsys.models import build
from tests.models import factory

K = len(factory.KINDS)


def ranker(**changes):
    return build(factory.options(**changes), factory.layout(), factory.objectives(), torch.zeros(K), 1)


def test_the_tower_s_position_and_device_are_now_and_then_missing_in_training_only():
    model = ranker(position_dropout=0.25)
    with torch.no_grad():
        model.bias_tower.tables["position"][4, 0] = 10.0
        model.bias_tower.tables["device"][2, 0] = 1.0
    torch.manual_seed(0)
    example = factory.batch(factory.layout(), 4000)._replace(bias=torch.tensor([[4, 2]]).repeat(4000, 1))
    heard = model(example, position="logged").outputs_BK[:, 0].detach()
    shares = {value: (heard == value).float().mean().item() for value in heard.unique().tolist()}
    expected = {0.0: 0.25 * 0.25, 1.0: 0.25 * 0.75, 10.0: 0.75 * 0.25, 11.0: 0.75 * 0.75}
    assert shares == pytest.approx(expected, abs=0.03)
    assert set(model.eval()(example, position="logged").outputs_BK[:, 0].tolist()) == {11.0}
    assert set(model(example, position="missing").outputs_BK[:, 0].tolist()) == {1.0}


def test_the_parts_add_up():
    model = ranker().eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.dense_parameters():
            parameter.normal_(std=0.3)
    example = factory.batch(factory.layout(), 16)
    inputs, linear_BK = model.inputs(example, example.bias)
    hidden_BTD = (inputs.whole()[0] @ model.hidden.layers[0].weight[0] + model.hidden.layers[0].bias[0]).relu()[:, None]
    towers_BK = model.towers(model.architecture(hidden_BTD).outputs_BKH)
    expected = towers_BK + linear_BK + model.cross(inputs)[:, 0] + model.bias_tower(example.bias)
    torch.testing.assert_close(model(example, position="logged").outputs_BK, expected, rtol=1e-4, atol=1e-4)
    assert all(part.abs().mean() > 0.01 for part in (towers_BK, linear_BK, model.cross(inputs), model.bias_tower(example.bias)))


def test_a_layout_of_other_objectives_is_refused():
    with pytest.raises(AssertionError, match="the layout is of other objectives"):
        build(factory.options(), factory.layout(), factory.objectives()[::-1], torch.zeros(K), 1)


def test_no_tower_where_nothing_sees_a_position():
    for update in ({"group": "satisfaction"}, {"position": False}):
        unseeing = [objective.model_copy(update=update) for objective in factory.objectives()]
        assert build(factory.options(), factory.layout(), unseeing, torch.zeros(K), 1).bias_tower is None
    assert build(factory.options(), factory.layout(positions=0, devices=0), factory.objectives(), torch.zeros(K), 1).bias_tower is None
    assert ranker(position="blind").bias_tower is None


def test_a_way_that_reads_priors_gets_who_is_met_and_where():
    layout = factory.layout().model_copy(update={"dense": ("user.age", "context.hour", "agg.user_id.click.7")})
    model = build(factory.options(architecture="pepnet", numeric_bins=0), layout, factory.objectives(), torch.zeros(K), 1).eval()
    heard = []
    whole = model.architecture.from_inputs
    model.architecture.from_inputs = lambda *given: heard.append(given) or whole(*given)
    example = factory.batch(layout, 8)
    model(example, position="logged")
    ((inputs, hidden, priors),) = heard
    inputs_BD = model.inputs(example, example.bias)[0].whole()[0]
    torch.testing.assert_close(inputs.whole()[0], inputs_BD)
    assert hidden(inputs).shape == (8, 1, 16)
    torch.testing.assert_close(priors.context_BC, example.dense[:, 1:2])
    torch.testing.assert_close(
        priors.entity_BP, torch.cat([example.dense[:, :1], inputs_BD[:, 5:17]], dim=1)
    )  # all slots are of user or item


def test_beside_a_shared_table_the_cross_layer_and_the_linear_path_read_the_objectives_own():
    model = ranker(architecture="stem").eval()
    torch.manual_seed(0)
    with torch.no_grad():
        model.cross.out.weight.normal_()
        model.inputs.embeddings.tables.table[:, -1].normal_()
    example = factory.batch(factory.layout(), 8)
    before = model(example, position="logged").outputs_BK
    with torch.no_grad():
        model.inputs.embeddings.tables.table[30 * 2 : 30 * 3] += 1.0  # of the second objective: the first table is all objectives'
    change_K = (model(example, position="logged").outputs_BK - before).abs().amax(0)
    assert change_K[1] > 0.1
    assert change_K[[0, 2, 3]].max() == 0.0  # towers start at zero, so what nets read does not show
