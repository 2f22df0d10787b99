import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper
from sklearn.metrics import log_loss

from recsys.baselines import fit_and_score, gbdt, scikit_trees
from recsys.baselines.lightgbm_trees import LightGBM
from recsys.baselines.scikit_trees import Scikit
from recsys.baselines.tree_columns import HISTORY, TreeColumns
from recsys.baselines.trees import DENSE_TREES, MIN_COLUMNS, PATIENCE, RARE_TREES, Labelled, Library, TreeOptions, Trees
from recsys.encoding import EncodedDays
from recsys.errors import ConfigError
from recsys.objectives import Objective
from recsys.progress import Console
from tests.staged import ORIGIN


def objective(kind: str) -> Objective:
    return Objective.model_validate({"name": "o", "kind": kind, "label": "x"})


@pytest.fixture(params=[Scikit, LightGBM])
def library(request: pytest.FixtureRequest) -> Library:
    return request.param()


def planted(rng: np.random.Generator, rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    matrix = rng.normal(size=(rows, 3)).astype(np.float32)
    return matrix, 1 / (1 + np.exp(-(matrix[:, 0] - 1)))


def test_the_number_of_trees_has_the_lowest_loss_on_the_judged_rows(rng, library) -> None:
    """A refit of so many trees is the chosen model, so the loss of any number of trees can be had by a refit."""
    matrix, probability = planted(rng)
    label = (rng.random(len(matrix)) < probability).astype(float)
    learned, judged = Labelled(matrix, label).split(2500)
    trees = Trees(objective("binary"), library, seed=1)
    ensemble = trees.choose(learned, judged)
    options = ensemble.options

    def loss(number: int) -> float:
        model = library.fit(learned, None, replace(options, trees=number), classifies=True, seed=1)
        return log_loss(judged.label, model.output(judged.matrix))

    losses = [loss(number) for number in range(1, options.trees + PATIENCE)]
    assert options.trees == int(np.argmin(losses)) + 1
    assert log_loss(judged.label, ensemble.predict(judged.matrix)) == pytest.approx(min(losses))


def test_a_refit_keeps_the_number_of_trees_and_learns_all_rows(rng, library) -> None:
    matrix, probability = planted(rng)
    label = (rng.random(len(matrix)) < probability).astype(float)
    rows = Labelled(matrix, label)
    learned, judged = rows.split(2500)
    trees = Trees(objective("binary"), library, seed=1)
    chosen = trees.choose(learned, judged)
    refitted = trees.refit(rows, chosen)
    assert refitted.options == chosen.options
    assert refitted.model.trees == chosen.model.trees
    assert not np.allclose(refitted.predict(matrix), chosen.predict(matrix))


def test_refitting_the_same_rows_gives_the_chosen_ensemble(rng, library) -> None:
    matrix, probability = planted(rng)
    learned, judged = Labelled(matrix, (rng.random(len(matrix)) < probability).astype(float)).split(2500)
    trees = Trees(objective("binary"), library, seed=1)
    chosen = trees.choose(learned, judged)
    np.testing.assert_allclose(trees.refit(learned, chosen).predict(matrix), chosen.predict(matrix))


def test_watch_time_is_an_expected_value_at_every_level_not_a_median(rng, library) -> None:
    """Nine of ten rows with a low signal are zeros: exp of a mean logarithm, whatever it is multiplied by, misses them or the others."""
    matrix = rng.normal(size=(9000, 2)).astype(np.float32)
    high = matrix[:, 0] > 0
    seconds = np.where(rng.random(len(matrix)) < np.where(high, 0.9, 0.1), np.exp(3.0 + 0.5 * rng.normal(size=len(matrix))), 0.0)
    learned, judged = Labelled(matrix, seconds).split(6000)
    predicted = Trees(objective("watch_time"), library, seed=1).choose(learned, judged).predict(judged.matrix)
    assert (predicted >= 0).all()
    for level in (high[6000:], ~high[6000:]):
        assert predicted[level].mean() == pytest.approx(seconds[6000:][level].mean(), rel=0.4)  # one factor: -61 % on the low level


def test_a_label_of_one_value_is_a_constant(rng, library) -> None:
    rows = Labelled(rng.normal(size=(50, 2)).astype(np.float32), np.full(50, 1.0))
    ensemble = Trees(objective("binary"), library, seed=1).choose(rows, rows.split(0)[0])
    assert ensemble.model is None
    assert (ensemble.predict(rows.matrix) == 1.0).all()


@pytest.mark.parametrize("weight", [None, 2.0])
@pytest.mark.parametrize(("label", "mean"), [([1.0], 1.0), ([0.0, 3.0], 1.5), ([0.0] * 18 + [1.0, 1.0], 0.1)])
def test_where_the_rows_before_those_that_choose_have_one_value_the_mean_is_predicted(rng, library, label, mean, weight) -> None:
    """No other rows can choose, and there may be no row before the last one."""
    rows = len(label)
    learned = Labelled(rng.normal(size=(rows, 3)).astype(np.float32), np.array(label), None if weight is None else np.full(rows, weight))
    chosen = Trees(objective("regression"), library, seed=1).choose(learned, learned.split(0)[0])
    np.testing.assert_allclose(chosen.predict(learned.matrix), mean)


@pytest.mark.parametrize("alike", ["the last rows", "the first rows", "the judged rows"])
@pytest.mark.parametrize("kind", ["binary", "watch_time"])
def test_rows_of_one_value_do_not_choose_the_number_of_trees(rng, library, kind, alike) -> None:
    """Of yes after yes the loss rises with the first tree: one or two trees were left, or none."""
    matrix, probability = planted(rng)
    label = (rng.random(len(matrix)) < probability) * (1.0 if kind == "binary" else np.exp(1 + rng.random(len(matrix))))
    is_alike = {"the last rows": slice(3600, None), "the first rows": slice(3600), "the judged rows": slice(0)}[alike]
    label[is_alike] = 0.0
    judged = Labelled(matrix[:300], np.full(300, 1.0)) if alike == "the judged rows" else Labelled(matrix[:0], label[:0])
    chosen = Trees(objective(kind), library, seed=1).choose(Labelled(matrix, label), judged)
    assert chosen.options.trees > 2
    assert np.corrcoef(chosen.predict(matrix), probability)[0, 1] > (0.3 if alike == "the first rows" else 0.85)


def test_a_column_that_is_missing_on_all_learned_rows_tells_nothing(rng, library) -> None:
    """A log where every user comes once has no history. Judged rows may have values that the learned ones lack."""
    matrix, probability = planted(rng, 2000)
    label = (rng.random(2000) < probability).astype(float)
    first = np.where(np.arange(2000) < 1500, np.nan, np.arange(2000)).astype(np.float32)
    learned, judged = Labelled(np.column_stack([first, matrix]), label).split(1500)
    before = learned.matrix.copy()
    ensemble = Trees(objective("binary"), library, seed=1).choose(learned, judged)
    np.testing.assert_array_equal(learned.matrix, before)
    without = judged.matrix.copy()
    without[:, 0] = np.nan
    np.testing.assert_array_equal(ensemble.predict(judged.matrix), ensemble.predict(without))
    assert np.ptp(ensemble.predict(without)) > 0.1


def test_a_column_of_few_values_among_many_rows_tells_nothing(rng, library) -> None:
    """scikit-learn makes its bins of 200,000 drawn rows. With seed 2 the one value is not among them."""
    matrix = rng.normal(size=(400_000, 2)).astype(np.float32)
    matrix[:, 0] = np.nan
    label = (rng.random(len(matrix)) < 1 / (1 + np.exp(-matrix[:, 1]))).astype(float)
    with_value = matrix.copy()
    with_value[7, 0] = 1.0
    options = replace(DENSE_TREES, trees=2)
    first, other = (library.fit(Labelled(rows, label), None, options, classifies=True, seed=2) for rows in (matrix, with_value))
    np.testing.assert_array_equal(first.output(matrix[:1000]), other.output(with_value[:1000]))


@pytest.mark.words
def test_rare_objectives_get_smaller_trees(rng, library) -> None:
    matrix, _ = planted(rng)
    for share, expected in ((0.03, RARE_TREES), (0.3, DENSE_TREES)):
        rows = Labelled(matrix, (rng.random(len(matrix)) < share).astype(float))
        ensemble = Trees(objective("binary"), library, seed=1).choose(rows, rows)
        assert replace(ensemble.options, trees=expected.trees) == expected


def test_a_tree_has_so_many_leaves_of_so_many_rows(rng) -> None:
    """Both libraries' own books of the first tree."""
    matrix, probability = planted(rng)
    rows = Labelled(matrix, (rng.random(len(matrix)) < probability).astype(float))
    options = TreeOptions(trees=1, leaves=6, rows_of_a_leaf=300)
    (nodes,) = Scikit().fit(rows, None, options, classifies=True, seed=1).estimator._predictors[0]
    leaves = nodes.nodes[nodes.nodes["is_leaf"] == 1]["count"]
    books = LightGBM().fit(rows, None, options, classifies=True, seed=1).booster.trees_to_dataframe()
    for counts in (leaves, books[books["left_child"].isna()]["count"]):
        assert len(counts) == 6
        assert min(counts) >= 300
        assert sum(counts) == len(matrix)


def test_the_libraries_agree(rng) -> None:
    """The same options, other bins and other draws."""
    matrix, probability = planted(rng, 8000)
    rows = Labelled(matrix, (rng.random(len(matrix)) < probability).astype(float))
    first, second = (
        library.fit(rows, None, TreeOptions(trees=20), classifies=True, seed=1).output(matrix) for library in (Scikit(), LightGBM())
    )
    assert np.abs(first - second).mean() < np.abs(first - first.mean()).mean() / 5
    assert np.corrcoef(first, second)[0, 1] > 0.99


@pytest.mark.words
def test_bins_are_shared_and_give_the_same_trees(rng, library, monkeypatch) -> None:
    """Labels of the same rows one after the other, with and without weights and judged rows, and leaves of several sizes.

    As on a large log, a column of 70 values is an empty one for trees whose leaves have 100 rows, and tells others of much.
    """
    monkeypatch.setattr(scikit_trees, "_LOOKED_AT", 1000)
    matrix, probability = planted(rng)
    matrix[70:, 2] = np.nan
    label, weight = (rng.random(len(matrix)) < probability).astype(float), 1 + rng.random(len(matrix))
    label[:70] = 1
    jobs = [
        (Labelled(matrix, label_N, weight_N), judged, options)
        for weight_N in (weight, None, weight, np.ones(len(matrix)))
        for label_N, judged, options in (
            (1 - label, Labelled(matrix[:500], label[:500]), RARE_TREES),
            (label, None, DENSE_TREES),
            (1 - label, None, RARE_TREES),
        )
    ]
    jobs.append((Labelled(matrix[::2], label[::2]), None, DENSE_TREES))
    for rows, judged, options in (*jobs, *jobs):
        few = replace(options, trees=5)
        one, other = (each.fit(rows, judged, few, classifies=True, seed=1).output(matrix) for each in (library, type(library)()))
        np.testing.assert_array_equal(one, other)


def test_scikit_makes_bins_once_for_all_labels_of_the_same_rows(rng, monkeypatch) -> None:
    """Its own class of bins, which nobody else should import."""
    made: list[int] = []
    of_rows = _BinMapper.fit
    monkeypatch.setattr(_BinMapper, "fit", lambda self, X, *rest, **named: made.append(len(X)) or of_rows(self, X, *rest, **named))
    matrix, _ = planted(rng)
    scikit = Scikit()
    for rows in (matrix, matrix, matrix[1:], matrix):
        scikit.fit(Labelled(rows, rng.integers(0, 2, len(rows)).astype(float)), None, TreeOptions(trees=2), classifies=True, seed=1)
    assert made == [4000, 3999, 4000]


@pytest.mark.parametrize(("columns", "share"), [(3, 1.0), (MIN_COLUMNS, 1.0), (2 * MIN_COLUMNS, 0.5), (1000, 0.2)])
def test_a_split_chooses_from_a_share_of_the_columns_but_not_from_few(columns: int, share: float) -> None:
    assert DENSE_TREES.share_of(columns) == pytest.approx(share)


def test_without_the_package_it_is_said_before_anything_is_fitted(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(ConfigError, match=r'found "lightgbm", which cannot be imported \(.*\). Fix: pip install lightgbm'):
        LightGBM()


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


@pytest.mark.words
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
    monkeypatch.setattr("recsys.baselines.trees.DENSE_TREES", TreeOptions(trees=1))
    fit_and_score("gbdt", pipeline, log.examples, log.encoded, tmp_path / "predictions.parquet", ORIGIN, console=Console())
    said = capsys.readouterr().out
    assert "1 in 3 of 3,000 rows" in said
    assert "1 in 5 of 4,500 rows" in said
    assert "never: the constant 0" in said
    assert "gbdt: click: 1 tree\n" in said


def _scored(pipeline, log, run: Path) -> pa.Table:
    fit_and_score("gbdt", pipeline, log.examples, log.encoded, run / "predictions.parquet", ORIGIN, console=Console(quiet=True))
    return pq.read_table(run / "predictions.parquet")


@pytest.mark.parametrize(("positions", "devices", "left_out"), [(4, 3, 2), (4, 0, 1), (0, 3, 1), (0, 0, 0)])
def test_who_does_not_follow_the_position_loses_the_bias_columns_and_no_other(positions: int, devices: int, left_out: int) -> None:
    columns = TreeColumns(SimpleNamespace(positions=positions, devices=devices))
    matrix_NC = np.arange(10, dtype=np.float32).reshape(2, 5)
    np.testing.assert_array_equal(columns.seen(matrix_NC, follows_position=True), matrix_NC)
    np.testing.assert_array_equal(columns.seen(matrix_NC, follows_position=False), matrix_NC[:, left_out:])
