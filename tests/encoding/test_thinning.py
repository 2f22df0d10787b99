"""Thinned batches against the rows they are cut from: which are kept, what they count, and that a resumed pass is the tail."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.encoding import Batch, EncodedDays, Thinning, batches, packing, steps_per_epoch

from .conftest import NUMBER, NUMBERED, assert_same, write_numbered_days

pytestmark = pytest.mark.usefixtures("small_windows")

ROWS = sum(NUMBERED.values())
CLICK = 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A third of the clicks is unknown."""
    rng = np.random.default_rng(3)

    def relabel(place: int, packed: packing.Packed) -> packing.Packed:
        labels = packed.labels.copy()
        labels[rng.random(len(labels)) < 0.3, CLICK] = np.nan
        return packed._replace(labels=labels)

    return write_numbered_days(tmp_path_factory.mktemp("thinning"), relabel)


@pytest.fixture
def days(folder: Path) -> EncodedDays:
    return EncodedDays(folder, list(NUMBERED))


def drawn(days: EncodedDays, thinning: Thinning | None, **options) -> list[Batch]:
    return list(batches(days, **{"batch_size": 50, "order": "shuffled", "thinning": thinning} | options))


def numbers(parts: list[Batch]) -> list[int]:
    return [number for part in parts for number in part.dense[:, NUMBER].int().tolist()]


@pytest.mark.parametrize("order", ["time", "shuffled"])
@pytest.mark.parametrize("keep", [0.02, 0.5, 0.9])
def test_zeros_are_kept_or_not_all_others_always_and_kept_zeros_count_more(days, order: str, keep: float) -> None:
    parts = drawn(days, Thinning(CLICK, keep, 5), order=order, epoch=2)
    click, weights = days.labels()[:, CLICK], days.weights()
    found = numbers(parts)
    assert len(set(found)) == len(found)
    assert set(np.flatnonzero(click != 0)) <= set(found)  # ones, and rows whose click is not known
    got = torch.cat([part.weights for part in parts]).numpy()
    np.testing.assert_array_equal(got, np.where(click[found] == 0, weights[found] / np.float32(keep), weights[found]))
    kept = np.isin(np.flatnonzero(click == 0), found).sum()
    zeros = (click == 0).sum()
    assert abs(kept - keep * zeros) < 4 * np.sqrt(zeros * keep * (1 - keep)), "a draw of that probability"
    assert order == "shuffled" or found == sorted(found)


@pytest.mark.parametrize("order", ["time", "shuffled"])
def test_keeping_all_is_no_thinning_to_the_bit(days, order: str) -> None:
    assert_same(drawn(days, Thinning(CLICK, 1.0, 5), order=order, seed=3, epoch=1), drawn(days, None, order=order, seed=3, epoch=1))


@pytest.mark.words
@settings(max_examples=25, deadline=None)
@given(
    batch_size=st.integers(1, 120),
    order=st.sampled_from(["time", "shuffled"]),
    keep=st.floats(0.001, 1.0),
    seeds=st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)),
    epoch=st.integers(0, 5),
    share=st.floats(0, 1.2),
)
def test_a_resumed_pass_is_the_tail_of_the_whole_one(folder: Path, batch_size, order, keep, seeds, epoch, share) -> None:
    days, thinning = EncodedDays(folder, list(NUMBERED)), Thinning(CLICK, keep, seeds[0])
    options = {"batch_size": batch_size, "order": order, "seed": seeds[1], "epoch": epoch}
    whole = drawn(days, thinning, **options)
    assert len(whole) == steps_per_epoch(days, batch_size, thinning, epoch=epoch)
    assert all(len(part.labels) == batch_size for part in whole[:-1])
    start = int(share * len(whole))
    assert_same(drawn(days, thinning, **options, start_step=start), whole[start:])


def test_which_rows_are_kept_is_the_seeds_the_epochs_the_days_and_the_places_alone(folder: Path, days) -> None:
    """Not the order, the size of a batch, or which days are opened beside it."""
    thinning = Thinning(CLICK, 0.3, 11)
    expected = set(numbers(drawn(days, thinning)))
    assert set(numbers(drawn(days, thinning, order="time", seed=8, batch_size=7))) == expected
    alone = [number for day in reversed(NUMBERED) for number in numbers(drawn(EncodedDays(folder, [day]), thinning))]
    assert set(alone) == expected
    assert set(numbers(drawn(days, Thinning(CLICK, 0.3, 12)))) != expected


@pytest.mark.words
def test_each_epoch_keeps_other_zeros_and_many_keep_all_of_them(days) -> None:
    """An independent draw of each zero in each epoch: counts of both are binomial."""
    thinning, keep, epochs = Thinning(CLICK, 0.25, 11), 0.25, 40
    zeros = np.flatnonzero(days.labels()[:, CLICK] == 0)
    kept = np.array([np.isin(zeros, numbers(drawn(days, thinning, epoch=epoch))) for epoch in range(epochs)])
    assert len({tuple(row) for row in kept}) == epochs
    wide = 4.5 * np.sqrt(keep * (1 - keep))
    assert np.abs(kept.mean(axis=1) - keep).max() < wide / np.sqrt(len(zeros)), "each epoch keeps its share"
    assert np.abs(kept.mean(axis=0) - keep).max() < wide / np.sqrt(epochs), "each zero is kept as often as any other"
    assert kept.any(axis=0).all()
    assert abs(np.corrcoef(kept[:-1].ravel(), kept[1:].ravel())[0, 1]) < 4 / np.sqrt(kept[1:].size)


def test_more_is_kept_where_more_may_be(days) -> None:
    kept = [set(numbers(drawn(days, Thinning(CLICK, keep, 4)))) for keep in (0.1, 0.4, 0.8, 1.0)]
    assert all(fewer < more for fewer, more in itertools.pairwise(kept))


def test_draws_of_neighbouring_rows_days_and_seeds_are_independent() -> None:
    places, zeros = np.arange(4_000), np.zeros(4_000, np.float32)
    draws = [
        Thinning(0, 0.5, seed).kept(day, places, zeros, epoch).astype(float)
        for seed in (7, 8)
        for day in ("2024-01-01", "2024-01-02")
        for epoch in (0, 1)
    ]
    correlations = np.corrcoef([*draws, np.roll(draws[0], 1)])
    assert np.abs(correlations - np.eye(9)).max() < 4.5 / np.sqrt(4_000)
    assert all(abs(draw.mean() - 0.5) < 4 * 0.5 / np.sqrt(4_000) for draw in draws)


@pytest.mark.words
def test_the_mean_weight_of_a_zero_is_what_it_was(days) -> None:
    """Over many seeds the kept zeros' weights add up to all zeros' weights: the loss is the full one in expectation."""
    click, weights = days.labels()[:, CLICK], days.weights()
    full = weights[click == 0].sum()
    sums = []
    for seed in range(200):
        (part,) = drawn(days, Thinning(CLICK, 0.25, seed), order="time", batch_size=ROWS)
        sums.append(part.weights[part.labels[:, CLICK] == 0].sum().item())
    assert np.mean(sums) == pytest.approx(full, abs=4 * np.std(sums) / np.sqrt(len(sums)))


def test_no_window_is_read_for_what_is_skipped(days, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only labels are looked at on the way to where a pass goes on."""
    thinning, read = Thinning(CLICK, 0.5, 1), []
    original = EncodedDays.read
    monkeypatch.setattr(EncodedDays, "read", lambda self, spans: (read.append(spans), original(self, spans))[1])
    whole = len(drawn(days, thinning))
    windows = len(read)
    read.clear()
    drawn(days, thinning, start_step=whole - 1)
    assert 0 < len(read) < windows
