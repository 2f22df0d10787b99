from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import log_loss

from recsys.baselines import fit_and_score, gbdt
from recsys.baselines.tree_columns import HISTORY, TreeColumns
from recsys.baselines.trees import DENSE_TREES, RARE_TREES, Labelled, Trees
from recsys.encoding import EncodedDays
from recsys.objectives import Objective
from recsys.progress import Console
from tests.staged import ORIGIN


def objective(kind: str) -> Objective:
    return Objective.model_validate({"name": "o", "kind": kind, "label": "x"})


def planted(rng: np.random.Generator, rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    matrix = rng.normal(size=(rows, 3)).astype(np.float32)
    return matrix, 1 / (1 + np.exp(-(matrix[:, 0] - 1)))


def test_the_number_of_trees_has_the_lowest_loss_on_the_judged_rows(rng) -> None:
    matrix, probability = planted(rng)
    label = (rng.random(len(matrix)) < probability).astype(float)
    learned, judged = Labelled(matrix, label).split(2500)
    ensemble = Trees(objective("binary"), seed=1).choose(learned, judged)
    losses = [log_loss(judged.label, stage[:, 1]) for stage in ensemble.model.staged_predict_proba(judged.matrix)]
    assert ensemble.trees == int(np.argmin(losses)) + 1 < len(losses)
    assert log_loss(judged.label, ensemble.predict(judged.matrix)) == pytest.approx(min(losses))


def test_a_refit_keeps_the_number_of_trees_and_learns_all_rows(rng) -> None:
    matrix, probability = planted(rng)
    label = (rng.random(len(matrix)) < probability).astype(float)
    rows = Labelled(matrix, label)
    learned, judged = rows.split(2500)
    trees = Trees(objective("binary"), seed=1)
    chosen = trees.choose(learned, judged)
    refitted = trees.refit(rows, chosen)
    assert refitted.model.n_iter_ == refitted.trees == chosen.trees
    assert not np.allclose(refitted.predict(matrix), chosen.predict(matrix))


def test_refitting_the_same_rows_gives_the_chosen_ensemble(rng) -> None:
    matrix, probability = planted(rng)
    learned, judged = Labelled(matrix, (rng.random(len(matrix)) < probability).astype(float)).split(2500)
    trees = Trees(objective("binary"), seed=1)
    chosen = trees.choose(learned, judged)
    np.testing.assert_allclose(trees.refit(learned, chosen).predict(matrix), chosen.predict(matrix))


def test_watch_time_is_an_expected_value_at_every_level_not_a_median(rng) -> None:
    """Nine of ten rows with a low signal are zeros: exp of a mean logarithm, whatever it is multiplied by, misses them or the others."""
    matrix = rng.normal(size=(9000, 2)).astype(np.float32)
    high = matrix[:, 0] > 0
    seconds = np.where(rng.random(len(matrix)) < np.where(high, 0.9, 0.1), np.exp(3.0 + 0.5 * rng.normal(size=len(matrix))), 0.0)
    learned, judged = Labelled(matrix, seconds).split(6000)
    predicted = Trees(objective("watch_time"), seed=1).choose(learned, judged).predict(judged.matrix)
    assert (predicted >= 0).all()
    for level in (high[6000:], ~high[6000:]):
        assert predicted[level].mean() == pytest.approx(seconds[6000:][level].mean(), rel=0.4)  # one factor: -61 % on the low level


def test_a_label_of_one_value_is_a_constant(rng) -> None:
    rows = Labelled(rng.normal(size=(50, 2)).astype(np.float32), np.full(50, 1.0))
    ensemble = Trees(objective("binary"), seed=1).choose(rows, rows.split(0)[0])
    assert ensemble.model is None
    assert (ensemble.predict(rows.matrix) == 1.0).all()


def test_rare_objectives_get_smaller_trees(rng) -> None:
    matrix, _ = planted(rng)
    for share, expected in ((0.03, RARE_TREES), (0.3, DENSE_TREES)):
        rows = Labelled(matrix, (rng.random(len(matrix)) < share).astype(float))
        ensemble = Trees(objective("binary"), seed=1).choose(rows, rows)
        assert ensemble.model.max_leaf_nodes == expected.max_leaf_nodes


def test_the_matrix_holds_what_the_encoder_says(pipeline, log, tables) -> None:
    encoded = EncodedDays(log.encoded, pipeline.split.days("test"))
    columns = TreeColumns(EncodedDays(log.encoded, pipeline.split.days("train")).layout)
    table = tables[pipeline.split.days("test")[0]]
    layout = encoded.layout
    matrix = columns.matrix(encoded)
    np.testing.assert_array_equal(matrix[:, columns.position], table["bias.position"].to_numpy())
    assert np.isnan(columns.matrix(encoded, position="missing")[:, columns.position]).all()
    assert len({*zip(matrix[:, 1], table["bias.device"].to_pylist(), strict=True)}) == 2
    firsts = encoded.rows()[:, [slot.start for slot in layout.slots]]
    np.testing.assert_array_equal(matrix[:, 2 : 2 + len(layout.slots)], firsts)  # after position and device
    topic = 2 + [slot.feature for slot in layout.slots].index("item.topic")
    assert len({*zip(matrix[:, topic], table["item.topic"].to_pylist(), strict=True)}) == 4  # one code a topic
    width = HISTORY * (len(layout.history_signals) + len(layout.history_slots))
    history = matrix[:, -width:].reshape(len(matrix), -1)
    length = np.minimum([len(entries) for entries in table["history.clicked"].to_pylist()], HISTORY)
    signals = history[:, : HISTORY * len(layout.history_signals)].reshape(len(matrix), HISTORY, -1)
    np.testing.assert_array_equal((~np.isnan(signals[:, :, 0])).sum(axis=1), length)


def test_only_a_log_with_positions_gets_rank_columns(pipeline, tables, write_log, tmp_path) -> None:
    blind = pipeline.model_copy(update={"features": pipeline.features.model_copy(update={"bias": ()})})
    names = _scored(blind, write_log(tmp_path, blind, tables), tmp_path / "run").column_names
    assert not [name for name in names if name.startswith("rank.")]


def test_ranking_leaves_the_position_out(pipeline, log, tmp_path) -> None:
    table = _scored(pipeline, log, tmp_path).to_pandas()
    effect = table.groupby("position")[["pred.click", "rank.click"]].mean()
    assert effect["pred.click"].loc[1] > 2 * effect["pred.click"].loc[5]  # planted: half a logit a position
    assert effect["rank.click"].loc[1] < 1.2 * effect["rank.click"].loc[5]


def test_beyond_the_limit_every_nth_row_is_learned_and_said(pipeline, log, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(gbdt, "MAX_ROWS", 1000)
    fit_and_score("gbdt", pipeline, log.examples, log.encoded, tmp_path / "predictions.parquet", ORIGIN, console=Console())
    said = capsys.readouterr().out
    assert "1 in 3 of 3,000 rows" in said
    assert "1 in 5 of 4,500 rows" in said
    assert "never: the constant 0" in said


def _scored(pipeline, log, run: Path) -> pa.Table:
    fit_and_score("gbdt", pipeline, log.examples, log.encoded, run / "predictions.parquet", ORIGIN, console=Console(quiet=True))
    return pq.read_table(run / "predictions.parquet")


@pytest.mark.parametrize(("positions", "devices", "left_out"), [(4, 3, 2), (4, 0, 1), (0, 3, 1), (0, 0, 0)])
def test_who_does_not_follow_the_position_loses_the_bias_columns_and_no_other(positions: int, devices: int, left_out: int) -> None:
    columns = TreeColumns(SimpleNamespace(positions=positions, devices=devices))
    matrix_NC = np.arange(10, dtype=np.float32).reshape(2, 5)
    np.testing.assert_array_equal(columns.seen(matrix_NC, follows_position=True), matrix_NC)
    np.testing.assert_array_equal(columns.seen(matrix_NC, follows_position=False), matrix_NC[:, left_out:])
