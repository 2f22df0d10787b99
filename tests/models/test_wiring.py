"""The wiring's names, held against what the nets do: a net whose numbers are put in by name computes what the other computed."""

import pytest
import torch

from recsys.encoding.layout import PADDING_ROW
from recsys.models import ARCHITECTURES, build
from recsys.models.wiring import Wiring
from tests.models import factory

ORDER = [2, 0, 3, 1]
READS_ORDER = {"aitm"}  # where no objective is given another
CODES = (tuple(f"p{n}" for n in range(5)), tuple(f"d{n}" for n in range(3)))


def _ranker(architecture, objectives, seed):
    layout = factory.layout().model_copy(update={"objectives": tuple(objective.name for objective in objectives)})
    options = factory.options(architecture=architecture)
    ranker = build(options, layout, objectives, torch.zeros(len(objectives)), seed).eval()
    generator = torch.Generator().manual_seed(seed)
    for parameter in ranker.parameters():  # nothing stays at zero, where a wrong place would not be seen
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    ranker.inputs.embeddings.tables.table.data.view(ranker.inputs.num_tables, layout.num_rows, -1)[:, PADDING_ROW] = 0.0
    return ranker, Wiring(ranker, options, objectives, CODES)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_by_name_another_order_of_objectives_is_the_same_net(architecture):
    if architecture in READS_ORDER:
        pytest.skip("without given this way reads the order: its docstring says so")
    objectives = factory.objectives()
    first, theirs = _ranker(architecture, objectives, 1)
    second, ours = _ranker(architecture, [objectives[place] for place in ORDER], 2)
    d_embedding = factory.options().d_embedding
    state = {}
    for name, old in first.state_dict().items():
        new = second.state_dict()[name]
        if name == "inputs.embeddings.tables.table":
            tables = [theirs.table_labels.index(label) for label in ours.table_labels]
            new = old.view(len(tables), -1, old.shape[1])[tables].reshape(old.shape)
            if len(tables) == 1:
                new = new[:, [*range(d_embedding), *(d_embedding + place for place in ORDER)]]
        elif name.endswith("descriptors_KZ"):
            new = new if architecture != "gated_independent" else torch.eye(len(ORDER))
        else:
            new = old
            for axis, (a, b) in enumerate(zip(ours.axes(name, new.shape), theirs.axes(name, old.shape), strict=True)):
                assert len(set(a)) == len(a)
                new = new.index_select(axis, torch.tensor([b.index(label) for label in a], dtype=torch.int64))
        state[name] = new
    second.load_state_dict(state)
    example = factory.batch(factory.layout(), 32)
    expected, found = (ranker(example, position="logged").outputs_BK for ranker in (first, second))
    torch.testing.assert_close(found, expected[:, ORDER], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(expected[:, 0], expected[:, 1], atol=1e-2)


def test_columns_of_the_inputs_are_named_in_their_order():
    ranker, wiring = _ranker("mmoe", factory.objectives(), 1)
    names = [(kind, name) for kind, name, _ in wiring.columns]
    assert len(names) == ranker.inputs.d_out
    assert names[:5] == [("dense", "a"), ("dense", "b"), ("dense", "c"), ("signal", "click"), ("signal", "age")]
    d_embedding = ranker.inputs.d_embedding
    slots = [name for kind, name in names if kind == "slot"][::d_embedding]
    assert slots == ["item.one", "user.two", "item.tags"]  # by width
    example, codes = factory.batch(factory.layout(), 3), torch.zeros(3, 2, dtype=torch.int64)
    inputs = ranker.inputs(example, codes)[0][:, 0]
    first = names.index(("slot", "user.two"))
    vectors = ranker.inputs.embeddings.tables.table[example.rows[:, 4]][:, :d_embedding]
    torch.testing.assert_close(inputs[:, first : first + d_embedding], vectors)
