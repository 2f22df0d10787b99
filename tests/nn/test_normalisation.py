import pytest
import torch
from torch import nn

from recsys.nn.normalisation import EPSILON, MOMENTUM, StackedBatchNorm

N, B, H = 3, 20, 4


@pytest.fixture
def norm():
    torch.manual_seed(0)
    norm = StackedBatchNorm(N, H)
    with torch.no_grad():
        norm.scale.normal_()
        norm.shift.normal_()
    return norm


def batches(num, rows=B):
    return [2 * torch.randn(N, rows, H) + 3 for _ in range(num)]


def torch_norms(norm, momentum):
    norms = [nn.BatchNorm1d(H, eps=EPSILON, momentum=momentum) for _ in range(N)]
    for n, one in enumerate(norms):
        one.weight.data, one.bias.data = norm.scale[n, 0].clone(), norm.shift[n, 0].clone()
    return norms


def test_in_training_it_is_torch_s_batch_norm_net_by_net(norm):
    (x_NBH,) = batches(1)
    x_NBH.requires_grad_()
    expected = torch.stack([one(x_NBH[n]) for n, one in enumerate(torch_norms(norm, 0.1))])
    torch.testing.assert_close(norm(x_NBH), expected)
    weight = torch.randn_like(expected)
    grads = [torch.autograd.grad((y * weight).sum(), x_NBH, retain_graph=True)[0] for y in (norm(x_NBH), expected)]
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-5)


def test_running_statistics_are_the_plain_mean_of_the_first_batches_then_an_exponential_one(norm):
    first, later = batches(round(1 / MOMENTUM)), batches(7)
    norms = torch_norms(norm, None)  # torch's plain mean over batches
    for x_NBH in first:
        norm(x_NBH)
        for n, one in enumerate(norms):
            one(x_NBH[n])
    check(norm, norms)
    for one in norms:
        one.momentum = MOMENTUM
    for x_NBH in later:
        norm(x_NBH)
        for n, one in enumerate(norms):
            one(x_NBH[n])
    check(norm, norms)


def check(norm, norms):
    torch.testing.assert_close(norm.running_mean[:, 0], torch.stack([one.running_mean for one in norms]))
    torch.testing.assert_close(norm.running_variance[:, 0], torch.stack([one.running_var for one in norms]))
    (x_NBH,) = batches(1)
    expected = torch.stack([one.eval()(x_NBH[n]) for n, one in enumerate(norms)])
    torch.testing.assert_close(norm.eval()(x_NBH), expected, rtol=1e-4, atol=1e-5)
    for one in (norm, *norms):
        one.train()


def test_a_single_row_is_standardised_by_the_running_statistics_and_leaves_them(norm):
    norm(*batches(1))
    before = {name: tensor.clone() for name, tensor in norm.state_dict().items()}
    (x_N1H,) = batches(1, rows=1)
    assert torch.equal(norm(x_N1H), norm.eval()(x_N1H))
    assert all(torch.equal(tensor, before[name]) for name, tensor in norm.state_dict().items())


def test_asked_before_any_training_it_only_scales_and_shifts(norm):
    (x_NBH,) = batches(1)
    torch.testing.assert_close(norm.eval()(x_NBH), x_NBH * norm.scale / (1 + EPSILON) ** 0.5 + norm.shift)


def test_its_memory_is_in_its_state(norm):
    for x_NBH in batches(3):
        norm(x_NBH)
    other = StackedBatchNorm(N, H)
    other.load_state_dict(norm.state_dict())
    (x_NBH,) = batches(1)
    assert torch.equal(other(x_NBH), norm(x_NBH))
    assert torch.equal(other.running_variance, norm.running_variance)


def test_under_bf16_it_keeps_the_digits_of_its_own_precision(norm):
    x_NBH = batches(1)[0].bfloat16()
    assert norm(x_NBH).dtype == torch.float32
