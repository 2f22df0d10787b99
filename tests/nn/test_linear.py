import pytest
import torch
from torch import nn

from recsys.nn.linear import OutputLinear, StackedLinear, StackedMLP, stacked, unstacked

N, B, D, H = 3, 17, 6, 5


def test_is_n_linear_layers_with_their_gradients():
    layer = StackedLinear(N, D, H)
    nn.init.normal_(layer.bias)
    x_NBD = torch.randn(N, B, D, requires_grad=True)
    layer(x_NBD).square().sum().backward()

    x_again = x_NBD.detach().clone().requires_grad_()
    weights = [w.detach().clone().requires_grad_() for w in layer.weight]
    expected = torch.stack([x_again[n] @ weights[n] + layer.bias.detach()[n] for n in range(N)])
    expected.square().sum().backward()
    torch.testing.assert_close(layer(x_NBD), expected)
    torch.testing.assert_close(x_NBD.grad, x_again.grad)
    torch.testing.assert_close(layer.weight.grad, torch.stack([w.grad for w in weights]))


def test_weights_start_at_the_variance_of_he():
    weight = StackedLinear(2, 400, 300).weight
    assert abs(weight.var().item() * 400 / 2 - 1) < 0.02
    assert StackedLinear(2, 4, 3, gain=0.0).weight.abs().max() == 0


def test_an_mlp_is_layer_relu_layer_relu():
    net = StackedMLP(N, D, (7, H))
    x_NBD = torch.randn(N, B, D)
    first, second = net.layers
    expected = torch.stack([((x_NBD[n] @ first.weight[n]).relu() @ second.weight[n]).relu() for n in range(N)])
    torch.testing.assert_close(net(x_NBD), expected)
    assert net.d_out == H


def test_an_mlp_without_layers_is_its_input():
    net = StackedMLP(N, D, ())
    x_NBD = torch.randn(N, B, D)
    assert net(x_NBD) is x_NBD
    assert net.d_out == D


def test_outputs_leave_autocast_and_the_rest_does_not():
    x_NBD = torch.randn(N, B, D)
    output, hidden = OutputLinear(N, D, H), StackedLinear(N, D, H)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = hidden(x_NBD)
        high = output(x_NBD)
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(high, output(x_NBD))


@pytest.mark.parametrize("bias", [True, False])
def test_outputs_are_the_same_with_and_without_gradients(bias: bool):
    output, x_NBD = OutputLinear(N, D, H, bias=bias), torch.randn(N, B, D)
    if bias:
        nn.init.normal_(output.bias)
    with torch.no_grad():
        found = output(x_NBD)
    torch.testing.assert_close(found, output(x_NBD))


def test_stacking_there_and_back():
    x_BND = torch.randn(B, N, D)
    assert stacked(x_BND).is_contiguous()
    assert torch.equal(stacked(x_BND)[1], x_BND[:, 1])
    assert torch.equal(unstacked(stacked(x_BND)), x_BND)
    single = torch.randn(B, 1, D)
    assert stacked(single).data_ptr() == single.data_ptr()


@torch.no_grad()
def test_of_few_columns_too_a_row_has_the_same_bits_wherever_it_stands():
    layer, x_NBD = StackedLinear(N, 128, 5), torch.randn(N, 3_001, 128)
    order = torch.randperm(3_001)
    if not torch.equal((layer.weight.mT @ x_NBD[:, order].mT).mT, (layer.weight.mT @ x_NBD.mT).mT[:, order]):
        pytest.skip("on this processor a row's place changes the last digit of a matrix product")
    found = layer(x_NBD)
    assert torch.equal(layer(x_NBD[:, order]), found[:, order])
    torch.testing.assert_close(found, x_NBD @ layer.weight)
