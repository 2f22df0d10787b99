"""What becomes known in a period, of days in several record batches, against the arrays of all rows with all labels."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch

from recsys.encoding import Batch, EncodedDays, Period, Sampling, Thinning, batches, packing, steps_per_epoch

from .conftest import NUMBER, NUMBERED, write_numbered_days

pytestmark = pytest.mark.usefixtures("small_windows")

FIRST = (date(2024, 1, 1) - date(1970, 1, 1)).days
CLICK = 0
PERIODS = [Period(), Period(until=FIRST + 1), Period(FIRST + 1, FIRST + 3), Period(FIRST + 3), Period(FIRST + 90)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels are known 0 to 4 days later, in the second batch of a day all at once."""
    rng = np.random.default_rng(3)

    def relabel(place: int, packed: packing.Packed) -> packing.Packed:
        labels = packed.labels.copy()
        labels[rng.random(len(labels)) < 0.3, CLICK] = np.nan
        known = FIRST + place + rng.integers(0, 5, labels.shape)
        known[64:128] = FIRST + place
        known[np.isnan(labels)] = 0
        return packed._replace(labels=labels, known=known.astype(np.int32))

    return write_numbered_days(tmp_path_factory.mktemp("known"), relabel)


def by_hand(folder: Path, period: Period) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the rows with a label that is known in the period, and all rows' labels of the period."""
    days = EncodedDays(folder, list(NUMBERED))
    labels = days.labels()
    for number, row in enumerate(days.known().tolist()):
        for k, day in enumerate(row):
            if day < period.since or (period.until is not None and day >= period.until):
                labels[number, k] = np.nan
    return np.flatnonzero(~np.isnan(labels).all(axis=1)), labels


def opened(folder: Path, period: Period) -> EncodedDays:
    return EncodedDays(folder, list(NUMBERED), [period] * len(NUMBERED))


def numbers(part: Batch) -> list[int]:
    return part.dense[:, NUMBER].int().tolist()


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("order", ["time", "shuffled"])
def test_rows_with_a_label_of_the_period_come_once_with_its_labels_alone(folder: Path, period: Period, order: str) -> None:
    rows, labels = by_hand(folder, period)
    days, whole = opened(folder, period), EncodedDays(folder, list(NUMBERED))
    assert len(days) == len(rows)
    np.testing.assert_array_equal(days.labels(), labels[rows])
    np.testing.assert_array_equal(days.labels(70), labels[rows][70:])
    parts = list(batches(days, batch_size=50, order=order, seed=4, epoch=1))
    assert sorted(number for part in parts for number in numbers(part)) == rows.tolist()
    assert len(parts) == steps_per_epoch(days, 50)
    for part in parts:
        np.testing.assert_array_equal(part.labels.numpy(), labels[numbers(part)])
        for name in set(Batch._fields) - {"labels"}:
            np.testing.assert_array_equal(getattr(part, name).numpy(), getattr(whole, name)()[numbers(part)], err_msg=name)
    assert order == "shuffled" or [number for part in parts for number in numbers(part)] == rows.tolist()
    start = len(parts) // 2
    tail = list(batches(days, batch_size=50, order=order, seed=4, epoch=1, start_step=start))
    assert all(torch.equal(one.dense, other.dense) for one, other in zip(tail, parts[start:], strict=True))


def test_each_day_has_a_period_of_its_own(folder: Path) -> None:
    """So late rows of one day stand beside all of another."""
    days = EncodedDays(folder, ["2024-01-03", "2024-01-01"], [Period(), Period(FIRST + 2, FIRST + 3)])
    late, late_labels = by_hand(folder, Period(FIRST + 2, FIRST + 3))
    own, own_labels = by_hand(folder, Period())
    expected = {int(n): own_labels[n] for n in own if n >= 173} | {int(n): late_labels[n] for n in late if n < 173}
    parts = list(batches(days, batch_size=50, order="shuffled"))
    found = {n: row for part in parts for n, row in zip(numbers(part), part.labels.numpy(), strict=True)}
    assert found.keys() == expected.keys()
    for n, row in found.items():
        np.testing.assert_array_equal(row, expected[n])


@pytest.mark.parametrize("period", PERIODS[:4])
def test_a_late_row_is_thinned_by_its_own_place_once_its_label_is_there(folder: Path, period: Period) -> None:
    """Whether a zero is kept is drawn where it is learned, the same draw whatever is opened; a row whose zero is hidden is kept."""
    rows, labels = by_hand(folder, period)
    thinning = Thinning(CLICK, 0.4, 5)
    whole = EncodedDays(folder, list(NUMBERED))
    firsts = np.cumsum([0, *NUMBERED.values()])
    kept = [thinning.kept(day, np.arange(size), np.zeros(size, np.float32), 2) for day, size in NUMBERED.items()]
    of_all = {int(first + place) for first, of_day in zip(firsts, kept, strict=False) for place in np.flatnonzero(of_day)}
    zeros = {number for number in rows.tolist() if labels[number, CLICK] == 0}
    expected = (set(rows.tolist()) - zeros) | (zeros & of_all)
    parts = list(batches(opened(folder, period), batch_size=50, order="shuffled", thinning=thinning, epoch=2))
    assert {number for part in parts for number in numbers(part)} == expected
    weights = whole.weights()
    for part in parts:
        counted = [weights[number] / np.float32(0.4) if number in zeros else weights[number] for number in numbers(part)]
        np.testing.assert_array_equal(part.weights.numpy(), np.array(counted, np.float32))


def test_steps_of_one_objective_draw_from_what_is_known(folder: Path) -> None:
    period = Period(FIRST + 1, FIRST + 3)
    _, labels = by_hand(folder, period)
    parts = list(batches(opened(folder, period), batch_size=20, order="shuffled", sampling=Sampling(0.0, (0, 1))))
    assert parts
    for part in parts:
        (k,) = (~part.labels.isnan()).any(0).nonzero().flatten().tolist()
        np.testing.assert_array_equal(part.labels[:, k].numpy(), labels[numbers(part), k])


def test_arrivals_count_the_labels_of_rows_that_count_by_the_day_they_become_known(folder: Path) -> None:
    days = EncodedDays(folder, list(NUMBERED))
    counts = (days.weights() > 0)[:, None] & ~np.isnan(days.labels())
    found = days.arrivals()
    assert sorted(found) == sorted(set(days.known()[counts].tolist()))
    for day, of_objectives in found.items():
        np.testing.assert_array_equal(of_objectives, [(counts[:, k] & (days.known()[:, k] == day)).sum() for k in range(2)])
