"""One body over every metric: what each must do whatever it measures."""

import math
from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recsys import schema
from recsys.evaluation import METRICS, UserDraws, evaluate, interval, list_metrics
from recsys.evaluation.intervals.bootstrap import Undefined, replicate
from recsys.objectives import Objective
from tests.evaluation.samples import LEVELS, build_rows, in_order_of, random_rows
from tests.spread import spread

LIST_OPTIONS = {"list_k": (2, 3), "top_percent": (20.0,)}
EVERY = (*METRICS, *list_metrics(**LIST_OPTIONS))
NAMED = {f"{metric.name}-{kind}": (metric, kind) for metric in EVERY for kind in metric.kinds}
CASES = [pytest.param(*case, id=name) for name, case in NAMED.items()]


def arrays(rows):
    """Those that have a value a row, by the name of their field."""
    return {f.name: value for f in fields(rows) if f.name.endswith(("_N", "_NL")) and (value := getattr(rows, f.name)) is not None}


def perfect_and_worst(kind, rng):
    """The same labels with the best predictions there are, and with ones that are wrong throughout."""
    rows = random_rows(rng, kind)
    if kind == "ordinal":
        certain = np.eye(len(LEVELS))
        furthest_N = np.where(rows.label_N > 3, 1.0, 5.0)
        return (
            in_order_of(
                replace(rows, prediction_N=predicted_N, ranking_N=predicted_N, probability_NL=certain[predicted_N.astype(int) - 1]),
                predicted_N,
            )
            for predicted_N in (rows.label_N, furthest_N)
        )
    best_N = rows.label_N
    worst_N = 1 - rows.label_N if kind == "binary" else 2 * rows.label_N.max() - 3 * rows.label_N
    return (in_order_of(replace(rows, prediction_N=predicted_N, ranking_N=predicted_N), predicted_N) for predicted_N in (best_N, worst_N))


def test_names_are_unique_and_directions_known():
    assert len({metric.name for metric in EVERY}) == len(EVERY)
    assert {metric.better for metric in METRICS} == {schema.HIGHER, schema.LOWER, None}


@pytest.mark.parametrize(("metric", "kind"), CASES)
def test_the_order_of_rows_does_not_matter(metric, kind, rng):
    rows = random_rows(rng, kind)
    order = rng.permutation(len(rows))
    shuffled = replace(rows, **{name: values[order] for name, values in arrays(rows).items()})
    draws = UserDraws(rows.users, 20, seed=0)
    everyone = np.arange(rows.users)
    (first_R,), (second_R,) = (replicate([metric.estimate(each)], draws, everyone) for each in (rows, shuffled))
    assert metric.estimate(rows).value() == pytest.approx(metric.estimate(shuffled).value(), rel=1e-9)
    assert first_R == pytest.approx(second_R, rel=1e-9)


@pytest.mark.parametrize(("metric", "kind"), CASES)
def test_perfect_predictions_beat_the_worst(metric, kind, rng):
    best, worst = (metric.estimate(rows).value() for rows in perfect_and_worst(kind, rng))
    if metric.of_lists:  # no order captures all where the first k or P % have no room for it
        assert 1 >= best > worst
        assert best == pytest.approx(1) or metric.name.startswith("captured")
    elif metric.better is None:
        assert best == pytest.approx(1)
        assert worst != pytest.approx(1, abs=0.01)
    else:
        assert best > worst if metric.better == schema.HIGHER else best < worst
        ideal = 1 if metric.better == schema.HIGHER else 0
        assert best == pytest.approx(ideal, abs=1e-9)


@pytest.mark.parametrize(("metric", "kind"), CASES)
@pytest.mark.parametrize("rows", [0, 1, 2])
def test_on_hardly_any_rows_there_is_a_number_or_a_reason(metric, kind, rows, rng):
    """All labels 0: no class, no spread, no sum."""
    levels = {"levels": (0.0, 1.0), "probability": np.full((rows, 2), 0.5)} if kind == "ordinal" else {}
    estimate = metric.estimate(build_rows(np.zeros(rows), np.full(rows, 0.25), train_mean=0.25, **levels))
    if isinstance(estimate, Undefined):
        assert estimate.reason
    else:
        assert rows > 0
        assert np.isfinite(estimate.value())


@pytest.mark.parametrize(("metric", "kind"), CASES)
def test_the_interval_holds_the_value(metric, kind, rng):
    rows = random_rows(rng, kind, rows=600, users=80)
    estimate = metric.estimate(rows)
    (replicates_R,) = replicate([estimate], UserDraws(rows.users, 300, seed=1), np.arange(rows.users))
    assert replicates_R.shape == (300,)
    low, high, reason = interval(replicates_R, estimate.value(), confidence=0.9, centred=metric.centred)
    assert reason is None
    assert low < estimate.value() < high


@pytest.mark.parametrize(("metric", "kind"), CASES)
def test_a_wider_confidence_gives_a_wider_interval(metric, kind, rng):
    rows = random_rows(rng, kind)
    estimate = metric.estimate(rows)
    (replicates_R,) = replicate([estimate], UserDraws(rows.users, 300, seed=1), np.arange(rows.users))
    narrow, wide = (interval(replicates_R, estimate.value(), confidence=confidence, centred=metric.centred) for confidence in (0.5, 0.95))
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize(("metric", "kind"), CASES)
def test_coverage_is_a_share_of_the_rows(metric, kind, rng):
    assert 0 < metric.estimate(random_rows(rng, kind)).coverage <= 1


@pytest.mark.parametrize(("metric", "kind"), CASES)
def test_inputs_are_left_as_they_were(metric, kind, rng):
    rows = random_rows(rng, kind)
    given = arrays(rows)
    copies = {name: values.copy() for name, values in given.items()}
    for values in given.values():
        values.flags.writeable = False
    replicate([metric.estimate(rows)], UserDraws(rows.users, 5, seed=0), np.arange(rows.users))
    for name, values in given.items():
        assert np.array_equal(values, copies[name]), name


@pytest.mark.parametrize(("name", "dtype"), spread(NAMED, (pa.float32(), pa.int64(), pa.bool_()), over=3))
def test_labels_and_predictions_of_other_types_are_the_same_numbers(name, dtype, rng):
    """Of an ordinal objective the levels 0 and 1, each with a probability of 0 or 1."""
    metric, kind = NAMED[name]
    rows = random_rows(rng, kind)
    positive_N, predicted_N = rows.label_N > rows.label_N.min(), rows.prediction_N > np.median(rows.prediction_N)
    named = {"label.x": positive_N, "pred.x": predicted_N, "pred.x=0": ~predicted_N, "pred.x=1": predicted_N}
    columns = {"event_id": np.arange(len(rows)), "user_id": rows.user_N, "timestamp": rows.list_N * 86_400_000}
    named["score"] = predicted_N
    exact, typed = (pa.table(columns | {name: pa.array(values).cast(to) for name, values in named.items()}) for to in (pa.float64(), dtype))
    objective = Objective(name="x", kind=kind, label="x", levels=(0.0, 1.0) if kind == "ordinal" else ())
    options = {"run": "mine", "bootstrap": 10, "train_means": {"x": 0.3}, **LIST_OPTIONS}
    first, second = (evaluate(table, [objective], **options) for table in (exact, typed))
    assert metric.name in first.filter(pc.is_valid(first["value"]))["metric"].to_pylist()
    assert first.equals(second)


def literal(metric, rows):
    """Each row's loss as its definition says it, without an array."""
    losses = []
    for label, probabilities in zip(rows.label_N, rows.probability_NL, strict=True):
        if metric == "log_loss":
            losses.append(-math.log(probabilities[rows.levels.index(label)]))
        else:
            thresholds = rows.levels[:-1]
            below = [sum(p for level, p in zip(rows.levels, probabilities, strict=True) if level <= threshold) for threshold in thresholds]
            losses.append(sum((f - (label <= t)) ** 2 for f, t in zip(below, thresholds, strict=True)) / len(thresholds))
    return losses


@pytest.mark.parametrize("metric", [m for m in METRICS if m.name in ("log_loss", "rps")], ids=lambda m: m.name)
def test_metrics_of_levels_are_those_of_a_loop_over_rows_and_so_are_their_replicates(metric, rng):
    rows = random_rows(rng, "ordinal")
    losses = np.array(literal(metric.name, rows))
    assert metric.estimate(rows).value() == pytest.approx(losses.mean(), rel=1e-12)
    draws = UserDraws(rows.users, 7, seed=3)
    (found_R,) = replicate([metric.estimate(rows)], draws, np.arange(rows.users))
    drawn_R = [np.average(losses, weights=times_U[rows.user_N]) for block_RU in draws.blocks() for times_U in block_RU]
    assert found_R == pytest.approx(drawn_R, rel=1e-12)
