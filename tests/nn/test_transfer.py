import torch

from recsys.nn.information_transfer import InformationTransfer, Step
from tests.models.plain import randomised

K, B, H = 3, 9, 2


def test_by_hand():
    """q = (1, 0), handed (0, 2): scores 1/√2 and 4·3/√2 with h_2 = I, h_3 = diag(1, 3); values swapped by h_1."""
    transfer = InformationTransfer([Step((1,), (0,))], H)
    with torch.no_grad():
        transfer.maps.weight[0] = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        transfer.maps.weight[1] = torch.eye(2)
        transfer.maps.weight[2] = torch.diag(torch.tensor([1.0, 3.0]))
        transfer.handed[0].weight[0] = torch.tensor([[0.0, 2.0], [0.0, 0.0]])
        transfer.handed[0].bias[0] = torch.tensor([-5.0, 0.0])  # ReLU
    own_KBH = torch.tensor([[[1.0, 7.0]], [[1.0, 0.0]]])
    found_KBH, received_KB = transfer(own_KBH)
    share = 1 / (1 + torch.tensor((1 - 12) / 2**0.5).exp())
    assert torch.equal(found_KBH[0], own_KBH[0])
    torch.testing.assert_close(found_KBH[1, 0], torch.stack([2 * share, 1 - share]))
    torch.testing.assert_close(received_KB[:, 0], torch.stack([torch.tensor(0.0), share]))


def test_what_is_handed_on_is_what_was_found_with_what_was_received():
    """Nets 0 → 1 → 2 in two steps are the pair 0 → 1 and then the pair 1 → 2."""
    transfer = randomised(InformationTransfer([Step((1,), (0,)), Step((2,), (1,))], H))
    own_KBH = torch.randn(K, B, H)
    found_KBH, _ = transfer(own_KBH)
    pair = InformationTransfer([Step((1,), (0,))], H)
    pair.maps.load_state_dict(transfer.maps.state_dict())
    for k, hand in enumerate(transfer.handed, start=1):
        pair.handed[0].load_state_dict(hand.state_dict())
        torch.testing.assert_close(pair(torch.stack([found_KBH[k - 1], own_KBH[k]]))[0][1], found_KBH[k])


def test_the_nets_of_a_step_receive_side_by_side():
    """0 → 1 and 0 → 2 in one step are the two pairs."""
    transfer = randomised(InformationTransfer([Step((1, 2), (0, 0))], H))
    own_KBH = torch.randn(K, B, H)
    found_KBH, received_KB = transfer(own_KBH)
    pair = InformationTransfer([Step((1,), (0,))], H)
    pair.maps.load_state_dict(transfer.maps.state_dict())
    for k in (1, 2):
        with torch.no_grad():
            pair.handed[0].weight[0] = transfer.handed[0].weight[k - 1]
            pair.handed[0].bias[0] = transfer.handed[0].bias[k - 1]
        expected_KBH, share_KB = pair(own_KBH[[0, k]])
        torch.testing.assert_close(found_KBH[k], expected_KBH[1])
        torch.testing.assert_close(received_KB[k], share_KB[1])


def test_without_steps_nothing_is_handed_on_and_nothing_is_learned():
    transfer = InformationTransfer([], H)
    own_KBH = torch.randn(K, B, H)
    found_KBH, received_KB = transfer(own_KBH)
    assert torch.equal(found_KBH, own_KBH)
    assert not received_KB.any()
    assert list(transfer.parameters()) == []
