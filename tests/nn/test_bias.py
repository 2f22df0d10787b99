import pytest
import torch
from torch import nn

from recsys.nn.bias_tower import BiasTower, drop_codes, without_position

SEES = torch.tensor([True, False, True])


def learned(codes, clicks, *, positions, devices, rate, steps=100):
    """The curve of a tower that has learned these clicks, missing values by dropout."""
    tower = BiasTower(positions, devices, torch.tensor([True]))
    optimiser = torch.optim.Adam(tower.parameters(), lr=0.1)
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(tower(drop_codes(codes, rate))[:, 0], clicks).backward()
        optimiser.step()
    return tower.curve()[..., 0]


def test_adds_the_position_the_device_and_both_together():
    tower = BiasTower(4, 2, SEES)
    for table in tower.parameters():
        nn.init.normal_(table)
    curve = tower.curve()
    assert curve.shape == (5, 3, 3)
    for position in range(5):
        for device in range(3):
            both = tower.tables["together"].unflatten(0, (5, 3))[position, device]
            expected_K = tower.tables["position"][position] + tower.tables["device"][device] + both
            torch.testing.assert_close(tower(torch.tensor([[position, device]]))[0], expected_K * SEES)
            torch.testing.assert_close(curve[position, device], expected_K * SEES)
    assert not curve[..., 1].any()
    assert curve[..., [0, 2]].all()


@pytest.mark.parametrize(("positions", "devices", "expected"), [(4, 0, {"position"}), (0, 2, {"device"})])
def test_an_axis_without_known_codes_has_no_table(positions, devices, expected):
    tower = BiasTower(positions, devices, SEES)
    assert set(tower.tables) == expected
    assert tower.curve().shape == (positions + 1, devices + 1, 3)


def test_starts_as_nothing_and_spares_what_does_not_see():
    tower = BiasTower(4, 2, SEES)
    codes = torch.tensor([[1, 1], [0, 2]])
    assert not tower(codes).any()
    tower(codes).sum().backward()
    assert [row.tolist() for row in tower.tables["position"].grad] == [[1, 0, 1], [1, 0, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert [row.tolist() for row in tower.tables["device"].grad] == [[0, 0, 0], [1, 0, 1], [1, 0, 1]]
    together = tower.tables["together"].grad.unflatten(0, (5, 3))
    assert together[1, 1].tolist() == together[0, 2].tolist() == [1.0, 0.0, 1.0]
    assert together.sum() == 4.0


def test_missing_position_is_code_0_and_the_device_stays():
    codes = torch.tensor([[3, 2], [0, 1]])
    assert without_position(codes).tolist() == [[0, 2], [0, 1]]
    assert codes.tolist() == [[3, 2], [0, 1]]


def test_positions_and_devices_drop_out_at_their_rate_each_by_itself():
    torch.manual_seed(0)
    codes = torch.tensor([[3, 2]]).repeat(50_000, 1)
    missing_B2 = drop_codes(codes, 0.2) == 0
    assert drop_codes(codes, 0.2).unique(dim=0).tolist() == [[0, 0], [0, 2], [3, 0], [3, 2]]
    torch.testing.assert_close(missing_B2.float().mean(0), torch.full((2,), 0.2), rtol=0, atol=0.01)
    assert abs(missing_B2.all(1).float().mean().item() - 0.04) < 0.005
    assert torch.equal(drop_codes(codes, 0.0), codes)


def test_learns_the_bias_that_was_put_in():
    """Clicks of a known curve: the tower finds its logits; the missing value is the logit of the average click."""
    torch.manual_seed(0)
    rows, truth = 20_000, torch.tensor([0.0, -0.5, -1.0, -1.5])
    position = torch.randint(1, 5, (rows,))
    clicks = torch.bernoulli(truth[position - 1].sigmoid())
    curve = learned(torch.stack([position, torch.zeros_like(position)], dim=1), clicks, positions=4, devices=0, rate=0.1)[:, 0]
    torch.testing.assert_close(curve[1:], truth, rtol=0, atol=0.1)
    assert abs(curve[0] - clicks.mean().logit()) < 0.1


@pytest.mark.words
def test_what_is_missing_is_learned_though_every_row_has_both():
    """Of a position on a device that nobody knows, of a device at no position, of neither: the logit of the mean over what is missing."""
    torch.manual_seed(0)
    rows, truth = 40_000, torch.tensor([[0.5, -0.2], [-0.5, -1.6], [-1.0, -2.0]])  # by position and device; not a sum of the two
    position, device = torch.randint(1, 4, (rows,)), torch.randint(1, 3, (rows,))
    clicks = torch.bernoulli(truth[position - 1, device - 1].sigmoid())
    curve = learned(torch.stack([position, device], dim=1), clicks, positions=3, devices=2, rate=0.2, steps=150)
    rate = truth.sigmoid()
    torch.testing.assert_close(curve[1:, 1:], truth, rtol=0, atol=0.15)
    torch.testing.assert_close(curve[1:, 0], rate.mean(1).logit(), rtol=0, atol=0.15)
    torch.testing.assert_close(curve[0, 1:], rate.mean(0).logit(), rtol=0, atol=0.15)
    torch.testing.assert_close(curve[0, 0], rate.mean().logit(), rtol=0, atol=0.15)
