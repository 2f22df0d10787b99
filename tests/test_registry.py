"""Which model is the current one, from the decisions that were written down."""

import json
from pathlib import Path

import pytest

from recsys import artifacts, registry
from recsys.errors import ArtifactError


def model(folder: Path, run: str, weights: str = "w") -> str:
    with artifacts.writing(folder / "runs" / run / "model", stage="train", fingerprint=weights) as output:
        output.write_json("weights.json", [run, weights])
    found = artifacts.manifest(folder / "runs" / run / "model")
    assert found is not None
    return found.content


def promoted(folder: Path, run: str) -> None:
    registry.record(folder, registry.PROMOTED, run, model=model(folder, run))


def test_the_current_run_is_the_last_promotion_that_stands(tmp_path: Path) -> None:
    assert registry.current_run(tmp_path) is None
    for run in ("a", "b", "c"):
        promoted(tmp_path, run)
    registry.record(tmp_path, registry.REFUSED, "d")
    assert registry.current_run(tmp_path) == tmp_path / "runs" / "c"
    registry.record(tmp_path, registry.ROLLED_BACK, "b")
    assert registry.current_run(tmp_path) == tmp_path / "runs" / "b"
    registry.record(tmp_path, registry.ROLLED_BACK, "a")
    assert registry.current_run(tmp_path) == tmp_path / "runs" / "a"
    promoted(tmp_path, "c")
    assert [line["run"] for line in registry.standing(tmp_path)] == ["a", "c"]


def test_a_run_that_is_promoted_again_takes_its_own_place(tmp_path: Path) -> None:
    for run in ("a", "b", "b"):
        promoted(tmp_path, run)
    assert [(line["decision"], line["run"]) for line in registry.standing(tmp_path)] == [(1, "a"), (3, "b")]


def test_decisions_are_numbered_and_say_what_was_current(tmp_path: Path) -> None:
    promoted(tmp_path, "a")
    line = registry.record(tmp_path, registry.REFUSED, "b", reasons=["worse"])
    assert (line["decision"], line["current before"], line["reasons"]) == (2, "a", ["worse"])
    assert registry.decisions(tmp_path)[1] == line


def test_another_model_under_the_name_of_the_current_run(tmp_path: Path) -> None:
    promoted(tmp_path, "a")
    model(tmp_path, "a", "others")
    with pytest.raises(ArtifactError, match="runs/a: found another model than the one that was promoted, expected that of decision 1"):
        registry.current_run(tmp_path)


def test_a_registry_that_somebody_changed(tmp_path: Path) -> None:
    promoted(tmp_path, "a")
    path = tmp_path / "models" / "registry.jsonl"
    path.write_text(path.read_text().replace('"a"', '"b"'))
    with pytest.raises(ArtifactError, match=r"registry\.jsonl"):
        registry.current_run(tmp_path)
    artifacts.write_file(path, lambda draft: draft.write_text(json.dumps(["odd"]) + "\n"), stage="promote", fingerprint="x")
    with pytest.raises(ArtifactError, match="found lines that are no decisions"):
        registry.decisions(tmp_path)
