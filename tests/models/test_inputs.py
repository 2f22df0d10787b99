import pytest
import torch

from recsys.encoding.layout import NUM_QUANTILES, Slot
from recsys.models.inputs import Inputs
from tests.models import factory

K = len(factory.KINDS)
QUANTILES = tuple(torch.linspace(-2, 2, NUM_QUANTILES).tolist())


def inputs(tables=1, shape=None, seed=1, numeric_bins=0, **changes):
    layout = shape or factory.layout()
    return Inputs(factory.options(numeric_bins=numeric_bins, **changes), layout, K, tables, seed)


@pytest.mark.parametrize("tables", [1, K])
def test_the_linear_path_is_a_weight_a_number_and_a_value(tables):
    module = inputs(tables)
    torch.manual_seed(0)
    with torch.no_grad():
        module.skip.weight.normal_()
        module.embeddings.tables.table[1:].normal_()
    example = factory.batch(factory.layout(), 20)
    _, linear_BK = module(example, example.bias)
    table = module.embeddings.tables.table.detach()
    d = module.d_embedding
    for b in range(20):
        for k in range(K):
            own = table[30 * k : 30 * k + 30, d] if tables > 1 else table[:, d + k]
            total = sum(x * w for x, w in zip(example.dense[b], module.skip.weight[0, :3, k], strict=True))
            for signal in range(2):
                past = example.history_signals[b, : example.history_length[b], signal]
                total = total + (past.mean() if len(past) else 0.0) * module.skip.weight[0, 3 + signal, k]
            for slot in factory.layout().slots:
                rows = [row for row in example.rows[b, slot.start : slot.start + slot.width].tolist() if row]
                total = total + (sum(own[row] for row in rows) / len(rows) if rows else 0.0)
            torch.testing.assert_close(linear_BK[b, k], total, rtol=1e-4, atol=1e-4)


def test_a_fresh_linear_path_is_nothing_and_absent_when_not_asked_for():
    example = factory.batch(factory.layout(), 8)
    assert not inputs()(example, example.bias)[1].any()
    assert inputs(skip=False)(example, example.bias)[1] is None


@pytest.mark.parametrize("tables", [1, K])
def test_the_width_is_as_said_and_a_multiple_of_16(tables):
    module = inputs(tables)
    example = factory.batch(factory.layout(), 8)
    inputs_TBD = module(example, example.bias)[0].whole()
    assert inputs_TBD.shape == (tables, 8, module.d_out)
    assert module.d_out % 16 == 0
    width = 3 + 2 + 3 * 4 + 4  # numbers, mean signals, slots, attention
    assert not inputs_TBD[..., width:].any()
    assert torch.equal(inputs_TBD[0, :, :3], example.dense)


@pytest.mark.parametrize("tables", [1, K])
def test_bins_lie_after_the_numbers_and_every_part_reads_them(tables):
    module = inputs(tables, numeric_bins=2)
    plain = inputs(tables)
    example = factory.batch(factory.layout(), 8)
    example.dense[0] = torch.tensor([-1.0, 3.0, 7.0])
    inputs_TBD = module(example, example.bias)[0].whole()
    assert torch.equal(inputs_TBD[0, :, :3], example.dense)
    torch.testing.assert_close(inputs_TBD[-1, 0, 3:7], torch.tensor([0.5, 0.0, 1.0, 1.0]))  # of -1 in [-2, 0, 2] and of 3 in [-1, 1, 3]
    assert module.skip.weight.shape[1] == plain.skip.weight.shape[1] + 2 * 2
    assert module.attention.query.weight.shape[1] == plain.attention.query.weight.shape[1] + 2 * 2


@pytest.mark.parametrize("numeric_bins", [0, 4])
def test_a_member_sees_its_share_and_nothing_else(numeric_bins):
    module = inputs(input_share=0.6, numeric_bins=numeric_bins)
    assert len(module.dense_columns) == 2  # of 3
    columns = set(module.embeddings.slots.columns_C.tolist())
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    example = factory.batch(factory.layout(), 8)
    hidden = [column for column in range(3) if column not in module.dense_columns]
    unseen = [column for column in range(5) if column not in columns]
    assert unseen
    dense, rows = example.dense.clone(), example.rows.clone()
    dense[:, hidden] += 1
    rows[:, unseen] = 29 - rows[:, unseen]
    changed = module(example._replace(dense=dense, rows=rows), example.bias)
    same = module(example, example.bias)
    assert torch.equal(changed[0].whole(), same[0].whole())
    assert torch.equal(changed[1], same[1])


def test_members_differ_in_what_they_see():
    seen = {
        (*inputs(input_share=0.6, seed=s).dense_columns.tolist(), *inputs(input_share=0.6, seed=s).embeddings.slots.columns_C.tolist())
        for s in range(10)
    }
    assert len(seen) > 3


def test_position_and_device_as_inputs_are_one_hot():
    module = inputs(position="input")
    example = factory.batch(factory.layout(), 8)
    inputs_TBD = module(example, example.bias)[0].whole()
    one_hot = inputs_TBD[0, :, 5 : 5 + 5 + 3]
    assert one_hot.sum(1).tolist() == [2.0] * 8
    assert one_hot[:, :5].argmax(1).tolist() == example.bias[:, 0].tolist()
    assert one_hot[:, 5:].argmax(1).tolist() == example.bias[:, 1].tolist()


def test_vectors_start_small_and_equal_for_a_seed():
    first, again, other = inputs(seed=1), inputs(seed=1), inputs(seed=2)
    tables = [module.embeddings.tables.table for module in (first, again, other)]
    assert torch.equal(tables[0], tables[1])
    assert not torch.equal(tables[0], tables[2])
    vectors = tables[0][1:, :4]
    assert 0.03 < vectors.std() < 0.07


def test_entity_and_context_columns_are_where_their_features_lie():
    layout = factory.layout().model_copy(
        update={
            "dense": ("user.age", "context.hour", "agg.user_id.click.7", "item.length"),
            "quantiles": (QUANTILES, QUANTILES, (), QUANTILES),
            "slots": (
                Slot(feature="item.tags", space="item.tags", start=0, width=3),
                Slot(feature="context.tab", space="context.tab", start=3, width=1),
                Slot(feature="id.item_id", space="item_id", start=4, width=1),
            ),
        }
    )
    module = inputs(shape=layout, position="input", numeric_bins=2)
    slots = 4 + 6 + 2 + 5 + 3  # behind the numbers, their bins, 2 mean signals, position and device; single slots before the triple one
    assert module.context_columns.tolist() == [1, 6, 7, *range(slots, slots + 4)]
    assert module.entity_columns.tolist() == [0, 3, 4, 5, 8, 9, *range(slots + 4, slots + 12)]
    example = factory.batch(layout, 8)
    inputs_TBD = module(example, example.bias)[0].whole()
    table = module.embeddings.tables.table.detach()
    torch.testing.assert_close(inputs_TBD[0, :, module.entity_columns[:2]], example.dense[:, [0, 3]])
    torch.testing.assert_close(inputs_TBD[0, :, module.context_columns[3:]], table[example.rows[:, 3], :4])
    torch.testing.assert_close(inputs_TBD[0, :, module.entity_columns[6:10]], table[example.rows[:, 4], :4])


def test_a_member_s_entity_columns_are_those_that_it_sees():
    module = inputs(input_share=0.6)
    seen = len(module.embeddings.slots.columns_C)
    assert 0 < seen < 5
    assert len(module.entity_columns) == 2 * 4  # of 3 slots, all of user and item
    assert len(module.context_columns) == 0
