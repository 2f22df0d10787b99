import numpy as np
import pytest
import torch
from torch import nn

from recsys.nn.attention import TargetAttention, mean_of_past
from recsys.nn.input_parts import InputParts

B, T, L, C, D, A = 12, 2, 4, 5, 6, 3


@pytest.fixture
def attention():
    torch.manual_seed(0)
    module = TargetAttention(T, D, C, A)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


@pytest.fixture
def inputs():
    torch.manual_seed(1)
    return InputParts(torch.randn(B, 2), torch.randn(T, B, D - 2)), torch.randn(T, B, L, C), torch.arange(B) % (L + 1)


def by_hand(attention, features, entries_TBLC, lengths_B):
    """One row, one table, one entry at a time, keys and values formed: softmax(q·k / √A) over the null entry and the past."""
    p = {name: parameter.detach().double().numpy() for name, parameter in attention.named_parameters()}
    features_TBD = features.whole()
    out = np.zeros((T, B, A))
    for b in range(B):
        for t in range(T):
            query = features_TBD[t, b].double().numpy() @ p["query.weight"][t] + p["query.bias"][t, 0]
            keys, values = [p["null_key"][t]], [p["null_value"][t]]
            for entry in entries_TBLC[t, b, : lengths_B[b]].double().numpy():
                keys.append(p["key.weight"][t] @ entry)
                values.append(entry @ p["value.weight"][t])
            logits = np.array(keys) @ query / np.sqrt(A)
            weights = np.exp(logits - logits.max())
            out[t, b] = weights / weights.sum() @ np.array(values)
    return out


def test_equals_keys_and_values_written_out(attention, inputs):
    np.testing.assert_allclose(attention(*inputs).detach().numpy(), by_hand(attention, *inputs), rtol=1e-4, atol=1e-4)


def test_an_empty_history_gives_the_null_value(attention, inputs):
    features, entries, _ = inputs
    out_TBA = attention(features, entries, torch.zeros(B, dtype=torch.int64))
    torch.testing.assert_close(out_TBA, attention.null_value.detach().unsqueeze(1).expand(T, B, A))


def test_what_lies_beyond_the_history_changes_nothing(attention, inputs):
    features, entries, lengths = inputs
    other = torch.where((torch.arange(L) < lengths[:, None])[:, :, None], entries, 99.0)
    torch.testing.assert_close(attention(features, other, lengths), attention(features, entries, lengths), rtol=0, atol=0)


def test_the_order_of_the_past_means_nothing_but_by_its_signals(attention, inputs):
    features, entries, _ = inputs
    full = torch.full((B,), L)
    torch.testing.assert_close(attention(features, entries.flip(2), full), attention(features, entries, full), rtol=1e-4, atol=1e-5)


def test_weights_sum_to_one(attention, inputs):
    weights = attention.weights(*inputs)
    torch.testing.assert_close(weights.sum(-1), torch.ones(T, B))
    assert not weights[:, 0, 1:].any()  # a row without a past


def test_mean_of_the_past():
    entries = torch.tensor([[[2.0], [4.0], [0.0]], [[0.0], [0.0], [0.0]]])
    torch.testing.assert_close(mean_of_past(entries, torch.tensor([2, 0])), torch.tensor([[3.0], [0.0]]))
