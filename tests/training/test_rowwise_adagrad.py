"""Row-wise Adagrad against the formula written out over the whole dense table, block by block."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recsys.training import rowwise_adagrad
from recsys.training.rowwise_adagrad import RowwiseAdagrad

ROWS, WIDTH, LR, EPS = 12, 3, 0.1, 1e-10
VECTOR_AND_TWO = (WIDTH, 1, 1)  # a vector and a linear weight of each of two objectives


def _gradient_step(table: Tensor, index: Tensor, target: Tensor, *, is_sparse: bool = True) -> None:
    """The gradient of a squared error; `index` may name a row twice."""
    (F.embedding(index, table, sparse=is_sparse) - target).square().sum().backward()


def _reference(table: Tensor, sums: Tensor, index: Tensor, target: Tensor, blocks: tuple[int, ...], decay: float) -> tuple[Tensor, Tensor]:
    """The same step by dense autograd and Python loops over rows and blocks."""
    dense = table.clone().requires_grad_()
    (dense[index] - target).square().sum().backward()
    new, sums = table.clone(), sums.clone()
    assert dense.grad is not None
    for row in sorted(set(index.tolist())):
        start = 0
        for block, width in enumerate(blocks):
            gradient, place = dense.grad[row, start : start + width], slice(start, start + width)
            start += width
            if gradient.any():
                sums[row, block] += gradient.square().mean()
                new[row, place] -= LR * (gradient / (sums[row, block].sqrt() + EPS) + decay * table[row, place])
    return new, sums


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("blocks", [(WIDTH,), VECTOR_AND_TWO, (1, 2, 2)])
@pytest.mark.parametrize("gradient", ["sparse", "sparse, on a device", "dense"])
def test_steps_equal_the_formula(gradient: str, blocks: tuple[int, ...], decay: float, monkeypatch: pytest.MonkeyPatch) -> None:
    if "device" in gradient:
        monkeypatch.setattr(rowwise_adagrad, "_summed", rowwise_adagrad._summed_on_device)
    torch.manual_seed(3)
    table = nn.Parameter(torch.randn(ROWS, sum(blocks), dtype=torch.float64))
    optimiser = RowwiseAdagrad([table], blocks=blocks, lr=LR, decay=decay, eps=EPS)
    expected, sums = table.detach().clone(), torch.zeros(ROWS, len(blocks), dtype=torch.float64)
    for _ in range(5):
        index, target = torch.randint(0, ROWS, (6,)), torch.randn(6, sum(blocks), dtype=torch.float64)
        expected, sums = _reference(expected, sums, index, target, blocks, decay)
        _gradient_step(table, index, target, is_sparse=gradient != "dense")
        optimiser.step()
        optimiser.zero_grad()
        torch.testing.assert_close(table.detach(), expected)
        torch.testing.assert_close(optimiser.state[table]["sum"], sums)


@pytest.mark.parametrize("linear", [0, 1, 4])
def test_the_linear_weights_beside_it_do_not_change_a_vector_s_step(linear: int) -> None:
    """None with `skip` off, one in an objective's own table, K in one table: the vector's rate is that of the vector alone."""
    torch.manual_seed(6)
    vectors, of_weights = torch.randn(ROWS, WIDTH), 30.0 * torch.randn(ROWS, linear)  # a linear weight's gradient is much larger
    alone, beside = nn.Parameter(vectors.clone()), nn.Parameter(torch.cat([vectors, torch.zeros(ROWS, linear)], dim=1))
    optimisers = RowwiseAdagrad([alone], blocks=(WIDTH,), lr=LR), RowwiseAdagrad([beside], blocks=(WIDTH, *[1] * linear), lr=LR)
    for _ in range(3):
        index = torch.randint(0, ROWS, (8,))
        target = torch.randn(8, WIDTH)
        _gradient_step(alone, index, target)
        _gradient_step(beside, index, torch.cat([target, of_weights[index]], dim=1))
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
    torch.testing.assert_close(beside.detach()[:, :WIDTH], alone.detach())
    assert (beside.detach()[:, WIDTH:] != 0).any() or linear == 0


def test_a_block_whose_gradient_is_zero_stays_as_it_is_and_so_does_its_sum() -> None:
    """As where the vectors of a trained run are held and the linear weights of a new objective are learned."""
    table = nn.Parameter(torch.ones(ROWS, sum(VECTOR_AND_TWO)))
    optimiser = RowwiseAdagrad([table], blocks=VECTOR_AND_TWO, lr=LR, decay=0.5)
    _gradient_step(table, torch.tensor([4]), torch.tensor([[1.0, 1.0, 1.0, 1.0, 3.0]]))
    optimiser.step()
    moved = torch.zeros(table.shape, dtype=torch.bool)
    moved[4, -1] = True
    assert torch.equal(table.detach() != 1.0, moved)
    assert torch.equal(optimiser.state[table]["sum"] != 0.0, moved[:, WIDTH - 1 :])


def test_blocks_that_do_not_add_up_to_a_row_are_refused() -> None:
    with pytest.raises(ValueError, match=r"found blocks of 3 \+ 1 numbers, expected 3, the width of a table's row"):
        RowwiseAdagrad([nn.Parameter(torch.ones(ROWS, WIDTH))], blocks=(WIDTH, 1), lr=LR)


def test_rows_that_a_batch_does_not_touch_stay_as_they_are_even_with_decay() -> None:
    table = nn.Parameter(torch.randn(ROWS, WIDTH))
    before = table.detach().clone()
    optimiser = RowwiseAdagrad([table], blocks=(WIDTH,), lr=LR, decay=0.5)
    _gradient_step(table, torch.tensor([2, 7]), torch.zeros(2, WIDTH))
    optimiser.step()
    untouched = [row for row in range(ROWS) if row not in (2, 7)]
    assert torch.equal(table.detach()[untouched], before[untouched])
    assert (table.detach()[[2, 7]] != before[[2, 7]]).all()


@pytest.mark.parametrize("is_sparse", [True, False], ids=["sparse", "dense"])
def test_a_row_whose_gradient_is_zero_stays_as_it_is(is_sparse: bool) -> None:
    table = nn.Parameter(torch.ones(ROWS, WIDTH))
    optimiser = RowwiseAdagrad([table], blocks=(WIDTH,), lr=LR, decay=0.5)
    _gradient_step(table, torch.tensor([4]), torch.ones(1, WIDTH), is_sparse=is_sparse)
    optimiser.step()
    assert torch.equal(table.detach(), torch.ones(ROWS, WIDTH))


def test_the_tensors_of_a_step_have_the_size_of_the_batch_not_of_the_vocabulary() -> None:
    class Sizes(torch.utils._python_dispatch.TorchDispatchMode):
        """The largest new tensor that any operation makes."""

        largest = 0

        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):  # type: ignore[no-untyped-def]
            result = function(*arguments, **(keywords or {}))
            in_place = function._schema.name.endswith("_")
            if isinstance(result, Tensor) and not result.is_sparse and not in_place:
                self.largest = max(self.largest, result.numel())
            return result

    table = nn.Parameter(torch.randn(100_000, WIDTH))
    optimiser = RowwiseAdagrad([table], blocks=(WIDTH,), lr=LR, decay=0.1)
    _gradient_step(table, torch.arange(50), torch.zeros(50, WIDTH))
    with Sizes() as sizes:
        optimiser.step()
    assert 0 < sizes.largest <= 50 * WIDTH


def test_a_batch_without_a_single_value_changes_nothing() -> None:
    table = nn.Parameter(torch.ones(ROWS, WIDTH))
    F.embedding(torch.zeros(4, 1, dtype=torch.int64), table, padding_idx=0, sparse=True).sum().backward()
    RowwiseAdagrad([table], blocks=(WIDTH,), lr=LR).step()
    assert torch.equal(table.detach(), torch.ones(ROWS, WIDTH))


@pytest.mark.parametrize("rows", [[1, 4, 9], [4, 1, 4, 4]], ids=["each once, in order", "with duplicates"])
def test_a_sparse_gradient_without_its_mark_is_summed_by_row(rows: list[int]) -> None:
    index, values = torch.tensor(rows), torch.arange(1.0, 1 + 3 * len(rows)).view(-1, 3)
    summed = torch.zeros(ROWS, WIDTH).index_add_(0, index, values)
    table, other = nn.Parameter(torch.ones(ROWS, WIDTH)), nn.Parameter(torch.ones(ROWS, WIDTH))
    table.grad, other.grad = torch.sparse_coo_tensor(index[None], values, (ROWS, WIDTH), check_invariants=True), summed
    for one in (table, other):
        RowwiseAdagrad([one], blocks=(WIDTH,), lr=LR).step()
    torch.testing.assert_close(table.detach(), other.detach())


def test_on_a_device_rows_are_summed_as_a_coalesced_gradient_s_are() -> None:
    """With as many rows as entries: those that are left over have zeros."""
    torch.manual_seed(7)
    index, values = torch.randint(0, ROWS, (40,)), torch.randn(40, WIDTH)
    gradient = torch.sparse_coo_tensor(index[None], values, (ROWS, WIDTH), check_invariants=True)
    rows_N, sums_ND = rowwise_adagrad._summed_on_device(gradient)
    assert len(rows_N) == len(sums_ND) == 40
    nothing = torch.zeros(ROWS, WIDTH)
    torch.testing.assert_close(nothing.index_add(0, rows_N, sums_ND), nothing.index_add(0, index, values))
    there = sums_ND.any(1)
    assert rows_N[there].tolist() == sorted(set(index.tolist()))


def test_many_duplicates_sum_as_a_coalesced_gradient_does() -> None:
    torch.manual_seed(5)
    index, target = torch.randint(0, ROWS, (500,)), torch.randn(500, WIDTH, dtype=torch.float64)
    tables = []
    for is_coalesced in (False, True):
        table = nn.Parameter(torch.linspace(-1, 1, ROWS * WIDTH, dtype=torch.float64).reshape(ROWS, WIDTH).clone())
        optimiser = RowwiseAdagrad([table], blocks=(WIDTH,), lr=LR, decay=0.1)
        _gradient_step(table, index, target)
        assert table.grad is not None
        table.grad = table.grad.coalesce() if is_coalesced else table.grad
        optimiser.step()
        tables.append(table.detach())
    torch.testing.assert_close(tables[0], tables[1])
