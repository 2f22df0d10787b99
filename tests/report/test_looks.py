"""The figures of what an architecture shows of its inside: gates and other matrices."""

import json

import pytest

from recsys.errors import ArtifactError
from recsys.report.figures import look_figures
from recsys.report.training_log import Look
from tests.report.conftest import INSIDE, SHORT, written
from tests.staged import sign


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
