import pytest
import torch
from torch import nn

from recsys.nn import embeddings
from recsys.nn.embeddings import EmbeddingTables, MeanOfSlots, SlotEmbeddings

T, R, W, B = 2, 11, 3, 40


def values(tables=T):
    return torch.randn(tables, R, W, generator=torch.Generator().manual_seed(1))


def test_each_table_gives_its_own_rows():
    tables = EmbeddingTables(values())
    rows_BC = torch.randint(1, R, (B, 4))
    vectors_BTCW = tables(rows_BC)
    for t in range(T):
        torch.testing.assert_close(vectors_BTCW[:, t], values()[t][rows_BC], rtol=0, atol=0)


@pytest.mark.parametrize("is_sparse", [True, False], ids=["sparse", "dense"])
def test_padding_is_zero_and_learns_nothing(monkeypatch, is_sparse):
    monkeypatch.setattr(embeddings, "DENSE_ROWS", T * R - is_sparse)
    given = values()
    tables = EmbeddingTables(given)
    rows_BC = torch.tensor([[0, 3], [0, 0]])
    vectors = tables(rows_BC)
    assert not vectors[:, :, 0].any()
    vectors.sum().backward()
    gradient = tables.table.grad
    assert gradient.is_sparse == is_sparse
    touched = gradient.to_dense().any(dim=1).nonzero().flatten().tolist()
    assert touched == [3, R + 3]
    assert given[:, 0].any()  # the given values are left as they were


def test_a_slot_is_the_mean_that_an_embedding_bag_gives():
    spans = [(0, 1), (1, 3), (4, 1), (5, 2)]
    rows_BS = torch.randint(R, (B, 7), generator=torch.Generator().manual_seed(2))
    rows_BS[0] = 0  # every slot empty
    slot_embeddings = SlotEmbeddings(values(1), spans, [])
    slots_BTFW, history = slot_embeddings(rows_BS, torch.zeros(B, 0, 0, dtype=torch.int64))
    bag = nn.EmbeddingBag(R, W, mode="mean", padding_idx=0, _weight=slot_embeddings.tables.table.detach().clone())
    for place, given in enumerate(slot_embeddings.slots.order):
        start, width = spans[given]
        torch.testing.assert_close(slots_BTFW[:, 0, place], bag(rows_BS[:, start : start + width]))
    slots_BTFW.square().sum().backward()
    sum(bag(rows_BS[:, start : start + width]).square().sum() for start, width in spans).backward()
    torch.testing.assert_close(slot_embeddings.tables.table.grad, bag.weight.grad)
    assert history.shape == (B, 1, 0, 0, W)


def test_the_history_is_pooled_entry_by_entry():
    spans = [(1, 2), (0, 1)]
    rows_BLH = torch.randint(R, (B, 5, 3))
    slot_embeddings = SlotEmbeddings(values(), [(0, 1)], spans)
    _, past_BTLFW = slot_embeddings(torch.ones(B, 1, dtype=torch.int64), rows_BLH)
    assert slot_embeddings.history.order == [1, 0]
    for t in range(T):
        table = values()[t]
        table[0] = 0
        for b, entry in ((0, 0), (7, 4), (39, 2)):
            one, *several = rows_BLH[b, entry]
            torch.testing.assert_close(past_BTLFW[b, t, entry, 0], table[one])
            present = [row for row in several if row != 0]
            mean = torch.stack([table[row] for row in present]).mean(0) if present else torch.zeros(W)
            torch.testing.assert_close(past_BTLFW[b, t, entry, 1], mean)


def test_no_slots_at_all_is_an_empty_axis():
    means = MeanOfSlots([])
    assert means(torch.zeros(B, T, 0, W), torch.zeros(B, 1, 0, dtype=torch.int64)).shape == (B, T, 0, W)
