import torch

from recsys.nn.experts import Experts
from recsys.nn.nets import biases_by_net, start_equal, weights_by_net
from tests.models.plain import randomised

N, B, D = 3, 7, 5


def test_net_by_net_they_are_the_pool():
    nets = randomised(Experts(N, D, (4, 6)))
    x_BD = torch.randn(B, D)
    for n, output_BH in enumerate(nets(x_BD)):
        expected = x_BD
        for weight_NDH, bias_NH in zip(weights_by_net(nets), biases_by_net(nets), strict=True):
            expected = (expected @ weight_NDH[n] + bias_NH[n]).relu()
        torch.testing.assert_close(output_BH, expected)


def test_they_are_views_of_all_parameters():
    nets = Experts(N, D, (4, 6))
    with torch.no_grad():
        for part in weights_by_net(nets) + biases_by_net(nets):
            part.fill_(2.0)
    assert all((parameter == 2.0).all() for parameter in nets.parameters())


def test_nets_that_start_equal_are_the_first_one():
    nets = randomised(Experts(N, D, (4, 6)))
    x_BD = torch.randn(B, D)
    before = nets(x_BD)[0]
    start_equal(nets)
    torch.testing.assert_close(nets(x_BD), before.expand(N, -1, -1))
