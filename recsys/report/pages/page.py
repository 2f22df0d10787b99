"""report.html: one self-contained page that works offline."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import altair as alt
import pandas as pd
import pyarrow as pa
import vl_convert
from markupsafe import Markup

from recsys import artifacts, schema
from recsys.artifacts import Origin
from recsys.config import Pipeline
from recsys.evaluation import read_scores
from recsys.progress import Console
from recsys.report.glossary import linked, linked_metric, terms
from recsys.report.pages import calibration_section, importance_section, position_section, sections, tradeoffs, what_was_run
from recsys.report.pages.section import Section, number_of
from recsys.report.pages.summary import Summary, summary
from recsys.report.tables.cells import LEGEND
from recsys.report.tables.frame import frame, short_names
from recsys.report.templates import inline_json, render, script, static
from recsys.report.training_log import read_inside, read_journal
from recsys.workspace import IMPORTANCE, INSIDE, JOURNAL, METRICS, MODEL, PREDICTIONS, PROGRESSIVE, REPORT

_INTERVAL = re.compile(r" \[[-+.\d, ]+\]")
SCRIPTS = ("folding.js", "csv.js", "page.js")  # of every page, in this order


def write_report(
    run: Path,
    pipeline: Pipeline,
    *,
    account: Mapping[str, int] | None,
    origin: Origin,
    console: Console,
    against: Sequence[Path] = (),
    examples: Path | None = None,
) -> None:
    """Write `run`/report.html from metrics.parquet and predictions.parquet, and from training.jsonl and model/inside.json if they exist.

    `account` is the row account of the log, if there is one. `against` are other runs that scored the same impressions. They become points
    beside this run's trade-offs. `examples` is the folder, if there is one, that holds the items' features. Raises ArtifactError where an
    existing file cannot be read or has another form.
    """
    table = frame(artifacts.read_table(run / METRICS, form=schema.METRICS))
    predictions = artifacts.read_table(run / PREDICTIONS)
    scores = read_scores(predictions, pipeline.objective, run.name, labels=True)
    model, journal = read_inside(run / MODEL / INSIDE), read_journal(run / JOURNAL)
    changed = calibration_section.changes(run, predictions)
    shown = [
        *sections.metrics(table, pipeline),
        sections.days(table),
        sections.progressive(_progressive(run, pipeline)),
        calibration_section.section(run, predictions, scores, table, pipeline, changed),
        sections.slices(table),
        importance_section.section(_importance(run), pipeline),
        sections.training(journal),
        *tradeoffs.sections(run.name, predictions, table, pipeline, tradeoffs.Beside(against, examples)),
        sections.inside(model, pipeline),
        sections.balancing(journal, pipeline),
        position_section.section(model, predictions, scores, pipeline),
    ]
    html = page(
        pipeline.name,
        run=run.name,
        box=summary(run.name, table, pipeline, predictions, scores, journal, changed),
        facts=what_was_run.facts(pipeline, predictions, model, account),
        objectives=what_was_run.objectives(pipeline, predictions, scores),
        shown=shown,
    )
    origin.write_file(run / REPORT, lambda path: path.write_text(html, encoding="utf-8"))
    console.say(f"report: {sum(len(section.figures) for section in shown)} figures, {len(html.encode()) / 1e6:.1f} MB")


def page(
    name: str,
    *,
    run: str,
    box: Summary,
    facts: Mapping[str, str],
    objectives: Sequence[what_was_run.ObjectiveFacts] = (),
    shown: Sequence[Section],
    kind: str = "run",
) -> str:
    """Return a page: the box, these sections, the glossary, and what was run.

    The head shows `name`, then `kind` and `run`: the kind of thing that was run, and its name. Without `objectives` there is no table of
    them.
    """
    specs = {f"{section.anchor}-{place}": figure.spec for section in shown for place, figure in enumerate(section.figures)}
    widgets = [section.widget for section in shown if section.widget is not None]
    html = render(
        "page.html",
        name=name,
        run=run,
        kind=kind,
        box=box,
        facts=facts,
        objectives=objectives,
        sections=shown,
        short_names=lambda grid: [short_names(list(grid.others))[other] for other in grid.others],
        legend=LEGEND,
        number_of=number_of,
        terms=terms(),
        linked=linked,
        linked_verdict=_linked_verdict,
        linked_metric=linked_metric,
        figures=inline_json(specs),
        styles=[static(name) for name in _once("page.css", *(widget.style for widget in widgets))],
        data={place: values for widget in widgets for place, values in widget.data.items()},
        vega=script(_vega()),
        scripts=[script(static(name)) for name in _once(*SCRIPTS, *(name for widget in widgets for name in widget.scripts))],
    )
    return str(html)


def _progressive(run: Path, pipeline: Pipeline) -> pd.DataFrame | None:
    """Return the numbers of each day before it was learned. A run that was trained in time order before may have left some: not its own."""
    path = run / PROGRESSIVE
    return frame(artifacts.read_table(path, form=schema.METRICS)) if pipeline.train.order == "time" and path.is_file() else None


def _importance(run: Path) -> pa.Table | None:
    path = run / IMPORTANCE
    return artifacts.read_table(path) if path.is_file() else None


def _linked_verdict(words: str) -> Markup:
    """Return a verdict in words as HTML, with links to the glossary. Intervals are marked: a phone has no room for them in the summary."""
    return Markup(_INTERVAL.sub(r'<span class="interval">\g<0></span>', str(linked(words))))


def _once(*names: str) -> list[str]:
    return list(dict.fromkeys(names))


@cache
def _vega() -> str:
    """Return the library that draws all figures without a network, in the version of altair's specifications."""
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed", "_".join(alt.SCHEMA_VERSION.split(".")[:2])))
