"""Days that are encoded with a growing vocabulary, against encoders that are fitted on all days up to each."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsys import artifacts
from recsys.config import Pipeline
from recsys.encoding import EncodedDays, Encoder, encoder_after
from recsys.progress import Console
from recsys.stages import STAGES
from recsys.workspace import ENCODED_PART, ENCODER, day_folder
from tests.staged import encode

from .conftest import examples as make_examples
from .conftest import pipeline as make_pipeline

DAYS = ("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05")
QUIET = Console(quiet=True)


def growing(last: int = 4, **tables: Any) -> Pipeline:
    """Two warm days; learns through the day before the last."""
    train = {"order": "time", "warm_days": 2, **tables.pop("train", {})}
    return make_pipeline(split={"train": (DAYS[0], DAYS[last - 1]), "test": (DAYS[last], DAYS[last])}, train=train, **tables)


def day_tables() -> dict[str, pa.Table]:
    return {day: make_examples(150, seed=number, values=6 + 5 * number) for number, day in enumerate(DAYS)}


def written(folder: Path, tables: dict[str, pa.Table]) -> Path:
    for day, table in tables.items():
        with artifacts.writing(folder / "examples" / f"day={day}", stage="features", fingerprint="test") as output:
            output.write_table("part-0.parquet", table)
    return folder / "examples"


def contents(encoded: Path) -> dict[str, str]:
    return {day: artifacts.verify(day_folder(encoded, day)).content for day in DAYS if day_folder(encoded, day).exists()}


def test_the_vocabulary_grows_as_if_it_were_fitted_on_all_days_up_to_each(tmp_path: Path) -> None:
    tables = day_tables()
    folder = encode(growing(), written(tmp_path, tables), console=QUIET).folder
    before = 0
    for number, day in enumerate(DAYS):
        fitted = Encoder.fit([(each, tables[each]) for each in DAYS[: max(2, number + 1)]], growing())
        grown = encoder_after(folder, DAYS[2 : number + 1])
        assert grown.vocabulary.table().equals(fitted.vocabulary.table())
        assert grown.layout.num_rows == EncodedDays(folder, [day]).layout.num_rows
        rows = EncodedDays(folder, [day]).rows()
        np.testing.assert_array_equal(rows, EncodedDays(folder, [day]).block(0).rows)
        assert rows.max() >= before, "and rows of the day's own values are used"
        before = grown.layout.num_rows if number > 1 else 0
    warm = Encoder.load(folder / ENCODER)
    assert warm.normaliser.table().equals(Encoder.fit([(day, tables[day]) for day in DAYS[:2]], growing()).normaliser.table())
    assert grown.layout.quantiles == warm.layout.quantiles


def test_later_rows_are_unknown_to_whoever_knows_fewer(tmp_path: Path) -> None:
    tables = day_tables()
    folder = encode(growing(), written(tmp_path, tables), console=QUIET).folder
    for known in range(2, 5):
        encoder = encoder_after(folder, DAYS[2:known])
        for day in DAYS[known - 1 if known > 2 else 0 :]:  # an earlier day has been encoded before the last values got their rows
            seen = EncodedDays(folder, [day]).known_to(encoder.layout)
            expected = encoder.transform(tables[day])
            (block,) = [seen.block(number) for number in range(len(seen.block_rows))]
            for name in ("rows", "history_rows"):
                column = expected.column(name)
                flat = column.flatten().to_numpy().reshape(getattr(block, name).shape)
                np.testing.assert_array_equal(getattr(block, name), flat)
                np.testing.assert_array_equal(getattr(seen, name)(), flat)
                np.testing.assert_array_equal(getattr(seen.take(np.arange(0, 150, 7)), name), flat[::7])


def test_days_one_by_one_are_the_days_at_once_to_the_byte(tmp_path: Path) -> None:
    at_once = encode(growing(), written(tmp_path / "a", day_tables()), console=QUIET).folder
    examples = written(tmp_path / "b", day_tables())
    for last in (2, 3, 4):
        one_by_one = encode(growing(last), examples, console=QUIET).folder
        assert sorted(contents(one_by_one)) == list(DAYS[: last + 1])
    assert contents(one_by_one) == contents(at_once)


def test_a_new_day_and_a_changed_one_leave_the_days_before_as_they_are(tmp_path: Path) -> None:
    tables = day_tables()
    examples = written(tmp_path, tables)
    folder = encode(growing(3), examples, console=QUIET).folder
    first = {day: (day_folder(folder, day) / ENCODED_PART).stat().st_mtime_ns for day in DAYS[:4]}
    assert encode(growing(4), examples, console=QUIET).folder == folder
    assert {day: (day_folder(folder, day) / ENCODED_PART).stat().st_mtime_ns for day in DAYS[:4]} == first
    before = contents(folder)
    written(tmp_path, {DAYS[3]: make_examples(150, seed=99, values=60)})
    encode(growing(4), examples, console=QUIET)
    after = contents(folder)
    assert [before[day] == after[day] for day in DAYS] == [True, True, True, False, False]


def test_a_day_that_is_gone_is_made_again_from_those_around_it(tmp_path: Path) -> None:
    examples = written(tmp_path, day_tables())
    folder = encode(growing(), examples, console=QUIET).folder
    before = contents(folder)
    shutil.rmtree(day_folder(folder, DAYS[2]))
    encode(growing(), examples, console=QUIET)
    assert contents(folder) == before


@pytest.mark.parametrize("order", ["time", "shuffled"])
def test_where_the_split_ends_counts_in_shuffled_order_alone(order: str) -> None:
    places = {STAGES["encode"].place(STAGES["encode"].receives(growing(last, train={"order": order}))) for last in (2, 3, 4)}
    assert len(places) == (1 if order == "time" else 3)
    warm = {STAGES["encode"].place(STAGES["encode"].receives(growing(train={"order": order, "warm_days": n}))) for n in (1, 2)}
    assert len(warm) == (2 if order == "time" else 1)


@pytest.mark.parametrize(("lacking", "count", "warm"), [((), 3, (0, 1, 2)), ((1,), 3, (0, 2)), ((0,), 2, (1,)), ((0, 1), 2, (2, 3))])
def test_a_day_that_the_log_lacks_counts_as_a_warm_one(tmp_path: Path, lacking: tuple[int, ...], count: int, warm: tuple[int, ...]) -> None:
    """Where none of the first days is there, they are counted from the first one that is."""
    examples = written(tmp_path, {day: table for place, (day, table) in enumerate(day_tables().items()) if place not in lacking})
    folder = encode(growing(train={"warm_days": count}), examples, console=QUIET).folder
    assert list(artifacts.require_manifest(folder / ENCODER).inputs) == [DAYS[place] for place in warm]


def test_a_longer_training_leaves_the_encoder_of_a_shorter_one_as_it_is_where_a_warm_day_is_missing(tmp_path: Path) -> None:
    tables = day_tables()
    del tables[DAYS[1]]
    examples = written(tmp_path, tables)
    before = contents(encode(growing(3, train={"warm_days": 3}), examples, console=QUIET).folder)
    after = contents(encode(growing(4, train={"warm_days": 3}), examples, console=QUIET).folder)
    assert {day: after[day] for day in before} == before
