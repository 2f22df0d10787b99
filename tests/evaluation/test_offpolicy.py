"""Values of a policy that did not run: by hand, over everything that can happen, by simulation, at the limits; and what is refused."""

import itertools

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.special import softmax

from recsys import off_policy, schema
from recsys.errors import ConfigError, DataError
from recsys.evaluation import METRICS, OFF_POLICY, Rows, evaluate, softmax_propensity
from recsys.evaluation.metrics.offpolicy import dr, ess, ips, ips_clipped, max_weight, snips
from recsys.objectives import Objective
from recsys.predictions import judged_beside
from tests.evaluation.samples import frame, one

CLICK = Objective(name="click", label="click = 1")
DISMISS = Objective(name="dismiss", label="dismiss = 1", better="lower")

# A bandit of two contexts and three actions of which everything is known.
CONTEXT = np.array([0.3, 0.7])
LOGGING = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
TARGET = np.array([[0.1, 0.1, 0.8], [0.6, 0.4, 0.0]])
CLICKS = np.array([[0.1, 0.5, 0.8], [0.9, 0.2, 0.4]])
VALUE = float(CONTEXT @ (TARGET * CLICKS).sum(axis=1))  # .70 × .3 + .62 × .7
GUESS = np.array([[0.3, 0.3, 0.1], [0.2, 0.9, 0.5]])  # of CLICKS, and far off


def log_of(label, logging, target, predicted=None) -> pd.DataFrame:
    rows = np.arange(len(label))
    columns = {"event_id": rows, "user_id": rows, "timestamp": 0, "label.click": label, "propensity": logging, "target_propensity": target}
    return pd.DataFrame(columns if predicted is None else columns | {"pred.click": predicted})


def rows_of(label, weight, predicted, policy=None) -> Rows:
    rows = np.arange(len(label))
    policy = None if policy is None else np.asarray(policy, float)
    label, predicted, weight = (np.asarray(values, float) for values in (label, predicted, weight))
    return Rows(label, predicted, predicted, rows, rows, len(rows), len(rows), importance_N=weight, policy_N=policy)


def values(table: pa.Table) -> dict[str, float | None]:
    return dict(zip(table["metric"].to_pylist(), table["value"].to_pylist(), strict=True))


def simulated(rng: np.random.Generator, rows: int) -> pd.DataFrame:
    context = rng.choice(2, rows, p=CONTEXT)
    action = (rng.random((rows, 1)) > np.cumsum(LOGGING, axis=1)[context, :-1]).sum(axis=1)
    label = (rng.random(rows) < CLICKS[context, action]).astype(float)
    at = (context, action)
    return log_of(label, LOGGING[at], TARGET[at], GUESS[at])


@pytest.fixture
def log(rng: np.random.Generator) -> pd.DataFrame:
    return simulated(rng, 300)


# --- The formulas -------------------------------------------------------------------------------------------------
def test_four_rows_by_hand():
    found = values(
        off_policy(log_of([1, 1, 1, 0], [0.5, 0.125, 0.5, 0.25], [0.25, 0.5, 0, 0.25], [0.5, 0.75, 0.25, 0.5]), [CLICK], run="r")
    )
    assert found["ips"] == pytest.approx((0.5 + 4) / 4)
    assert found["ips_clipped"] == pytest.approx((0.5 + 2) / 4)  # 4 is above √4
    assert found["snips"] == pytest.approx((0.5 + 4) / (0.5 + 4 + 1))
    assert found["dr"] == pytest.approx((0.25 + 3 + 0.5) / 5.5 + (0.5 * 0.5 + 4 * 0.25 - 0.5) / 4)
    assert found["ess"] == pytest.approx(5.5**2 / (0.25 + 16 + 1))
    assert found["max_weight"] == 4


def test_dr_averages_the_prediction_over_the_candidates_of_a_request():
    table = pd.DataFrame(
        {
            "event_id": [0, 1, 2, 3],
            "user_id": [0, 0, 1, 1],
            "timestamp": 0,
            "request_id": ["a", "a", "b", "b"],
            "label.click": [1, None, None, 0],
            "propensity": [0.5, None, None, 0.25],
            "target_propensity": [0.25, 0.75, 0.5, 0.5],
            "pred.click": [0.4, 0.8, 0.6, 0.2],
        }
    )
    # a: .25 × .4 + .75 × .8 + .5 (1 − .4) = 1; b: .5 × .6 + .5 × .2 + 2 (0 − .2) = 0
    assert values(off_policy(table, [CLICK], run="r"))["dr"] == pytest.approx(0.5)
    halves = table.assign(target_propensity=table["target_propensity"] / 2)  # of lists that are no whole decisions: the baseline form
    means = (0.25 * 0.4 + 1 * 0.2) / 1.25
    assert values(off_policy(halves, [CLICK], run="r"))["dr"] == pytest.approx(means + (0.25 * 0.6 - 1 * 0.2) / 2)


def expected(estimate, *, logging=LOGGING, predicted=GUESS) -> float:
    """The mean of an estimator over every log of two rows, by its probability; the weights are of `logging`, the choices of LOGGING."""
    outcomes = list(itertools.product(range(2), range(3), range(2)))
    total = 0.0
    for pair in itertools.product(outcomes, repeat=2):
        chance = np.prod([CONTEXT[c] * LOGGING[c, a] * (CLICKS[c, a] if r else 1 - CLICKS[c, a]) for c, a, r in pair])
        weight, predicted_N = ([of[c, a] for c, a, _ in pair] for of in (TARGET / logging, predicted))
        policy = [(TARGET[c] * predicted[c]).sum() for c, _, _ in pair]
        found = estimate(rows_of([r for *_, r in pair], weight, predicted_N, policy))
        total += chance * (found.value() if hasattr(found, "value") else 0.0)  # undefined where all weights are 0: so is Σ w r
    return total


def test_ips_has_the_value_as_its_expectation_and_clipping_only_takes_away():
    assert expected(ips) == pytest.approx(VALUE, rel=1e-12)
    assert expected(ips_clipped) < VALUE - 0.05


def test_dr_is_unbiased_where_either_the_propensities_or_the_predictions_are_right():
    wrong = np.array([[0.2, 0.4, 0.4], [0.3, 0.3, 0.4]])
    assert expected(dr) == pytest.approx(VALUE, rel=1e-12)
    assert expected(dr, logging=wrong, predicted=CLICKS) == pytest.approx(VALUE, rel=1e-12)
    assert abs(expected(dr, logging=wrong) - VALUE) > 0.05
    assert abs(expected(ips, logging=wrong) - VALUE) > 0.05


def test_the_baseline_form_is_dr_for_a_constant_prediction_and_nearly_unbiased_for_any(rng):
    label, weight = rng.random(50), rng.gamma(1, 1, 50)
    constant = np.full(50, 0.3)
    assert dr(rows_of(label, weight, constant)).value() == pytest.approx(dr(rows_of(label, weight, constant, constant)).value(), rel=1e-12)
    many = simulated(rng, 200_000)
    assert values(off_policy(many, [CLICK], run="r", bootstrap=0))["dr"] == pytest.approx(VALUE, abs=0.02)


def test_a_constant_added_to_the_label_moves_snips_by_as_much(rng):
    label, weight = rng.random(50), rng.gamma(1, 1, 50)
    moved = snips(rows_of(label + 5, weight, label)).value() - snips(rows_of(label, weight, label)).value()
    assert moved == pytest.approx(5)
    assert ips(rows_of(label + 5, weight, label)).value() - ips(rows_of(label, weight, label)).value() == pytest.approx(5 * weight.mean())


def test_weights_beyond_the_square_root_of_a_float_have_an_effective_size():
    rows = rows_of([1, 0, 0], [1e200, 1e200, 0], [0, 0, 0])
    assert ess(rows).value() == pytest.approx(2)
    assert max_weight(rows).value() == 1e200


# --- Limits and invariances ---------------------------------------------------------------------------------------
def test_the_logging_policy_itself_has_the_plain_mean(log):
    log["target_propensity"] = log["propensity"]
    found = values(off_policy(log, [CLICK], run="r"))
    assert [found[name] for name in ("ips", "ips_clipped", "snips", "dr")] == pytest.approx([log["label.click"].mean()] * 4)
    assert found["ess"] == pytest.approx(len(log))
    assert found["max_weight"] == 1


def test_neither_the_order_of_rows_nor_the_table_given_changes(log):
    before = log.copy()
    first = off_policy(log, [CLICK], run="r", bootstrap=50)
    pd.testing.assert_frame_equal(log, before)
    assert off_policy(log.sample(frac=1, random_state=1), [CLICK], run="r", bootstrap=50).equals(first)


@pytest.mark.words
def test_intervals_hold_the_value_as_often_as_they_say():
    """90 % intervals of 150 logs of 300 rows: 135 expected, standard deviation 3.7."""
    held = dict.fromkeys(("ips", "snips", "dr"), 0)
    for seed in range(150):
        rows = off_policy(simulated(np.random.default_rng(seed), 300), [CLICK], run="r", bootstrap=200, confidence=0.9).to_pylist()
        for row in rows:
            if row["metric"] in held:
                held[row["metric"]] += row["low"] <= VALUE <= row["high"]
    assert all(122 <= count <= 146 for count in held.values()), held


def test_rows_of_one_user_are_drawn_together(log):
    """Ten copies of each row as ten rows of its user say no more than one."""
    tenfold = pd.concat([log.assign(event_id=log["event_id"] + 1000 * copy) for copy in range(10)])
    once, ten = (off_policy(table, [CLICK], run="r", bootstrap=100).to_pylist() for table in (log, tenfold))
    for first, second in zip(once[2:4], ten[2:4], strict=True):  # snips, dr
        assert (second["low"], second["high"]) == pytest.approx((first["low"], first["high"]))


# --- Long rows ----------------------------------------------------------------------------------------------------
def test_rows_say_what_they_rest_on(log):
    log["label.dismiss"] = 1 - log["label.click"]
    log.loc[:9, "label.click"] = np.nan
    table = off_policy(log, [CLICK, DISMISS], run="r", bootstrap=50, seed=3)
    assert table.schema.equals(schema.METRICS)
    rows = pd.DataFrame(table.to_pylist(), dtype=object)
    assert rows["metric"].tolist() == [metric.name for metric in OFF_POLICY] * 2
    click, dismiss, size = (one(rows, objective=name, metric=m) for name, m in (("click", "ips"), ("dismiss", "ips"), ("click", "ess")))
    assert (click["better"], dismiss["better"], size["better"]) == ("higher", "lower", "higher")
    assert (click["n"], dismiss["n"], click["seed"], click["method"]) == (290, 300, 3, "bootstrap")
    assert click["low"] < click["value"] < click["high"]
    assert size["low"] is None
    assert size["reason"] == "no interval: it describes these rows' weights"
    undefined = one(rows, objective="click", metric="dr")
    assert undefined["value"] is not None
    assert one(rows, objective="dismiss", metric="dr")["reason"] == "no prediction of the label"


def test_slices_are_the_value_of_their_rows(log):
    log["slice.tab"] = np.where(np.arange(len(log)) % 3, "home", "search")
    rows = pd.DataFrame(off_policy(log, [CLICK], run="r", bootstrap=20).to_pylist(), dtype=object)
    for value, part in log.groupby("slice.tab"):
        alone = values(off_policy(part, [CLICK], run="r"))["snips"]
        assert one(rows, metric="snips", slice="tab", slice_value=value)["value"] == pytest.approx(alone, rel=1e-12)


def test_two_policies_are_compared_on_the_same_draws(log):
    other = log.assign(target_propensity=log["propensity"])
    rows = pd.DataFrame(off_policy(log, [CLICK], run="mine", against={"as_logged": other}, bootstrap=100).to_pylist(), dtype=object)
    mine, difference = (one(rows, metric="snips", against=name) for name in (None, "as_logged"))
    assert difference["value"] == pytest.approx(mine["value"] - log["label.click"].mean())
    same = pd.DataFrame(off_policy(log, [CLICK], run="mine", against={"twin": log}, bootstrap=100).to_pylist(), dtype=object)
    twin = one(same, metric="dr", against="twin")
    assert (twin["value"], twin["low"], twin["high"]) == (0, 0, 0)


def test_evaluate_has_the_same_rows_beside_its_own_where_both_propensities_are_there(log):
    rows = frame(log, [CLICK], bootstrap=50)
    assert rows["metric"].tolist() == [m.name for m in METRICS if "binary" in m.kinds] + [m.name for m in OFF_POLICY]
    own = pd.DataFrame(off_policy(log, [CLICK], run="mine", bootstrap=50).to_pylist(), dtype=object)
    pd.testing.assert_frame_equal(rows[-len(OFF_POLICY) :].reset_index(drop=True), own)
    for column in ("propensity", "target_propensity"):
        assert set(frame(log.drop(columns=column), [CLICK])["metric"]).isdisjoint({m.name for m in OFF_POLICY})


def test_a_conditional_objective_is_valued_by_its_joint_label(log):
    log = log.assign(**{"label.like": log["label.click"] * (np.arange(len(log)) % 2), "pred.like": 0.1})
    like = Objective(name="like", label="like = 1", given="click")
    rows = pd.DataFrame(off_policy(log, [CLICK, like], run="r", bootstrap=0).to_pylist(), dtype=object)
    assert rows["objective"].unique().tolist() == ["click", "like"]
    weight = log["target_propensity"] / log["propensity"]
    assert one(rows, objective="like", metric="ips")["value"] == pytest.approx((weight * log["label.like"]).mean())
    judged = frame(log, [CLICK, like], bootstrap=0)
    assert set(judged.loc[judged["objective"] == "like|click", "metric"]).isdisjoint({m.name for m in OFF_POLICY})


# --- Softmax over a list ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("temperature", [0.1, 1.0, 7.0])
def test_softmax_of_each_list_is_scipys(temperature, rng):
    score, lists = rng.normal(0, 300, 60), rng.integers(0, 9, 60)
    found = softmax_propensity(score, lists, temperature=temperature)
    for each in np.unique(lists):
        assert found[lists == each] == pytest.approx(softmax(score[lists == each] / temperature), rel=1e-9)


def test_softmax_goes_from_the_best_to_any(rng):
    score, lists = np.array([1.0, 3.0, 2.0, -5.0, -5.0]), np.array([4, 4, 4, 0, 0])
    assert softmax_propensity(score, lists, temperature=1e-3) == pytest.approx([0, 1, 0, 0.5, 0.5])
    assert softmax_propensity(score, lists, temperature=1e9) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0.5, 0.5])


@pytest.mark.parametrize(
    ("score", "lists", "temperature", "message"),
    [
        ([1.0], [0], 0, "temperature: found 0, expected more than 0"),
        ([1.0, 2.0], [0], 1, "found 2 scores and 1 lists"),
        ([1.0, np.nan], [0, 0], 1, "found 1 of 2 scores not finite"),
    ],
)
def test_softmax_refuses(score, lists, temperature, message):
    with pytest.raises(ValueError, match=message):
        softmax_propensity(np.array(score), np.array(lists), temperature=temperature)


@pytest.fixture
def candidates(rng: np.random.Generator) -> pd.DataFrame:
    """200 requests with three candidates each, one of them chosen at random and labelled."""
    request = np.repeat(np.arange(200), 3)
    chosen = np.arange(600) % 3 == np.repeat(rng.integers(0, 3, 200), 3)
    score = rng.normal(size=600)
    columns = {"event_id": np.arange(600), "user_id": request % 50, "timestamp": request * 60_000, "request_id": request, "score": score}
    label = np.where(chosen, rng.random(600) < 0.5, np.nan)
    return pd.DataFrame(columns | {"label.click": label, "propensity": np.where(chosen, 1 / 3, np.nan), "pred.click": rng.random(600)})


def test_a_policy_that_samples_by_the_fused_score(candidates):
    target = softmax_propensity(candidates["score"].to_numpy(), candidates["request_id"].to_numpy(), temperature=0.5)
    written = off_policy(candidates.assign(target_propensity=target), [CLICK], run="r", bootstrap=20)
    by_score = off_policy(candidates, [CLICK], run="r", bootstrap=20, temperature=0.5)
    pd.testing.assert_frame_equal(by_score.to_pandas(), written.to_pandas(), rtol=1e-9)
    direct = candidates.assign(at=target * candidates["pred.click"]).groupby("request_id")["at"].sum().mean()
    chosen = candidates["label.click"].notna()
    residual = (3 * target * (candidates["label.click"] - candidates["pred.click"]))[chosen].mean()
    assert values(written)["dr"] == pytest.approx(direct + residual)


def test_of_another_policy_the_columns_that_compare_it_are_enough(candidates):
    other = candidates.assign(score=candidates["score"].to_numpy()[::-1])
    found = [
        evaluate(candidates, [CLICK], run="r", against={"other": other[columns]}, bootstrap=20, target_temperature=0.5)
        for columns in (list(other.columns), judged_beside(other.columns))
    ]
    assert "user_id" not in judged_beside(other.columns)
    assert found[0].equals(found[1])


def test_a_list_that_was_shown_whole_is_no_choice_among_candidates(candidates):
    shown = candidates.assign(**{"label.click": 1.0, "propensity": 0.3})
    with pytest.raises(DataError, match="200 lists with more than one known label, expected one in a list"):
        off_policy(shown, [CLICK], run="r", temperature=1)
    with pytest.raises(ConfigError, match="temperature: found 0"):
        off_policy(candidates, [CLICK], run="r", temperature=0)
    with pytest.raises(DataError, match=r"column score: found null, NaN or infinite.*1 of 600 rows"):
        off_policy(candidates.replace({"score": {candidates["score"][4]: np.nan}}), [CLICK], run="r", temperature=1)


# --- What is refused ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda log: log.drop(columns="propensity"),
            "found no column propensity, expected propensity .* does not choose at random has none",
        ),
        (lambda log: log.drop(columns="target_propensity"), "found no column target_propensity, expected .* Fix: write the probability"),
        (
            lambda log: log.assign(propensity=1.0),
            "column propensity: found 1 throughout: a logging policy that is deterministic.*300 of 300 rows",
        ),
        (lambda log: _with(log, "propensity", 0.0), "column propensity: found 0 where target_propensity is above 0.*; 1 of 300 rows"),
        (lambda log: _with(log, "propensity", -0.1), "column propensity: found null, or a value not above 0 or above 1.*; 1 of 300 rows"),
        (lambda log: _with(log, "propensity", 1.1), "column propensity: found null, or a value not above 0 or above 1.*; 1 of 300 rows"),
        (lambda log: _with(log, "propensity", np.nan), "column propensity: found null, or a value not above 0 or above 1.*; 1 of 300 rows"),
        (
            lambda log: _with(log, "target_propensity", 1.1),
            r"column target_propensity: found null, or a value outside \[0, 1\].*; 1 of 300 rows",
        ),
        (lambda log: _with(log, "target_propensity", np.nan), r"column target_propensity: found null, or a value outside \[0, 1\]"),
        (lambda log: log.assign(propensity="half"), "column propensity: found values of type .*string, expected numbers"),
    ],
)
def test_propensities_that_say_nothing_are_refused(log, change, message):
    log["target_propensity"] = log["target_propensity"].clip(lower=0.01)
    with pytest.raises(DataError, match=message):
        off_policy(change(log), [CLICK], run="r")


def test_evaluate_refuses_them_too(log):
    with pytest.raises(DataError, match="1 throughout"):
        frame(log.assign(propensity=1.0), [CLICK])


def _with(log: pd.DataFrame, column: str, value: float) -> pd.DataFrame:
    changed = log.copy()
    changed.loc[7, column] = value
    return changed


def test_a_target_that_chooses_nothing_logged_has_no_value(log):
    rows = off_policy(log.assign(target_propensity=0.0), [CLICK], run="r").to_pylist()
    assert {row["value"] for row in rows} == {None}
    assert {row["reason"] for row in rows} == {"the target policy chooses none of the logged actions"}


def _with_candidates(rng: np.random.Generator) -> pd.DataFrame:
    """Requests of five candidates, one of them chosen. The logged propensity is wrong, and the prediction right."""
    requests = 400
    value_GC = rng.random((requests, 5))
    target_GC = np.exp(4 * value_GC)
    target_GC /= target_GC.sum(axis=1, keepdims=True)
    chosen_GC = np.arange(5) == rng.integers(0, 5, requests)[:, None]
    return pd.DataFrame({
        "event_id": range(5 * requests), "user_id": np.repeat(np.arange(requests) % 80, 5), "timestamp": 0,
        "request_id": np.repeat(np.arange(requests), 5), "propensity": np.where(chosen_GC, 0.5, np.nan).ravel(),
        "target_propensity": target_GC.ravel(), "pred.x": value_GC.ravel(),
        "label.x": np.where(chosen_GC, rng.random((requests, 5)) < value_GC, np.nan).ravel(),
    })  # fmt: skip


def _dr(table: pd.DataFrame) -> float:
    rows = off_policy(table, [Objective(name="x")], run="t", bootstrap=0).to_pandas()
    return float(rows.set_index("metric").loc["dr", "value"])


@pytest.mark.parametrize("digits", [3, 4, 6])
def test_rounded_propensities_of_all_candidates_are_those_of_a_whole_decision(digits: int, rng: np.random.Generator) -> None:
    table = _with_candidates(rng)
    rounded = table.assign(target_propensity=table["target_propensity"].round(digits))
    assert _dr(rounded) == pytest.approx(_dr(table), abs=10.0**-digits * 5)
    assert _dr(table.assign(target_propensity=table["target_propensity"].astype(np.float16))) == pytest.approx(_dr(table), abs=0.005)


def test_a_sum_that_misses_1_by_the_tolerance_is_within_it() -> None:
    row = {"user_id": 1, "timestamp": 0, "request_id": 1, "pred.x": 0.5}
    chances = [(0.5, 0.5, 1.0), (np.nan, 0.49, np.nan)]  # .99 in floating point is more than .01 from 1
    table = pd.DataFrame(
        [{**row, "event_id": n, "propensity": p, "target_propensity": t, "label.x": y} for n, (p, t, y) in enumerate(chances)]
    )
    both = pd.concat([table, table.assign(event_id=table["event_id"] + 2, request_id=2, target_propensity=[0.5, 0.5])])
    assert np.isfinite(_dr(both))


def test_a_few_requests_without_some_of_their_candidates_are_an_error(rng: np.random.Generator) -> None:
    table = _with_candidates(rng)
    lacking = table.drop(index=[row for row in (0, 1, 5, 6) if np.isnan(table["label.x"][row])])
    with pytest.raises(DataError, match=r"target_propensity: found \d requests? of 400 whose candidates do not sum to 1"):
        _dr(lacking)
    assert _dr(table[table["label.x"].notna()]) != pytest.approx(_dr(table), abs=1e-3), "the baseline form where no candidate stands there"


@pytest.mark.parametrize(("holders", "said"), [(10, "too few users (10)"), (30, None)])
def test_an_estimate_rests_on_the_users_who_hold_the_weight(rng: np.random.Generator, holders: int, said: str | None) -> None:
    """Of 100 users all but a few have no weight: the interval of all 100 held the truth in 57 to 76 of 100 such logs."""
    predictions = simulated(rng, 300)
    user = np.arange(300) % 100
    chances = {"propensity": 0.5, "target_propensity": np.where(user < holders, 0.5, 0.0)}
    rows = frame_of(off_policy(predictions.assign(user_id=user, **chances), [CLICK], run="new", bootstrap=100))
    for name in ("ips", "ips_clipped", "snips", "dr"):
        assert (rows[name]["reason"], rows[name]["low"] is None) == (said, said is not None)


def frame_of(table: pa.Table) -> dict[str, dict]:
    return {row["metric"]: row for row in table.to_pylist()}
