"""The sliders: what a browser computes against what Python does, the lines to copy against the config that reads them."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys import config
from recsys.config import Pipeline
from recsys.errors import DataError
from recsys.evaluation import evaluate
from recsys.objectives import Objective
from recsys.predictions import assemble, fused_score, fused_term
from recsys.progress import Console
from recsys.report import write_report
from recsys.report.pages.page_sample import MAX_BYTES, MAX_ROWS, most_rows, row_bytes, take_sample
from recsys.report.pages.tradeoffs import chosen_metrics, data, mixes, objective_toml
from recsys.report.templates import inline_json
from tests.report.browser import browser_on
from tests.staged import ORIGIN, sign

EVIL = "</script><script>alert(1)</script>"
DAY = "2024-01-04"
TOML = """
name = "mixed"
[source]
kind = "world"
[split]
train = ["2024-01-01", "2024-01-02"]
validation = ["2024-01-03", "2024-01-03"]
test = ["2024-01-04", "2024-01-04"]
[evaluate]
bootstrap = 20
list_k = [3, 10, 40]
top_percent = [10.0, 2.5]
"""
OBJECTIVES = """
[[objective]]
name = "click"
label = "clicked = 1"
[[objective]]
name = "seconds"
kind = "watch_time"
label = "seconds"
fusion_weight = 0.5
[[objective]]
name = "like"
group = "satisfaction"
label = "reason = 'say \\"é\\" \\\\ 😀'"
observed = "clicked = 1"
fusion_weight = 0.25
[[objective]]
name = "hide"
group = "satisfaction"
label = "hidden = 1"
better = "lower"
[[objective]]
name = "boredom"
kind = "ordinal"
levels = [1, 2.5, 4]
group = "satisfaction"
label = "bored"
better = "lower"
fusion_weight = 0.75
[[objective]]
name = "mood"
kind = "regression"
label = "mood"
fusion_weight = 0
"""
METRICS = ("captured@10%", "captured@2.5%", "captured@3", "captured@10")  # no list holds more than 40


@pytest.fixture(scope="module")
def toml(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pipeline") / "mixed.toml"
    path.write_text(TOML + OBJECTIVES, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def pipeline(toml) -> Pipeline:
    return config.load(toml)


def examples(rng: np.random.Generator, lists: int = 90) -> pa.Table:
    """Lists of 2 to 25 items, of users and items with evil names, rows in no order; like is known only behind a click."""
    list_N = np.repeat(np.arange(lists), rng.integers(2, 26, lists))
    rows = len(list_N)
    taste = rng.normal(size=rows)
    clicked = taste + rng.normal(size=rows) > 0.5
    return pa.table(
        {
            "event_id": rng.permutation(rows) * 7919,
            "user_id": [f"{EVIL}{user}" for user in list_N % 20],
            "item_id": [f"{EVIL}{item}" for item in rng.integers(60, size=rows)],
            "timestamp": list_N * 3_600_000 + 1_704_326_400_000,
            "request_id": list_N,
            "label.click": clicked.astype(np.float32),
            "label.seconds": np.where(clicked, rng.gamma(2, 20, rows), 0).astype(np.float32),
            "label.like": pa.array(np.where(clicked, rng.random(rows) < 0.4, np.nan).astype(np.float32), from_pandas=True),
            "label.hide": (rng.random(rows) < 0.05).astype(np.float32),
            "label.boredom": rng.choice([1, 2.5, 4], rows).astype(np.float32),
            "label.mood": rng.normal(size=rows).astype(np.float32),
            "taste": taste,
        }
    )


def predict(rows: pa.Table, objectives, rng: np.random.Generator, noise: float) -> pa.Table:
    """Few different predictions, so that many scores are tied."""
    guess = np.round(rows["taste"].to_numpy() + noise * rng.normal(size=len(rows)), 1)
    other = np.round(rng.normal(size=len(rows)), 1)
    click = 1 / (1 + np.exp(1 - guess))
    values_NK = np.column_stack(
        [click, np.exp(3 + other), click * 0.3, 1 / (1 + np.exp(3 + guess - other)), np.clip(2 - other, 1, 4), -guess]
    )
    return assemble(rows.drop_columns("taste"), day=DAY, split="test", objectives=objectives, predicted_NV=values_NK, train_means={})


@pytest.fixture(scope="module")
def predictions(pipeline) -> dict[str, pa.Table]:
    rng = np.random.default_rng(3)
    rows = examples(rng)
    return {name: predict(rows, pipeline.objective, rng, noise) for name, noise in (("mine-1a1a1a", 0.5), ("plain-2b2b2b", 2.0))}


@pytest.fixture(scope="module")
def html(pipeline, predictions, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for name, table in predictions.items():
        (folder / name).mkdir()
        pq.write_table(table, folder / name / "predictions.parquet")
        sign(folder / name / "predictions.parquet")
    others = {"plain-2b2b2b": predictions["plain-2b2b2b"]}
    rows = evaluate(predictions["mine-1a1a1a"], pipeline.objective, run="mine-1a1a1a", against=others, bootstrap=20, list_k=(3, 10, 40),
                    top_percent=(10.0, 2.5))  # fmt: skip
    pq.write_table(rows, folder / "mine-1a1a1a" / "metrics.parquet")
    sign(folder / "mine-1a1a1a" / "metrics.parquet")
    write_report(
        folder / "mine-1a1a1a", pipeline, account=None, origin=ORIGIN, console=Console(quiet=True), against=[folder / "plain-2b2b2b"]
    )
    return folder / "mine-1a1a1a" / "report.html"


@pytest.fixture(scope="module")
def shown(html):
    """The page in a browser, which fails at the end if anything went wrong on it."""
    with browser_on(html.as_uri()) as visit:
        page = visit()
        page.wait_for_selector("#mix output:has-text('.')")
        yield page


def wait(page) -> None:
    """Until what was set is drawn: two frames."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def numbers(page) -> dict[str, dict[str, float | None]]:
    """Objective → metric → the number on the page, with all its digits."""
    wait(page)
    return {
        output["name"]: json.loads(output["values"])
        for output in page.locator("#mix output").evaluate_all(
            "nodes => nodes.map(({dataset}) => ({name: dataset.objective, values: dataset.values}))"
        )
    }


def box(page, k: int):
    """The number input of objective k: on the page they stand by group."""
    return page.locator(f"#mix [data-k='{k}'] [type=number]")


def weights_of(page) -> list[float]:
    wait(page)
    return [float(box(page, k).input_value()) for k in range(6)]


def fill(page, weights) -> None:
    for k, weight in enumerate(weights):
        box(page, k).fill(repr(float(weight)))


def expected(predictions: pa.Table, objectives, weights) -> dict[str, dict[str, float | None]]:
    """What `evaluate` says of the same terms in 32 bits under these weights."""
    terms = [fused_term(predictions[f"pred.{o.name}"].to_numpy(), o).astype(np.float32).astype(np.float64) for o in objectives]
    score = sum((weight * term for weight, term in zip(weights, terms, strict=True)), np.zeros(len(predictions)))
    table = predictions.set_column(predictions.column_names.index("score"), "score", pa.array(score))
    rows = evaluate(table, objectives, run="x", bootstrap=0, list_k=(3, 10, 40), top_percent=(10.0, 2.5)).to_pylist()
    found: dict[str, dict[str, float | None]] = {o.name: {} for o in objectives}
    for row in rows:
        if row["metric"] in METRICS and row["split"] == "test" and row["day"] is None and row["slice"] == "all":
            found[row["objective"]][row["metric"]] = row["value"]
    return found


def assert_equal(page, predictions, objectives, weights) -> None:
    found, right = numbers(page), expected(predictions, objectives, weights)
    for name, values in right.items():
        assert found[name].keys() == values.keys() == set(METRICS)
        for metric, value in values.items():
            assert found[name][metric] == (None if value is None else pytest.approx(value, abs=1e-9)), (name, metric)


# --- In a browser -------------------------------------------------------------------------------------------------
@pytest.mark.words
@pytest.mark.parametrize(
    "weights",
    [(1, 0.5, 0.25, 1, 0.75, 0), (0, 0, 0, 0, 0, 0), (0.1, 0.3, 7.7, 123, 1e-7, 0.2),
     *(pytest.param(weights, marks=pytest.mark.words) for weights in ((1, 0, 0, 0, 0, 0), (0, 0, 0, 1, 0, 0), (0, 0, 0, 0, 2, 0)))],
)  # fmt: skip
def test_the_page_and_python_say_the_same_of_any_weights_ties_included(shown, predictions, pipeline, weights) -> None:
    fill(shown, weights)
    assert_equal(shown, predictions["mine-1a1a1a"], pipeline.objective, weights)


def test_a_slider_that_moves_moves_every_objective(shown, predictions, pipeline) -> None:
    shown.locator("[data-preset=own]").click()
    before = numbers(shown)
    slider = shown.locator("#mix [data-k='2'] [type=range]")
    slider.focus()
    for _ in range(3):
        slider.press("PageUp")
    weights = weights_of(shown)
    assert weights[2] > 0.5
    assert [weight for k, weight in enumerate(weights) if k != 2] == [1, 0.5, 1, 0.75, 0]
    assert_equal(shown, predictions["mine-1a1a1a"], pipeline.objective, weights)
    assert numbers(shown)["seconds"]["captured@10%"] != before["seconds"]["captured@10%"]


def test_presets_are_the_run_s_weights_and_those_of_one_group(shown) -> None:
    found = {}
    for preset in ("engagement", "satisfaction", "own"):
        shown.locator(f"[data-preset={preset}]").click()
        found[preset] = weights_of(shown)
    assert found == {"engagement": [1, 0.5, 0, 0, 0, 0], "satisfaction": [0, 0, 0.25, 1, 0.75, 0], "own": [1, 0.5, 0.25, 1, 0.75, 0]}


def test_a_number_that_is_no_weight_is_marked_and_changes_nothing(shown) -> None:
    shown.locator("[data-preset=own]").click()
    first = box(shown, 0)
    for wrong in ("-1", "", "1e12"):
        first.fill(wrong)
        assert first.get_attribute("aria-invalid") == "true"
    first.press("Tab")
    assert weights_of(shown) == [1, 0.5, 0.25, 1, 0.75, 0]


def test_changes_are_signed_by_what_is_better(shown) -> None:
    shown.locator("[data-preset=own]").click()
    own = numbers(shown)
    fill(shown, (0, 0, 0, 5, 0, 0))
    now = numbers(shown)
    texts = dict(zip(own, shown.locator("#mix .change").all_text_contents(), strict=True))
    for name, better in (("click", 1), ("hide", -1)):
        change = better * (now[name]["captured@10%"] / own[name]["captured@10%"] - 1)
        assert float(texts[name].replace("−", "-").removesuffix(" %")) == pytest.approx(100 * change, abs=0.051)
    assert now["hide"]["captured@10%"] < own["hide"]["captured@10%"]
    assert texts["hide"].startswith("+")
    assert texts["mood"] == ""  # undefined: labels below 0 are no gain
    assert "below 0" in shown.locator(".objective", has_text="mood").text_content()


@pytest.mark.words
def test_what_is_copied_is_a_working_file_and_working_options(shown, toml, pipeline) -> None:
    fill(shown, (0.123, 4, 0, 1e-7, 2.5, 1000))
    wait(shown)
    text = shown.locator("#mix-toml").input_value()
    wanted = (0.123, 4, 0, 1e-7, 2.5, 1000)
    whole = toml.with_name("copied.toml")
    whole.write_text(TOML + text, encoding="utf-8")
    by_options = config.load(toml, re.findall(r"--set (\S+)", text))
    for copied in (config.load(whole), by_options):
        assert tuple(objective.fusion_weight for objective in copied.objective) == wanted
        same = copied.model_copy(update={"objective": pipeline.objective})
        assert same == pipeline
        for mine, theirs in zip(copied.objective, pipeline.objective, strict=True):
            assert mine.model_copy(update={"fusion_weight": theirs.fusion_weight}) == theirs
    shown.locator("#mix-copy").click()
    shown.wait_for_selector("#mix-copied:not(:empty)")


def test_the_plane_shows_every_mix_and_run_and_the_front_is_what_none_beats(shown) -> None:
    shown.locator("[data-preset=own]").click()
    payload = json.loads(shown.locator("#tradeoffs-data").text_content())
    shown.locator("#plane-x").select_option(label="click")
    shown.locator("#plane-y").select_option(label="hide")
    assert shown.locator("#plane circle.mix").count() == len(payload["mixes"]["weights"])
    assert shown.locator("#plane path.run").count() == 1
    points = {(values[0], -values[3]) for values in [*payload["mixes"]["values"][0], payload["own"][0]]}
    front = {a for a in points if not any(b != a and b[0] >= a[0] and b[1] >= a[1] for b in points)}
    assert len(shown.locator("#plane polyline").get_attribute("points").split()) == len(front)
    axes = shown.locator("#plane text").all_text_contents()
    assert {"captured@10% of click →", "captured@10% of hide, less is better →", "plain"} <= set(axes)
    assert "mixes are better in both" in shown.locator("#plane-words").text_content()


def test_a_long_name_ends_within_the_plane(shown) -> None:
    shown.locator("#plane-y").select_option(label="hide")
    shown.evaluate("tradeoffs.data.objectives[3].name = 'hide'.repeat(20)")
    shown.locator("#plane-x").select_option(label="seconds")  # draws again
    axis = shown.locator("#plane text", has_text="hide")
    assert re.fullmatch(r"captured@10% of (hide)+[hid]*…, less is better →", axis.text_content())
    bounds, around = axis.bounding_box(), shown.locator("#plane svg").bounding_box()
    assert bounds["height"] < around["height"]
    assert bounds["y"] > around["y"]
    shown.evaluate("tradeoffs.data.objectives[3].name = 'hide'")
    shown.locator("#plane-x").select_option(label="click")


def test_a_point_and_a_step_along_the_front_set_weights_that_give_what_was_drawn(shown) -> None:
    payload = json.loads(shown.locator("#tradeoffs-data").text_content())
    shown.locator("#plane circle.mix").nth(17).dispatch_event("click")
    assert weights_of(shown) == payload["mixes"]["weights"][17]
    found = numbers(shown)
    for k, objective in enumerate(payload["objectives"][:5]):
        for place, metric in enumerate(METRICS):
            assert found[objective["name"]][metric] == pytest.approx(payload["mixes"]["values"][place][17][k], rel=1e-4)
    shown.locator("#plane-on").click()
    assert weights_of(shown) in [*payload["mixes"]["weights"], [1, 0.5, 0.25, 1, 0.75, 0]]
    assert numbers(shown)["click"]["captured@10%"] > found["click"]["captured@10%"]


def test_every_figure_has_its_rows_behind_a_button(shown) -> None:
    figures = shown.locator("figure").count()
    buttons = shown.locator("figure > button.data")
    assert buttons.count() == figures > 5
    specs = json.loads(shown.locator("#figures").text_content())
    rows = specs["results-0"]["layer"][-1]["data"]["values"]
    button = shown.locator("[data-rows=results-0]")
    button.click()
    table = shown.locator("[data-rows=results-0] + div .rows table")
    assert table.locator("th").all_text_contents() == list(rows[0])
    assert table.locator("tbody tr").count() == len(rows)
    number = table.locator("tbody td").nth(list(rows[0]).index("difference"))
    assert number.text_content() == f"{rows[0]['difference']:.6g}"
    assert float(number.get_attribute("title")) == rows[0]["difference"]
    assert button.get_attribute("aria-expanded") == "true"
    button.click()
    assert table.count() == 0
    shown.locator("#plane-data").click()
    assert shown.locator("#plane-data + div .rows tbody tr").count() == 306 + 3


@pytest.mark.words
def test_example_lists_are_in_the_order_of_the_scores_and_evil_names_are_text(shown, predictions, pipeline) -> None:
    weights = (0.2, 3, 1, 0, 0, 0)
    fill(shown, weights)
    wait(shown)
    payload = json.loads(shown.locator("#tradeoffs-data").text_content())
    shown.locator("#example-lists button").nth(1).click()
    wait(shown)
    table = predictions["mine-1a1a1a"].sort_by("event_id").take(pa.array(payload["lists"][1]["rows"]))
    columns = {"now": weights, "engagement": (1, 0.5, 0, 0, 0, 0), "satisfaction": (0, 0, 0.25, 1, 0.75, 0)}
    for column, weighted in columns.items():
        objectives = [o.model_copy(update={"fusion_weight": w}) for o, w in zip(pipeline.objective, weighted, strict=True)]
        values_NK = np.column_stack([table[f"pred.{o.name}"].to_numpy() for o in objectives])
        order = np.argsort(-np.round(fused_score(values_NK, objectives), 5), kind="stable")[:10]
        drawn = shown.locator(f"#example-lists .column.{column} li b").all_text_contents()
        assert drawn == table["item_id"].take(pa.array(order)).to_pylist()
    assert all(EVIL in name for name in drawn)
    assert EVIL in shown.locator("#example-lists p").text_content()


# --- Without one --------------------------------------------------------------------------------------------------
def test_evil_names_are_nowhere_in_the_source(html) -> None:
    assert EVIL not in html.read_text(encoding="utf-8")
    assert html.stat().st_size < 3_000_000


def test_a_sample_is_of_whole_lists_and_equal_for_a_seed(predictions, pipeline) -> None:
    table = predictions["mine-1a1a1a"]
    sizes = dict(zip(*np.unique(table["request_id"].to_numpy(), return_counts=True), strict=True))
    taken = [take_sample(table, pipeline.objective, "x", most=300, seed=seed) for seed in (1, 1, 2)]
    first = taken[0].table["request_id"].to_numpy()
    assert 270 < len(first) <= 300
    assert all(sizes[request] == count for request, count in zip(*np.unique(first, return_counts=True), strict=True))
    assert taken[0].table.equals(taken[1].table)
    assert not taken[0].table.equals(taken[2].table)
    ids = taken[0].table["event_id"].to_numpy()
    assert (np.diff(ids) > 0).all()
    assert taken[0].of_rows == len(table)
    assert taken[0].of_lists == len(sizes)


def test_another_run_s_point_must_be_of_the_same_impressions(predictions, pipeline) -> None:
    from recsys.report.pages.page_sample import same_rows

    sample = take_sample(predictions["mine-1a1a1a"], pipeline.objective, "x", most=300, seed=1)
    with pytest.raises(DataError, match="impressions"):
        same_rows(sample, predictions["plain-2b2b2b"].slice(1), pipeline.objective, "plain-2b2b2b")


def test_mixes_pull_as_strongly_as_the_run_s_own_weights() -> None:
    own_K, spread_K = np.array([1.0, 0.0, 2.0]), np.array([0.5, 4.0, 0.01])
    found = mixes(own_K, spread_K, 5)
    assert found.shape == (303, 3)
    assert found @ spread_K == pytest.approx(np.full(303, own_K @ spread_K), rel=0.01)
    assert (np.count_nonzero(found[:3], axis=1) == 1).all()
    assert np.array_equal(found, mixes(own_K, spread_K, 5))


def test_many_objectives_get_fewer_rows_and_stay_small(pipeline) -> None:
    nine = tuple(Objective(name=f"o{k}", label="l", kind="binary" if k else "watch_time") for k in range(9))
    assert most_rows(pipeline.objective[:4]) == MAX_ROWS
    assert most_rows(nine) * row_bytes(nine) <= MAX_BYTES
    rng = np.random.default_rng(1)
    rows = 18_000
    columns = {"event_id": np.arange(rows), "user_id": rng.integers(500, size=rows), "item_id": np.arange(rows),
               "timestamp": np.zeros(rows, int),
               "request_id": np.arange(rows) // 20, "split": ["test"] * rows}  # fmt: skip
    for objective in nine:
        columns[f"label.{objective.name}"] = (rng.random(rows) < 0.2).astype(float)
        columns[f"pred.{objective.name}"] = rng.random(rows)
    sample = take_sample(pa.table(columns), nine, "x", most=most_rows(nine), seed=1)
    assert most_rows(nine) - 20 < len(sample.rows) <= most_rows(nine)
    payload = data(sample, nine, chosen_metrics(pipeline)[:2], {}, seed=1)
    assert len(inline_json(payload)) < 1_300_000


def test_an_objective_s_table_says_what_is_not_as_by_default() -> None:
    objective = Objective(name="survey", kind="ordinal", levels=(1, 2.5), label='a = "\x7f"', better="lower", fusion_weight=3.0)
    text = objective_toml(objective)
    assert text == (
        '[[objective]]\nname = "survey"\nkind = "ordinal"\nlabel = "a = \\"\\u007f\\""\nlevels = [1.0, 2.5]\nbetter = "lower"\n'
    )
