"""The stage: what is written, what stays, what it depends on."""

import shutil
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recsys import artifacts
from recsys.encoding import EncodedDays, Encoder, packing
from recsys.errors import ArtifactError
from recsys.progress import Console
from recsys.stages import STAGES
from tests.staged import encode

DAYS = ("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05")


@pytest.fixture
def tables(make_examples) -> dict[str, pa.Table]:
    return {day: make_examples(60 + seed, seed) for seed, day in enumerate(DAYS)}


@pytest.fixture
def console() -> Console:
    return Console(quiet=True)


def bytes_of(folder: Path) -> dict[str, str]:
    return {path.name: manifest.content for path in sorted(folder.iterdir()) if (manifest := artifacts.manifest(path)) is not None}


def test_the_days_hold_what_the_encoder_makes_of_the_examples(tables, write_examples, make_pipeline, tmp_path, console) -> None:
    got = encode(make_pipeline(), write_examples(tables), console=console)
    assert got.days == DAYS
    expected = Encoder.fit([(day, tables[day]) for day in DAYS[:3]], make_pipeline())
    assert got.encoder.layout == expected.layout == Encoder.load(got.folder / "encoder").layout
    for day in DAYS:
        days = EncodedDays(got.folder, [day])
        for name, values in packing.unpack(expected.transform(tables[day]), expected.layout)._asdict().items():
            np.testing.assert_array_equal(getattr(days, name)(), values, err_msg=f"{day} {name}")
        artifacts.verify(got.folder / f"day={day}")


def test_what_is_fresh_stays_and_is_said_to(tables, write_examples, make_pipeline, tmp_path, capsys) -> None:
    examples = write_examples(tables)
    first = encode(make_pipeline(), examples, console=Console())
    assert "encode: 0 of 6 parts are fresh" in capsys.readouterr().out
    times = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*") if path.is_file()}
    second = encode(make_pipeline(), examples, console=Console())
    assert "encode: fresh (6 parts)" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in second.folder.rglob("*") if path.is_file()} == times
    assert (second.folder, second.days) == (first.folder, first.days)


def test_the_encoder_sees_no_validation_or_test_day(tables, write_examples, make_examples, make_pipeline, tmp_path, console) -> None:
    first = encode(make_pipeline(), write_examples(tables), console=console)
    before = bytes_of(first.folder)
    tables[DAYS[3]], tables[DAYS[4]] = make_examples(90, 77, values=40), make_examples(30, 78, values=40)
    second = encode(make_pipeline(), write_examples(tables), console=console)
    after = bytes_of(second.folder)
    assert second.folder == first.folder
    assert {name for name in before if before[name] != after[name]} == {"day=2024-01-04", "day=2024-01-05"}


def test_another_training_day_makes_another_encoder_and_all_days_anew(
    tables, write_examples, make_examples, make_pipeline, console
) -> None:
    first = encode(make_pipeline(), write_examples(tables), console=console)
    before = bytes_of(first.folder)
    tables[DAYS[1]] = make_examples(61, 99, values=40)
    second = encode(make_pipeline(), write_examples(tables), console=console)
    after = bytes_of(second.folder)
    assert {name for name in before if before[name] != after[name]} == {"encoder", *(f"day={day}" for day in DAYS)}


def test_the_same_inputs_give_the_same_bytes(tables, write_examples, make_pipeline, tmp_path, console) -> None:
    examples = write_examples(tables)
    folder = encode(make_pipeline(), examples, console=console).folder
    first = bytes_of(folder)
    shutil.rmtree(folder)
    assert bytes_of(encode(make_pipeline(), examples, console=console).folder) == first


@pytest.mark.parametrize(
    ("change", "matters"),
    [
        ({"min_count": 4}, True),
        ({"max_values": 3}, True),
        ({"history": 2}, True),
        ({"bias": ["position"]}, True),
        ({"ids": []}, True),
        ({"memory_limit": "1GB"}, False),
        ({"slices": ["tab"]}, False),
    ],
)
def test_what_the_encoder_reads_counts(make_pipeline, change, matters) -> None:
    encode = STAGES["encode"]
    assert (encode.counted(make_pipeline(**change)) != encode.counted(make_pipeline())) is matters


def test_days_that_are_not_there_are_left_out(tables, write_examples, make_pipeline, tmp_path, console) -> None:
    del tables[DAYS[1]], tables[DAYS[4]]
    got = encode(make_pipeline(), write_examples(tables), console=console)
    assert got.days == ("2024-01-01", "2024-01-03", "2024-01-04")


def test_no_training_day_is_refused(tables, write_examples, make_pipeline, tmp_path, console) -> None:
    examples = write_examples({DAYS[3]: tables[DAYS[3]]})
    with pytest.raises(ArtifactError, match=r"found no day from 2024-01-01 to 2024-01-03 \(split\.train\)"):
        encode(make_pipeline(), examples, console=console)


def test_a_day_that_lacks_a_column_is_named_and_leaves_nothing(
    tables, write_examples, make_pipeline, tmp_path, console, monkeypatch
) -> None:
    """The day before it is still at work when it fails, and stands in the end."""
    failed = threading.Event()
    transform = Encoder.transform

    def slow(self, table, *, place, **options):
        if place.endswith(DAYS[3]):
            assert failed.wait(30), "both days are at work at once"
        try:
            return transform(self, table, place=place, **options)
        except ArtifactError:
            failed.set()
            raise

    monkeypatch.setattr(Encoder, "transform", slow)
    tables[DAYS[4]] = tables[DAYS[4]].drop_columns(["item.kind"])
    with pytest.raises(ArtifactError, match=r"day=2024-01-05 column item\.kind: found no such column"):
        encode(make_pipeline(), write_examples(tables), console=console)
    (folder,) = (tmp_path / "encoded").iterdir()
    assert not (folder / "day=2024-01-05").exists()
    assert (folder / "day=2024-01-04").is_dir()


def test_damaged_examples_are_named(tables, write_examples, make_pipeline, tmp_path, console) -> None:
    examples = write_examples(tables)
    (examples / "day=2024-01-02" / "part-0.parquet").write_bytes(b"PAR1 but not really PAR1")
    with pytest.raises(ArtifactError, match=r"day=2024-01-02/part-0\.parquet: found other bytes"):
        encode(make_pipeline(), examples, console=console)


def test_a_day_without_a_manifest_is_refused(tables, write_examples, make_pipeline, tmp_path, console) -> None:
    examples = write_examples(tables)
    (examples / "day=2024-01-04" / artifacts.MANIFEST).unlink()
    with pytest.raises(ArtifactError, match="day=2024-01-04: found no manifest"):
        encode(make_pipeline(), examples, console=console)


def test_a_day_without_rows_is_encoded_as_one(tables, write_examples, make_pipeline, tmp_path, console) -> None:
    tables[DAYS[4]] = tables[DAYS[4]].slice(0, 0)
    got = encode(make_pipeline(), write_examples(tables), console=console)
    assert len(EncodedDays(got.folder, [DAYS[4]])) == 0
    assert len(EncodedDays(got.folder, got.days)) == sum(len(table) for table in tables.values())
