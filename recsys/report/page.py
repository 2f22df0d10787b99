"""report.html: one self-contained page that works offline."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path

import altair as alt
import vl_convert
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from recsys import artifacts
from recsys.config import Pipeline
from recsys.evaluation import read_scores
from recsys.progress import Console
from recsys.report import sections
from recsys.report.cells import LEGEND
from recsys.report.frame import frame, short_names
from recsys.report.sections import Section
from recsys.report.training_log import read_inside, read_journal


def write_report(run: Path, pipeline: Pipeline, *, account: Mapping[str, int] | None, fingerprint: str, console: Console) -> None:
    """Writes `run`/report.html from metrics.parquet and predictions.parquet, and from training.jsonl and model/inside.json where they are.

    `account` is the row account of the log, where there is one. Raises ArtifactError where a file that is there cannot be
    read or has another form.
    """
    table = frame(artifacts.read_table(run / "metrics.parquet"))
    predictions = artifacts.read_table(run / "predictions.parquet")
    scores = read_scores(predictions, pipeline.objective, run.name, labels=True)
    model, journal = read_inside(run / "model" / "inside.json"), read_journal(run / "training.jsonl")
    shown = [
        *sections.metrics(table),
        sections.calibration(predictions, scores, table, pipeline),
        *sections.days(table),
        sections.training(journal),
        *sections.balancing(journal, pipeline),
        *sections.inside(model, pipeline),
        *sections.slices(table, pipeline),
    ]
    html = page(
        pipeline.name,
        run=run.name,
        facts=sections.facts(pipeline, predictions, model, account),
        objectives=sections.objectives(pipeline, predictions, scores),
        shown=shown,
    )
    artifacts.write_file(run / "report.html", lambda path: path.write_text(html, encoding="utf-8"), stage="report", fingerprint=fingerprint)
    console.say(f"report: {sum(len(section.figures) for section in shown)} figures, {len(html.encode()) / 1e6:.1f} MB")


def page(
    name: str,
    *,
    run: str,
    facts: Mapping[str, str],
    objectives: Sequence[sections.ObjectiveFacts] = (),
    shown: Sequence[Section],
    kind: str = "run",
) -> str:
    """A page of these sections, headed by what was run: a `kind` of thing and its name. Without `objectives`, no table of them."""
    return _page().render(
        name=name,
        run=run,
        kind=kind,
        facts=facts,
        objectives=objectives,
        sections=shown,
        short_names=lambda grid: [short_names(list(grid.others))[other] for other in grid.others],
        legend=LEGEND,
        figures=_figures_json(shown),
        style=_static("page.css"),
        script=_static("page.js"),
        vega=_script(_vega()),
    )


def _page() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_text("page.html"))


@cache
def _vega() -> str:
    """The library that draws all figures without a network, in the version that altair's specifications are written in."""
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed", "_".join(alt.SCHEMA_VERSION.split(".")[:2])))


def _figures_json(shown: Sequence[Section]) -> Markup:
    """All specifications for a script of type application/json: "<" cannot end the script, or open a comment in it."""
    specs = {f"{section.anchor}-{place}": figure.spec for section in shown for place, figure in enumerate(section.figures)}
    return Markup(json.dumps(specs, allow_nan=False).replace("<", "\\u003c"))


def _script(source: str) -> Markup:
    assert "</script" not in source.lower(), "a script that holds its own end tag cannot stand in a page"
    return Markup(source)


def _static(name: str) -> Markup:
    return Markup(_text(name))


def _text(name: str) -> str:
    return resources.files("recsys.report").joinpath(name).read_text(encoding="utf-8")
