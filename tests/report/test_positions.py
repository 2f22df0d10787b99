"""The section on positions: figures of the same numbers as the curve, only where something is known."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recsys.evaluation import read_scores
from recsys.progress import Console
from recsys.report import write_report
from recsys.report.pages import position_section
from recsys.report.training_log import Inside
from tests.staged import ORIGIN, sign

from .conftest import INSIDE, OBJECTIVES, RUN, SHORT

EXAMINED = np.array([1.0, 0.6, 0.4, 0.3])


@pytest.fixture
def shown(predictions, rng) -> pa.Table:
    """Predictions of which click and watch see the position; clicks happen by it."""
    table = predictions[RUN]
    position_N = rng.integers(1, 5, len(table))
    factor_N = EXAMINED[position_N - 1]
    relevant_N = table["pred.click"].to_numpy()
    columns = {
        "position": position_N,
        "label.click": (rng.random(len(table)) < relevant_N * factor_N).astype(np.float32),
        "pred.click": relevant_N * factor_N,
        "rank.click": relevant_N,
        "rank.watch": table["pred.watch"].to_numpy() * 2,
    }
    columns |= {f"rank.{name}": table[f"pred.{name}"] for name in ("dismissal", "like", "survey")}
    kept = table.drop_columns([name for name in columns if name in table.column_names] + ["label.like", "label.survey"])
    zeros = pa.array(np.zeros(len(table), np.float32))
    kept = kept.append_column("label.like", zeros).append_column("label.survey", pa.array([1.0] * len(table), pa.float32()))
    for name, values in columns.items():
        kept = kept.append_column(name, values if isinstance(values, pa.ChunkedArray) else pa.array(values))
    return kept


def section_of(pipeline, table: pa.Table, model: Inside | None = None):
    return position_section.section(model, table, read_scores(table, OBJECTIVES, RUN, labels=True), pipeline)


def test_engagements_and_what_sees_the_position_have_two_figures_each(pipeline, shown) -> None:
    section = section_of(pipeline, shown)
    assert [figure.title.split(":")[0] for figure in section.figures] == ["click", "click", "watch", "watch"]
    rates, examined = section.figures[:2]
    test = shown.filter(pc.equal(shown["split"], "test")).to_pandas()
    by_position = test.groupby("position")
    drawn = pd.DataFrame(rates.spec["data"]["values"]).set_index("series")
    for series, column in (
        (position_section.OBSERVED, "label.click"),
        (position_section.SHOWN, "pred.click"),
        (position_section.RELEVANT, "rank.click"),
    ):
        np.testing.assert_allclose(drawn.loc[series, "value"], by_position[column].mean(), rtol=1e-6)
        assert drawn.loc[series, "position"].tolist() == ["1", "2", "3", "4"]
    assert drawn.loc[position_section.OBSERVED, "low"].notna().all()
    curves = pd.DataFrame(examined.spec["data"]["values"]).set_index("series")
    np.testing.assert_allclose(curves.loc[position_section.FROM_MODEL, "value"], EXAMINED, rtol=0.1)
    last = by_position["label.click"].sum() / by_position["rank.click"].sum()
    np.testing.assert_allclose(curves.loc[position_section.FROM_LOG, "value"], last / last.iloc[0], rtol=1e-6)
    assert "at equal relevance, position 4 gets" in examined.title
    assert "observed rate" in rates.title
    assert rates.spec["layer"][-1]["encoding"]["y"]["title"] == "rate"  # a long name would run into the legend; the title says it
    assert "position 4: " in rates.text


def test_a_satisfaction_that_sees_the_position_has_its_figures_though_its_predictions_do_not_differ(pipeline, shown) -> None:
    sees = {"dismissal": {"position": True}, "watch": {"position": False}}
    objectives = tuple(objective.model_copy(update=sees.get(objective.name, {})) for objective in pipeline.objective)
    blind = shown.drop_columns([name for name in shown.column_names if name.startswith("rank.")])
    section = section_of(pipeline.model_copy(update={"objective": objectives}), blind)
    assert [figure.title.split(":")[0] for figure in section.figures] == ["click", "click", "dismissal", "dismissal"]


def test_what_does_not_see_the_position_is_not_compared_with_itself(pipeline, shown) -> None:
    blind = shown.drop_columns([name for name in shown.column_names if name.startswith("rank.")])
    section = section_of(pipeline, blind)
    for figure in section.figures:
        series = {row["series"] for row in figure.spec["data"]["values"]}
        assert not series & {position_section.SHOWN, position_section.FROM_MODEL}


def test_without_positions_there_is_only_what_the_tower_learned(pipeline, predictions) -> None:
    table = predictions[RUN]
    assert section_of(pipeline, table).nothing
    section = section_of(pipeline, table, Inside.model_validate(INSIDE))
    assert [figure.title for figure in section.figures] == ["click: learned position bias"]
    assert section.gist.endswith("a bias learned for 1 objective")
    assert "Dashed" in section.about
    assert "examined" not in section.about


def test_one_position_or_none_known_says_nothing(pipeline, shown) -> None:
    for value in (3, None):
        column = pa.array([value] * len(shown), pa.int64())
        assert section_of(pipeline, shown.set_column(shown.column_names.index("position"), "position", column)).nothing


@pytest.mark.words
def test_it_stands_beside_the_learned_curve_on_the_page(shown, short_run) -> None:
    pq.write_table(shown, short_run / "predictions.parquet")
    sign(short_run / "predictions.parquet")
    write_report(short_run, SHORT, account=None, origin=ORIGIN, console=Console(quiet=True))
    html = (short_run / "report.html").read_text(encoding="utf-8")
    found = [
        html.index(f"<figcaption>{title}")
        for title in ("click: observed rate", "click: at equal relevance", "click: learned position bias")
    ]
    assert found == sorted(found)


def test_where_nothing_happened_at_the_first_position_nothing_is_relative_to_it(pipeline, shown) -> None:
    place = shown.column_names.index("label.click")
    elsewhere = pc.if_else(pc.equal(shown["position"], 1), pa.scalar(0.0, pa.float32()), shown["label.click"])
    titles = [figure.title for figure in section_of(pipeline, shown.set_column(place, "label.click", elsewhere)).figures]
    assert [title.split(":")[0] for title in titles] == ["click", "watch", "watch"]
    assert titles[0].startswith("click: observed rate .0000 at position 1") or titles[0].startswith("click: observed rate 0 at position 1")
