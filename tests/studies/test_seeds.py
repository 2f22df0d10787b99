import copy

import pytest
import torch
from torch import nn

from recsys.config.architectures import MMoEOptions, OMoEOptions, SharedBottomOptions
from recsys.models.architecture import Setting
from recsys.models.mmoe import MMoE
from recsys.models.shared_bottom import SharedBottom
from recsys.nn.towers import Towers
from studies.seeds import REGRESSIONS, Net, SeedModels, train
from studies.synthetic import Rows

S, B, D = 3, 20, 6
WAYS = {
    "shared_bottom": SharedBottomOptions(hidden=(5,)),
    "omoe": OMoEOptions(num_experts=3, hidden=(4,), expert_dropout=0.0),
    "mmoe": MMoEOptions(num_experts=3, hidden=(4,), expert_dropout=0.0),
}
every_way = pytest.mark.parametrize("way", WAYS)


def seed_models(way, d_shared=0):
    """With output weights that are not zero, so that everything below them matters."""
    models = SeedModels(lambda: Net(way, WAYS[way], d_in=D, d_shared=d_shared), range(S))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in models.values.values():
            value.copy_(0.5 * torch.randn(value.shape, generator=generator))
    return models


def rows(num=B):
    generator = torch.Generator().manual_seed(2)
    return Rows(torch.randn(S, num, D, generator=generator), torch.randn(S, num, 2, generator=generator))


@pytest.mark.parametrize(("way", "architecture"), [("shared_bottom", SharedBottom), ("mmoe", MMoE)])
def test_a_member_is_the_module_of_the_library_with_its_weights(way, architecture):
    """Output and gradient of every seed, against the modules put together by hand."""
    models, batch = seed_models(way), rows()
    outputs_SBK = models(batch.x_SBD)
    (outputs_SBK - batch.y_SBK).square().mean(dim=(1, 2)).sum().backward()
    for seed in range(S):
        way_itself = architecture(WAYS[way], Setting(d_in=D, d_tower=8, dropout=0.0, objectives=REGRESSIONS, starts_K=torch.zeros(2)))
        alone = nn.ModuleDict({"architecture": way_itself, "towers": Towers(way_itself.d_out, (8,), torch.zeros(2))})
        alone.load_state_dict({name: value.detach()[seed] for name, value in models.values.items()})
        outputs_BK = alone["towers"](way_itself(batch.x_SBD[seed].unsqueeze(1)).outputs_BKH)
        torch.testing.assert_close(outputs_SBK[seed], outputs_BK)
        (outputs_BK - batch.y_SBK[seed]).square().mean().backward()
        for name, parameter in alone.named_parameters():
            torch.testing.assert_close(models.values[name].grad[seed], parameter.grad, msg=name)


@every_way
@pytest.mark.parametrize("d_shared", [0, 7])
def test_training_together_is_training_alone(way, d_shared):
    together, batch = seed_models(way, d_shared), rows()
    alone = [copy.deepcopy(net).train() for net in together.nets()]
    looks = []
    train(together, lambda: batch, steps=4, rate=1e-2, every=2, look=looks.append)
    assert looks == [2, 4]
    for seed, net in enumerate(alone):
        optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
        for _ in range(4):
            optimiser.zero_grad()
            (net(batch.x_SBD[seed]) - batch.y_SBK[seed]).square().mean().backward()
            optimiser.step()
    for net, expected in zip(together.nets(), alone, strict=True):
        torch.testing.assert_close(net.state_dict(), expected.state_dict(), atol=1e-5, rtol=1e-4)


@every_way
def test_a_start_is_of_its_seed_alone(way):
    def new():
        return Net(way, WAYS[way], d_in=D)

    state = torch.get_rng_state()
    few, many = SeedModels(new, [4]), SeedModels(new, [3, 4])
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in few.values.items():
        assert torch.equal(value[0], many.values[name][1])


def test_dropout_of_experts_is_there_in_training_only_and_differs_from_seed_to_seed():
    options = MMoEOptions(num_experts=8, hidden=(4,), expert_dropout=0.5)
    models = SeedModels(lambda: Net("mmoe", options, d_in=D), range(2))
    with torch.no_grad():
        for value in models.values.values():
            value.copy_(torch.randn(value[:1].shape, generator=torch.Generator().manual_seed(0)))  # both seeds alike
    x_SBD = torch.randn(1, B, D).expand(2, -1, -1)
    models.shape.eval()
    calm_SBK = models(x_SBD)
    torch.testing.assert_close(calm_SBK[0], calm_SBK[1])
    models.shape.train()
    dropped_SBK = models(x_SBD)
    assert not torch.allclose(dropped_SBK[0], calm_SBK[0])
    assert not torch.allclose(dropped_SBK[0], dropped_SBK[1])
