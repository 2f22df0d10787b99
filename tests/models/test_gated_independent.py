import pytest
import torch

from recsys.config.architectures import GatedIndependentOptions
from recsys.models import build
from recsys.models.gated_independent import GatedIndependent
from tests.models import factory
from tests.models.plain import randomised
from tests.models.tied import tied

B, D, K, HIDDEN = 9, 6, len(factory.KINDS), (5, 4)


def gated(descriptor):
    return randomised(GatedIndependent(GatedIndependentOptions(hidden=HIDDEN, descriptor=descriptor), factory.setting(d_in=D)))


def nets_of(model, inputs_BD):
    """Each net by itself."""
    first, (second,) = model.nets.first, model.nets.rest.layers
    for n in range(model.nets.num):
        own = slice(HIDDEN[0] * n, HIDDEN[0] * n + HIDDEN[0])
        hidden = (inputs_BD @ first.weight[0][:, own] + first.bias[0, 0, own]).relu()
        yield (hidden @ second.weight[n] + second.bias[n]).relu()


@pytest.mark.parametrize("descriptor", ["one_hot", "metadata"])
def test_it_is_a_loop_over_nets_gated_by_the_task(descriptor):
    """With one-hot descriptors too, where the product with the identity is left out."""
    model = gated(descriptor)
    inputs_BTD = torch.randn(B, 1, D)
    found = model(inputs_BTD)
    for k in range(K):
        expected = sum(weight * net_BH for weight, net_BH in zip(model.descriptors_KZ[k], nets_of(model, inputs_BTD[:, 0]), strict=True))
        torch.testing.assert_close(found.outputs_BKH[:, k], expected)


def test_one_hot_gating_shares_nothing_and_metadata_share_the_nets():
    inputs_BTD = torch.randn(B, 1, D)
    assert gated("one_hot")(inputs_BTD).shared is None
    by_metadata = gated("metadata")
    found = by_metadata(inputs_BTD)
    assert [GatedIndependentOptions(descriptor=name).shares for name in ("one_hot", "metadata")] == [False, True], "as the TOML is refused"
    torch.testing.assert_close(found.shared, torch.stack(list(nets_of(by_metadata, inputs_BTD[:, 0]))))
    assert len(found.shared) == 6  # binary, regression, watch_time; engagement, satisfaction; base rate
    assert torch.equal(found.show["task descriptors"].values_KN, by_metadata.descriptors_KZ)


def test_one_hot_gating_is_single_task_on_one_table():
    """Whole rankers: against one whose tables are all copies of the other's, without a shared layer."""
    changes = {"d_shared": 0, "single_task": {"hidden": HIDDEN}, "gated_independent": {"hidden": HIDDEN}}
    model, single = (
        build(factory.options(architecture=architecture, **changes), factory.layout(), factory.objectives(), torch.zeros(K), 1)
        for architecture in ("gated_independent", "single_task")
    )
    randomised(model)
    with torch.no_grad():
        model.inputs.embeddings.tables.table[0] = 0.0
        tied(single, model)
        nets, (first, second) = model.architecture.nets, single.architecture.net.layers
        for k in range(K):
            own = slice(HIDDEN[0] * k, HIDDEN[0] * k + HIDDEN[0])
            first.weight[k], first.bias[k] = nets.first.weight[0][:, own], nets.first.bias[0, 0, own]
        second.load_state_dict(nets.rest.layers[0].state_dict())
    example = factory.batch(factory.layout(), 32)
    outputs_BK = model.eval()(example, position="logged").outputs_BK
    torch.testing.assert_close(single.eval()(example, position="logged").outputs_BK, outputs_BK)
    assert outputs_BK.std(0).min() > 0.1
