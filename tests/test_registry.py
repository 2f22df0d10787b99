"""Which model is the current one, from the decisions that were written down."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from recsys import artifacts, registry
from recsys.errors import ArtifactError, ConfigError
from recsys.promoting.promote import rollback

from .training.conftest import Said


def trained(folder: Path, run: str, *, weights: str = "w", fusion: float = 1.0, maps: str | None = None) -> Path:
    """A run's folder, as far as its answers depend on it."""
    path = folder / "runs" / run
    with artifacts.writing(path / "model", stage="train", fingerprint=weights) as output:
        output.write_json("weights.json", [run, weights])
    config = {
        "identity": {"objective": [{"name": "click", "fusion_weight": fusion}]},
        "pipeline": {"evaluate": {"calibrate": "none" if maps is None else "isotonic"}},
    }
    files = {"config.json": json.dumps(config), **({} if maps is None else {"calibration.json": maps})}
    for name, text in files.items():
        artifacts.write_file(path / name, lambda draft, text=text: draft.write_text(text), stage="config", fingerprint=text)
    return path


def promoted(folder: Path, run: str) -> None:
    registry.record(folder, registry.PROMOTED, run, serves=registry.serves(trained(folder, run)))


def back(folder: Path, decision: int) -> None:
    line = registry.decisions(folder)[decision - 1]
    registry.record(folder, registry.ROLLED_BACK, line["run"], to=decision, serves=line["serves"])


def test_the_current_run_is_the_last_promotion_that_stands(tmp_path: Path) -> None:
    assert registry.current_run(tmp_path) is None
    for run in ("a", "b", "c"):
        promoted(tmp_path, run)
    registry.record(tmp_path, registry.REFUSED, "d")
    assert registry.current_run(tmp_path) == tmp_path / "runs" / "c"
    back(tmp_path, 2)
    assert registry.current_run(tmp_path) == tmp_path / "runs" / "b"
    back(tmp_path, 1)
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


@pytest.mark.parametrize("change", [{"weights": "others"}, {"fusion": 2.0}, {"maps": "{}"}])
def test_a_current_run_that_would_answer_otherwise(tmp_path: Path, change: dict[str, Any]) -> None:
    promoted(tmp_path, "a")
    assert registry.current_run(tmp_path) == tmp_path / "runs" / "a"
    trained(tmp_path, "a", **change)
    words = r"runs/a: found another model, calibration or fusion weights than were promoted, expected those of decision 1"
    with pytest.raises(ArtifactError, match=words):
        registry.current_run(tmp_path)


def test_a_current_run_that_is_gone(tmp_path: Path) -> None:
    promoted(tmp_path, "a")
    shutil.rmtree(tmp_path / "runs" / "a")
    with pytest.raises(ArtifactError, match="runs/a: found no model, expected those of decision 1"):
        registry.current_run(tmp_path)


def test_a_registry_that_somebody_changed(tmp_path: Path) -> None:
    """A line that is changed, left out, moved or cut, and lines that are lost at the end, are found."""
    for run in ("a", "b", "c"):
        promoted(tmp_path, run)
    path = tmp_path / "models" / "registry.jsonl"
    head, *lines = path.read_text().splitlines(keepends=True)
    others = (
        [head, lines[0].replace('"a"', '"b"'), *lines[1:]],
        [head, lines[0], lines[2]],
        [head, *lines[:2], lines[2][:40]],
        [head, *lines[:2]],
        [*lines],
        ["garbage"],
        [],
    )
    for text in others:
        path.write_text("".join(text))
        with pytest.raises(ArtifactError, match=r"registry\.jsonl: found something else than recsys promote has written"):
            registry.current_run(tmp_path)
    path.write_text("".join([head, *lines]))
    assert registry.current_run(tmp_path) == tmp_path / "runs" / "c"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_job_that_dies_while_it_decides_leaves_the_old_decisions_or_the_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    promoted(tmp_path, "a")
    trained(tmp_path, "b")
    replace = os.replace

    def dies(source: Path, target: Path) -> None:
        if moment == "after":
            replace(source, target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            registry.record(tmp_path, registry.PROMOTED, "b", serves=registry.serves(tmp_path / "runs" / "b"))
    assert registry.current_run(tmp_path) == tmp_path / "runs" / ("a" if moment == "before" else "b")
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["registry.jsonl"]


@pytest.mark.parametrize("after", ["written", "said"])
def test_ctrl_c_that_comes_after_a_rollback_was_written_down_does_not_ask_for_another(
    tmp_path: Path, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is told "interrupted" gives the same command again, and would go back once more."""
    for run in ("a", "b", "c"):
        promoted(tmp_path, run)
    original = artifacts.replace_text

    def replace_text(target: Path, text: str) -> None:
        original(target, text)
        if after == "written":
            signal.raise_signal(signal.SIGINT)

    class Told(Said):
        def result(self, text: str) -> None:
            if after == "said":
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(artifacts, "replace_text", replace_text)
    assert rollback(tmp_path, Told())["run"] == "b"
    assert registry.current_run(tmp_path) == tmp_path / "runs" / "b"


def test_a_rollback_to_a_run_that_is_given_again_goes_no_further_back(tmp_path: Path) -> None:
    """As after SIGKILL, when nobody knows whether the first one was written down."""
    for run in ("a", "b", "c"):
        promoted(tmp_path, run)
    first, said = rollback(tmp_path, Said(), to="b"), Said()
    assert rollback(tmp_path, said, to="b") == first == registry.decisions(tmp_path)[-1]
    assert said.texts == ["current: b, as before"]
    assert len(registry.decisions(tmp_path)) == 4
    with pytest.raises(ConfigError, match=r'--to: found "c", expected a run that was promoted, stands and is still there: a, b'):
        rollback(tmp_path, Said(), to="c")
    assert rollback(tmp_path, Said(), to="a")["run"] == "a"
    assert registry.current_run(tmp_path) == tmp_path / "runs" / "a"


def test_ctrl_c_before_a_rollback_is_written_down_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for run in ("a", "b"):
        promoted(tmp_path, run)
    original = registry.standing

    def standing(folder: Path) -> list[dict[str, Any]]:
        signal.raise_signal(signal.SIGINT)
        return original(folder)

    monkeypatch.setattr(registry, "standing", standing)
    with pytest.raises(KeyboardInterrupt):
        rollback(tmp_path, Said())
    monkeypatch.undo()
    assert registry.current_run(tmp_path) == tmp_path / "runs" / "b"
