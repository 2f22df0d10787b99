import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pytest

from recsys import artifacts
from recsys.errors import ArtifactError

TABLE = pa.table({"a": [1, 2, 3]})


def make(target: Path, fingerprint: str = "f") -> None:
    with artifacts.writing(target, stage="test", fingerprint=fingerprint, inputs={"x": "1"}, config={"k": 2}) as output:
        output.write_table("day=1/part-0.parquet", TABLE)
        output.write_json("note.json", {"ä": 1})
        output.rows = artifacts.RowAccount(read=4, kept=3, duplicate=1, quarantined=0)


def test_a_folder_appears_with_files_hashes_and_rows(tmp_path: Path):
    make(tmp_path / "out")
    raw = json.loads((tmp_path / "out" / "_manifest.json").read_text())
    part = tmp_path / "out" / "day=1" / "part-0.parquet"
    assert raw["files"]["day=1/part-0.parquet"] == {
        "bytes": part.stat().st_size,
        "sha256": hashlib.sha256(part.read_bytes()).hexdigest(),
        "rows": 3,
    }
    assert raw["rows"] == {"read": 4, "kept": 3, "duplicate": 1, "quarantined": 0}
    assert raw["config"] == {"k": 2}
    assert artifacts.read_table(tmp_path / "out" / "day=1").equals(TABLE)


def test_equal_inputs_give_equal_bytes(tmp_path: Path):
    make(tmp_path / "a")
    make(tmp_path / "b")
    assert (tmp_path / "a" / "_manifest.json").read_bytes() == (tmp_path / "b" / "_manifest.json").read_bytes()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_what_stood_there_and_nothing_half_written(tmp_path: Path, error: type[BaseException]):
    make(tmp_path / "out", "old")

    def fail_half_way() -> None:
        with artifacts.writing(tmp_path / "out", stage="test", fingerprint="new") as output:
            output.write_table("half.parquet", TABLE)
            raise error

    with pytest.raises(error):
        fail_half_way()
    assert artifacts.verify(tmp_path / "out").fingerprint == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_fresh_means_whole_and_made_from_the_same(tmp_path: Path):
    target = tmp_path / "out"
    assert not artifacts.is_fresh(target, "f")
    make(target)
    assert artifacts.is_fresh(target, "f")
    assert not artifacts.is_fresh(target, "g")
    (target / "note.json").unlink()
    assert not artifacts.is_fresh(target, "f")


def test_one_changed_byte_is_found_and_named(tmp_path: Path):
    make(tmp_path / "out")
    note = tmp_path / "out" / "note.json"
    note.write_text(note.read_text().replace("1", "2"))
    with pytest.raises(ArtifactError, match=r"note\.json: found other bytes") as caught:
        artifacts.verify(tmp_path / "out")
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stage": 1, "unknown": 2}'])
def test_a_foreign_manifest_is_refused_by_name(tmp_path: Path, text: str):
    make(tmp_path / "out")
    (tmp_path / "out" / "_manifest.json").write_text(text)
    with pytest.raises(ArtifactError, match="manifest that cannot be read"):
        artifacts.manifest(tmp_path / "out")


def test_a_single_file_has_its_manifest_beside_it(tmp_path: Path):
    target = tmp_path / "predictions.parquet"
    artifacts.write_file(target, lambda draft: pa.parquet.write_table(TABLE, draft), stage="score", fingerprint="f")
    assert artifacts.verify(target).files["predictions.parquet"]["rows"] == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["_manifest.predictions.parquet.json", "predictions.parquet"]


def test_a_row_account_that_does_not_add_up_cannot_be_made():
    with pytest.raises(ValueError, match="does not add up"):
        artifacts.RowAccount(read=5, kept=3, duplicate=1, quarantined=0)


def test_a_truncated_parquet_is_told_by_name(tmp_path: Path):
    make(tmp_path / "out")
    part = tmp_path / "out" / "day=1" / "part-0.parquet"
    part.write_bytes(part.read_bytes()[:-10])
    with pytest.raises(ArtifactError, match=r"part-0\.parquet: cannot be read as parquet"):
        artifacts.read_table(part)


def test_fingerprints_do_not_depend_on_the_order_of_keys():
    assert artifacts.fingerprint({"a": 1, "b": [2]}) == artifacts.fingerprint({"b": [2], "a": 1})
    assert artifacts.fingerprint({"a": 1}) != artifacts.fingerprint({"a": 2})
