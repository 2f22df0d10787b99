"""What losses read beside labels: lengths and weights, from the examples to the tensors."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from recsys.encoding import EncodedDays, Encoder, batches, packing, to_batch
from recsys.errors import ArtifactError
from recsys.progress import Console
from recsys.stages import STAGES
from tests.staged import encode

D2Q = {"method": "d2q", "duration": "duration"}
WEIGHT = {"weight": "counts"}
DAY = "2024-01-01"


@pytest.fixture
def encoder(make_examples, make_pipeline) -> Encoder:
    """Of a pipeline with a length and a weight."""
    return Encoder.fit([(DAY, make_examples(200))], make_pipeline(watch=D2Q, train=WEIGHT, item=["duration"]))


def with_gaps(table: pa.Table) -> pa.Table:
    """Every third length missing, one infinite."""
    values = table["item.duration"].to_numpy().copy()
    values[1] = np.inf
    lengths = pa.array(values, mask=np.arange(len(values)) % 3 == 0)
    return table.set_column(table.column_names.index("item.duration"), "item.duration", lengths)


def test_lengths_are_raw_and_missing_ones_nan(encoder, make_examples) -> None:
    table = with_gaps(make_examples(50, 3))
    batch = to_batch(encoder.transform(table), encoder.layout)
    expected = np.array([np.nan if value is None or np.isinf(value) else value for value in table["item.duration"].to_pylist()])
    np.testing.assert_array_equal(batch.durations.numpy(), expected.astype(np.float32)[:, None])
    assert encoder.layout.durations == ("item.duration",)
    assert "item.duration" in encoder.layout.dense, "still a feature"


def test_weights_are_the_column_of_that_name_and_no_feature(encoder, make_examples) -> None:
    table = make_examples(50, 3)
    batch = to_batch(encoder.transform(table), encoder.layout)
    np.testing.assert_array_equal(batch.weights.numpy(), table["weight"].to_numpy())
    other = table.set_column(table.column_names.index("weight"), "weight", pa.array(np.full(50, 7.0, np.float32)))
    rest = to_batch(encoder.transform(other), encoder.layout)._replace(weights=batch.weights)
    assert all(torch.equal(one.nan_to_num(-1), two.nan_to_num(-1)) for one, two in zip(batch, rest, strict=True))
    names = (*encoder.layout.dense, *(slot.feature for slot in encoder.layout.slots))
    assert not [name for name in names if "weight" in name]


def test_without_a_weight_every_row_counts_1_whatever_columns_there_are(make_examples, make_pipeline) -> None:
    plain = Encoder.fit([(DAY, make_examples(200))], make_pipeline())
    encoded = plain.transform(make_examples(50, 3))
    assert "weights" not in encoded.schema.names, "such weights take no room in a file"
    batch = to_batch(encoded, plain.layout)
    assert torch.equal(batch.weights, torch.ones(50))
    assert batch.durations.shape == (50, 0)


def test_unlabelled_examples_need_no_weight_and_have_their_lengths(encoder, make_examples) -> None:
    table = make_examples(50, 3)
    blind = table.drop_columns(["label.click", "label.watch", "known.click", "known.watch", "weight"])
    batch = to_batch(encoder.transform(blind, labelled=False), encoder.layout)
    assert torch.equal(batch.weights, torch.ones(50))
    assert torch.equal(batch.durations, to_batch(encoder.transform(table), encoder.layout).durations)


def test_the_name_of_a_length_is_looked_for_among_the_video_the_context_and_the_user(make_examples, make_pipeline) -> None:
    table = make_examples(100).rename_columns({"user.fans": "user.duration", "context.constant": "context.duration"})
    sides = {"item": ["duration"], "context": ["duration"], "user": ["duration"]}
    for found in ("item.duration", "context.duration", "user.duration"):
        layout = Encoder.fit([(DAY, table)], make_pipeline(watch=D2Q, **sides)).layout
        assert layout.durations == (found,)
        sides.pop(found.split(".")[0])
        table = table.drop_columns([found])


def test_a_length_or_a_weight_that_is_not_there_is_named(encoder, make_examples) -> None:
    with pytest.raises(ArtifactError, match="column weight: found no such column"):
        encoder.transform(make_examples(5).drop_columns(["weight"]))
    with pytest.raises(ArtifactError, match=r"column item\.duration: found no such column"):
        encoder.transform(make_examples(5).drop_columns(["item.duration"]))


def test_a_length_that_is_no_number_is_named(make_examples, make_pipeline) -> None:
    table = make_examples(50)
    texts = table.set_column(table.column_names.index("item.duration"), "item.duration", table["item.duration"].cast(pa.string()))
    with pytest.raises(ArtifactError, match=r"column item\.duration: found type string, expected a number"):
        Encoder.fit([(DAY, texts)], make_pipeline(watch=D2Q, item=["duration"]))


def test_encoded_days_give_them_back(make_examples, make_pipeline, write_examples, tmp_path: Path) -> None:
    tables = {"2024-01-01": make_examples(70), "2024-01-02": make_examples(40, 1)}
    pipeline = make_pipeline(watch=D2Q, train=WEIGHT, item=["duration"])
    folder = encode(pipeline, write_examples(tables), console=Console(quiet=True)).folder
    days = EncodedDays(folder, list(tables))
    whole = pa.concat_tables(tables.values())
    np.testing.assert_array_equal(days.durations()[:, 0], whole["item.duration"].to_numpy().astype(np.float32))
    np.testing.assert_array_equal(days.weights(), whole["weight"].to_numpy())
    np.testing.assert_array_equal(days.weights(65), whole["weight"].to_numpy()[65:])
    (batch,) = batches(days, batch_size=1_000, order="time")
    np.testing.assert_array_equal(batch.weights.numpy(), days.weights())
    np.testing.assert_array_equal(batch.durations.numpy(), days.durations())


def test_the_weight_and_the_length_count_for_the_encoder(make_pipeline) -> None:
    def counted(**changes):
        return STAGES["encode"].counted(make_pipeline(**changes))

    plain = counted(item=["duration"])
    assert counted(item=["duration"], watch={"method": "weighted_logistic"}) == plain
    assert counted(item=["duration"], watch=D2Q) != plain
    assert counted(item=["duration"], train=WEIGHT) != plain


def test_a_file_has_lengths_and_weights_only_where_they_are_needed(encoder, make_examples, make_pipeline) -> None:
    plain = Encoder.fit([(DAY, make_examples(200))], make_pipeline())
    names = packing.schema(plain.layout).names
    assert names == ["dense", "rows", "history_rows", "history_signals", "history_length", "bias", "labels", "known"]
    assert packing.schema(encoder.layout).names == [*names[:-1], "durations", "weights", "known"]
