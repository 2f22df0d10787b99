"""Batches of one objective against the rows they are cut from: which is drawn how often, which rows, and what a resumed pass is."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.encoding import Batch, EncodedDays, Sampling, Thinning, batches, packing, steps_per_epoch
from recsys.encoding.sampling import OwnRows

from .conftest import BATCHES, NUMBER, NUMBERED, Relabel, assert_same, write_encoder, write_numbered, write_numbered_days

pytestmark = pytest.mark.usefixtures("small_windows")

CLICK, SURVEY = 0, 1
EVERY_WAY = [0.0, 0.5, 1.0]


def with_answers(share: float) -> Relabel:
    """A `share` of the rows has the second label."""

    def relabel(seed: int, packed: packing.Packed) -> packing.Packed:
        rng, labels = np.random.default_rng(seed), packed.labels.copy()
        labels[:, SURVEY] = np.where(rng.random(len(labels)) < share, rng.exponential(10, len(labels)), np.nan)
        return packed._replace(labels=labels)

    return relabel


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log in which every row has a click and one in ten an answer; every fifth row counts 0."""
    return write_numbered_days(tmp_path_factory.mktemp("sampling"), with_answers(0.1))


@pytest.fixture
def days(folder: Path) -> EncodedDays:
    return EncodedDays(folder, list(NUMBERED))


def sampling(exponent: float = 0.0, objectives: tuple[int, ...] = (CLICK, SURVEY)) -> Sampling:
    return Sampling(exponent, objectives)


def drawn(days: EncodedDays, sampled: Sampling | None, **options) -> list[Batch]:
    return list(batches(days, **{"batch_size": 20, "order": "shuffled", "sampling": sampled} | options))


def objectives_of(parts: list[Batch]) -> list[int]:
    """Of each batch the one that has labels, all of its rows."""
    found = []
    for part in parts:
        observed = ~part.labels.isnan()
        (k,) = observed.any(0).nonzero().flatten().tolist()
        assert observed[:, k].all()
        found.append(k)
    return found


def numbers(part: Batch) -> list[int]:
    return part.dense[:, NUMBER].int().tolist()


def learnable(days: EncodedDays) -> np.ndarray:
    """[N, K] by the arrays themselves."""
    return ~np.isnan(days.labels()) & (days.weights() > 0)[:, None]


def within(counts: float, steps: int, share: float) -> bool:
    return abs(counts - steps * share) <= 4.5 * np.sqrt(steps * share * (1 - share))


# --- Which objective ----------------------------------------------------------------------------------------------
def test_shares_are_powers_of_the_numbers_of_rows() -> None:
    counts = np.array([0, 4, 16, 100, 9])
    np.testing.assert_allclose(Sampling(0.5, (0, 1, 2, 4)).shares(counts), [0, 2 / 9, 4 / 9, 0, 3 / 9])
    np.testing.assert_allclose(Sampling(0.0, (0, 1, 2, 4)).shares(counts), [0, 1 / 3, 1 / 3, 0, 1 / 3])
    np.testing.assert_allclose(Sampling(1.0, (0, 1, 2, 3, 4)).shares(counts), counts / 129)
    assert not Sampling(0.0, (0,)).shares(counts).any()


@pytest.mark.words
@pytest.mark.parametrize("exponent", EVERY_WAY)
def test_objectives_are_drawn_by_their_shares_over_many_epochs(days, exponent: float) -> None:
    counts = learnable(days).sum(0)
    share = counts[SURVEY] ** exponent / (counts**exponent).sum()
    found = [k for epoch in range(30) for k in objectives_of(drawn(days, sampling(exponent), epoch=epoch))]
    assert len(found) == 30 * 22
    assert within(found.count(SURVEY), len(found), share)


def test_steps_are_independent_draws() -> None:
    """A step's objective says nothing of the next one's, and their number varies as a binomial one does."""
    plans = np.array([Sampling(0.0, (0, 1)).plan(np.array([[5, 500]]), 40, (3, epoch, 1))[0] for epoch in range(2_000)])
    assert within(plans.sum(), plans.size, 0.5)
    assert plans.sum(axis=1).var() == pytest.approx(10, rel=0.15)
    assert abs(np.corrcoef(plans[:, :-1].ravel(), plans[:, 1:].ravel())[0, 1]) < 4 / np.sqrt(plans.size)
    assert np.abs(plans.mean(axis=0) - 0.5).max() < 4.5 * 0.5 / np.sqrt(len(plans)), "early and late steps alike"


@settings(max_examples=100, deadline=None)
@given(
    counts=st.lists(st.lists(st.integers(0, 300), min_size=3, max_size=3), min_size=1, max_size=6),
    steps=st.integers(0, 200),
    exponent=st.floats(0, 1),
    seed=st.integers(0, 2**31 - 1),
)
def test_steps_lie_where_an_objectives_rows_lie(counts, steps: int, exponent: float, seed: int) -> None:
    """Of each objective a window gets its share of the steps to within one, none where it has no rows."""
    counts_WK = np.array(counts)
    plan = Sampling(exponent, (0, 2)).plan(counts_WK, steps, (seed, 0, 9))
    assert len(plan) == len(counts_WK)
    steps_WK = np.array([np.bincount(of, minlength=3) for of in plan])
    assert steps_WK.sum() == (steps if counts_WK[:, [0, 2]].any() else 0)
    assert not steps_WK[:, 1].any()
    assert not steps_WK[counts_WK == 0].any()
    fair_WK = steps_WK.sum(0) * counts_WK / np.maximum(counts_WK.sum(0), 1)
    assert np.abs(steps_WK - fair_WK)[:, [0, 2]].max() <= 1 + 1e-9


def test_no_window_is_preferred_by_the_rounding() -> None:
    """One step, over many epochs, goes to each window by its rows."""
    plans = [Sampling(1.0, (0,)).plan(np.array([[10], [20], [0], [30]]), 1, (3, epoch, 1)) for epoch in range(1_200)]
    lengths = np.array([[len(of) for of in plan] for plan in plans]).sum(0)
    assert all(within(length, 1_200, share) for length, share in zip(lengths, (1 / 6, 2 / 6, 0, 3 / 6), strict=True))


def test_an_objective_that_may_not_be_drawn_or_has_no_row_never_is(days, folder, tmp_path: Path) -> None:
    assert set(objectives_of(drawn(days, sampling(objectives=(SURVEY,))))) == {SURVEY}
    write_numbered(tmp_path / "day=2024-01-01", write_encoder(tmp_path), 100, 1, 0, with_answers(0.0))
    unanswered = EncodedDays(tmp_path, ["2024-01-01"])
    assert set(objectives_of(drawn(unanswered, sampling()))) == {CLICK}
    assert drawn(unanswered, sampling(objectives=(SURVEY,))) == []
    assert steps_per_epoch(unanswered, 20, sampling=sampling(objectives=(SURVEY,))) == 0
    assert drawn(EncodedDays(folder, ["2024-01-02"]), sampling()) == []


@pytest.mark.words
def test_short_days_draw_each_their_own_objectives(tmp_path: Path) -> None:
    """In time order a round is a day: were its draws those of every day, a day of three steps might never meet some objective."""
    encoder = write_encoder(tmp_path)
    names = [f"2024-{month:02}-{day:02}" for month in (1, 2) for day in range(1, 21)]
    for seed, day in enumerate(names):
        write_numbered(tmp_path / f"day={day}", encoder, 60, seed, 0, with_answers(0.3))
    rounds = [objectives_of(drawn(EncodedDays(tmp_path, [day]), sampling())) for day in names]
    assert {len(found) for found in rounds} == {3}
    assert len({tuple(found) for found in rounds}) > 4
    assert within(sum(map(sum, rounds)), 3 * len(names), 0.5)


# --- Which rows ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("exponent", EVERY_WAY)
@pytest.mark.parametrize("thinning", [None, Thinning(CLICK, 0.4, 5)], ids=["all", "thinned"])
def test_a_batch_is_rows_that_count_with_one_label_and_all_else_that_belongs_to_them(days, exponent: float, thinning) -> None:
    parts = drawn(days, sampling(exponent), thinning=thinning, epoch=1)
    kept = {n for part in drawn(days, None, thinning=thinning, epoch=1) for n in numbers(part)}
    labels, weights = days.labels(), days.weights()
    assert set(objectives_of(parts)) == {CLICK, SURVEY}
    for part, k in zip(parts, objectives_of(parts), strict=True):
        places = numbers(part)
        assert len(set(places)) == len(places) <= 20, "no row twice in a batch"
        assert set(places) <= kept & set(np.flatnonzero(learnable(days)[:, k]))
        for name in set(Batch._fields) - {"labels", "weights"}:
            np.testing.assert_array_equal(getattr(part, name).numpy(), getattr(days, name)()[places], err_msg=name)
        np.testing.assert_array_equal(part.labels[:, k].numpy(), labels[places, k])
        of_zeros = 1 if thinning is None else np.float32(thinning.keep)
        np.testing.assert_array_equal(
            part.weights.numpy(), np.where(labels[places, CLICK] == 0, weights[places] / of_zeros, weights[places])
        )


@settings(max_examples=100, deadline=None)
@given(rows=st.integers(1, 300), batch_size=st.integers(1, 120), seed=st.integers(0, 2**31 - 1))
def test_rows_come_once_each_time_in_equal_parts_and_a_new_order(rows: int, batch_size: int, seed: int) -> None:
    places = np.arange(0, 7 * rows, 7)
    own = OwnRows(places, batch_size, (seed, 0, 5), 1, 0)
    parts = -(-rows // batch_size)
    walked = [own.part(number) for number in range(3 * parts)]
    times = [np.concatenate(walked[time * parts : (time + 1) * parts]) for time in range(3)]
    assert all((np.sort(time) == places).all() for time in times)
    sizes = {len(part) for part in walked}
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    if rows > 20:
        assert len({tuple(time) for time in times}) == 3
    for number in (3 * parts - 1, 0, parts):
        np.testing.assert_array_equal(OwnRows(places, batch_size, (seed, 0, 5), 1, 0).part(number), walked[number])


@pytest.mark.words
def test_a_sparse_label_has_batches_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why one samples: together, a batch of 100 has two answers; drawn uniformly, every other step is on answers alone.

    They are met many times over for that, and weigh all the same, though they lie in several windows.
    """
    monkeypatch.setattr(BATCHES, "_WINDOW_CHUNKS", 100)
    write_numbered(tmp_path / "day=2024-01-01", write_encoder(tmp_path), 3_000, 1, 0, with_answers(0.02))
    days = EncodedDays(tmp_path, ["2024-01-01"])
    answered = np.flatnonzero(learnable(days)[:, SURVEY])
    joint = drawn(days, None, batch_size=100)
    assert np.mean([(~part.labels[:, SURVEY].isnan()).sum() for part in joint]) < 3
    weight, steps = np.zeros(3_000), 0
    for epoch in range(6):
        parts = drawn(days, sampling(), batch_size=100, epoch=epoch)
        assert len(parts) == len(joint) == 30
        own = [numbers(part) for part, k in zip(parts, objectives_of(parts), strict=True) if k == SURVEY]
        assert np.mean([len(places) for places in own]) > 20
        steps += len(own)
        for places in own:
            weight[places] += 1 / len(places)
    assert within(steps, 6 * 30, 0.5)
    np.testing.assert_array_equal(np.flatnonzero(weight), answered)
    np.testing.assert_allclose(weight[answered], steps / len(answered), rtol=0.3)


# --- Passes and steps ---------------------------------------------------------------------------------------------
@pytest.mark.words
@settings(max_examples=25, deadline=None)
@given(
    batch_size=st.integers(1, 120),
    exponent=st.sampled_from([*EVERY_WAY, 0.3]),
    objectives=st.sampled_from([(CLICK,), (SURVEY,), (CLICK, SURVEY)]),
    keep=st.none() | st.floats(0.001, 1.0),
    seeds=st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)),
    epoch=st.integers(0, 5),
    share=st.floats(0, 1.2),
)
def test_a_resumed_pass_is_the_tail_of_the_whole_one(
    folder: Path, batch_size, exponent, objectives, keep, seeds, epoch: int, share: float
) -> None:
    days = EncodedDays(folder, list(NUMBERED))
    thinning = None if keep is None else Thinning(CLICK, keep, seeds[0])
    sampled = Sampling(exponent, objectives)
    options = {"batch_size": batch_size, "seed": seeds[1], "epoch": epoch, "thinning": thinning}
    whole = drawn(days, sampled, **options)
    assert len(whole) == steps_per_epoch(days, batch_size, thinning, sampled, epoch)
    assert len(whole) in (0, steps_per_epoch(days, batch_size, thinning, epoch=epoch)), "as many steps as with all labels"
    start = int(share * len(whole))
    assert_same(drawn(days, sampled, **options, start_step=start), whole[start:])


def test_seeds_epochs_and_days_draw_differently(days, folder) -> None:
    def draws(of: EncodedDays, seed: int, epoch: int) -> tuple[int, ...]:
        return tuple(n for part in drawn(of, sampling(), seed=seed, epoch=epoch) for n in numbers(part))

    assert draws(days, 1, 0) == draws(EncodedDays(folder, list(NUMBERED)), 1, 0)
    assert len({draws(days, seed, epoch) for seed, epoch in ((1, 0), (1, 1), (2, 0), (2, 1))}) == 4


def test_one_window_is_read_at_a_time_and_none_for_what_is_skipped(days, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    original = EncodedDays.read
    monkeypatch.setattr(
        EncodedDays, "read", lambda self, spans: (read.append(sum(span.stop - span.start for span in spans)), original(self, spans))[1]
    )
    whole = drawn(days, sampling())
    assert len(read) == 6
    assert max(read) <= 5 * 16
    read.clear()
    drawn(days, sampling(), start_step=len(whole) - 1)
    assert len(read) == 1
