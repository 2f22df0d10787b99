import torch
from torch import nn

from recsys.nn.bias import BiasTower, drop_position, without_position

SEES = torch.tensor([True, False, True])


def test_is_a_table_of_position_by_device():
    tower = BiasTower(4, 2, SEES)
    nn.init.normal_(tower.table)
    curve = tower.curve()
    assert curve.shape == (5, 3, 3)
    for position in range(5):
        for device in range(3):
            out_K = tower(torch.tensor([[position, device]]))[0]
            torch.testing.assert_close(out_K, curve[position, device], rtol=0, atol=0)
    assert not curve[..., 1].any()
    assert curve[..., [0, 2]].all()


def test_starts_as_nothing_and_spares_the_blind():
    tower = BiasTower(4, 2, SEES)
    codes = torch.tensor([[1, 1], [0, 2]])
    assert not tower(codes).any()
    tower(codes).sum().backward()
    gradient = tower.table.grad.unflatten(0, (5, 3))
    assert gradient[1, 1].tolist() == gradient[0, 2].tolist() == [1.0, 0.0, 1.0]
    assert gradient.sum() == 4.0


def test_missing_position_is_code_0_and_the_device_stays():
    codes = torch.tensor([[3, 2], [0, 1]])
    assert without_position(codes).tolist() == [[0, 2], [0, 1]]
    assert codes.tolist() == [[3, 2], [0, 1]]


def test_positions_drop_out_at_their_rate_and_devices_do_not():
    torch.manual_seed(0)
    codes = torch.tensor([[3, 2]]).repeat(50_000, 1)
    dropped = drop_position(codes, 0.1)
    assert (dropped[:, 1] == 2).all()
    assert set(dropped[:, 0].tolist()) == {0, 3}
    assert abs((dropped[:, 0] == 0).float().mean().item() - 0.1) < 0.005


def test_learns_the_bias_that_was_put_in():
    """Clicks of a known curve: the tower finds its logits; the missing value is the logit of the average click."""
    torch.manual_seed(0)
    rows, truth = 20_000, torch.tensor([0.0, -0.5, -1.0, -1.5])
    position = torch.randint(1, 5, (rows,))
    clicks = torch.bernoulli(truth[position - 1].sigmoid())
    codes = torch.stack([position, torch.zeros_like(position)], dim=1)
    tower = BiasTower(4, 0, torch.tensor([True]))
    optimiser = torch.optim.Adam(tower.parameters(), lr=0.1)
    for _ in range(100):
        optimiser.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(tower(drop_position(codes, 0.1))[:, 0], clicks).backward()
        optimiser.step()
    curve = tower.curve()[:, 0, 0]
    torch.testing.assert_close(curve[1:], truth, rtol=0, atol=0.1)
    assert abs(curve[0] - clicks.mean().logit()) < 0.1
