"""Each option of the config, changed one at a time: the stages that declare it are stale, and those after them wait."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic.fields import FieldInfo

from recsys import config, walk
from recsys.cli import run_command
from recsys.config import Pipeline
from recsys.jobs import open_job
from recsys.options import OneOf, Options
from recsys.progress import Console
from recsys.stages import STAGES

from .test_whole_path import TINY

PIPELINE = config.load(Path(TINY))
NOT_ALONE = {  # options that have no other value while all else stays
    "name": "another pipeline, in another folder",
    "source.kind": "another class of options",
    "objective.name": "what names an objective elsewhere would have to follow",
    "objective.kind": "a label of another kind",
    "objective.loss": "of regressions alone",
    "objective.duration": "of watch times alone",
    "objective.levels": "of ordinal objectives alone",
    "train.keep_chosen": "not in time order, which tiny has",
    "source.closed": "a path: it says when a day is learned, not what is",
    "train.init_from": "a path: what lies there counts",
    "train.freeze": "with init_from alone",
    "train.distil_from": "a path: what lies there counts",
    "train.distil_share": "with distil_from alone",
    "balance.worst_case.baseline": "a path: what lies there counts",
    "evaluate.against": "names of runs that stand",
}
OTHERS: dict[str, Any] = {  # where another number, another of its words, or the other truth value would not do
    "split.train": ["2024-01-01", "2024-01-03"],
    "promote.days": 1,
    "checks.ignore": ["device"],
    "checks.accept": ["2024-01-05"],
    "checks.stop.gap": 2,
    "checks.warn.base_rate": 2.0,
    **{f"checks.stop.{name}": 0.5 for name in ("nulls", "unknown", "psi", "shift")},
    **{f"checks.stop.{name}": 5.0 for name in ("rows", "base_rate")},
    "promote.margins": {"click": 0.1},
    "split.validation": None,
    "split.test": ["2024-01-05", "2024-01-06"],
    "source.start": "2023-12-31",
    "source.survey_rate": 0.2,
    "objective.label": "clicked = 0",
    "objective.observed": "clicked = 1",
    "objective.given": "click",  # of the like
    "objective.method": "weighted_logistic",  # of the watch time
    "objective.position": False,
    "features.user": ["country"],
    "features.item": ["topic", "seconds"],
    "source.grace": "1h",
    "features.context": [],
    "features.category": ["topic"],
    "features.multi": {"topic": ","},
    "features.signals": ["clicked"],
    "features.expressions": {"skip": "watch_seconds < 1"},
    "features.entities": [["user_id"]],
    "features.factors": {"item_id": ["clicked"]},
    "features.today": [["user_id", "topic"]],
    "features.recent": [["item_id"]],
    "features.hours": [12],
    "features.windows": [1],
    "features.ids": ["topic"],
    "features.label_delay": "20m",
    "features.bias": ["position"],
    "features.slices": ["device"],
    "features.memory_limit": "1GB",
    "model.budget_macs": 100_000,
    "model.members": 2,
    "model.numeric_bins": 4,
    "evaluate.baseline_window_days": 1,
    "evaluate.against_key": "user_id,item_id,timestamp",
    "model.sluice.hidden": 66,
    "model.sluice.subspaces": 4,
    "train.warm_days": 1,  # tiny has two training days
    "train.passes": 9,
    "train.day_passes": 9,
    "train.batch_size": 99,
    "train.learning_rate": 0.01,
    "train.sampling": "uniform",
    "train.negatives": {"objective": "click", "keep": 0.5},
    "train.weight": "watch_seconds",
    "train.device": "cpu",
    "evaluate.baselines": ["popularity"],
    "evaluate.list_k": [5],
    "evaluate.top_percent": [5.0],
    "evaluate.target_temperature": 1.0,
    "fuse.maximise": "like",
    "fuse.metric": "captured@5%",
    "fuse.constraints": {"click": "-1%"},
    "spark.master": "local[1]",
    "spark.conf": {"spark.app.name": "mine"},
    "tracking.mlflow": "sqlite:///nowhere.db",
    "tracking.experiment": "all nights",
}
AMONG_INPUTS = {  # keys that count for a stage only where they matter: for a simulated log, for trees
    "seed": "ingest",
    "objective.group": "baselines",
    "objective.position": "baselines",
    "model.position": "baselines",
}
OF_OBJECTIVE = {"objective.given": 2, "objective.method": 1}  # the place of the objective that is changed; else the first


def leaves(options: Options, prefix: str = "") -> Iterator[tuple[str, Any, FieldInfo]]:
    """Yield each key that has no table below it, its value and its field."""
    for name, field in type(options).model_fields.items():
        value, key = getattr(options, name), prefix + name
        if name == "objective":
            yield from leaves(value[0], "objective.")
        elif isinstance(value, Options):
            yield from leaves(value, f"{key}.")
        else:
            yield key, value, field


def another(key: str, value: Any, field: FieldInfo) -> Any:
    if key in OTHERS:
        return OTHERS[key]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 if value else 0.5
    words = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    words += tuple(word for one_of in field.metadata if isinstance(one_of, OneOf) for word in one_of.names)
    if words:
        return next(word for word in words if word != value)
    if key.endswith((".hidden", ".task_hidden")):
        return [*value[:-1], value[-1] + 1]
    if key.endswith(".top_k"):
        return 1
    raise AssertionError(f"{key}: give it another value in OTHERS, or say in NOT_ALONE why it has none")


def changed(key: str, value: Any) -> Pipeline:
    raw: Any = copy.deepcopy(PIPELINE.model_dump(mode="json"))
    *path, name = key.split(".")
    table = raw
    for part in path:
        table = table[part]
        if part == "objective":
            table = table[OF_OBJECTIVE.get(key, 0)]
    table[name] = value
    return Pipeline.model_validate(raw)


def states(pipeline: Pipeline, workspace: Path) -> dict[str, str]:
    job = open_job(pipeline, workspace, run="first", replace=True, console=Console(quiet=True))
    return {status.stage: status.state for status in walk.status(job)}


KEYS = {key: (value, field) for key, value, field in leaves(PIPELINE)}
CHOSEN = (f"model.{PIPELINE.model.architecture}", f"balance.{PIPELINE.balance.method}")


def once_a_table() -> list[Any]:
    """All keys; of each table that no stage reads, or of an architecture or balancing that is not chosen, only the first runs always."""
    cases, met = [], set()
    for key in (key for key in KEYS if key not in NOT_ALONE):
        table = key.rpartition(".")[0]
        again = table in met and table.startswith(("model.", "balance.", "checks", "promote", "fuse")) and table not in CHOSEN
        cases.append(pytest.param(key, marks=pytest.mark.words) if again else key)
        met.add(table)
    return cases


@pytest.mark.parametrize("key", once_a_table())
def test_a_changed_option_makes_the_stages_stale_that_declare_it_and_no_other(untouched: Path, key: str) -> None:
    """By the parts of their output. Of a key that only says which parts there are, some have no other."""
    found = states(changed(key, another(key, *KEYS[key])), untouched)
    unused = {name for name, state in found.items() if state == "unused"}
    stale = {name for name, state in found.items() if state == "stale"}
    declared = {name for name, stage in STAGES.items() if stage.declares(key)}
    shaping = {name for name in declared if not any(key == one or key.startswith(f"{one}.") for one in STAGES[name].places)}
    may = declared | {AMONG_INPUTS.get(key, "")}
    assert shaping - unused <= stale <= may
    names = list(STAGES)
    first = min((names.index(name) for name in may if name), default=len(names))
    assert all(state in ("fresh", "unused") for name, state in found.items() if names.index(name) < first)


def test_every_key_that_a_stage_declares_is_one_of_the_config() -> None:
    known = set(KEYS) | {
        "objective",
        "source.columns",
        "source.time",
        "source.feedback.name",
        "source.feedback.within",
        "split",
        "model",
        "balance",
        "train",
        "source",
        "tracking",
        "spark",
    }
    for stage in STAGES.values():
        assert {*stage.options, *stage.places, *stage.free} <= known, stage.name


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "train.passes=9",
            {"train": "stale", **dict.fromkeys(("score", "evaluate", "progressive", "importance", "report"), "depends")},
        ),
        ("evaluate.bootstrap=77", dict.fromkeys(("evaluate", "progressive", "importance", "report"), "stale")),
        ("features.memory_limit=1GB", {}),
        ("evaluate.importance=false", {"importance": "unused", "report": "stale"}),
        (
            "features.min_count=3",
            {
                "encode": "stale",
                **dict.fromkeys(("train", "score", "baselines", "evaluate", "progressive", "importance", "report"), "depends"),
            },
        ),
    ],
)
def test_what_waits_is_what_reads_the_output_of_a_stale_stage(untouched: Path, override: str, expected: dict[str, str]) -> None:
    found = states(config.load(Path(TINY), [override]), untouched)
    assert {name: state for name, state in found.items() if state != "fresh" and name not in ("calibrate", "track")} == expected
    assert found["calibrate"] == found["track"] == "unused"


def test_another_version_of_the_page_leaves_the_model_fresh(untouched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(states(PIPELINE, untouched).values()) == {"fresh", "unused"}
    monkeypatch.setitem(STAGES, "report", replace(STAGES["report"], version=STAGES["report"].version + 1))
    monkeypatch.setattr("recsys.stages.report.REPORT_STAGE", STAGES["report"])
    found = states(PIPELINE, untouched)
    assert found.pop("report") == "stale"
    assert set(found.values()) == {"fresh", "unused"}


def test_it_is_said_with_the_option_that_made_it_so(untouched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["status", TINY, "--workspace", str(untouched), "--run", "first", "--set", "train.passes=9"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "encode: fresh" in said
    assert "train: stale (train.passes: auto → 9)" in said
    assert "score: depends on train" in said
    assert "calibrate: not asked for" in said


def test_before_anything_was_made_the_first_stage_is_stale_and_all_others_wait(tmp_path: Path) -> None:
    found = states(PIPELINE, tmp_path)
    assert found.pop("ingest") == "stale"
    assert set(found.values()) == {"depends", "unused"}


def test_a_stage_without_parts_is_not_said_to_be_fresh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["progressive", TINY, "--workspace", str(tmp_path), "--set", "train.order=shuffled"]) == 0
    assert capsys.readouterr().out.splitlines() == ["progressive: not asked for"]
