"""Which of a net's predictions follow the position, however the model meets it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recsys.config import Pipeline
from recsys.progress import Console
from recsys.scoring import load, score
from tests.staged import ORIGIN

from .conftest import DAYS, OBJECTIVES, encoded_of, pipeline_of, run_train, tables, with_label

CLICK, WATCH, LIKE = OBJECTIVES
MIXED: tuple[dict[str, Any], ...] = (
    CLICK,
    {**WATCH, "position": False},
    {"name": "like", "label": "is_like = 1", "given": "click", "group": "satisfaction"},
    {"name": "skip", "label": "is_click = 0", "group": "satisfaction", "position": True},
    {"name": "save", "label": "is_click = 1", "group": "satisfaction"},
)
SEEING, NOT_SEEING = ("click", "like", "skip"), ("watch", "save")  # a like is joint with the click that it is given


@pytest.fixture(scope="module")
def days() -> dict[str, pa.Table]:
    found = {}
    for day, table in tables().items():
        click = table["label.click"].to_numpy()
        like = pc.fill_null(table["label.like"], 0.0).to_numpy()
        for name, values in (("like", like), ("skip", 1 - click), ("save", click)):
            table = with_label(table, name, values)
        found[day] = table
    return found


@pytest.fixture(scope="module", params=["tower", "input"])
def run(request, days, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Pipeline, Path, pa.Table]:
    """How the model meets the position, its pipeline, the run's folder and its predictions."""
    pipeline = pipeline_of(model={"position": request.param}, objectives=MIXED)
    folder = tmp_path_factory.mktemp(request.param)
    examples, encoded = encoded_of(folder, days, pipeline)
    run_train(pipeline, encoded, folder / "run")
    score(pipeline, examples, encoded, folder / "run", folder / "run" / "predictions.parquet", ORIGIN, console=Console(quiet=True))
    return request.param, pipeline, folder / "run", pq.read_table(folder / "run/predictions.parquet")


@pytest.mark.parametrize("split", ["validation", "test"])
def test_what_does_not_see_the_position_is_ranked_by_its_prediction(run, split: str) -> None:
    rows = run[3].filter(pc.equal(run[3]["split"], split))
    for name in NOT_SEEING:
        assert np.array_equal(rows[f"rank.{name}"].to_numpy(), rows[f"pred.{name}"].to_numpy()), name
    for name in SEEING:
        assert np.abs(rows[f"rank.{name}"].to_numpy() - rows[f"pred.{name}"].to_numpy()).max() > 1e-3, name


def test_its_prediction_is_the_same_at_every_position(run, days) -> None:
    _, pipeline, folder, _ = run
    scorer, table = load(folder / "model"), days[DAYS[5]]
    at = [
        scorer.predict(table.set_column(table.column_names.index("bias.position"), "bias.position", pa.array([p] * len(table))), "logged")
        for p in (1, 5)
    ]
    for k, objective in enumerate(pipeline.objective):
        differs = np.abs(at[0][:, k] - at[1][:, k]).max()
        assert differs > 1e-3 if objective.name in SEEING else differs == 0.0, objective.name


def test_of_a_like_that_is_given_a_click_only_the_click_follows_the_position(run) -> None:
    """P(like | click), the quotient, is one number with the position and without."""
    rows = run[3].to_pandas()
    np.testing.assert_allclose(rows["pred.like"] / rows["pred.click"], rows["rank.like"] / rows["rank.click"], rtol=1e-4)


def test_the_curve_is_shown_of_what_sees_the_position(run) -> None:
    how, _, folder, _ = run
    shown = {entry["objective"] for entry in json.loads((folder / "model/inside.json").read_text())["position_bias"]}
    assert shown == ({"click", "skip"} if how == "tower" else set())


@pytest.mark.words
def test_no_ranking_of_its_own_where_no_objective_sees_the_position(days, tmp_path: Path) -> None:
    pipeline = pipeline_of(model={"position": "input"}, objectives=[{**CLICK, "position": False}])
    _, encoded = encoded_of(tmp_path, days, pipeline)
    run_train(pipeline, encoded, tmp_path / "run")
    assert pq.read_schema(tmp_path / "run/model/validation.parquet").names == ["day", "pred.click"]
    scorer = load(tmp_path / "run/model")
    assert not scorer.sees_position
    assert np.array_equal(scorer.predict(days[DAYS[5]], "logged"), scorer.predict(days[DAYS[5]], "missing"))
