import numpy as np
import pytest
import torch
from torch import nn

from recsys.nn import embeddings
from recsys.nn.embeddings import EmbeddingTables, Lookups, SlotEmbeddings, sums_on_device
from recsys.nn.ordering import stable_order

T, R, W, B, L = 2, 11, 3, 40, 5
SPANS = [(0, 1), (1, 3), (4, 1), (5, 2)]
PAST = [(1, 2), (0, 1)]


def values():
    return torch.randn(T, R, W, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def rows():
    """Rows of examples and of their histories, with padding among them; the first example has nothing but padding."""
    generator = torch.Generator().manual_seed(2)
    rows_BS, past_BLH = torch.randint(R, (B, 7), generator=generator), torch.randint(R, (B, L, 3), generator=generator)
    rows_BS[0], past_BLH[0] = 0, 0
    return rows_BS, past_BLH


def mean_bag(weight, rows_XN):
    return nn.functional.embedding_bag(rows_XN, weight, mode="mean", padding_idx=0)


def by_torch(rows, weights):
    """Each slot of each table as torch's mean bag: [T, B, F, W] and [T, B, L, F', W]."""
    rows_BS, past_BLH = rows
    slots = [torch.stack([mean_bag(weights[t], rows_BS[:, a : a + n]) for a, n in sorted(SPANS, key=lambda s: s[1])], 1) for t in range(T)]
    past = [
        torch.stack([mean_bag(weights[t], past_BLH[..., a : a + n].reshape(-1, n)) for a, n in sorted(PAST, key=lambda s: s[1])], 1)
        for t in range(T)
    ]
    return torch.stack(slots), torch.stack(past).view(T, B, L, 2, W)


@pytest.mark.parametrize("is_sparse", [True, False], ids=["sparse", "dense"])
@pytest.mark.parametrize("by_torch_alone", [False, True], ids=["CPU", "as on CUDA"])
def test_values_and_gradients_are_those_of_embedding_bags(monkeypatch, rows, is_sparse, by_torch_alone):
    monkeypatch.setattr(embeddings, "DENSE_ROWS", T * R - is_sparse)
    found = SlotEmbeddings(EmbeddingTables(values()), SPANS, PAST)
    if by_torch_alone:
        monkeypatch.setattr(found.tables, "forward", lambda lookups: sums_on_device(found.tables.table, T, is_sparse, Lookups(*lookups)))
    start = values()
    start[:, 0] = 0
    tables = [table.clone().requires_grad_() for table in start]
    slots, past = found(*rows)
    expected_slots, expected_past = by_torch(rows, tables)
    torch.testing.assert_close(slots, expected_slots)
    torch.testing.assert_close(past, expected_past)
    towards = torch.randn(slots.shape), torch.randn(past.shape)
    for one, other in ((slots, past), (expected_slots, expected_past)):
        ((one * towards[0]).sum() + (other * towards[1]).sum()).backward()
    gradient = found.tables.table.grad
    assert gradient.is_sparse == is_sparse
    torch.testing.assert_close(gradient.to_dense(), torch.cat([table.grad for table in tables]))


@pytest.mark.parametrize("is_sparse", [True, False], ids=["sparse", "dense"])
def test_the_gradient_is_that_of_differences(monkeypatch, rows, is_sparse):
    monkeypatch.setattr(embeddings, "DENSE_ROWS", T * R - is_sparse)
    found = SlotEmbeddings(EmbeddingTables(values().double()), SPANS, PAST)
    few = rows[0][:4], rows[1][:4]

    def outputs(table):
        slots, past = torch.func.functional_call(found, {"tables.table": table}, few)
        return slots.square().sum(), past.sin().sum()

    (gradient,) = torch.autograd.grad(sum(outputs(found.tables.table)), found.tables.table)
    step = 1e-6 * torch.randn(T * R, W, dtype=torch.float64) * (torch.arange(T * R) % R != 0)[:, None]  # padding stays 0
    with torch.no_grad():
        change = sum(outputs(found.tables.table + step)) - sum(outputs(found.tables.table - step))
    torch.testing.assert_close(change / 2, (gradient.to_dense() * step).sum(), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("is_sparse", [True, False], ids=["sparse", "dense"])
def test_padding_is_zero_and_learns_nothing(monkeypatch, is_sparse):
    monkeypatch.setattr(embeddings, "DENSE_ROWS", T * R - is_sparse)
    found = SlotEmbeddings(EmbeddingTables(values()), [(0, 1), (1, 1)], [])
    slots, _ = found(torch.tensor([[0, 3], [0, 0]]), torch.zeros(2, 0, 0, dtype=torch.int64))
    assert not slots[:, :, 0].any()
    slots.sum().backward()
    touched = found.tables.table.grad.to_dense().any(dim=1).nonzero().flatten().tolist()
    assert touched == [3, R + 3]


def test_a_sparse_gradient_has_each_row_once_and_in_order(monkeypatch, rows):
    monkeypatch.setattr(embeddings, "DENSE_ROWS", 0)
    found = SlotEmbeddings(EmbeddingTables(values()), SPANS, PAST)
    sum(part.sum() for part in found(*rows)).backward()
    (rows_U,) = found.tables.table.grad._indices()
    there_U = torch.unique(torch.cat([part.flatten() for part in rows]))[1:]  # without padding
    assert rows_U.tolist() == [t * R + row for t in range(T) for row in there_U.tolist()]


def test_the_places_of_the_slots_are_told():
    found = SlotEmbeddings(EmbeddingTables(values()), SPANS, PAST)
    assert found.slots.order == [0, 2, 3, 1]
    assert found.history.order == [1, 0]


def test_no_slots_at_all_is_an_empty_axis():
    found = SlotEmbeddings(EmbeddingTables(values()), [], [])
    slots, past = found(torch.zeros(B, 0, dtype=torch.int64), torch.zeros(B, L, 0, dtype=torch.int64))
    assert slots.shape == (T, B, 0, W)
    assert past.shape == (T, B, L, 0, W)


@pytest.mark.parametrize("rows", [1, 300, 65_536, 65_537, 2**31])
def test_the_order_of_the_rows_is_that_of_a_stable_sort(rows):
    found = np.random.default_rng(rows).integers(0, rows, 5_000)
    assert np.array_equal(stable_order(found), found.argsort(kind="stable"))
    assert len(stable_order(found[:0])) == 0
