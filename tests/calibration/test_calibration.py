"""Maps of a whole table: which rows they are fitted to, which columns they reach, and what they may not break."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from scipy import special
from sklearn.isotonic import IsotonicRegression

from recsys import artifacts, calibration
from recsys.calibration import LEAST, fit, is_calibrated, uncalibrated
from recsys.errors import ArtifactError, DataError
from recsys.evaluation import evaluate
from recsys.objectives import Objective
from recsys.predictions import assemble, fused_score, train_means, value_names
from recsys.progress import Console
from tests.staged import ORIGIN

CLICK = Objective(name="click", label="c", fusion_weight=2)
LIKE = Objective(name="like", label="l", given="click", group="satisfaction")
SHARE = Objective(name="share", label="s", given="like", group="satisfaction")
DISMISS = Objective(name="dismiss", label="d", better="lower")
WATCH = Objective(name="watch", kind="watch_time", label="w")
STARS = Objective(name="stars", kind="ordinal", label="stars", levels=(1, 2, 3), group="satisfaction")
ALL = (SHARE, LIKE, CLICK, DISMISS, WATCH, STARS)
ROWS = 3000


def predicted(logit_N: np.ndarray) -> np.ndarray:
    """[N, V] of a model that is too sure, and predicts too much, in the order of ALL and then of the levels."""
    click_N, of_click_N, of_like_N = (special.expit(1.6 * logit_N + shift) for shift in (0.4, 0.0, 0.3))
    level_NL = np.column_stack([(1 - click_N) ** 2, 2 * click_N * (1 - click_N), click_N**2])
    like_N = click_N * of_click_N
    values = [like_N * of_like_N, like_N, click_N, special.expit(-2 - logit_N), 30 * np.exp(0.5 * logit_N), level_NL @ [1, 2, 3]]
    return np.column_stack([*values, level_NL])


def day(rng: np.random.Generator, number: int, split: str, *, rows: int = ROWS) -> pa.Table:
    logit_N = rng.normal(-0.5, 1, rows)
    truth_N = special.expit(logit_N)
    click_N = rng.random(rows) < truth_N
    like_N = click_N & (rng.random(rows) < truth_N)
    share_N = like_N & (rng.random(rows) < truth_N)
    stars_N = 1.0 + rng.binomial(2, truth_N)
    examples = pa.table(
        {
            "event_id": np.arange(rows) + 10 * ROWS * number,
            "user_id": rng.integers(0, 500, rows),
            "item_id": rng.integers(0, 50, rows),
            "timestamp": np.arange(rows) * 1000 + 86_400_000 * number,
            "label.click": click_N.astype(np.float32),
            "label.like": like_N.astype(np.float32),
            "label.share": share_N.astype(np.float32),
            "label.dismiss": (rng.random(rows) < 0.1).astype(np.float32),
            "label.watch": (rng.gamma(1.0, 10.0, rows) * np.exp(logit_N)).astype(np.float32),
            "label.stars": pa.array(np.where(rng.random(rows) < 0.4, stars_N, np.nan).astype(np.float32), from_pandas=True),
        }
    )
    return assemble(
        examples, day=f"2024-01-0{number}", split=split, objectives=ALL, predicted_NV=predicted(logit_N),
        ranking_NR=predicted(logit_N - 0.2)[:, : len(ALL)], train_means={"click": 0.4},
    )  # fmt: skip


@pytest.fixture(scope="module")
def predictions() -> pa.Table:
    rng = np.random.default_rng(3)
    return pa.concat_tables([day(rng, 4, "validation"), day(rng, 5, "test")])


@pytest.fixture(scope="module")
def calibrated(predictions: pa.Table) -> pa.Table:
    return fit(predictions, ALL, "isotonic", run="r").applied(predictions, ALL, run="r")


def numbers(table: pa.Table, name: str) -> np.ndarray:
    return table[name].to_numpy().astype(float)


def of(table: pa.Table, split: str) -> pa.Table:
    return table.filter(pc.equal(table["split"], split))


def replaced(table: pa.Table, name: str, values) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def test_every_prediction_passes_and_what_was_before_comes_back(predictions, calibrated):
    changed = [name for name in predictions.column_names if name.startswith(("pred.", "rank.")) or name == "score"]
    assert calibrated.column_names[: len(predictions.column_names)] == predictions.column_names
    assert set(calibrated.column_names) - set(predictions.column_names) == {f"raw.{name}" for name in changed}
    assert not is_calibrated(predictions)
    assert is_calibrated(calibrated)
    assert uncalibrated(calibrated).equals(predictions)
    assert train_means(calibrated.schema) == {"click": 0.4}


def test_the_map_is_scikit_learns_of_the_validation_rows_on_every_row_and_rank(predictions, calibrated):
    validation = of(predictions, "validation")
    for name in ("click", "dismiss", "watch"):
        known = numbers(validation, f"pred.{name}"), numbers(validation, f"label.{name}")
        theirs = IsotonicRegression(out_of_bounds="clip").fit(*known)
        middle = np.quantile(known[0], [0.1, 0.9])
        for column in (f"pred.{name}", f"rank.{name}"):
            before, after = numbers(predictions, column), numbers(calibrated, column)
            inside = (before > middle[0]) & (before < middle[1])
            assert after[inside] == pytest.approx(theirs.predict(before[inside]), abs=1e-6 * max(1, known[1].max()))


def test_it_helps_on_days_that_it_was_not_fitted_to(predictions, calibrated):
    rows = evaluate(of(calibrated, "test"), ALL, run="r", against={"before": of(predictions, "test")}, bootstrap=100).to_pandas()
    for target, metric in [(t, m) for t in ("click", "like", "like|click") for m in ("log_loss", "ece")] + [("stars", "rps")]:
        (difference,) = rows[(rows["objective"] == target) & (rows["metric"] == metric) & (rows["against"] == "before")].to_dict("records")
        assert difference["high"] < 0, (target, metric)
    sums = rows[(rows["metric"] == "calibration") & rows["against"].isna()].set_index("objective")["value"]
    assert sums.drop("dismiss").to_dict() == pytest.approx(dict.fromkeys(sums.drop("dismiss").index, 1), abs=0.06)
    assert sums["dismiss"] == pytest.approx(1, abs=0.15)  # 10 % of 3,000 rows


def test_other_days_and_their_labels_change_nothing(predictions):
    is_test = pc.equal(predictions["split"], "test").to_numpy()
    shuffled = predictions
    for name in ("label.click", "label.like", "label.share"):
        shuffled = replaced(shuffled, name, np.where(is_test, 0.0, numbers(predictions, name)).astype(np.float32))
    shuffled = replaced(shuffled, "pred.watch", np.where(is_test, 7.0, numbers(predictions, "pred.watch")))
    expected = fit(predictions, ALL, "isotonic", run="r")
    assert fit(shuffled, ALL, "isotonic", run="r") == expected
    assert fit(of(predictions, "validation"), ALL, "isotonic", run="r") == expected
    moved = replaced(predictions, "label.click", np.where(is_test, numbers(predictions, "label.click"), 1.0).astype(np.float32))
    assert fit(moved, ALL, "isotonic", run="r") != expected


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_a_chain_of_conditions_stays_a_product_of_probabilities(predictions, method):
    table = fit(predictions, ALL, method, run="r").applied(predictions, ALL, run="r")
    for prefix in ("pred", "rank"):
        share, like, click = (numbers(table, f"{prefix}.{name}") for name in ("share", "like", "click"))
        assert (share <= like).all()
        assert (like <= click).all()
        assert 0 < share.min() <= click.max() < 1
    assert numbers(table, "pred.like|click") * numbers(table, "pred.click") == pytest.approx(numbers(table, "pred.like"))
    assert numbers(table, "pred.share|like") * numbers(table, "pred.like") == pytest.approx(numbers(table, "pred.share"))
    assert numbers(table, "pred.like|click").max() <= 1


def test_a_conditional_form_is_fitted_where_its_condition_happened(predictions, calibrated):
    validation = of(predictions, "validation")
    clicked = numbers(validation, "label.click") == 1
    theirs = IsotonicRegression(out_of_bounds="clip").fit(
        numbers(validation, "pred.like|click")[clicked], numbers(validation, "label.like")[clicked]
    )
    before, after = numbers(predictions, "pred.like|click"), numbers(calibrated, "pred.like|click")
    middle = (before > np.quantile(before, 0.3)) & (before < np.quantile(before, 0.9))
    assert after[middle] == pytest.approx(theirs.predict(before[middle]), abs=1e-6)


def test_the_score_is_made_of_the_calibrated_ranks_and_levels_fit_their_expected_value(calibrated):
    ranks_NK = np.column_stack([numbers(calibrated, f"rank.{objective.name}") for objective in ALL])
    assert numbers(calibrated, "score").tolist() == fused_score(ranks_NK, ALL).tolist()
    levels_NL = np.column_stack([numbers(calibrated, f"pred.{name}") for name in value_names(ALL)[len(ALL) :]])
    assert levels_NL.sum(axis=1) == pytest.approx(np.ones(2 * ROWS))
    assert levels_NL @ [1, 2, 3] == pytest.approx(numbers(calibrated, "pred.stars"), abs=1e-9)


def test_too_few_positives_leave_an_objective_as_it_is_and_those_given_it_their_own_map(predictions):
    label = numbers(predictions, "label.dismiss")
    some = np.flatnonzero((label == 1) & pc.equal(predictions["split"], "validation").to_numpy())[LEAST - 1 :]
    label[some] = 0
    found = fit(replaced(predictions, "label.dismiss", label.astype(np.float32)), ALL, "isotonic", run="r")
    assert found.left == {"dismiss": "49 positives of 3,000 rows on the validation days, expected 50 of each label at least"}
    table = found.applied(predictions, ALL, run="r")
    assert table["pred.dismiss"].equals(predictions["pred.dismiss"])
    assert "raw.pred.dismiss" not in table.column_names
    assert "raw.score" in table.column_names

    fitted = fit(predictions, ALL, "isotonic", run="r").fitted
    left = fitted["click"].model_copy(update={"map": None, "reason": "a test"})
    table = calibration.Calibration(method="isotonic", fitted=fitted | {"click": left}).applied(predictions, ALL, run="r")
    assert table["pred.click"].equals(predictions["pred.click"])
    assert numbers(table, "pred.like") == pytest.approx(numbers(table, "pred.like|click") * numbers(predictions, "pred.click"))


def test_platt_is_of_probabilities_alone(predictions):
    found = fit(predictions, ALL, "platt", run="r")
    assert set(found.left) == {"watch", "stars"}
    assert found.left["watch"] == '"platt" is of probabilities, and this is a value (watch_time)'
    table = found.applied(predictions, ALL, run="r")
    for name in ("pred.watch", "rank.watch", "pred.stars", "pred.stars=2"):
        assert table[name].equals(predictions[name])


@pytest.mark.parametrize(
    ("labels", "reason"),
    [(lambda label: np.where(np.arange(len(label)) < 49, label, np.nan), "49 known labels"), (np.zeros_like, "all labels are the same")],
)
def test_values_need_labels_that_differ(predictions, labels, reason):
    label = labels(numbers(predictions, "label.watch")).astype(np.float32)
    assert reason in fit(replaced(predictions, "label.watch", pa.array(label, from_pandas=True)), ALL, "isotonic", run="r").left["watch"]


def test_nan_where_no_label_is_known_stays_nan_and_elsewhere_is_an_error(predictions):
    hole = numbers(predictions, "pred.stars")
    hole[np.flatnonzero(np.isnan(predictions["label.stars"].to_numpy()))[:5]] = np.nan
    table = replaced(predictions, "pred.stars", hole)
    found = fit(table, ALL, "isotonic", run="r").applied(table, ALL, run="r")
    assert np.isnan(numbers(found, "pred.stars")).sum() == 5
    assert np.isnan(numbers(found, "pred.stars=1")).sum() == 5
    hole = numbers(predictions, "pred.click")
    hole[0] = np.nan
    with pytest.raises(DataError, match=r"pred\.click: found null, NaN or infinite"):
        fit(replaced(predictions, "pred.click", hole), ALL, "isotonic", run="r")


def test_a_table_is_not_calibrated_twice_nor_without_validation_rows(predictions, calibrated):
    with pytest.raises(ValueError, match="calibrated already"):
        fit(calibrated, ALL, "isotonic", run="r").applied(calibrated, ALL, run="r")
    with pytest.raises(DataError, match="found no validation rows"):
        fit(of(predictions, "test"), ALL, "isotonic", run="r")
    outside = replaced(predictions, "pred.dismiss", numbers(predictions, "pred.dismiss") * 20)
    with pytest.raises(DataError, match=r"pred\.dismiss: found values outside \[0, 1\]"):
        fit(outside, ALL, "isotonic", run="r")


def test_arguments_are_left_as_they_were(predictions):
    copy = pa.table(predictions.to_pydict(), schema=predictions.schema)
    fit(predictions, ALL, "isotonic", run="r").applied(predictions, ALL, run="r")
    assert predictions.equals(copy)


# --- Files --------------------------------------------------------------------------------------------------------
@pytest.fixture
def source(predictions, tmp_path):
    path = tmp_path / "run" / "predictions.parquet"
    artifacts.write_file(path, lambda draft: pq.write_table(predictions, draft), stage="score", fingerprint="raw")
    return path


def calibrate(source, method="isotonic", until=None):
    maps = source.with_name("calibration.json")
    calibration.calibrate_file(source, source, maps, ALL, method, until=until, origin=ORIGIN, console=Console())
    return maps


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_what_is_saved_gives_the_same_bits_again(predictions, source, method, capsys):
    maps = calibrate(source, method)
    again = calibration.read(maps)
    assert again == fit(predictions, ALL, method, run="r")
    assert pq.read_table(source).equals(again.applied(predictions, ALL, run="r"))
    assert artifacts.is_fresh(source, ORIGIN.fingerprint)
    assert artifacts.is_fresh(maps, ORIGIN.fingerprint)
    said = capsys.readouterr().out
    assert ("watch stays as it is: " in said) == (method == "platt")


def test_maps_are_fitted_to_labels_that_are_known_before_the_test_begins(predictions, tmp_path):
    """Likes of the second half of the validation rows are known with the border: the maps are those of a table without them."""
    likes, nothing = predictions["label.like"], pa.scalar(None, pa.float32())
    border, half = 5 * 86_400_000, pa.array(np.arange(len(predictions)) % ROWS >= ROWS // 2)
    known = predictions.append_column("known.like", pc.if_else(half, border, border - 1))
    hidden = pc.and_(half, pc.equal(predictions["split"], "validation"))
    place = predictions.column_names.index("label.like")
    without = predictions.set_column(place, "label.like", pc.if_else(hidden, nothing, likes))
    expected = fit(without, ALL, "isotonic", run="r")
    assert expected.fitted["like|click"].rows < fit(predictions, ALL, "isotonic", run="r").fitted["like|click"].rows
    path = tmp_path / "run" / "predictions.parquet"
    artifacts.write_file(path, lambda draft: pq.write_table(known, draft), stage="score", fingerprint="raw")
    assert calibration.read(calibrate(path, until=border)) == expected
    assert pq.read_table(path)["label.like"].equals(likes), "what is judged stays whole"


@pytest.mark.parametrize("damage", ["gone", "other bytes", "other form"])
def test_damaged_maps_are_refused_by_name(source, damage):
    maps = calibrate(source)
    match damage:
        case "gone":
            artifacts.remove(maps)
        case "other bytes":
            maps.write_text(maps.read_text().replace("0", "1"))
        case "other form":
            text = json.dumps({"method": "isotonic", "fitted": {"click": {"rows": 1}}, "more": 1})
            artifacts.write_file(maps, lambda draft: draft.write_text(text), stage="calibrate", fingerprint="f")
    with pytest.raises(ArtifactError, match=r"calibration\.json"):
        calibration.read(maps)
