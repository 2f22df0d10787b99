"""The steps that a run's numbers ask for, each rule alone: where it speaks, and where it is silent."""

import re
import tomllib
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from recsys.config import Pipeline
from recsys.evaluation import evaluate, read_scores
from recsys.predictions import assemble
from recsys.report import frame
from recsys.report.pages.calibration_section import harmed
from recsys.report.pages.next_steps import Seen, Step, next_steps, pulls
from recsys.report.pages.summary import COMPARED, STEPS, Summary, summary
from recsys.report.tables.cells import grid
from recsys.report.tables.frame import whole
from recsys.report.training_log import Journal

DAYS = {"2024-01-03": "validation", "2024-01-04": "test"}


def pipeline_of(*objectives: dict, **tables: dict) -> Pipeline:
    split = {"train": ["2024-01-01", "2024-01-02"], "validation": ["2024-01-03"] * 2, "test": ["2024-01-04"] * 2}
    named = [{"label": "x = 1", **objective} for objective in objectives]
    return Pipeline.model_validate({"name": "p", "source": {"kind": "world"}, "split": split, "objective": named, **tables})


TWO = pipeline_of({"name": "click"}, {"name": "like", "fusion_weight": 0.5}, train={"order": "time"})


def scored(pipeline: Pipeline, *, noise: float, seed: int = 1, users: int = 60, off: float = 1.0, opposite: bool = False) -> pa.Table:
    """Two days of lists. The second objective's label is the first's or its complement, or its own."""
    rng = np.random.default_rng(seed)
    tables = []
    for place, (day, split) in enumerate(DAYS.items()):
        rows = users * 20
        taste_N = np.random.default_rng(place).normal(size=rows)
        click_N = (taste_N + np.random.default_rng(10 + place).normal(size=rows) > 0).astype(np.float32)
        like_N = 1 - click_N if opposite else (np.random.default_rng(20 + place).random(rows) < 0.3).astype(np.float32)
        examples = pa.table(
            {
                "event_id": np.arange(rows) + 100_000 * place,
                "user_id": np.arange(rows) % users,
                "item_id": np.arange(rows) % 17,
                "timestamp": np.arange(rows) * 1000 + 86_400_000 * place,
                "request_id": np.arange(rows) % users,
                "label.click": click_N,
                "label.like": like_N,
            }
        )
        click = 1 / (1 + np.exp(-(taste_N + noise * rng.normal(size=rows))))
        values_NK = np.column_stack([np.clip(click * off, 0, 1), np.full(rows, 0.3) * np.exp(0.01 * rng.normal(size=rows))])
        values_NK = values_NK[:, : len(pipeline.objective)]
        tables.append(assemble(examples, day=day, split=split, objectives=pipeline.objective, predicted_NV=values_NK, train_means={}))
    return pa.concat_tables(tables)


def seen(pipeline: Pipeline, mine: pa.Table, others: dict[str, pa.Table], journal: Journal | None = None) -> Seen:
    replicates = min(pipeline.evaluate.bootstrap, 100)
    table = frame(evaluate(mine, pipeline.objective, run="mine-1a", against=others, bootstrap=replicates))
    shown = whole(table)
    main = grid(shown[shown["is_main"] & (shown["split"] == "test")])
    return Seen("mine-1a", pipeline, table, mine, read_scores(mine, pipeline.objective, "mine", labels=True), journal, main)


def steps(*arguments) -> dict[str, Step]:
    return {step.what: step for step in next_steps(seen(*arguments))}


def journal_of(losses: dict[str, list[float]]) -> Journal:
    curves = [
        {"member": 0, "phase": "choose", "pass": n + 1, "day": None, "step": n, "part": "validation", "event": "pass",
         "objective": name, "loss": loss, "auc": None}
        for name, values in losses.items() for n, loss in enumerate(values)
    ]  # fmt: skip
    empty = pd.DataFrame()
    return Journal(pd.DataFrame(curves), empty, empty)


def test_a_run_without_another_one_is_told_to_compare() -> None:
    found = steps(TWO, scored(TWO, noise=0.3), {})
    assert tomllib.loads(found["Compare it with something"].in_toml) == {"evaluate": {"baselines": ["popularity", "gbdt"]}}  # to be copied
    assert "Compare it with something" not in steps(TWO, scored(TWO, noise=0.3), {"gbdt-2b2b2b": scored(TWO, noise=2.0)})


@pytest.mark.parametrize("answer", [0.0, 1.0])
def test_an_objective_with_one_answer_is_left_out_and_not_calibrated(answer: float) -> None:
    mine = scored(TWO, noise=0.3)
    found = mine.set_column(mine.schema.get_field_index("label.like"), "label.like", pa.array(np.full(len(mine), answer, np.float32)))
    named = steps(TWO, found, {})
    assert named["Leave out like"].why == f"Its label is {answer:g} in all 2,400 rows: there is nothing to tell apart."
    assert "Calibrate" not in named
    assert named["Choose the trade-off"].command == "recsys fuse mine-1a --maximise click", "any order captures as much of like"
    assert not any(what.startswith("Too little data for like") for what in named), "more days would not help"
    assert "Leave out like" not in steps(TWO, mine, {})


def test_complements_and_equal_labels_are_noticed() -> None:
    found = steps(TWO, scored(TWO, noise=0.3, opposite=True), {})
    assert found["Leave out like"].why == "Its label is the complement of that of click in all 2,400 rows with both."
    few = scored(TWO, noise=0.3, opposite=True)
    half_known = few["label.like"].to_numpy().copy()
    half_known[50:] = np.nan
    few = few.set_column(few.column_names.index("label.like"), "label.like", pa.array(half_known, from_pandas=True))
    assert "Leave out like" not in steps(TWO, few, {})  # 50 rows with both are no evidence
    assert not any(what.startswith("Leave out") for what in steps(TWO, scored(TWO, noise=0.3), {}))


def test_an_objective_that_was_best_last_asks_for_more_passes() -> None:
    shuffled = pipeline_of({"name": "click"}, {"name": "like"}, train={"order": "shuffled", "passes": 3})
    mine = scored(shuffled, noise=0.3)
    found = steps(shuffled, mine, {}, journal_of({"click": [0.9, 0.8, 0.7], "like": [0.9, 0.8, 0.85]}))
    assert found["Train longer"].in_toml == "[train]\npasses = 6"
    assert found["Train longer"].why == "The validation loss of click was least after the last pass. Others were best earlier: like."
    assert "Train longer" not in steps(shuffled, mine, {}, journal_of({"click": [0.9, 0.7, 0.8]}))
    most_are_done = journal_of({"click": [0.9, 0.8, 0.7], "like": [0.9, 0.8, 0.85], "share": [0.9, 0.8, 0.85]})
    assert "Train longer" not in steps(shuffled, mine, {}, most_are_done)


def test_trees_that_are_ahead_ask_for_more_training_in_time_order_alone() -> None:
    better, worse = scored(TWO, noise=0.1), scored(TWO, noise=3.0)
    found = steps(TWO, worse, {"gbdt-2b2b2b": better})
    assert "find a better order for click." in found["Try more training"].why
    assert "Try more training" not in steps(TWO, better, {"gbdt-2b2b2b": worse})
    assert "Try more training" not in steps(TWO, worse, {"other-2b": better})
    shuffled = pipeline_of({"name": "click"}, {"name": "like"}, train={"order": "shuffled"})
    assert "Try more training" not in steps(shuffled, scored(shuffled, noise=3.0), {"gbdt-2b2b2b": scored(shuffled, noise=0.1)})


def test_what_is_worse_than_popularity_comes_before_what_is_worse_than_trees() -> None:
    better, worse = scored(TWO, noise=0.1), scored(TWO, noise=3.0)
    found = list(steps(TWO, worse, {"popularity-1a1a1a": better, "gbdt-2b2b2b": better}))
    assert found.index("Mend what is worse than popularity") < found.index("Try more training")
    step = steps(TWO, worse, {"popularity-1a1a1a": better})["Mend what is worse than popularity"]
    assert "click (auc -" in step.why
    assert "like" not in step.why
    assert "Mend what is worse than popularity" not in steps(TWO, better, {"popularity-1a1a1a": worse, "gbdt-2b2b2b": better})


@pytest.mark.words
def test_wide_intervals_and_missing_ones_are_too_little_data() -> None:
    looked = seen(TWO, scored(TWO, noise=0.5, users=40), {"gbdt-2b2b2b": scored(TWO, noise=2.0, users=40, seed=2)})
    verdicts = {line.objective: {cell.verdict for cell in line.differences} for line in looked.main.lines}
    assert verdicts == {"click": {"better"}, "like": {"unclear"}}
    (few,) = [step for step in next_steps(looked) if step.what == "Too little data for some objectives"]
    assert "(like)" in few.why
    assert "click" not in few.why  # wide too, but clear
    none = steps(TWO, scored(TWO, noise=0.5, users=3), {"gbdt-2b2b2b": scored(TWO, noise=2.0, users=3)})
    assert "too few users (3)" in none["Too little data for click, like"].why
    many = seen(TWO, scored(TWO, noise=0.5, users=3000), {"gbdt-2b2b2b": scored(TWO, noise=0.5, users=3000, seed=2)})
    halves = [cell.high - cell.low for line in many.main.lines for cell in line.differences]
    assert all(0 < half < 0.04 for half in halves)
    assert not any(step.what.startswith("Too little data") for step in next_steps(many))


def test_what_is_said_of_a_conditional_form_fits_what_is_short() -> None:
    """Nobody judges a form of what is left out, and a form that alone is short does not make its objective so."""
    chained = pipeline_of({"name": "click"}, {"name": "like", "given": "click"}, train={"order": "time"})
    base = scored(TWO, noise=0.3)
    click_N, user_N = base["label.click"].to_numpy(), base["user_id"].to_numpy()

    def said(like_N: np.ndarray, click_N: np.ndarray = click_N) -> dict[str, str]:
        mine = base
        for name, label_N in (("click", click_N), ("like", like_N)):
            at = mine.schema.get_field_index(f"label.{name}")
            mine = mine.set_column(at, f"label.{name}", pa.array(label_N.astype(np.float32)))
        return {what: step.why for what, step in steps(chained, mine, {}).items() if what.startswith(("Leave out", "Too little"))}

    assert list(said(np.zeros(len(base)))) == ["Leave out like"]
    assert list(said(click_N)) == ["Leave out like"], "of a label that is equal to click, like|click has one answer"
    assert list(said(0 * click_N, 0 * click_N)) == ["Leave out click", "Leave out like"]
    assert list(said(click_N * (user_N < 12))) == ["Too little data for like"]
    ((what, why),) = said(click_N * (user_N > 8)).items()
    assert what == "Too little data for like|click"
    assert why == "No number on its order has an interval (too few users (9)). Go by like, whose order has one, or judge on more days."


def test_too_few_replicates_ask_for_more_of_them_and_not_for_more_days() -> None:
    few = pipeline_of({"name": "click"}, {"name": "like"}, evaluate={"bootstrap": 10})
    found = steps(few, scored(few, noise=0.3), {})
    assert tomllib.loads(found["Draw more replicates"].in_toml) == {"evaluate": {"bootstrap": 1000}}
    assert not any(what.startswith("Too little data") for what in found)


def test_the_pull_of_a_weight_is_its_share_of_the_spread_of_the_score() -> None:
    mine = scored(TWO, noise=0.3)
    of_test = mine.filter(pa.compute.equal(mine["split"], "test"))
    spread = [np.log(of_test[f"pred.{name}"].to_numpy()).std() * weight for name, weight in (("click", 1.0), ("like", 0.5))]
    found = pulls(mine, read_scores(mine, TWO.objective, "mine", labels=True), TWO.objective, "test")
    assert found == pytest.approx({"click": spread[0] / sum(spread), "like": spread[1] / sum(spread)})
    assert steps(TWO, mine, {})["Choose the trade-off"].command == "recsys fuse mine-1a --maximise like --no-worse '*=-1%'"
    aimed = pipeline_of({"name": "click"}, {"name": "like", "fusion_weight": 0.5}, fuse={"maximise": "click"})
    assert steps(aimed, mine, {})["Choose the trade-off"].command == "recsys fuse mine-1a"
    lower = pipeline_of({"name": "click"}, {"name": "like", "fusion_weight": 0.5, "better": "lower"})
    assert "--maximise click" in steps(lower, mine, {})["Choose the trade-off"].command  # "maximise" would be read as more of it
    slight = pipeline_of({"name": "click"}, {"name": "like", "fusion_weight": 0.001})
    assert "click has >99% of the pull, like <1%" in steps(slight, scored(slight, noise=0.3), {})["Choose the trade-off"].why


@pytest.mark.words
def test_weights_are_sought_for_what_the_validation_days_can_tell() -> None:
    def without(splits: tuple[str, ...], value: float | None, *names: str) -> pa.Table:
        found = scored(TWO, noise=0.3)
        for name in names:
            column = found.schema.get_field_index(f"label.{name}")
            there = pa.compute.is_in(found["split"], pa.array(splits))
            found = found.set_column(
                column, found.field(column), pa.compute.if_else(there, pa.scalar(value, found.field(column).type), found[column])
            )
        return found

    def command(predictions: pa.Table) -> str | None:
        return steps(TWO, predictions, {})["Choose the trade-off"].command

    for value in (None, 0.0):
        assert command(without(("validation",), value, "like")) == "recsys fuse mine-1a --maximise click"
        assert command(without(("test",), value, "like")) == "recsys fuse mine-1a --maximise click --no-worse '*=-1%'"
    assert command(without(("validation",), None, "click", "like")) is None
    late = scored(TWO, noise=0.3)  # learned only on the test day: nothing that was fitted to the validation days may know it
    late = late.append_column("known.like", pa.array(np.full(len(late), TWO.border_after("validation"), np.int64)))
    assert command(late) == "recsys fuse mine-1a --maximise click"


def test_a_run_s_name_is_no_code() -> None:
    odd = replace(seen(TWO, scored(TWO, noise=0.3), {}), run="x$(id)")
    (command,) = [step.command for step in next_steps(odd) if step.what == "Choose the trade-off"]
    assert command.startswith("recsys fuse 'x$(id)' ")


def test_weights_of_0_make_no_order() -> None:
    none = pipeline_of({"name": "click", "fusion_weight": 0}, {"name": "like", "fusion_weight": 0})
    assert "Give the one order a weight" in steps(none, scored(none, noise=0.3), {})
    assert "Give the one order a weight" not in steps(TWO, scored(TWO, noise=0.3), {})


def test_one_order_of_one_objective_has_no_trade_off() -> None:
    one = pipeline_of({"name": "click"})
    assert "Choose the trade-off" not in steps(one, scored(one, noise=0.3), {})
    unused = pipeline_of({"name": "click"}, {"name": "like", "fusion_weight": 0})
    assert "Choose the trade-off" not in steps(unused, scored(unused, noise=0.3), {})


def test_sliders_are_spoken_of_only_where_the_page_has_some() -> None:
    assert "Move the sliders, or state an aim." in steps(TWO, scored(TWO, noise=0.3), {})["Choose the trade-off"].why
    of_none = scored(TWO, noise=0.3)
    for name in ("label.click", "label.like"):
        of_none = of_none.set_column(of_none.schema.get_field_index(name), name, pa.array(np.zeros(len(of_none), np.float32)))
    assert "Choose the trade-off" not in steps(TWO, of_none, {})
    untold = pa.compute.if_else(
        pa.compute.equal(of_none["split"], "validation"), scored(TWO, noise=0.3)["label.click"], pa.scalar(0.0, pa.float32())
    )
    of_validation = of_none.set_column(of_none.schema.get_field_index("label.click"), "label.click", untold)
    assert steps(TWO, of_validation, {})["Choose the trade-off"].why.endswith(". State an aim.")


def test_predictions_that_are_wrong_on_average_ask_for_calibration() -> None:
    found = steps(TWO, scored(TWO, noise=0.3, off=0.6), {})
    assert found["Calibrate"].why.startswith("Predictions are wrong on average: click Σp/Σy .5")
    assert found["Calibrate"].in_toml == '[evaluate]\ncalibrate = "platt"'  # some 600 positives
    late = scored(TWO, noise=0.3, off=0.6)  # of what is known too late, a map would be fitted to nothing
    late = late.append_column("known.click", pa.array(np.full(len(late), TWO.border_after("validation"), np.int64)))
    assert "Calibrate" not in steps(TWO, late, {})
    many = steps(TWO, scored(TWO, noise=0.3, off=0.6, users=150), {})
    assert many["Calibrate"].in_toml == '[evaluate]\ncalibrate = "isotonic"'
    calibrated = pipeline_of({"name": "click"}, {"name": "like"}, evaluate={"calibrate": "platt"})
    assert "Calibrate" not in steps(calibrated, scored(calibrated, noise=0.3, off=0.6), {})


@pytest.mark.words
def test_calibration_that_makes_predictions_worse_is_named() -> None:
    right, wrong = scored(TWO, noise=0.3), scored(TWO, noise=0.3, off=0.6)

    def asked(before: pa.Table, after: pa.Table, **evaluated: object) -> dict[str, Step]:
        pipeline = pipeline_of({"name": "click"}, {"name": "like", "fusion_weight": 0.5}, **evaluated)
        rows = [
            evaluate(before, pipeline.objective, run="uncalibrated", bootstrap=100),
            evaluate(after, pipeline.objective, run="mine-1a", against={"uncalibrated": before}, bootstrap=100),
        ]
        looked = replace(seen(pipeline, after, {}), changed=frame(pa.concat_tables(rows)))
        return {step.what: step for step in next_steps(looked)}

    isotonic = asked(right, wrong, evaluate={"calibrate": "isotonic"}, train={"refit": True})["Calibrate otherwise"]
    assert isotonic.why.startswith("The maps make predictions worse: click log loss +.13")
    assert "like" not in isotonic.why, "it is as it was"
    assert "(train.refit)" in isotonic.why
    assert tomllib.loads(isotonic.in_toml) == {"evaluate": {"calibrate": "platt"}}
    platt = asked(right, wrong, evaluate={"calibrate": "platt"}, train={"refit": False})["Do without calibration"]
    assert tomllib.loads(platt.in_toml) == {"evaluate": {"calibrate": "none"}}
    assert "train.refit" not in platt.why
    for better in (asked(wrong, right, evaluate={"calibrate": "platt"}), asked(right, right, evaluate={"calibrate": "platt"})):
        assert not {"Calibrate otherwise", "Do without calibration"} & better.keys()


def test_calibration_after_which_predictions_are_wrong_on_average_is_named() -> None:
    """Sharper predictions whose sum is off: the error may be no larger."""
    right, wrong = scored(TWO, noise=0.3), scored(TWO, noise=0.3, off=0.6)
    rows = [
        evaluate(right, TWO.objective, run="uncalibrated", bootstrap=100),
        evaluate(wrong, TWO.objective, run="mine-1a", against={"uncalibrated": right}, bootstrap=100),
    ]
    sums = frame(pa.concat_tables(rows)).query("metric == 'calibration'")
    (said,) = harmed(sums, "test").values()
    assert re.match(r"click Σp/Σy \.97\d* → \.58\d* \[", said)
    assert harmed(sums.query("run == 'uncalibrated'"), "test") == {}


def test_the_box_names_three_runs_and_the_clearest_numbers() -> None:
    mine = scored(TWO, noise=0.1)
    others = {
        name: scored(TWO, noise=1.0 + n, seed=n)
        for n, name in enumerate(("popularity-1a1a1a", "gbdt-2b2b2b", "run0-3c3c3c", "run1-4d4d4d"))
    }
    looked = seen(TWO, mine, others)
    box = summary("mine-1a", looked.table, TWO, mine, looked.scores, None)
    assert [comparison.other for comparison in box.comparisons] == ["run0", "run1", "popularity"]  # those that somebody named first
    assert len(box.comparisons) == COMPARED
    assert list(box.sentences) == ["The results also compare with gbdt."]
    assert box.days == "test days, 2024-01-04"
    line = next(line for line in looked.main.lines if (line.objective, line.metric) == ("click", "auc"))
    cell = line.differences[2]
    assert f"Finding who will: better on click (auc {cell.text} {cell.interval})" in str(box.comparisons[0])


def test_steps_beyond_the_first_open_on_demand() -> None:
    many = [Step(str(n), "why") for n in range(STEPS + 2)]
    box = Summary(steps=many)
    assert [*box.first_steps, *box.more_steps] == many
    assert len(box.first_steps) == STEPS


def test_numbers_of_validation_days_are_said_to_flatter() -> None:
    mine = scored(TWO, noise=0.3)
    of_validation = mine.filter(pa.compute.equal(mine["split"], "validation"))
    table = frame(evaluate(of_validation, TWO.objective, run="mine-1a", bootstrap=20))
    box = summary("mine-1a", table, TWO, of_validation, read_scores(of_validation, TWO.objective, "mine", labels=True), None)
    assert box.days == "validation days, 2024-01-03"
    assert box.warnings[0].startswith("These are validation days.")
