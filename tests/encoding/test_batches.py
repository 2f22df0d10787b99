"""Batches against the arrays they are cut from: every row once, the same for a seed, resumed exactly."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from recsys.encoding import Batch, EncodedDays, Encoder, batches, packed_batches, steps_per_epoch, to_batch
from recsys.errors import ArtifactError

from .conftest import BATCHES, NUMBER, NUMBERED, assert_same, write_encoded, write_numbered_days

pytestmark = pytest.mark.usefixtures("small_windows")


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_numbered_days(tmp_path_factory.mktemp("batches"), lambda place, packed: packed)


@pytest.fixture
def mine(encoded: Path, tmp_path: Path) -> Path:
    """The encoded days, to change."""
    return Path(shutil.copytree(encoded, tmp_path / "mine"))


@pytest.fixture
def days(encoded: Path) -> EncodedDays:
    return EncodedDays(encoded, list(NUMBERED))


def joined(parts: list[Batch]) -> Batch:
    return Batch(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def numbers(parts: list[Batch]) -> list[int]:
    return joined(parts).dense[:, NUMBER].int().tolist()


def test_time_order_is_the_files_order(days) -> None:
    parts = list(batches(days, batch_size=50, order="time"))
    assert numbers(parts) == list(range(433))
    assert [len(part.dense) for part in parts] == [50] * 8 + [33]


@pytest.mark.parametrize("order", ["time", "shuffled"])
@pytest.mark.parametrize("batch_size", [1, 7, 64, 80, 433, 1000])
def test_every_row_comes_once_with_all_that_belongs_to_it(days, order: str, batch_size: int) -> None:
    parts = list(batches(days, batch_size=batch_size, order=order, seed=3, epoch=2))
    assert len(parts) == steps_per_epoch(days, batch_size)
    assert all(len(part.dense) == batch_size for part in parts[:-1])
    whole = joined(parts)
    place = np.argsort(whole.dense[:, NUMBER].numpy())
    for name in Batch._fields:
        np.testing.assert_array_equal(getattr(whole, name).numpy()[place], getattr(days, name)(), err_msg=name)


@pytest.mark.parametrize("order", ["time", "shuffled"])
@pytest.mark.parametrize("start", [0, 1, 3, 8, 9, 20])
def test_a_resumed_epoch_is_the_tail_of_the_whole_one(days, order: str, start: int) -> None:
    whole = list(batches(days, batch_size=50, order=order, seed=5, epoch=1))
    assert_same(list(batches(days, batch_size=50, order=order, seed=5, epoch=1, start_step=start)), whole[start:])


def test_the_same_seed_and_epoch_give_the_same_batches_and_others_do_not(days, encoded) -> None:
    def drawn(seed: int, epoch: int) -> list[int]:
        return numbers(list(batches(EncodedDays(encoded, list(NUMBERED)), batch_size=50, order="shuffled", seed=seed, epoch=epoch)))

    assert drawn(1, 0) == drawn(1, 0)
    assert len({tuple(drawn(seed, epoch)) for seed, epoch in ((1, 0), (1, 1), (2, 0), (2, 1))}) == 4


def test_a_window_mixes_chunks_from_all_days(days) -> None:
    first = numbers(list(batches(days, batch_size=80, order="shuffled", seed=1)))[:80]
    assert len({number // 16 for number in first}) >= 5
    assert np.abs(np.diff(first)).min() >= 1
    assert np.mean(np.abs(np.diff(first)) == 1) < 0.2, "neighbours in time are not neighbours in the batch"


@pytest.mark.words
def test_days_within_one_window_are_permuted_outright(encoded, monkeypatch) -> None:
    monkeypatch.setattr(BATCHES, "_WINDOW_CHUNKS", 1_000)
    days = EncodedDays(encoded, list(NUMBERED))
    places = np.array([numbers(list(batches(days, batch_size=100, order="shuffled", seed=seed))) for seed in range(150)])
    assert np.corrcoef(places.mean(axis=0), np.arange(433))[0, 1] < 0.2
    assert abs(places[:, 0].mean() - 216) < 4 * 433 / np.sqrt(12 * 150), "any row may come first"


@pytest.mark.parametrize("start", [0, 1, 63, 64, 173, 200, 432, 433, 500])
def test_labels_from_a_row_on_are_the_tail_of_all(days, start: int) -> None:
    np.testing.assert_array_equal(days.labels(start), days.labels()[start:])


@pytest.mark.parametrize("places", [[], [0], [63, 64], [5, 172, 173, 432], list(range(433)), list(range(130, 300))])
def test_rows_taken_by_place_are_those_rows(days, places: list[int]) -> None:
    taken = list(packed_batches(days.take(np.array(places, np.intp)), 7))
    (whole,) = batches(days, batch_size=433, order="time")
    assert [len(part.labels) for part in taken] == [7] * (len(places) // 7) + ([len(places) % 7] if len(places) % 7 else [])
    if places:
        assert_same([joined(taken)], [Batch(*(tensor[places] for tensor in whole))])


def test_types_and_shapes_are_those_of_the_contract(days) -> None:
    layout = days.layout
    (batch,) = batches(days, batch_size=1_000, order="time")
    n, length = 433, layout.history_length
    assert batch.dense.shape == (n, len(layout.dense))
    assert batch.rows.shape == (n, 12)
    assert batch.history_rows.shape == (n, length, 5)
    assert batch.history_signals.shape == (n, length, len(layout.history_signals))
    assert batch.history_length.shape == (n,)
    assert batch.bias.shape == (n, 2)
    assert batch.labels.shape == (n, 2)
    assert batch.durations.shape == (n, 0)
    assert batch.weights.shape == (n,)
    kinds = [torch.float32, torch.int64, torch.int64, torch.float32, torch.int64, torch.int64, *[torch.float32] * 3]
    assert [tensor.dtype for tensor in batch] == kinds


def test_tensors_are_memory_of_their_own(days) -> None:
    before = days.dense()
    for order in ("time", "shuffled"):
        for batch in batches(days, batch_size=64, order=order):
            batch.dense.zero_()
            batch.labels.zero_()
    np.testing.assert_array_equal(days.dense(), before)
    assert days.labels()[:, 0].any()


def test_blocks_are_views_of_the_file(days) -> None:
    assert not days.block(0).dense.flags.writeable
    assert not days.block(0).dense.flags.owndata


def test_one_example_for_serving_is_a_batch_of_one(make_examples, make_pipeline) -> None:
    encoder = Encoder.fit([("2024-01-01", make_examples(100))], make_pipeline())
    one = to_batch(encoder.transform(make_examples(1)), encoder.layout)
    assert [len(tensor) for tensor in one] == [1] * 9
    assert one.rows.dtype == torch.int64


def test_no_rows_give_no_batches(encoded) -> None:
    days = EncodedDays(encoded, ["2024-01-02"])
    assert (len(days), steps_per_epoch(days, 10)) == (0, 0)
    assert not list(batches(days, batch_size=10, order="shuffled"))
    assert days.labels().shape == (0, 2)


def test_an_absent_day_is_named(encoded) -> None:
    with pytest.raises(ArtifactError, match="day=2024-02-30: found no encoded day"):
        EncodedDays(encoded, ["2024-01-01", "2024-02-30"])


def test_a_damaged_day_is_named(mine) -> None:
    (mine / "day=2024-01-03" / "part-0.arrow").write_bytes(b"ARROW1 but not really")
    with pytest.raises(ArtifactError, match=r"day=2024-01-03/part-0\.arrow: found other bytes"):
        EncodedDays(mine, list(NUMBERED))


def test_a_day_of_another_encoder_is_refused(mine, make_examples, make_pipeline) -> None:
    other = Encoder.fit([("2024-01-01", make_examples(100))], make_pipeline(history=0))
    write_encoded(mine / "day=2024-01-03", other.transform(make_examples(10)))
    with pytest.raises(ArtifactError, match="found other columns than the encoder beside it makes"):
        EncodedDays(mine, list(NUMBERED))
