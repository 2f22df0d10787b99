"""The page as a reader's browser gets it, and as text where no browser is there."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from jinja2 import Environment, FunctionLoader

from recsys import artifacts
from recsys.config import Train
from recsys.errors import ArtifactError
from recsys.evaluation import read_scores
from recsys.progress import Console
from recsys.report import frame, read_inside, write_report
from recsys.report.figures import look_figures, metric_figures, model_figures
from recsys.report.pages import calibration_section, sections, tradeoffs, what_was_run
from recsys.report.tables.cells import Matrix, grid
from recsys.report.tables.frame import by_day, by_slice, whole
from recsys.report.tables.verdict import comparisons
from recsys.report.templates import static
from recsys.report.training_log import Inside, Look
from recsys.stages import STAGES
from tests.report.browser import all_drawn, browser_on
from tests.report.conftest import INSIDE, PIPELINE, POPULARITY, RUN, SHORT, run_folder
from tests.staged import ORIGIN, sign

EVIL = "</script><script>alert(1)</script>"
ACCOUNT = {"read": 1000, "kept": 970, "duplicate": 20, "quarantined": 10}


def written(run: Path, pipeline, account=ACCOUNT) -> str:
    write_report(run, pipeline, account=account, origin=ORIGIN, console=Console(quiet=True))
    return (run / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def shown(predictions, metrics, pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with its page, which no test changes."""
    folder = run_folder(tmp_path_factory.mktemp("shown") / RUN, predictions, metrics)
    written(folder, pipeline)
    return folder


@pytest.fixture
def html(shown: Path) -> str:
    return (shown / "report.html").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Ids, all numbers of the tables, the scripts, and the text that a reader sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.numbers: list[float] = []
        self.scripts: list[str] = []
        self.text = ""
        self._in: str | None = None
        self.feed(html)

    def handle_starttag(self, tag, attributes) -> None:
        found = dict(attributes)
        assert not ({"src", "srcset", "action"} & set(found)), f"{tag} asks for something outside the page"
        assert not any(name.startswith("on") for name in found)
        self._in = tag
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "data":
            self.numbers.append(float(found["value"]))
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag) -> None:
        self._in = None

    def handle_data(self, data) -> None:
        if self._in == "script":
            self.scripts[-1] += data
        elif self._in != "style":
            self.text += data


def test_is_one_small_artifact_with_every_section(shown, html) -> None:
    assert len(html.encode()) < 3_000_000
    page = Page(html)
    assert {"summary", "run", "results", "metrics", "calibration", "days", "slices", "training", "inside", "bias"} <= set(page.ids)
    assert artifacts.verify(shown / "report.html").fingerprint == ORIGIN.fingerprint
    for said in (
        "read 1,000 = kept 970 + duplicate 20 + quarantined 10",
        "123,456",
        "54,321",
        "2024-01-01 to 2024-01-02",
        "pyarrow",
        "a < b",
        "123,456, of a budget of 120,000 (102.9%)",
    ):
        assert said in page.text


def test_the_numbers_are_those_of_metrics_parquet(shown, html) -> None:
    numbers = Page(html).numbers
    rows = pq.read_table(shown / "metrics.parquet")
    whole = rows.filter(pc.field("day").is_null() & (pc.field("slice") == "all"))
    test = pc.field("split") == "test"
    pooled = pc.field("metric").isin(["auc", "rmse", "xauc"])
    sliced = rows.filter(pc.field("day").is_null() & (pc.field("slice") != "all") & test)
    shown_again = pc.field("metric").isin(["calibration", "ece"])  # slice by slice, in the section of calibration
    of_calibration = rows.filter(
        pc.field("day").is_null() & (pc.field("slice") != "all") & test & shown_again & pc.field("against").is_null()
    )
    is_within = _within(whole.filter(test))
    parts = (*(of.filter(is_main) for of in (whole.filter(test), sliced) for is_main in (pooled, is_within)), whole, of_calibration)
    expected = [value for part in parts for value in part["value"].to_pylist()]
    assert sorted(numbers) == sorted(value for value in expected if value is not None)


def _within(whole: pa.Table) -> pc.Expression:
    """Of each objective the rows within lists, where they have an interval over all rows, else those within users."""
    told = {row["objective"] for row in whole.to_pylist() if row["metric"] in ("gauc_list", "xgauc_list") and row["reason"] is None}
    by_list = pc.field("metric").isin(["gauc_list", "xgauc_list"]) & pc.field("objective").isin(told)
    by_user = pc.field("metric").isin(["gauc", "xgauc"]) & ~pc.field("objective").isin(told)
    return by_list | by_user


def test_figures_draw_the_numbers_of_the_table(shown, html) -> None:
    specs = json.loads(Page(html).scripts[0])
    rows = pq.read_table(shown / "metrics.parquet").to_pylist()
    expected = {
        (row["objective"], row["against"].split("-")[0], row["value"], row["low"], row["high"])
        for row in rows
        if row["metric"] == "auc" and row["split"] == "test" and row["slice"] == "all" and row["day"] is None and row["against"]
    }
    points = {
        (point["objective"], point["run"], point["difference"], point["difference_low"], point["difference_high"])
        for point in specs["results-0"]["layer"][-1]["data"]["values"]
    }
    assert points == expected


def test_the_summary_comes_first_then_each_objective_then_the_trade_and_what_is_inside_and_what_was_run_last(html) -> None:
    sections = ["summary", "results", "metrics", "days", "calibration", "slices", "training", "tradeoffs", "inside", "bias", "terms", "run"]
    assert [found for found in Page(html).ids if found in sections] == sections
    assert html.count('<details class="section"') >= 10
    assert '<details class="section" open' not in html


def test_a_command_to_do_next_says_that_it_needs_the_workspace_of_the_run(html) -> None:
    (steps,) = re.findall(r"<h3>What to do next</h3>.*?</section>", html, re.DOTALL)
    assert "<code>recsys fuse" in steps
    assert "add <code>--workspace</code>" in steps


def test_says_in_words_what_the_table_marks(shown, html) -> None:
    found = comparisons(grid(whole(frame(pq.read_table(shown / "metrics.parquet"))).query("is_main and split == 'test'")))
    text = " ".join(Page(html).text.split())
    assert [comparison.other for comparison in found] == ["popularity", "gbdt"]
    for comparison in found:
        assert str(comparison) in text


def test_a_metric_in_the_labels_unit_has_a_figure_of_its_own_for_each_objective() -> None:
    shared = {"is_main": True, "against": "gbdt-1a", "difference_low": -1.0, "difference_high": 1.0, "better": "lower"}
    lines = [("rmse", "seconds", 30.0), ("rmse", "stars", 0.1), ("xauc", "seconds", 0.1), ("xauc", "stars", 0.2)]
    table = pd.DataFrame([shared | {"metric": metric, "objective": name, "difference": value} for metric, name, value in lines])
    drawn = [{row["objective"] for row in figure.spec["layer"][-1]["data"]["values"]} for figure in metric_figures.differences(table)]
    assert drawn == [{"seconds"}, {"stars"}, {"seconds", "stars"}]


def test_calibration_says_the_numbers_of_the_table(shown, html) -> None:
    keys = ("metric", "objective", "split", "slice", "day", "against")
    rows = pq.read_table(shown / "metrics.parquet").to_pylist()
    (ece,) = [row["value"] for row in rows if tuple(row[key] for key in keys) == ("ece", "click", "test", "all", None, None)]
    text = Page(html).text
    assert "click: Σp/Σy" in text
    assert f"ECE {ece:.3f}".replace("0.", ".") in text


def test_a_training_curve_is_a_mean_over_runs_of_batches_and_validation_stays() -> None:
    steps = np.arange(1, 1001)
    noisy = pd.DataFrame({"step": steps, "loss": 0.9 + 0.3 * (-1.0) ** steps, "part": "train", "event": "step", "pass": 1})
    judged = pd.DataFrame({"step": [500, 1000], "loss": [0.8, 0.7], "part": "validation", "event": "pass", "pass": [1, 2]})
    journal = pd.concat([noisy, judged]).assign(phase="choose", objective="click", member=0, day=None, auc=None)
    (figure,) = model_figures.learning_curves(journal)
    points = figure.spec["layer"][0]["data"]["values"]
    learned = [point for point in points if point["part"] == "train"]
    assert len(learned) <= model_figures.CURVE_POINTS
    assert [point["loss"] for point in learned] == pytest.approx([0.9] * len(learned), abs=0.01)
    assert learned[-1]["step"] == 1000
    assert [(point["step"], point["loss"]) for point in points if point["part"] == "validation"] == [(500, 0.8), (1000, 0.7)]


def test_a_member_that_stopped_still_counts_where_the_least_loss_is_looked_for() -> None:
    """Both were best before their last pass; the second one alone went on to the fourth."""
    losses = {0: [1.0, 1.05, 1.1], 1: [0.9, 0.89, 0.91, 0.92]}
    lines = [
        {"member": member, "phase": "choose", "pass": number, "day": None, "step": number, "part": "validation", "event": "pass",
         "objective": "click", "loss": loss, "auc": None}
        for member, values in losses.items() for number, loss in enumerate(values, 1)
    ]  # fmt: skip
    (found,) = model_figures.best(pd.DataFrame(lines))
    assert str(found) == "click after pass 1 (0.950; 1.010 after 4)"


def test_an_objective_whose_tower_learned_nothing_is_not_drawn() -> None:
    learned = [{"objective": "click", "device": "tv", "position": position, "logit": 0.1} for position in (1, None)]
    never = [{"objective": "dismissal", "device": "tv", "position": position, "logit": 0.0} for position in (1, None)]
    (figure,) = model_figures.position_bias(Inside.model_validate(INSIDE | {"position_bias": learned + never}))
    assert figure.title.startswith("click")
    assert figure.spec["layer"][0]["encoding"]["y"]["title"] == "added to the output by the bias tower"  # of a mean it is no logit


def test_without_devices_a_position_bias_is_that_of_any_device() -> None:
    learned = [{"objective": "click", "device": None, "position": position, "logit": 0.1} for position in (1, None)]
    (figure,) = model_figures.position_bias(Inside.model_validate(INSIDE | {"position_bias": learned}))
    assert figure.text == "Learned position bias of click: any device at 1 +0.10; any device at a missing position +0.10."


def test_what_was_run_names_the_runs_that_this_one_learned_from() -> None:
    def facts(**train):
        pipeline = STAGES["report"].receives(PIPELINE.model_copy(update={"train": Train(**train)}))
        return what_was_run.facts(pipeline, pa.table({"split": ["test"]}), None, None)

    assert not {"Started from", "Taught by"} & facts().keys()
    others = facts(init_from="data/x/runs/first", freeze=["experts"], distil_from="data/x/runs/second")
    assert others["Started from"] == "the weights of the run first, experts frozen"
    assert others["Taught by"] == "the run second, whose predictions are learned beside the labels"


@pytest.mark.parametrize(("confidence", "said"), [(0.95, "95%, "), (0.999, "99.9%, "), (0.975, "97.5%, ")])
def test_what_was_run_says_the_confidence_with_its_digits(confidence, said) -> None:
    """Rounded to whole percents, the intervals of .999 were called 100%."""
    evaluate = PIPELINE.evaluate.model_copy(update={"confidence": confidence})
    pipeline = STAGES["report"].receives(PIPELINE.model_copy(update={"evaluate": evaluate}))
    assert what_was_run.facts(pipeline, pa.table({"split": ["test"]}), None, None)["Intervals"].startswith(said)


@pytest.mark.parametrize(("order", "said"), [("shuffled", "9,000 rows in all, "), ("time", "over each day, 9,000 rows on the warm days, ")])
def test_the_rows_of_the_pace_are_in_time_order_those_of_the_warm_days(run, order, said) -> None:
    """A night that had learned eight days called the rows of three of them all."""
    pipeline = PIPELINE.model_copy(update={"train": PIPELINE.train.model_copy(update={"order": order})})
    model = read_inside(run / "model" / "inside.json")
    assert said in what_was_run.facts(pipeline, pa.table({"split": ["test"]}), model, None)["Training"]


@pytest.mark.parametrize(("days", "said"), [(1, "learned the last day of training"), (30, "learned the last 30 days of training")])
def test_the_days_of_a_window_are_counted(days, said) -> None:
    pipeline = PIPELINE.model_copy(update={"evaluate": PIPELINE.evaluate.model_copy(update={"baseline_window_days": days})})
    assert what_was_run.facts(pipeline, pa.table({"split": ["test"]}), None, None)["Baselines"] == said


def test_a_validation_day_beside_a_test_day_is_not_called_one_day(short_metrics) -> None:
    """Both are scored, and neither part has rows by day: the whole part is its day."""
    assert sections.days(frame(short_metrics)).nothing.startswith("Each part of the split that was scored is one day")


def test_without_validation_days_nothing_is_said_to_be_learned_from_them_or_found_on_them(predictions, metrics) -> None:
    without = PIPELINE.model_copy(update={"split": PIPELINE.split.model_copy(update={"validation": None})})
    for pipeline, told in ((PIPELINE, True), (without, False)):
        trained = what_was_run.facts(pipeline, pa.table({"split": ["test"]}), None, None)["Training"]
        assert ("validation days learned" in trained, "no refit" in trained) == (told, not told)
        (section, *_) = tradeoffs.sections(RUN, predictions[RUN], frame(metrics), pipeline, tradeoffs.Beside({}, None))
        assert ("recsys fuse RUN" in section.widget.markup) is told


def look(columns=("expert 1", "expert 2"), polarised=None, **rows) -> Look:
    return Look(name="a look", columns=list(columns), rows=rows, polarised=polarised or {})


def cells(figure) -> list[tuple]:
    data = figure.spec.get("data") or figure.spec["layer"][0]["data"]  # above all layers where they share it
    return [(cell["row"], cell["column"], cell["value"], cell["text"]) for cell in data["values"]]


def test_gates_show_every_share_in_the_order_of_the_objectives_and_how_often_they_are_polarised() -> None:
    gates = look(click=[0.7, 0.3], watch=[0.25, 0.75], polarised={"click": 0.125, "watch": 0.4})
    (figure,) = look_figures.looks([gates], ["watch", "click"])
    assert cells(figure) == [
        ("watch", "expert 1", 0.25, "0.25"), ("watch", "expert 2", 0.75, "0.75"),
        ("click", "expert 1", 0.7, "0.70"), ("click", "expert 2", 0.3, "0.30"),
    ]  # fmt: skip
    assert {(end["row"], end["text"]) for end in figure.spec["layer"][2]["data"]["values"]} == {("click", "12%"), ("watch", "40%")}
    assert figure.title == "a look: mean share of each expert; polarised at most on 40% of rows (watch)"
    assert "click: at most 0.7 (expert 1), polarised on 12.5% of rows" in figure.text


def test_gates_that_are_polarised_on_most_rows_are_named_else_the_one_that_is_most() -> None:
    few, many = (look(click=[0.5, 0.5], watch=[0.5, 0.5], polarised={"click": share, "watch": 0.1}) for share in (0.2, 0.9))
    assert look_figures.polarised([few]) == "No gate is polarised on most rows; the most often: click on 20% of rows (a look)."
    nowhere = look(click=[0.5, 0.5], watch=[0.5, 0.5], polarised={"click": 0.0, "watch": 0.0})
    seldom = look(click=[0.5, 0.5], watch=[0.5, 0.5], polarised={"click": 0.001, "watch": 0.0})
    assert look_figures.polarised([seldom]) == "No gate is polarised on most rows; the most often: click on <1% of rows (a look)."
    (figure,) = look_figures.looks([seldom], ["click", "watch"])
    assert figure.title.endswith("polarised at most on <1% of rows (click)")
    assert look_figures.polarised([nowhere]) == "No gate is polarised on any row."
    assert look_figures.polarised([few, many]) == "Polarised on most rows: click on 90% of rows (a look)."
    assert look_figures.polarised([look(click=[0.5, 0.5])]) == ""


def test_polarised_means_what_the_models_count() -> None:
    pytest.importorskip("torch")
    from recsys.models.looks import POLARISED

    assert look_figures.POLARISED == POLARISED


@pytest.mark.parametrize(
    ("values", "domain", "texts"),
    [
        ([-0.3, 1.0], [-1.0, 1.0], ["-0.30", "1.00"]),
        ([0.2, 2.5], [0, 2.5], ["0.20", "2.50"]),
        ([0.0, 0.0], [0, 1.0], ["0.00", "0.00"]),
        ([0.0012, 0.02], [0, 0.02], ["0.001", "0.02"]),
    ],
)
def test_another_look_has_a_scale_to_both_sides_where_it_has_negative_values(values, domain, texts) -> None:
    (figure,) = look_figures.looks([look(click=values)], ["click"])
    assert [cell[3] for cell in cells(figure)] == texts
    assert figure.spec["layer"][0]["encoding"]["color"]["scale"]["domain"] == domain
    assert figure.title == "a look"


def test_a_look_with_many_columns_gets_the_whole_width() -> None:
    columns = [f"unit {n}" for n in range(40)]
    wide, narrow = look_figures.looks([look(columns, click=[0.1] * 40), look(click=[0.1, 0.2])], ["click"])
    assert wide.wide
    assert not narrow.wide


@pytest.mark.parametrize(
    ("columns", "rows", "polarised", "message"),
    [
        (["a", "b"], {"click": [0.1]}, {}, "click with 1, expected 2 values per row"),
        (["a", "a"], {"click": [0.1, 0.2]}, {}, "no column twice"),
        (["a"], {}, {}, "found 0 rows"),
        (["a"], {"click": [0.1]}, {"watch": 0.1}, "other objectives that are polarised"),
    ],
)
def test_a_look_that_is_no_matrix_is_refused(run, pipeline, columns, rows, polarised, message) -> None:
    shown = INSIDE | {"looks": [{"name": "gates", "columns": columns, "rows": rows, "polarised": polarised}]}
    (run / "model" / "inside.json").write_text(json.dumps(shown))
    sign(run / "model" / "inside.json")
    with pytest.raises(ArtifactError, match=rf"inside\.json: .*looks\.0: .*{message}"):
        written(run, pipeline)


@pytest.mark.words
def test_an_architecture_without_looks_says_that_it_has_nothing_to_show(short_run) -> None:
    (short_run / "model" / "inside.json").write_text(json.dumps(INSIDE | {"looks": []}))
    sign(short_run / "model" / "inside.json")
    html = written(short_run, SHORT)
    assert '<section class="nothing" id="inside">' in html
    assert "The architecture mmoe has nothing of its own to show." in html
    assert '<details class="section" id="bias">' in html


def test_objectives_say_their_kind_and_conditional_forms_stand_beside_them(shown, html) -> None:
    table = html.partition("Objectives and their mean label")[2].partition("</table>")[0]
    text = " ".join(re.sub(r"<[^>]+>", " ", table).split())
    assert "like binary given click satisfaction liked = 1 higher 1 1 0.2" in text
    assert "like|click binary satisfaction like, given click higher 0.5" in text
    assert "watch watch_time distribution engagement" in text
    assert "survey ordinal levels 1, 2, 3 satisfaction" in text
    rows = pq.read_table(shown / "predictions.parquet").to_pandas()
    of_test = rows[(rows["split"] == "test") & (rows["label.click"] == 1)]
    assert f"{of_test['label.like'].mean():.4g}" in text.partition("like, given click")[2].partition("survey")[0]


def test_ordinal_objectives_and_conditional_forms_have_their_calibration(shown, html) -> None:
    specs = json.loads(Page(html).scripts[0])
    titles = re.findall(r"<figcaption>(\S+): Σp/Σy", html)
    assert titles == ["click", "dismissal", "watch", "like", "like|click", "survey"]
    rows = pq.read_table(shown / "predictions.parquet").to_pandas()
    of_test = rows[(rows["split"] == "test") & (rows["label.click"] == 1)]
    drawn = specs["calibration-4"]["layer"][1]["data"]["values"]
    assert sum(point["n"] for point in drawn) == len(of_test)
    assert sum(point["n"] * point["mean_predicted"] for point in drawn) == pytest.approx(of_test["pred.like|click"].sum())
    levels = specs["calibration-5"]["layer"][1]["data"]["values"]
    assert all(1 <= point["mean_observed"] <= 3 and 1 <= point["mean_predicted"] <= 3 for point in levels)


def test_strings_of_the_data_stay_text(html) -> None:
    page = Page(html)
    assert len(page.scripts) == 9  # the figures, the trade-offs, the library, ours
    assert f"tab = {EVIL}" in page.text
    assert EVIL not in html
    specs = json.loads(page.scripts[0])
    assert specs["bias-0"]["layer"][0]["data"]["values"][-1]["device"] == EVIL


def test_the_position_bias_is_drawn_by_device_with_the_missing_position_apart(html) -> None:
    known, missing = (layer["data"]["values"] for layer in json.loads(Page(html).scripts[0])["bias-0"]["layer"])
    assert {point["device"] for point in known} == {point["device"] for point in missing} == {"tv", "not known", EVIL}
    assert sorted({point["position"] for point in known}) == [1, 2, 3]
    assert [point["position"] for point in missing] == [None] * 3


def test_a_long_name_has_lines_of_its_own_and_pushes_no_number_away(metrics) -> None:
    sliced = by_slice(frame(metrics))
    renamed = {"click": "c" * 61}
    found = grid(
        sliced.assign(slice_value=sliced["slice_value"].replace("home", "a " * 40), objective=sliced["objective"].replace(renamed))
    )
    matrix = Matrix("slice", (), (("tab = " + "a" * 60, ()), ("tab = home", ()), ("", ())))
    tables = Environment(autoescape=True, loader=FunctionLoader(lambda name: str(static(name)))).get_template("tables.html").module
    html = tables.matrix_table("m", matrix) + tables.grid_table("g", found, found.others, str)
    assert '<th scope="row" class="long">tab = aaa' in html
    assert '<th scope="row">tab = home</th>' in html
    assert '<td data-label="slice" class="long">tab = a a a' in html
    assert '<td data-label="slice">tab = &lt;/script&gt;' in html
    assert '<th scope="row" class="long">ccc' in html
    assert '<th scope="row">dismissal</th>' in html


def test_one_day_before_it_was_learned_is_a_table_and_more_are_figures(metrics) -> None:
    days = by_day(frame(metrics))
    one = sections.progressive(days[days["day"] == days["day"].iloc[0]])
    assert (one.figures, list(one.matrices), one.gist) == ([], ["Each day before it was learned"], "1 day")
    several = sections.progressive(days)
    assert several.figures
    assert list(several.folded_matrices) == ["Each day before it was learned"]


def test_a_day_with_too_few_users_for_an_interval_keeps_its_number_and_says_why(metrics) -> None:
    """The number was left out without a word: of a rare objective most days were empty, and its figure had a point or two."""
    days = by_day(frame(metrics))
    days = days[(days["objective"] == "click") & (days["metric"] == "auc")].drop_duplicates("day")
    few = days["day"] == days["day"].iloc[0]
    days = days.assign(low=days["low"].mask(few), high=days["high"].mask(few), reason=days["reason"].mask(few, "too few users (18)"))
    found = sections.progressive(days)
    ((_, (first,)), (_, (second,)), *_) = found.folded_matrices["Each day before it was learned"].rows
    assert (first.interval, first.reason, second.reason) == ("", "too few users (18)", None)
    assert found.figures[0].text.count("2024-") == len(days)


@pytest.mark.words
def test_what_is_not_there_is_not_explained(short_run, predictions, metrics) -> None:
    own = metrics.filter(pc.field("against").is_null())
    assert "paired difference" in sections.metrics(frame(metrics), PIPELINE)[0].about
    assert "paired difference" not in sections.metrics(frame(own), PIPELINE)[0].about
    assert "single_task" not in sections.metrics(frame(metrics), PIPELINE)[0].about
    place = metrics.column_names.index("against")
    named = metrics.set_column(place, "against", pc.replace_substring(metrics["against"], POPULARITY, "truth-0a0a0a"))
    assert "The truth of the simulated feed is what no ranker" in sections.metrics(frame(named), PIPELINE)[0].about
    values = own.filter(pc.field("metric") != "ece")
    of_values, of_all = (
        calibration_section.section(
            short_run, predictions[RUN], read_scores(predictions[RUN], PIPELINE.objective, RUN, labels=True), frame(table), PIPELINE, None
        )
        for table in (values, own)
    )
    heads = [next(iter(each.folded_matrices.values())).columns for each in (of_values, of_all)]
    assert heads == [("Σp/Σy",), ("Σp/Σy", "ECE")]


@pytest.mark.words
def test_says_which_files_are_missing(short_run) -> None:
    (short_run / "training.jsonl").unlink()
    (short_run / "model" / "inside.json").unlink()
    html = written(short_run, SHORT, account=None)
    page = Page(html)
    assert "no training.jsonl" in page.text
    assert "no model/inside.json" in page.text
    assert '<section class="nothing" id="bias">' in html


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("training.jsonl", '{"event": "step"}\n', r"training\.jsonl:1: .*member: Field required"),
        ("training.jsonl", "nonsense\n", r"training\.jsonl:1: .*Invalid JSON"),
        ("model/inside.json", '{"architecture": "mmoe", "members": "2"}', r"inside\.json: .*members: Input should be a valid integer"),
    ],
)
def test_a_file_of_another_form_is_an_error_that_names_it(run, pipeline, file, text, message) -> None:
    (run / file).write_text(text)
    sign(run / file)
    with pytest.raises(ArtifactError, match=message):
        written(run, pipeline)
    assert not (run / "report.html").exists()


@pytest.mark.words
def test_opens_in_a_browser_without_an_error_or_a_request(shown) -> None:
    with browser_on((shown / "report.html").as_uri()) as visit:
        for width, scheme in ((1280, "light"), (390, "dark")):
            page = visit(width, scheme)
            assert all_drawn(page) >= 12
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            if scheme == "light":
                page.emulate_media(color_scheme="dark")  # drawn again in the other colours
                all_drawn(page)


def test_coverage_is_a_column_only_where_some_value_rests_on_less_than_all_rows(shown, html) -> None:
    heads = {caption: "coverage</th>" in rest.split("</thead>")[0] for caption, _, rest in tables(html)}
    rows = pq.read_table(shown / "metrics.parquet").filter(pc.field("split") == "test").to_pandas()
    whole = rows[(rows["slice"] == "all") & rows["day"].isna()]
    partly = {
        "Main metrics, test days": (whole.loc[whole["metric"].isin(["gauc_list", "xgauc_list"]), "coverage"].dropna() < 1).any(),
        "test days": (whole["coverage"].dropna() < 1).any(),
        "By slice, test days": True,  # metrics within lists among them
    }
    assert {caption: heads[caption] for caption in partly} == partly
    assert set(partly.values()) == {True}
    pooled = frame(pq.read_table(shown / "metrics.parquet")).query("metric in ('auc', 'xauc')")  # these rest on all rows
    assert not grid(pooled).is_partly_covered


def tables(html: str) -> list[tuple[str, str, str]]:
    """The caption of each table, and what follows it."""
    return [part.partition("</caption>") for part in html.split("<caption>")[1:]]
