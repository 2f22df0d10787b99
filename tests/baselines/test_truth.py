"""The simulator's own expectation as a baseline: each row has its own, and it is a mean of what happens."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from recsys import artifacts
from recsys.baselines.day_rows import Rows
from recsys.baselines.truth import Truth
from recsys.config import Pipeline, WorldOptions
from recsys.errors import ArtifactError, DataError
from recsys.progress import Console
from recsys.world import simulate

OBJECTIVES = [
    {"name": "click", "label": "clicked  =  1"},
    {"name": "watch", "kind": "watch_time", "label": "watch_seconds"},
    {"name": "like", "label": "liked = 1", "observed": "clicked = 1"},
    {"name": "dismissal", "label": "dismissed = 1", "better": "lower"},
    {"name": "share", "label": "shared = 1", "given": "click"},
    {"name": "survey", "kind": "regression", "label": "survey", "observed": "survey is not null"},
]
LOGGED = {
    "click": "expected.clicked",
    "watch": "expected.watch_seconds",
    "like": "expected.liked|clicked",
    "dismissal": "expected.dismissed",
    "share": "expected.shared",
    "survey": "expected.stars|clicked",
}
LOOKED_AT = LOGGED | {name: f"{LOGGED[name]}|examined" for name in ("click", "watch", "dismissal", "share")}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    simulate(WorldOptions(users=150, days=2, videos=100, new_videos=5), 7, folder)
    return folder


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    split = {"train": ["2024-01-01", "2024-01-01"], "test": ["2024-01-02", "2024-01-02"]}
    evaluate = {"baselines": ["popularity", "truth"]}
    return Pipeline.model_validate(
        {"name": "known", "source": {"kind": "world"}, "split": split, "objective": OBJECTIVES, "evaluate": evaluate}
    )


@pytest.fixture
def rows(raw: Path, tmp_path: Path) -> Rows:
    """Examples as features leave them: in another order than the log, and without a few of its impressions."""
    log = pd.read_parquet(raw / "impressions.parquet").sample(frac=0.9, random_state=3)
    columns = {"request_id": log["request"], "item_id": log["vid"], "timestamp": log["ts"]}
    with artifacts.writing(tmp_path / "examples" / "day=2024-01-01", stage="features", fingerprint="test") as output:
        output.write_table("part-0.parquet", pa.table({name: pa.array(values.to_numpy()) for name, values in columns.items()}))
    return Rows(tmp_path / "examples", tmp_path / "encoded", ("2024-01-01",))


def test_each_row_has_its_own_expectation(raw: Path, pipeline: Pipeline, rows: Rows) -> None:
    truth = pd.read_parquet(raw / "truth.parquet").set_index(["request", "vid"])
    keys = rows.read(["request_id", "item_id"]).to_pandas()
    own = truth.loc[pd.MultiIndex.from_frame(keys)]
    found = Truth(pipeline, Console(quiet=True), raw)
    np.testing.assert_array_equal(found.predict(rows), own[list(LOGGED.values())])
    np.testing.assert_array_equal(found.predict(rows, position="missing"), own[list(LOOKED_AT.values())])
    assert found.sees_position


def test_it_is_the_mean_of_what_happens_and_ranks_it(raw: Path, pipeline: Pipeline, rows: Rows) -> None:
    log = pd.read_parquet(raw / "impressions.parquet").set_index(["request", "vid"])
    happened = log.loc[pd.MultiIndex.from_frame(rows.read(["request_id", "item_id"]).to_pandas())]
    expected = dict(zip(LOGGED, Truth(pipeline, Console(quiet=True), raw).predict(rows).T, strict=True))
    opened = (happened["clicked"] == 1).to_numpy()
    everywhere = np.ones_like(opened)
    outcomes = {"click": "clicked", "watch": "watch_seconds", "like": "liked", "share": "shared", "dismissal": "dismissed"}
    for name, column in outcomes.items():
        among = opened if name == "like" else everywhere
        label = happened[column].to_numpy()[among]
        half = 4 * np.sqrt(label.var() / len(label))
        assert label.mean() == pytest.approx(expected[name][among].mean(), abs=half)
    assert roc_auc_score(happened["clicked"], expected["click"]) > 0.75


def test_objectives_that_follow_no_position_have_one_expectation(raw: Path, pipeline: Pipeline) -> None:
    after_click = [objective for objective in pipeline.objective if objective.name in ("like", "survey")]
    assert not Truth(pipeline.model_copy(update={"objective": tuple(after_click)}), Console(quiet=True), raw).sees_position


def test_the_truth_of_another_feed_is_refused(raw: Path, pipeline: Pipeline, rows: Rows, tmp_path: Path) -> None:
    pq.write_table(pq.read_table(raw / "truth.parquet").slice(1000), tmp_path / "truth.parquet")
    with pytest.raises(ArtifactError, match=r"found the truth of another feed \([0-9,]+ of [0-9,]+ impressions are missing\).*Fix: delete"):
        Truth(pipeline, Console(quiet=True), tmp_path).predict(rows)
    with pytest.raises(DataError, match="expected the truth of a simulated feed"):
        Truth(pipeline, Console(quiet=True), tmp_path / "nowhere").predict(rows)


# --- The config ---------------------------------------------------------------------------------------------------
def _asked(pipeline: Pipeline, **changes: object) -> Pipeline:
    return Pipeline.model_validate(pipeline.model_dump(mode="json", exclude_unset=True) | changes)


@pytest.mark.parametrize(
    "objective",
    [
        {"name": "click", "label": "clicked = 0"},
        {"name": "click", "label": "clicked = 1", "observed": "clicked = 1"},
        {"name": "like", "label": "liked = 1", "observed": "watch_seconds > 30"},
        {"name": "survey", "kind": "regression", "label": "survey", "observed": "clicked = 1"},
        {
            "name": "dismissal",
            "label": "dismissed = 1",
            "given": "click",
        },  # a dismissal needs no click: the label of both is another
    ],
)
def test_a_label_that_the_feed_does_not_know_is_refused(pipeline: Pipeline, objective: dict[str, object]) -> None:
    with pytest.raises(
        ValueError, match=rf'found "truth" with the labels of {objective["name"]}, .*expected some of clicked = 1.*Fix: leave'
    ):
        _asked(pipeline, objective=[objective, *([OBJECTIVES[0]] if "given" in objective else [])])


def test_another_source_knows_no_truth(pipeline: Pipeline) -> None:
    source = {"kind": "table", "log": "log.csv"}
    with pytest.raises(ValueError, match=r'found "truth" with source.kind = "table", expected "world"'):
        _asked(pipeline, source=source)
