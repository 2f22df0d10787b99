"""The section of calibration: curves, numbers before and after, and what a reader must be told about them."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recsys import artifacts
from recsys.calibration import fit, uncalibrated
from recsys.evaluation import evaluate, read_scores
from recsys.judge import CHANGED, what_calibration_changed
from recsys.progress import Console
from recsys.report import frame, write_report
from recsys.report.figures import calibration_figures
from tests.report.conftest import OBJECTIVES, PIPELINE, POPULARITY, RUN, SHORT
from tests.report.test_page import Page
from tests.staged import ORIGIN, sign

CALIBRATED = PIPELINE.model_copy(update={"evaluate": PIPELINE.evaluate.model_copy(update={"calibrate": "isotonic"})})


@pytest.fixture(scope="session")
def calibrated(predictions: dict[str, pa.Table]) -> dict[str, pa.Table]:
    """What the stages leave beside the model: predictions, maps, metrics and what calibration changed."""
    maps = fit(predictions[RUN], OBJECTIVES, "isotonic", run=RUN)
    table = maps.applied(predictions[RUN], OBJECTIVES, run=RUN)
    metrics = evaluate(table, OBJECTIVES, run=RUN, against={POPULARITY: predictions[POPULARITY]}, bootstrap=30)
    change = what_calibration_changed(CALIBRATED, table, run=RUN)
    return {"predictions": table, "metrics": metrics, "calibration": change, "maps": pa.table({"json": [maps.model_dump_json()]})}


def run_of(folder: Path, calibrated: dict[str, pa.Table], *splits: str) -> Path:
    """A run's folder with the rows of these splits."""
    folder.mkdir()
    for name in ("predictions", "metrics", "calibration"):
        table = calibrated[name]
        pq.write_table(table.filter(pc.is_in(table["split"], pa.array(splits))), folder / f"{name}.parquet")
        sign(folder / f"{name}.parquet")
    text = calibrated["maps"]["json"][0].as_py()
    artifacts.write_file(folder / "calibration.json", lambda draft: draft.write_text(text), stage="calibrate", fingerprint="f")
    return folder


@pytest.fixture(scope="module")
def after(calibrated: dict[str, pa.Table], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calibrated run with its page."""
    folder = run_of(tmp_path_factory.mktemp("calibrated") / RUN, calibrated, "validation", "test")
    write_report(folder, CALIBRATED, account=None, origin=ORIGIN, console=Console(quiet=True))
    return folder


def html_of(run: Path) -> str:
    html = (run / "report.html").read_text(encoding="utf-8")
    return html.partition('id="calibration">')[2].partition('<details class="section"')[0]


def rows_of(section: str, caption: str) -> dict[str, list[str]]:
    """Row → its cells as text, of the table whose caption starts so."""
    table = re.search(rf"<caption>{re.escape(caption)}.*?</table>", section, re.DOTALL)
    assert table is not None, caption
    rows = re.findall(r'<tr><th scope="row"[^>]*>(.*?)</th>(.*?)</tr>', table.group(), re.DOTALL)
    return {" ".join(name.split()): re.findall(r"<td[^>]*>(.*?)</td>", cells, re.DOTALL) for name, cells in rows}


def values(cells: list[str]) -> list[float | None]:
    found = [re.search(r'<data value="([^"]+)"', cell) for cell in cells]
    return [None if each is None else float(each.group(1)) for each in found]


def test_numbers_before_and_after_are_those_of_the_files(after: Path) -> None:
    found = rows_of(html_of(after), "Before and after calibration, test days")
    change = pq.read_table(after / "calibration.parquet").to_pandas().query("split == 'test' and slice == 'all' and day.isna()")
    for metric, name in (("calibration", "Σp/Σy"), ("ece", "ECE"), ("log_loss", "log loss")):
        of_click = change[(change["objective"] == "click") & (change["metric"] == metric)]
        values_ = of_click[of_click["against"].isna()].set_index("run")["value"]
        difference = of_click[of_click["against"].notna()]["value"].item()
        cells = found[f"click: {name}"]
        assert values(cells) == pytest.approx([values_["uncalibrated"], values_[RUN], difference])
        assert all("<small>[" in cell for cell in cells), "each with its interval"
        assert difference == pytest.approx(values_[RUN] - values_["uncalibrated"])
    assert {"survey: log loss", "survey: RPS", "watch: RMSE", "like|click: ECE"} <= set(found)
    assert {row["metric"] for row in change.to_dict("records")} == {*CHANGED, "captured@10%"}


def test_what_else_it_moved_is_folded_away(after: Path) -> None:
    section = html_of(after)
    besides = rows_of(section, "What else calibration changed, test days")
    assert {"click: AUC", "watch: XAUC", "click: captured@10%, fused order"} <= set(besides)
    assert not {name for name in besides if name.endswith(("Σp/Σy", "ECE"))}
    assert section.count("<details>") == 2


def test_slices_come_by_how_far_they_are_off_those_that_are_surely_so_first(after: Path) -> None:
    section = html_of(after)
    found = rows_of(section, "By slice, test days, furthest from")
    table = pq.read_table(after / "metrics.parquet").to_pandas().query("split == 'test' and slice != 'all' and against.isna()")
    ratios = table[table["metric"] == "calibration"]
    assert len(found) == len(ratios) == 12  # six objectives and forms, two tabs
    assert all(len(cells) == 4 for cells in found.values())
    shown = [values(cells)[0] for cells in found.values()]
    sure = [not row.low <= 1 <= row.high for value in shown for row in ratios[ratios["value"] == value].itertuples()]
    assert sure == sorted(sure, reverse=True)
    for part in (True, False):
        distances = [abs(math.log(value)) for value, is_sure in zip(shown, sure, strict=True) if is_sure == part]
        assert distances == sorted(distances, reverse=True)
    assert "click, tab = home (n = " in section
    assert "&lt;/script&gt;" in section


def test_the_curves_are_of_the_predictions_before_and_after(after: Path, calibrated: dict[str, pa.Table]) -> None:
    section = html_of(after)
    html = (after / "report.html").read_text(encoding="utf-8")
    specs = json.loads(html.partition('<script id="figures" type="application/json">')[2].partition("</script>")[0])
    points = pd.DataFrame(specs["calibration-0"]["layer"][2]["data"]["values"])
    of_test = {"after": calibrated["predictions"], "before": uncalibrated(calibrated["predictions"])}
    for when, table in of_test.items():
        drawn = points[points["when"] == when]
        rows = table.filter(pc.equal(table["split"], "test"))
        assert drawn["n"].sum() == len(rows)
        assert drawn["n"].nunique() <= 2, "bins of the predictions before: a map's ties make none smaller"
        assert (drawn["n"] * drawn["mean_predicted"]).sum() == pytest.approx(pc.sum(rows["pred.click"]).as_py())
    assert "Before calibration: predicted" in section


def test_an_objective_that_has_no_map_has_no_curve_before(calibrated: dict[str, pa.Table]) -> None:
    """Dismissals are too few for a map: the same points once more, in grey, said that they had one."""
    table = calibrated["predictions"]
    now, raw = (read_scores(each, OBJECTIVES, RUN, labels=True) for each in (table, uncalibrated(table)))
    at_N = np.ones(len(table), bool)
    click, dismissal, *_ = calibration_figures.curves(now, raw, at_N, OBJECTIVES, frame(calibrated["metrics"]), confidence=0.95)
    assert ("Before calibration" in click.text, "Before calibration" in dismissal.text) == (True, False)


def test_says_what_was_fitted_to_what(after: Path) -> None:
    text = " ".join(Page(html_of(after)).text.split())
    assert "one monotone map per objective (isotonic), fitted to the validation days" in text
    assert "a later model scored these days" in text  # refit
    assert "Left as they are: dismissal (" in text  # some 20 of 400 rows
    assert "expected 50 of each label at least" in text


@pytest.mark.words
def test_validation_days_alone_are_said_to_flatter(calibrated: dict[str, pa.Table], short_metrics: pa.Table, tmp_path: Path) -> None:
    folder = run_of(tmp_path / RUN, calibrated | {"metrics": short_metrics}, "validation")
    pipeline = CALIBRATED.model_copy(update={"objective": SHORT.objective})
    write_report(folder, pipeline, account=None, origin=ORIGIN, console=Console(quiet=True))
    text = " ".join(Page(html_of(folder)).text.split())
    assert "These are the days that the maps were fitted to: the numbers after calibration look better than they are." in text


@pytest.mark.words
def test_without_calibration_the_section_says_so_and_has_one_curve(run: Path) -> None:
    write_report(run, PIPELINE, account=None, origin=ORIGIN, console=Console(quiet=True))
    section = html_of(run)
    assert 'Predictions are as the model gave them (evaluate.calibrate = "none").' in Page(section).text
    assert all(len(cells) == 2 for cells in rows_of(section, "By slice, test days").values())
    assert "Before and after" not in section
    assert "Before calibration" not in section
