import hashlib
import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from recsys import artifacts
from recsys.artifacts import manifests, read, write
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
    assert raw["rows"] == {"read": 4, "kept": 3, "duplicate": 1, "quarantined": 0, "joined": 0, "repeated": 0, "ignored": 0}
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


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '{"stage": 1, "checksum": "9f86d081884c"}'])
def test_a_damaged_manifest_is_refused_by_name(tmp_path: Path, text: str):
    make(tmp_path / "out")
    (tmp_path / "out" / "_manifest.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"_manifest\.json: found a damaged manifest"):
        artifacts.manifest(tmp_path / "out")


@pytest.mark.parametrize("name", ["_manifest.json", "_manifest.rows.csv.json"])
def test_a_folder_in_the_place_of_a_manifest_is_damage(tmp_path: Path, name: str):
    """It counted as absent in `damages`, and the next reader ended with the error of the system."""
    make(tmp_path / "out")
    artifacts.write_file(tmp_path / "out" / "rows.csv", lambda draft: draft.write_text("a\n"), stage="s", fingerprint="f")
    place = tmp_path / "out" / name
    place.unlink()
    (place / "below").mkdir(parents=True)
    target = tmp_path / "out" if name == "_manifest.json" else tmp_path / "out" / "rows.csv"
    with pytest.raises(ArtifactError, match=f"{name}: found a folder, expected a manifest. Fix: delete it and run again"):
        artifacts.is_fresh(target, "f")
    assert artifacts.damages(tmp_path)[1] == {target: f"{place}: found a folder, expected a manifest"}
    artifacts.unseal(target)
    assert artifacts.damages(tmp_path)[1] == {}
    assert artifacts.manifest(target) is None


def test_a_folder_in_the_place_of_a_file_is_damage(tmp_path: Path):
    target = tmp_path / "rows.csv"
    artifacts.write_file(target, lambda draft: draft.write_text("a\n"), stage="s", fingerprint="f")
    target.unlink()
    target.mkdir()
    with pytest.raises(ArtifactError, match=r"rows\.csv: found a folder, expected the file that its manifest names. Fix: delete it"):
        artifacts.is_fresh(target, "f")
    assert artifacts.damages(tmp_path)[1] == {target: f"{target}: found a folder, expected the file that its manifest names"}


def test_any_changed_byte_of_a_manifest_is_found_or_makes_no_difference(tmp_path: Path):
    make(tmp_path / "out")
    place = tmp_path / "out" / "_manifest.json"
    whole, right = place.read_bytes(), artifacts.manifest(tmp_path / "out")
    outcomes = set()
    for position in range(len(whole)):
        place.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        try:
            found = artifacts.manifest(tmp_path / "out")
        except ArtifactError:
            outcomes.add("refused")
            continue
        assert found in (right, None)
        outcomes.add("absent" if found is None else "the same")
    assert "refused" in outcomes


def test_a_manifest_of_an_earlier_version_counts_as_absent(tmp_path: Path):
    make(tmp_path / "out")
    place = tmp_path / "out" / "_manifest.json"
    fields = json.loads(place.read_text())
    del fields["checksum"]
    place.write_text(json.dumps(fields))
    assert artifacts.manifest(tmp_path / "out") is None
    assert not artifacts.is_fresh(tmp_path / "out", "f")


# --- Readers ------------------------------------------------------------------------------------------------------
READERS = {
    "read_table": artifacts.read_table,
    "read_batches": lambda path: list(artifacts.read_batches(path, 2)),
    "read_schema": artifacts.read_schema,
    "count_rows": artifacts.count_rows,
    "checked": artifacts.checked,
}


@pytest.mark.parametrize("name", READERS)
def test_every_reader_compares_the_bytes_first(tmp_path: Path, name: str):
    make(tmp_path / "out")
    part = tmp_path / "out" / "day=1" / "part-0.parquet"
    READERS[name](part)
    content = bytearray(part.read_bytes())
    content[20] ^= 1
    part.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"part-0\.parquet: found other bytes than its manifest says"):
        READERS[name](part)


def test_a_reader_looks_at_the_files_it_is_asked_for(tmp_path: Path):
    make(tmp_path / "out")
    (tmp_path / "out" / "note.json").write_text("{}")
    artifacts.read_table(tmp_path / "out" / "day=1")
    with pytest.raises(ArtifactError, match=r"note\.json"):
        artifacts.checked(tmp_path / "out")


@pytest.mark.parametrize("name", ["other.parquet", "day=2", "day=1/part"])
def test_what_no_manifest_names_is_not_read(tmp_path: Path, name: str):
    make(tmp_path / "out")
    with pytest.raises(ArtifactError, match="found no such file in the manifest"):
        artifacts.checked(tmp_path / "out" / name)
    with pytest.raises(ArtifactError, match="found no artifact with a manifest"):
        artifacts.checked(tmp_path / name)


def test_a_file_is_hashed_again_once_it_was_written_again(tmp_path: Path):
    """Also where the second write leaves the size and the time as they were, as one within a tick of the clock does."""
    file = tmp_path / "file"
    file.write_bytes(b"first")
    now = file.stat().st_mtime_ns
    first = manifests.sha256(file)
    file.write_bytes(b"other")
    os.utime(file, ns=(now, now))
    assert manifests.sha256(file) != first


def test_an_old_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "file"
    file.write_bytes(b"first")
    os.utime(file, (1, 1))
    digest = manifests.sha256(file)
    monkeypatch.setattr(manifests.hashlib, "file_digest", lambda *_: pytest.fail("read again"))
    assert manifests.sha256(file) == digest


def test_a_single_file_has_its_manifest_beside_it(tmp_path: Path):
    target = tmp_path / "predictions.parquet"
    artifacts.write_file(target, lambda draft: pa.parquet.write_table(TABLE, draft), stage="score", fingerprint="f")
    assert artifacts.verify(target).files["predictions.parquet"]["rows"] == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["_manifest.predictions.parquet.json", "predictions.parquet"]


@pytest.mark.parametrize("moment", ["unseal", "replace", "write_beside"])
def test_a_writer_that_dies_leaves_the_older_file_whole_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str):
    """A file of the same size as before: only its manifest tells old from new."""
    target = tmp_path / "file.txt"
    artifacts.write_file(target, lambda draft: draft.write_text("old"), stage="test", fingerprint="old")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    place = {"unseal": (write, "unseal"), "replace": (write.os, "replace"), "write_beside": (write, "_write_beside")}[moment]
    monkeypatch.setattr(*place, die)
    with pytest.raises(KeyboardInterrupt):
        artifacts.write_file(target, lambda draft: draft.write_text("new"), stage="test", fingerprint="new")
    assert not artifacts.is_fresh(target, "new")
    assert artifacts.is_fresh(target, "old") == (moment == "unseal")


def test_a_row_account_that_does_not_add_up_cannot_be_made():
    with pytest.raises(ValueError, match="does not add up"):
        artifacts.RowAccount(read=5, kept=3, duplicate=1, quarantined=0)


def test_a_truncated_parquet_is_told_by_name(tmp_path: Path):
    make(tmp_path / "out")
    part = tmp_path / "out" / "day=1" / "part-0.parquet"
    part.write_bytes(part.read_bytes()[:-10])
    with pytest.raises(ArtifactError, match=r"part-0\.parquet: found other bytes than its manifest says"):
        artifacts.read_table(part)


def test_fingerprints_do_not_depend_on_the_order_of_keys():
    assert artifacts.fingerprint({"a": 1, "b": [2]}) == artifacts.fingerprint({"b": [2], "a": 1})
    assert artifacts.fingerprint({"a": 1}) != artifacts.fingerprint({"a": 2})


def test_what_a_job_at_work_writes_replaces_and_removes_is_not_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("a", "b", ".c.7.draft", "d/.e.7.old"):
        make(tmp_path / name)
    assert artifacts.targets(tmp_path) == [tmp_path / "a", tmp_path / "b"]
    (tmp_path / "b" / "other").write_text("a file that no manifest names")
    look = read.damage

    def removed(target: Path) -> str | None:
        if target == tmp_path / "b":
            shutil.rmtree(target, ignore_errors=True)
        return look(target)

    monkeypatch.setattr(read, "damage", removed)
    files, damaged = artifacts.damages(tmp_path)
    assert (files, damaged) == (len(artifacts.require_manifest(tmp_path / "a").files), {})


def test_a_folder_that_goes_while_artifacts_are_looked_for_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("a", "b"):
        make(tmp_path / name)
    scan = os.scandir

    def gone(path: object) -> object:
        if str(path) == str(tmp_path / "a"):
            shutil.rmtree(tmp_path / "a")
        return scan(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", gone)
    assert artifacts.targets(tmp_path) == [tmp_path / "b"]
