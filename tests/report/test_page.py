"""The page as a reader's browser gets it, and as text where no browser is there."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from jinja2 import Environment, FunctionLoader

from recsys import artifacts
from recsys.errors import ArtifactError
from recsys.report import frame
from recsys.report.figures import metric_figures
from recsys.report.tables.cells import Matrix, grid
from recsys.report.tables.frame import by_slice, whole
from recsys.report.tables.verdict import comparisons
from recsys.report.templates import static
from tests.report.browser import all_drawn, browser_on
from tests.report.conftest import RUN, SHORT, run_folder, written
from tests.staged import ORIGIN, sign

EVIL = "</script><script>alert(1)</script>"


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


def test_steps_know_no_label_that_became_known_when_the_test_days_had_begun(short_run: Path, predictions: dict[str, pa.Table]) -> None:
    """The validation days then tell of nothing to maximise."""
    assert "--maximise click" in written(short_run, SHORT)
    late = pa.array([SHORT.border_after("validation")] * len(predictions[RUN]), pa.int64())
    table = predictions[RUN].append_column("known.click", late).append_column("known.watch", late)
    pq.write_table(table, short_run / "predictions.parquet")
    sign(short_run / "predictions.parquet")
    assert "--maximise" not in written(short_run, SHORT)


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
