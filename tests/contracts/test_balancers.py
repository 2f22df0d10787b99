"""What every balancing method keeps, whatever it does. Shape letters: K objectives."""

import pytest
import torch
from safetensors.torch import load, save

from recsys.balancing import BALANCERS
from recsys.balancing.scalarizers import GeometricMean
from recsys.balancing.weightings import Weighting
from tests.balancing.factory import DRAWN, METHODS, balancer, gramian, losses
from tests.spread import spread

ALIKE = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
NEARLY = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-2.0, 1e-6]], dtype=torch.float64)
GRAMIANS = {
    "one": gramian(1),
    "two": gramian(2),
    "nine": gramian(9, 40),
    "scaled by 1e-10": 1e-10 * gramian(3),
    "scaled by 1e10": 1e10 * gramian(3),
    "alike": torch.ones(3, 3, dtype=torch.float64),
    "opposed": ALIKE,
    "nearly opposed": NEARLY @ NEARLY.T,
    "rank 2 of 9": gramian(9, rank=2),
    "lengths from 1e-5 to 1e5": torch.logspace(-5, 5, 9).outer(torch.logspace(-5, 5, 9)) * gramian(9, 40),
    "one without a gradient": gramian(3) * torch.tensor([1.0, 0.0, 1.0]).outer(torch.tensor([1.0, 0.0, 1.0])),
    "zero": torch.zeros(3, 3, dtype=torch.float64),
}
methods = pytest.mark.parametrize("method", METHODS)
ordered = pytest.mark.parametrize("method", [name for name in METHODS if name not in DRAWN])  # the others draw in the objectives' order
evening = pytest.mark.parametrize("method", [name for name, kind in BALANCERS.items() if kind.evens_out])
on_gradients = pytest.mark.parametrize("method", [name for name, kind in BALANCERS.items() if kind.acts_on == "gradients"])


def weigh(made, losses_K, gramian_KK=None, present_K=None, *, seed=0):
    """A step: the weights, and losses after it that fell unevenly."""
    torch.manual_seed(seed)
    weights_K = made(losses_K, present_K, gramian_KK)
    if made.needs_losses_after:
        made.observe(losses_K * fall(len(losses_K)))
    return weights_K


def fall(num):
    return 0.9 + 0.01 * torch.arange(num)


def walk(made, steps, *, start=0, num=3, present=None):
    """The weights of some steps of different batches, two a round."""
    found = []
    for step in range(start, start + steps):
        found.append(weigh(made, losses(num, step), gramian(num, seed=step), None if present is None else present(step), seed=step))
        if step % 2:
            made.end_round()
    return torch.stack(found)


def same(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize(("method", "hard"), spread(METHODS, GRAMIANS, over=2))
def test_weights_are_finite(method, hard):
    gramian_KK = GRAMIANS[hard]
    num = len(gramian_KK)
    made = balancer(method, [1.0] * num)
    for loss_K in (torch.ones(num), losses(num).float(), 1e-8 * torch.ones(num), 1e4 * losses(num).float(), torch.zeros(num)):
        weights_K = weigh(made, loss_K, gramian_KK)
        made.end_round()
        assert weights_K.shape == (num,)
        assert weights_K.dtype == torch.float32
        assert weights_K.isfinite().all()
        assert not weights_K.requires_grad
    assert all(tensor.isfinite().all() for tensor in made.state_dict().values())


WITHOUT_ONE_SOLUTION = ("nearly opposed", "zero")
STOPPED_ON_ITS_WAY = ["torchjd.fairgrad", "rank 2 of 9"]  # no solution, so its solver's last guess is what it answers
SOLVABLE = spread([name for name in METHODS if name not in DRAWN], [hard for hard in GRAMIANS if hard not in WITHOUT_ONE_SOLUTION], over=2)


@pytest.mark.parametrize(("method", "hard"), [case for case in SOLVABLE if [*case.values] != STOPPED_ON_ITS_WAY])
def test_the_order_of_objectives_means_nothing(method, hard):
    """But for methods that draw: they draw in the objectives' order."""
    gramian_KK = GRAMIANS[hard] / GRAMIANS[hard].diagonal().mean()
    num = len(gramian_KK)
    order = torch.randperm(num)
    preferences = torch.linspace(1.0, 2.0, num)
    made, other = balancer(method, preferences.tolist()), balancer(method, preferences[order].tolist())
    if method == "uncertainty":  # whose forms go with the kinds, which are not permuted
        other.factor_K, other.log_variance_K = made.factor_K[order], made.log_variance_K[order]
    for step in range(3):
        weights_K = weigh(made, losses(num, step), gramian_KK)
        others_K = weigh_permuted(other, losses(num, step), gramian_KK, order)
        unique = torch.linalg.matrix_rank(gramian_KK) == num
        effect_KK = torch.eye(num, dtype=torch.float64) if unique else gramian_KK[order][:, order]
        torch.testing.assert_close(effect_KK @ others_K, effect_KK @ weights_K[order], rtol=1e-3, atol=1e-3)


def weigh_permuted(made, losses_K, gramian_KK, order):
    weights_K = made(losses_K[order], None, gramian_KK[order][:, order])
    if made.needs_losses_after:
        made.observe((losses_K * fall(len(losses_K)))[order])
    return weights_K


@methods
def test_state_restored_gives_the_next_weights(method):
    made = balancer(method)
    walk(made, 5)
    other = balancer(method)
    other.load_state_dict(load(save({name: tensor.contiguous() for name, tensor in made.state_dict().items()})))
    same(walk(other, 4, start=5), walk(made, 4, start=5))


@methods
def test_a_fresh_state_can_be_restored_too(method):
    other = balancer(method)
    walk(other, 5)
    other.load_state_dict(load(save(balancer(method).state_dict())))
    same(walk(other, 4), walk(balancer(method), 4))


@pytest.mark.parametrize(("method", "rubbish"), spread(METHODS, (0.0, float("nan"), float("inf"), -3e8), over=2))
def test_what_stands_in_an_absent_place_is_not_read(method, rubbish):
    present_K = torch.tensor([True, False, True])
    clean, dirty = balancer(method), balancer(method)
    for step in range(3):
        losses_K, gramian_KK = losses(3, step), gramian(3, seed=step)
        expected_K = weigh(clean, losses_K, gramian_KK, present_K)
        assert expected_K[1] == 0.0
        losses_K[1] = gramian_KK[1] = gramian_KK[:, 1] = rubbish
        same(weigh(dirty, losses_K, gramian_KK, present_K), expected_K)
    same(walk(dirty, 3), walk(clean, 3))  # the state is clean too


@ordered
@pytest.mark.parametrize("why", ["no label", "loss_weight 0"])
def test_others_are_weighed_as_if_the_absent_did_not_exist(method, why):
    made = balancer(method, (1.0, 1.0, 0.0 if why == "loss_weight 0" else 1.0))
    alone = balancer(method, (1.0, 1.0))
    present_K = torch.tensor([True, True, False]) if why == "no label" else None
    for step in range(4):
        losses_K, gramian_KK = losses(3, step), gramian(3, seed=step)
        expected_K = weigh(alone, losses_K[:2], gramian_KK[:2, :2])
        weights_K = weigh(made, losses_K, gramian_KK, present_K)
        torch.testing.assert_close(weights_K[:2], expected_K, rtol=1e-6, atol=1e-6)
        assert weights_K[2] == 0.0
        for one in (made, alone):
            if step % 2:
                one.end_round()


@methods
def test_an_absent_objectives_state_waits_for_it(method):
    made = balancer(method)
    walk(made, 4)
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    for step in range(3):
        weigh(made, losses(3, step), gramian(3, seed=step), torch.tensor([True, False, True]))
    for name, tensor in made.state_dict().items():
        rows = slice(2) if name == "_extra_state" else slice(None)  # the last row of FAMO's is one count for all
        same(tensor[rows][..., 1], before[name][rows][..., 1])


@methods
def test_nothing_happens_where_all_are_absent(method):
    made, other = balancer(method), balancer(method)
    same(walk(made, 3), walk(other, 3))
    assert weigh(made, torch.full((3,), torch.nan), torch.full((3, 3), torch.nan), torch.zeros(3, dtype=torch.bool)).tolist() == [0.0] * 3
    if not made.needs_losses_after:  # FAMO's Adam has counted a step
        same(walk(made, 3, start=3), walk(other, 3, start=3))


@methods
def test_a_preferred_objective_gets_more(method):
    losses_K, gramian_KK = losses(3), gramian(3, seed=2)
    plain, preferred = balancer(method), balancer(method, (1.0, 2.0, 1.0))
    for _ in range(3):
        before_K, after_K = weigh(plain, losses_K, gramian_KK), weigh(preferred, losses_K, gramian_KK)
    assert after_K[1] / after_K.sum() > 1.05 * before_K[1] / before_K.sum()


@pytest.mark.parametrize("method", [name for name, kind in BALANCERS.items() if kind.adds_up])
def test_weights_add_up_to_the_objectives_present(method):
    preferences = (1.0, 3.0, 0.5, 0.0)
    made = balancer(method, preferences)
    present_K = torch.tensor([False, True, True, True])
    for present, expected in ((None, 3), (present_K, 2)):
        weights_K = weigh(made, losses(4).float(), gramian(4), present)
        assert (weights_K[:3] / torch.tensor(preferences[:3])).sum().item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "torchjd.random"])
def test_fresh_weights_are_the_plain_sum_where_nothing_differs(method):
    weights_K = weigh(balancer(method), torch.ones(3), torch.eye(3))
    expected = 1.5 if method == "torchjd.cagrad" else 1.0  # its default radius on top
    torch.testing.assert_close(weights_K, torch.full((3,), expected), rtol=1e-3, atol=1e-3)


@evening
def test_a_loss_in_another_unit_does_not_capture_the_step(method):
    learned = method in ("uncertainty", "torchjd.imtl_l")

    def shares(unit_K):
        made = balancer(method, **({"learning_rate": 0.1} if learned else {}))
        for _ in range(200 if learned else 1):
            weights_K = weigh(made, unit_K * losses_K, unit_K.outer(unit_K) * gramian_KK)
        share_K = weights_K.abs() * unit_K * gramian_KK.diagonal().sqrt()
        return share_K / share_K.sum()

    losses_K, gramian_KK = losses(3), gramian(3, seed=5)
    expected_K = shares(torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(shares(torch.tensor([1.0, 1000.0, 1.0], dtype=torch.float64)), expected_K, rtol=1e-2, atol=1e-3)


@methods
def test_bf16_and_float64_agree(method):
    losses_K = torch.tensor([0.5, 0.75, 1.0], dtype=torch.bfloat16)
    gramian_KK = torch.tensor([[2.0, -0.5, 0.0], [-0.5, 1.0, 0.25], [0.0, 0.25, 4.0]])
    low_K = weigh(balancer(method), losses_K, gramian_KK.bfloat16())
    high_K = weigh(balancer(method), losses_K.double(), gramian_KK.double())
    assert low_K.dtype == torch.float32
    assert high_K.dtype == torch.float64
    torch.testing.assert_close(low_K, high_K.float())


@methods
def test_inputs_are_left_as_they_were(method):
    losses_K, gramian_KK, present_K = losses(3).requires_grad_(), gramian(3), torch.tensor([True, True, False])
    copies = losses_K.detach().clone(), gramian_KK.clone(), present_K.clone()
    made = balancer(method)
    weigh(made, losses_K, gramian_KK, present_K)
    made.end_round()
    for tensor, copy in zip((losses_K.detach(), gramian_KK, present_K), copies, strict=True):
        same(tensor, copy)
    assert losses_K.grad is None


@on_gradients
def test_a_gramians_unit_means_nothing(method):
    expected_K = weigh(balancer(method), losses(3), gramian(3))
    for unit in (1e-10, 1e10):
        torch.testing.assert_close(weigh(balancer(method), losses(3), unit * gramian(3)), expected_K, rtol=1e-6, atol=0)


@on_gradients
def test_no_gradient_at_all_is_the_plain_sum(method):
    assert weigh(balancer(method), losses(3), torch.zeros(3, 3)).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("method", [name for name, kind in BALANCERS.items() if not issubclass(kind, Weighting | GeometricMean)])
def test_it_does_not_wait_for_the_device(method):
    """A tensor on the device "meta" has no values that one could wait for: reading one raises."""
    made = balancer(method).to("meta")
    weights_K = made(losses(3).to("meta"), torch.ones(3, dtype=torch.bool, device="meta"), gramian(3).to("meta"))
    assert weights_K.device.type == "meta"
    if made.needs_losses_after:
        made.observe(losses(3).to("meta"))
    made.end_round()


@on_gradients
def test_a_gramian_is_asked_for(method):
    with pytest.raises(ValueError, match=r"found no Gramian, expected \[3, 3\]"):
        balancer(method)(losses(3))


@on_gradients
def test_a_gramian_that_is_not_finite_is_left_to_the_loop(method):
    """GradNorm weighs by what it has learned from earlier steps, and learns nothing from this one."""
    made = balancer(method)
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    weights_K = made(losses(3), None, torch.full((3, 3), torch.nan))
    if method == "gradnorm":
        same(weights_K, balancer(method)(losses(3), None, gramian(3)))
        same(made.state_dict()["weights_K"], before["weights_K"])
    else:
        assert weights_K.isnan().all()
