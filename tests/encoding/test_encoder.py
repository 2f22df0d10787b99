"""The encoder against a slow reference that goes row by row in plain Python, and its laws."""

import math
import statistics
from collections import Counter
from datetime import date, datetime
from pathlib import Path
from statistics import NormalDist, mean, pstdev
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from recsys import artifacts
from recsys.encoding import PADDING_ROW, Encoder
from recsys.encoding.packing import unpack
from recsys.errors import ArtifactError

SPACES = ["author_id", "context.hour", "context.tab", "item.kind", "item.tag", "item_id", "user.degree"]  # sorted
SLOTS = {  # column → space, width
    "user.degree": ("user.degree", 1),
    "item.kind": ("item.kind", 1),
    "item.tag": ("item.tag", 2),
    "context.hour": ("context.hour", 1),
    "context.tab": ("context.tab", 1),
    "query.item_id": ("item_id", 1),
    "query.kind": ("item.kind", 1),
    "query.tag": ("item.tag", 2),
    "id.item_id": ("item_id", 1),
    "id.author_id": ("author_id", 1),
}
HISTORY_SLOTS = {
    "history.item_id": ("item_id", 1),
    "history.item.kind": ("item.kind", 1),
    "history.item.tag": ("item.tag", 2),
    "history.context.tab": ("context.tab", 1),
}
DENSE = [
    "user.fans",
    "item.duration",
    "item.is_ad",
    "context.constant",
    "query.same.kind",
    "agg.item_id.is_click.7",
    "agg.item_id.age",
]
SPARSE = ["user.fans", "query.same.kind", "agg.item_id.age"]


@pytest.fixture
def days(make_examples) -> list[tuple[str, pa.Table]]:
    return [(f"2024-01-0{n}", make_examples(80 + 10 * n, seed=n)) for n in (1, 2, 3)]


@pytest.fixture
def encoder(days, make_pipeline) -> Encoder:
    return Encoder.fit(days, make_pipeline())


# --- The reference ------------------------------------------------------------------------------------------------
def as_values(cell: Any, width: int) -> list[str | None]:
    cells = cell[:width] if isinstance(cell, list) else [cell]
    return [None if value is None else str(value) for value in cells]


def reference_vocabulary(days: list[tuple[str, pa.Table]], min_count: int) -> dict[tuple[str, str | None], int]:
    """(space, value) → row, by counting row after row."""
    rows: dict[tuple[str, str | None], int] = {}
    counts: Counter[tuple[str, str | None]] = Counter()
    for _, table in days:
        for example in table.to_pylist():
            counts.update({(space, value) for column, (space, width) in SLOTS.items() for value in as_values(example[column], width)})
        reached = [key for key, count in counts.items() if count >= min_count and key not in rows]
        for key in sorted(reached, key=lambda key: (key[0], key[1] is None, key[1] or "")):
            rows[key] = 1 + len(SPACES) + len(rows)
    return rows


def standardised(training: list[float], value: float | None) -> float:
    """(x − mean) / std, no further out than training went and than 5 standard deviations."""
    if value is None or len(set(training)) < 2:
        return 0.0
    mean, std = statistics.mean(training), statistics.pstdev(training)
    return min(5.0, max(-5.0, (min(max(value, min(training)), max(training)) - mean) / std))


def reference_score(training: list[float], value: float | None) -> float:
    """Mid-rank of the value among at most 256 distinct ones, linear in the score between them."""
    if value is None or not training:
        return 0.0
    distinct = sorted(set(training))
    ranks = [(sum(x < knot for x in training) + sum(x <= knot for x in training)) / 2 / len(training) for knot in distinct]
    scores = [min(3.0, max(-3.0, NormalDist().inv_cdf(rank))) for rank in ranks]
    if value <= distinct[0]:
        return scores[0]
    for left, right, low, high in zip(distinct, distinct[1:], scores, scores[1:], strict=False):
        if value <= right:
            return low + (high - low) * (value - left) / (right - left)
    return scores[-1]


def reference_row(rows: dict[tuple[str, str | None], int], space: str, value: str | None) -> int:
    return rows.get((space, value), 1 + SPACES.index(space))


def assert_equal(got: pa.RecordBatch, expected: pa.RecordBatch, encoder: Encoder) -> None:
    """To the bit, NaN labels equal to NaN labels."""
    assert got.schema.equals(expected.schema)
    for ours, theirs in zip(unpack(got, encoder.layout), unpack(expected, encoder.layout), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def padded(values: list[int], width: int) -> list[int]:
    return values + [PADDING_ROW] * (width - len(values))


# --- Against it ---------------------------------------------------------------------------------------------------
def test_rows_equal_the_reference(days, encoder, make_examples) -> None:
    rows = reference_vocabulary(days, min_count=3)
    test = make_examples(60, seed=9, values=20)
    got = unpack(encoder.transform(test), encoder.layout)
    for n, example in enumerate(test.to_pylist()):
        expected = [
            row
            for column, (space, width) in SLOTS.items()
            for row in padded([reference_row(rows, space, value) for value in as_values(example[column], width)], width)
        ]
        assert got.rows[n].tolist() == expected
    assert [slot.feature for slot in encoder.layout.slots] == list(SLOTS)
    assert encoder.layout.num_rows == 1 + len(SPACES) + len(rows)
    assert encoder.layout.unknown_rows == {space: 1 + place for place, space in enumerate(SPACES)}
    unknown = set(encoder.layout.unknown_rows.values())
    assert unknown & set(got.rows.ravel().tolist()), "the test day holds values that training has not seen"


def test_history_equals_the_reference(days, encoder, make_examples) -> None:
    rows = reference_vocabulary(days, min_count=3)
    test = make_examples(60, seed=9, values=20)
    got = unpack(encoder.transform(test), encoder.layout)
    training = [example for _, table in days for example in table.to_pylist()]
    seen = {
        name: [x for example in training for x in example[name][:3] if x is not None] for name in ("history.play_time_ms", "history.age")
    }
    size = math.sqrt(mean(math.log1p(x) ** 2 for x in seen["history.play_time_ms"]))
    age_mean, age_deviation = mean(seen["history.age"]), pstdev(seen["history.age"])
    expected_signals, expected_rows = np.zeros((60, 3, 4)), np.zeros((60, 3, 5), int)
    for n, example in enumerate(test.to_pylist()):
        length = min(3, len(example["history.item_id"]))
        assert got.history_length[n] == length
        for place in range(length):
            time = example["history.play_time_ms"][place]
            age = min(max(example["history.age"][place], min(seen["history.age"])), max(seen["history.age"]))
            expected_signals[n, place] = [
                example["history.is_click"][place],
                0.0 if time is None else math.log1p(min(time, max(seen["history.play_time_ms"]))) / size,
                (age - age_mean) / age_deviation,
                time is None,
            ]
            expected_rows[n, place] = [
                row
                for column, (space, width) in HISTORY_SLOTS.items()
                for row in padded([reference_row(rows, space, value) for value in as_values(example[column][place], width)], width)
            ]
    np.testing.assert_array_equal(got.history_rows, expected_rows)
    np.testing.assert_allclose(got.history_signals, expected_signals, atol=1e-5)
    names = ("history.is_click", "history.play_time_ms", "history.age", "history.play_time_ms?")
    assert encoder.layout.history_signals == names


def test_dense_equals_the_reference(days, encoder, make_examples) -> None:
    test = make_examples(60, seed=9)
    got = unpack(encoder.transform(test), encoder.layout)
    assert encoder.layout.dense == (*DENSE, *(f"{name}?" for name in SPARSE))
    for d, column in enumerate(DENSE):
        training = [x for _, table in days for x in table[column].to_pylist() if x is not None]
        if len(set(training)) > 256 and not column.startswith("agg."):
            continue  # thinned to quantiles: test_normaliser.py
        reference = standardised if column.startswith("agg.") else reference_score
        expected = [reference(training, value) for value in test[column].to_pylist()]
        np.testing.assert_allclose(got.dense[:, d], expected, atol=1e-6, err_msg=column)
    for d, column in enumerate(SPARSE, start=len(DENSE)):
        np.testing.assert_array_equal(got.dense[:, d], [value is None for value in test[column].to_pylist()])
    assert not got.dense[:, DENSE.index("context.constant")].any()


def test_bias_and_labels_equal_the_reference(days, encoder, make_examples) -> None:
    devices: list[str] = []
    counts: Counter[str] = Counter()
    for _, table in days:
        counts.update(device for device in table["bias.device"].to_pylist() if device is not None)
        devices += sorted(device for device, count in counts.items() if count >= 3 and device not in devices)
    test = make_examples(60, seed=9, values=20)
    got = unpack(encoder.transform(test), encoder.layout)
    for n, example in enumerate(test.to_pylist()):
        device = example["bias.device"]
        assert got.bias[n].tolist() == [example["bias.position"] or 0, devices.index(device) + 1 if device in devices else 0]
    assert (encoder.layout.positions, encoder.layout.devices) == (10, len(devices))
    assert encoder.layout.objectives == ("click", "watch")
    expected = np.array([[np.nan if x is None else x for x in test[name].to_pylist()] for name in ("label.click", "label.watch")]).T
    np.testing.assert_array_equal(got.labels, expected.astype(np.float32))
    assert np.isnan(got.labels).any()


# --- Laws ---------------------------------------------------------------------------------------------------------
def test_more_days_append_rows_and_move_none(days, make_pipeline, make_examples) -> None:
    few = Encoder.fit(days[:2], make_pipeline()).vocabulary.table().to_pylist()
    many = Encoder.fit([*days, ("2024-01-04", make_examples(100, seed=8, values=30))], make_pipeline()).vocabulary.table().to_pylist()
    assert many[: len(few)] == few
    assert len(many) > len(few)


def test_a_day_in_several_tables_is_the_same_day(days, encoder, make_pipeline, tmp_path: Path) -> None:
    pieces = [(day, table.slice(start, 25)) for day, table in days for start in range(0, len(table), 25)]
    in_pieces = Encoder.fit(pieces, make_pipeline())
    assert in_pieces.layout == encoder.layout
    assert in_pieces.vocabulary.table().equals(encoder.vocabulary.table())
    assert in_pieces.normaliser.table().equals(encoder.normaliser.table())
    assert in_pieces.bias == encoder.bias
    for ours, theirs in zip(in_pieces.scales, encoder.scales, strict=True):
        assert ours.scale == pytest.approx(theirs.scale, rel=1e-12)


def test_save_and_load_give_equal_bytes(encoder, make_examples, tmp_path: Path) -> None:
    for name, one in (("first", encoder), ("second", None)):
        with artifacts.writing(tmp_path / name, stage="encode", fingerprint="f") as output:
            (one or Encoder.load(tmp_path / "first")).save(output)
    first, second = (artifacts.manifest(tmp_path / name) for name in ("first", "second"))
    assert first is not None
    assert second is not None
    assert first.content == second.content
    assert not [path for path in (tmp_path / "first").iterdir() if path.suffix not in (".json", ".parquet")]
    test = make_examples(50, seed=9)
    assert_equal(Encoder.load(tmp_path / "second").transform(test), encoder.transform(test), encoder)


def test_a_row_is_encoded_alike_in_any_company(encoder, make_examples) -> None:
    test = make_examples(50, seed=9)
    whole = encoder.transform(test)
    for n in (0, 17, 49):
        alone, among_others = (unpack(rows, encoder.layout) for rows in (encoder.transform(test.slice(n, 1)), whole.slice(n, 1)))
        for ours, theirs in zip(alone, among_others, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    assert len(encoder.transform(test.slice(0, 0))) == 0


def test_inputs_are_left_as_they_were(days, make_pipeline) -> None:
    before = [table.to_pylist() for _, table in days]
    encoder = Encoder.fit(days, make_pipeline())
    encoder.transform(days[0][1])
    assert [table.to_pylist() for _, table in days] == before


def test_without_ids_no_item_has_a_row_but_the_history_has_its_length(days, make_pipeline) -> None:
    encoder = Encoder.fit(
        [(day, table.drop_columns(["id.item_id", "id.author_id"])) for day, table in days], make_pipeline(ids=[], bias=["device"])
    )
    assert "item_id" not in encoder.layout.unknown_rows
    assert "history.item_id" not in [slot.feature for slot in encoder.layout.history_slots]
    got = unpack(encoder.transform(days[0][1]), encoder.layout)
    assert got.history_length.tolist() == [min(3, len(past)) for past in days[0][1]["history.item_id"].to_pylist()]
    assert encoder.layout.positions == 0
    assert not got.bias[:, 0].any()
    assert got.bias[:, 1].any()


def test_without_history_and_bias_the_arrays_have_width_zero(days, make_pipeline) -> None:
    encoder = Encoder.fit(days, make_pipeline(history=0, bias=[]))
    got = unpack(encoder.transform(days[0][1]), encoder.layout)
    rows = len(days[0][1])
    assert (got.history_rows.shape, got.history_signals.shape) == ((rows, 0, 0), (rows, 0, 0))
    assert not got.history_length.any()
    assert not got.bias.any()
    assert (encoder.layout.positions, encoder.layout.devices) == (0, 0)


def test_no_features_at_all_is_a_layout_of_width_zero(days, make_pipeline) -> None:
    bare = [(day, table.select(["event_id", "label.click", "label.watch", "known.click", "known.watch"])) for day, table in days]
    encoder = Encoder.fit(bare, make_pipeline(history=0, bias=[], ids=[]))
    got = unpack(encoder.transform(bare[0][1]), encoder.layout)
    assert (got.dense.shape[1], got.rows.shape[1], encoder.layout.num_rows) == (0, 0, 1)
    assert got.labels.shape == (len(bare[0][1]), 2)


def test_a_label_is_known_in_a_day_of_the_zone_of_the_source(days, make_examples, make_pipeline) -> None:
    """Of the summer's clock in Berlin; a label that is not observed has no such day."""
    pipeline = make_pipeline()
    source = pipeline.source.model_dump(mode="json") | {"time": {"zone": "Europe/Berlin"}}
    encoder = Encoder.fit(days, type(pipeline).model_validate(pipeline.model_dump(mode="json") | {"source": source}))
    table = make_examples(40, seed=2)
    rng = np.random.default_rng(4)
    midnight = 1_711_839_600_000  # of 2024-03-31, which has 23 hours
    moments = (midnight + rng.choice([-3, 0, 0, 23, 23], 40) * 3_600_000 + rng.integers(-1, 2, 40)).tolist()
    known = pa.array(moments, pa.int64(), mask=table["label.watch"].is_null().to_numpy())
    got = unpack(encoder.transform(table.set_column(table.column_names.index("known.watch"), "known.watch", known)), encoder.layout)
    for moment, label, day in zip(moments, got.labels[:, 1], got.known[:, 1].tolist(), strict=True):
        at = datetime.fromtimestamp(moment / 1000, ZoneInfo("Europe/Berlin")).date()
        assert day == (0 if np.isnan(label) else (at - date(1970, 1, 1)).days)
    assert len(set(got.known[:, 1].tolist())) == 4, "three days, and none where the label is not observed"


def test_a_label_without_the_moment_at_which_it_is_known_is_named(encoder, make_examples) -> None:
    table = make_examples(20)
    table = table.set_column(table.column_names.index("known.click"), "known.click", pa.nulls(20, pa.int64()))
    with pytest.raises(ArtifactError, match=r"column known\.click: found null beside a label, expected .*; 20 of 20 rows\. Fix: delete"):
        encoder.transform(table)


def test_unlabelled_examples_can_be_encoded_for_scoring(encoder, make_examples) -> None:
    test = make_examples(20, seed=9)
    labels = ["label.click", "label.watch", "known.click", "known.watch"]
    blind = unpack(encoder.transform(test.drop_columns(labels), labelled=False), encoder.layout)
    assert np.isnan(blind.labels).all()
    assert not blind.known.any()
    np.testing.assert_array_equal(blind.dense, unpack(encoder.transform(test), encoder.layout).dense)


def test_infinite_and_nan_numbers_are_missing(days, make_pipeline) -> None:
    day, table = days[0]
    odd = pa.array([math.inf, -math.inf, math.nan] + [1.0, 2.0] * ((len(table) - 3) // 2) + [3.0] * ((len(table) - 3) % 2))
    table = table.set_column(table.schema.get_field_index("item.duration"), "item.duration", odd)
    encoder = Encoder.fit([(day, table)], make_pipeline())
    got = unpack(encoder.transform(table), encoder.layout)
    assert np.isfinite(got.dense).all()
    indicator = encoder.layout.dense.index("item.duration?")
    assert got.dense[:4, indicator].tolist() == [1, 1, 1, 0]


def test_positions_that_count_from_zero_have_codes_from_one(days, make_pipeline, make_examples) -> None:
    def shifted(table: pa.Table) -> pa.Table:
        positions = pa.array([None if p is None else p - 1 for p in table["bias.position"].to_pylist()], pa.int64())
        return table.set_column(table.schema.get_field_index("bias.position"), "bias.position", positions)

    encoder = Encoder.fit([(day, shifted(table)) for day, table in days], make_pipeline())
    test = make_examples(40, seed=9)
    got = unpack(encoder.transform(shifted(test)), encoder.layout)
    assert got.bias[:, 0].tolist() == [p or 0 for p in test["bias.position"].to_pylist()]
    assert encoder.layout.positions == 10


@pytest.mark.parametrize(("position", "code"), [(-1, 0), (None, 0), (0, 1), (1, 1), (10, 10), (11, 10), (5_000, 10)])
def test_positions_beyond_training_share_the_outer_codes(encoder, make_examples, position: int | None, code: int) -> None:
    test = make_examples(1, seed=9)
    test = test.set_column(test.schema.get_field_index("bias.position"), "bias.position", pa.array([position], pa.int64()))
    assert encoder.transform(test).column("bias").to_pylist()[0][0] == code


def test_far_positions_share_one_hundred_codes(days, make_pipeline) -> None:
    day, table = days[0]
    far = pa.array(range(1, len(table) * 3, 3), pa.int64())
    table = table.set_column(table.schema.get_field_index("bias.position"), "bias.position", far)
    assert Encoder.fit([(day, table)], make_pipeline()).layout.positions == 100


def test_a_signal_may_be_called_as_a_column_of_the_items(days, make_pipeline) -> None:
    """As a log that was flattened names it: item.liked is a number of the history, not a category."""
    named = [(day, table.append_column("history.item.liked", table["history.is_click"])) for day, table in days]
    layout = Encoder.fit(named, make_pipeline()).layout
    assert "history.item.liked" in layout.history_signals
    assert "history.item.liked" not in [slot.feature for slot in layout.history_slots]


# --- Bad input ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "column",
    ["user.fans", "item.kind", "history.item_id", "history.age", "history.item.tag", "bias.position", "bias.device", "label.watch"],
)
def test_a_missing_column_is_named(encoder, make_examples, column: str) -> None:
    with pytest.raises(ArtifactError, match=f"column {column}: found no such column") as caught:
        encoder.transform(make_examples(5).drop_columns([column]), place="examples/day=2024-01-04")
    assert str(caught.value).startswith("examples/day=2024-01-04 column")
    assert caught.value.exit_code == 4


def test_a_column_that_a_later_training_day_lacks_is_named(days, make_pipeline) -> None:
    days[1] = (days[1][0], days[1][1].drop_columns(["agg.item_id.age"]))
    with pytest.raises(ArtifactError, match=r"examples/day=2024-01-02 column agg\.item_id\.age"):
        Encoder.fit(days, make_pipeline())


def test_a_column_of_another_type_is_named(encoder, make_examples) -> None:
    test = make_examples(2)
    test = test.set_column(test.schema.get_field_index("user.fans"), "user.fans", pa.array(["many", "few"]))
    with pytest.raises(ArtifactError, match=r"column user\.fans: found type string, expected a number"):
        encoder.transform(test)


def test_history_lists_of_unequal_lengths_are_refused(encoder, make_examples) -> None:
    test = make_examples(2)
    ages = pa.array([[1.0] * 9, past := test["history.age"].to_pylist()[1]], pa.list_(pa.float32()))
    assert len(past) < 9
    test = test.set_column(test.schema.get_field_index("history.age"), "history.age", ages)
    with pytest.raises(ArtifactError, match=r"column history\.age: found lists of other lengths.*1 of 2 rows"):
        encoder.transform(test)


def test_days_out_of_order_are_refused(days, make_pipeline) -> None:
    with pytest.raises(ValueError, match="2024-01-01 after 2024-01-02"):
        Encoder.fit([days[1], days[0]], make_pipeline())


def test_nothing_to_fit_on_is_refused(make_pipeline) -> None:
    with pytest.raises(ValueError, match="no examples to fit on"):
        Encoder.fit([], make_pipeline())


@pytest.mark.parametrize("damage", ["layout.json", "scales.json", "vocabulary.parquet", "quantiles.parquet"])
def test_a_damaged_encoder_is_refused(encoder, tmp_path: Path, damage: str) -> None:
    with artifacts.writing(tmp_path / "encoder", stage="encode", fingerprint="f") as output:
        encoder.save(output)
    (tmp_path / "encoder" / damage).write_bytes(b"{")
    with pytest.raises(ArtifactError, match=damage):
        Encoder.load(tmp_path / "encoder")
