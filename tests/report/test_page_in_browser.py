"""What a reader does with a page: reads the summary, opens sections, takes a table as CSV, follows a link to the sliders' state."""

import csv
import io
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from recsys.progress import Console
from recsys.report import frame, write_report
from recsys.report.tables.frame import whole
from tests.report.browser import browser_on
from tests.report.conftest import EVIL, RUN, run_folder
from tests.staged import ORIGIN

pytestmark = pytest.mark.words  # test_page.py opens the page in every `make test`


@pytest.fixture(scope="module")
def shown(predictions, metrics, pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = run_folder(tmp_path_factory.mktemp("read") / RUN, predictions, metrics)
    write_report(folder, pipeline, account=None, origin=ORIGIN, console=Console(quiet=True))
    return folder / "report.html"


def download(page, button) -> list[dict[str, str]]:
    """The rows of the CSV behind a button."""
    with page.expect_download() as found:
        button.click()
    assert found.value.suggested_filename.endswith(".csv")
    return list(csv.DictReader(io.StringIO(Path(found.value.path()).read_text(encoding="utf-8"))))


def number(text: str) -> float | None:
    return float(text) if text else None


def test_the_summary_is_seen_without_scrolling(shown) -> None:
    with browser_on(shown.as_uri()) as visit:
        for width, height in ((1280, 800), (390, 844)):
            page = visit(width, height=height, folded=True)
            box = page.locator("#summary").bounding_box()
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= height
            assert page.locator("details.section[open]").count() == 0
            assert page.locator("#summary li").count() >= 1


def test_a_link_opens_its_section_and_navigation_stays_in_sight(shown) -> None:
    with browser_on(shown.as_uri()) as visit:
        page = visit(folded=True)
        page.locator("nav a[href='#slices']").click()
        assert page.locator("#slices").get_attribute("open") is not None
        page.locator("#slices > summary").click()
        page.locator("nav a[href='#slices']").click()  # the address is the same as before
        assert page.locator("#slices").get_attribute("open") is not None
        assert page.evaluate("scrollY") > 100
        assert page.locator("nav").bounding_box()["y"] == 0
        page.locator("nav a[href='#results']").click()
        page.locator("#results a.term[href='#term-gauc']").first.click()
        term = page.locator("#term-gauc")
        assert term.is_visible()
        assert page.locator("a.term[href='#term-gauc']").first.get_attribute("title") == term.locator("td").last.text_content()
        again = visit(folded=True, fragment="#calibration")
        assert again.locator("#calibration").get_attribute("open") is not None


def test_a_figure_is_drawn_when_its_section_is_opened(shown) -> None:
    with browser_on(shown.as_uri()) as visit:
        page = visit(folded=True)
        assert page.locator("[data-figure] svg").count() == 0
        page.locator("#results > summary").click()
        page.wait_for_selector("#results [data-figure] svg")
        assert page.locator("#training [data-figure] svg").count() == 0
        assert page.locator("#results [data-figure] svg").first.bounding_box()["width"] > 200


def test_a_table_s_csv_holds_the_numbers_of_metrics_parquet(shown) -> None:
    table = whole(frame(pq.read_table(shown.with_name("metrics.parquet"))))
    main = table[table["is_main"] & (table["split"] == "test")]
    with browser_on(shown.as_uri()) as visit:
        page = visit()
        rows = download(page, page.locator("#results .csv").first)
        slices = download(page, page.locator("#slices .csv").first)
    values = main.drop_duplicates(["objective", "metric"]).to_dict("records")
    assert [(row["objective"], row["metric"]) for row in rows] == [(each["objective"], each["metric"]) for each in values]
    for row, each in zip(rows, values, strict=True):
        for column, name in (("value", "value"), ("value low", "low"), ("value high", "high"), ("n", "n"), ("coverage", "coverage")):
            assert number(row[column]) == (None if pd.isna(each[name]) else pytest.approx(each[name], rel=1e-12)), (each, column)
        for other in ("popularity", "gbdt"):
            (beside,) = main[
                (main["objective"] == each["objective"]) & (main["metric"] == each["metric"]) & main["against"].str.startswith(other)
            ].to_dict("records")
            assert number(row[f"vs {other}"]) == (None if pd.isna(beside["difference"]) else pytest.approx(beside["difference"], rel=1e-12))
            assert row[f"vs {other} verdict"] == {"unclear": "inconclusive", None: ""}.get(beside["verdict"], beside["verdict"])
        assert row.get("value reason", "") == (each["reason"] if isinstance(each["reason"], str) else "")
    assert any(EVIL in row["slice"] for row in slices)


def test_rows_behind_a_figure_are_a_csv_too(shown) -> None:
    with browser_on(shown.as_uri()) as visit:
        page = visit()
        page.locator("[data-rows=results-0]").click()
        specs = page.evaluate("specs['results-0'].layer.at(-1).data.values")
        rows = download(page, page.locator("[data-rows=results-0] + div .csv"))
    assert len(rows) == len(specs)
    for row, spec in zip(rows, specs, strict=True):
        assert row["objective"] == spec["objective"]
        assert number(row["difference"]) == spec["difference"]


def test_a_text_that_a_spreadsheet_would_compute_stays_a_text(shown) -> None:
    with browser_on(shown.as_uri()) as visit:
        page = visit()
        fields = page.evaluate("""['=1+1', '-2', '+.5e-3', '-x', '@a', 'a,b', 'a"b', '', '-'].map(field)""")
    assert fields == ["'=1+1", "-2", "+.5e-3", "'-x", "'@a", '"a,b"', '"a""b"', "", "'-"]


def test_on_a_phone_every_cell_says_its_column(shown) -> None:
    with browser_on(shown.as_uri()) as visit:
        page = visit(390, height=844)
        cells = page.locator("#results td, #terms td, #run td")
        heads = cells.evaluate_all("cells => cells.map(cell => getComputedStyle(cell, '::before').content)")
        columns = cells.evaluate_all("cells => cells.map(c => `\"${c.closest('table').tHead.rows[0].cells[c.cellIndex].textContent}\"`)")
        assert len(heads) > 50
        assert heads == columns
        assert page.evaluate("[...document.querySelectorAll('main *')].every(node => node.getBoundingClientRect().right <= 391"
                             " || node.closest('.columns, svg, .unseen, thead'))")  # fmt: skip


def test_the_address_restores_the_sliders(shown) -> None:
    with browser_on(shown.as_uri()) as visit:
        page = visit(folded=True)
        page.locator("nav a[href='#tradeoffs']").click()
        page.locator("[data-k='0'] [type=number]").fill("0.125")
        page.locator("[data-k='3'] [type=number]").fill("7")
        page.locator("#plane-x").select_option(label="like")
        address = "#tradeoffs&w.click=0.125&w.like=7&across=like"
        page.wait_for_url(f"**{address}")
        again = visit(folded=True, fragment=address)
        assert again.locator("#tradeoffs").get_attribute("open") is not None
        for k, weight in ((0, "0.125"), (1, "1"), (3, "7")):
            assert again.locator(f"[data-k='{k}'] [type=number]").input_value() == weight
        assert again.locator("#plane-x option:checked").text_content() == "like"
        values = [each.locator("output[data-objective=click]").get_attribute("data-values") for each in (page, again)]
        assert values[0] == values[1]
        again.locator("[data-preset=own]").click()
        again.locator("#plane-x").select_option(label="click")
        again.wait_for_url("**#tradeoffs")


def test_going_elsewhere_and_back_keeps_the_sliders_and_the_place(shown) -> None:
    with browser_on(shown.as_uri()) as visit:
        page = visit(folded=True)
        page.locator("nav a[href='#tradeoffs']").click()
        page.locator("[data-k='0'] [type=number]").fill("0.125")
        page.locator("nav a[href='#results']").click()  # before the address is written
        page.wait_for_timeout(400)
        assert page.url.endswith("#results")
        page.locator("nav a[href='#tradeoffs']").click()
        page.wait_for_url("**#tradeoffs&w.click=0.125")
        assert page.locator("[data-k='0'] [type=number]").input_value() == "0.125"
        page.locator("nav a[href='#metrics']").click()
        page.locator("#metrics > details > summary").first.click()
        page.locator("#metrics a.term[href='#term-rmse']").first.click()
        page.evaluate("() => { window.scrolled = 0; Element.prototype.scrollIntoView = () => { scrolled += 1; }; }")
        page.go_back()
        page.wait_for_url("**#metrics")
        assert page.evaluate("scrolled") == 0  # the browser restores the place, some time after the address


@pytest.mark.parametrize("fragment", ["#%", "#%E0%A4%A", "#nowhere", "#tradeoffs&toString=click&__proto__=like&w.click=0x10"])
def test_an_odd_address_does_no_harm(shown, fragment) -> None:
    with browser_on(shown.as_uri()) as visit:
        page = visit(folded=True, fragment=fragment)
        assert page.locator("[data-k='0'] [type=number]").input_value() == "1"


def test_one_button_opens_and_folds_all(shown) -> None:
    with browser_on(shown.as_uri()) as visit:
        page = visit()
        sections = page.locator("details.section").count()
        assert page.locator("details.section[open]").count() == sections
        page.wait_for_selector("#unfold:has-text('fold all')")
        page.locator("#results > summary").click()
        page.wait_for_selector("#unfold:has-text('open all')")
        page.locator("#unfold").click()
        page.wait_for_selector("#unfold:has-text('fold all')")
        page.locator("#unfold").click()
        assert page.locator("details.section[open]").count() == 0


def test_a_link_for_another_page_says_what_it_does_not_know(shown) -> None:
    with browser_on(shown.as_uri()) as visit:
        page = visit(folded=True, fragment="#tradeoffs&w.click=0.5&w.gone=1&w.like=-1&metric=ndcg@3&across=" + EVIL.replace(" ", ""))
        said = page.locator("#mix-refused").text_content()
        for part in ("w.gone=1", "w.like=-1", "metric=ndcg@3", "across=</script><script>alert(1)</script>"):
            assert part in said
        assert page.locator("[data-k='0'] [type=number]").input_value() == "0.5"
        assert page.locator("[data-k='3'] [type=number]").input_value() == "1"
