"""The verbs on runs that stand, and they only. What they do stands in runs.py and promoting/, imported when a verb runs."""

from pathlib import Path
from typing import Annotated

import typer

from recsys.cli.app import app
from recsys.cli.arguments import (
    DEFAULT_WORKSPACE,
    AsJson,
    Debug,
    Jobs,
    JudgedOn,
    Log,
    Metrics,
    OutFile,
    OutPage,
    Overrides,
    PipelineFile,
    Quiet,
    Wait,
    Workspace,
)
from recsys.errors import ConfigError
from recsys.progress import Console
from recsys.workspace import MODEL, PREDICTIONS, require_inside


@app.command()
def runs(workspace: Workspace = DEFAULT_WORKSPACE, as_json: AsJson = False, debug: Debug = False) -> None:
    """List the runs of a workspace: pipeline, name, architecture, how far each is, when it changed."""
    from recsys import runs as finished

    finished.list_runs(workspace, Console(as_json=as_json))


@app.command()
def show(
    run_name: Annotated[str, typer.Argument(metavar="RUN")],
    workspace: Workspace = DEFAULT_WORKSPACE,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Print the metric table of a run. RUN is a run's name or its folder."""
    from recsys import runs as finished
    from recsys.found_runs import find_run

    finished.show(find_run(run_name, workspace), Console(as_json=as_json))


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN [RUN…]")],
    predictions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Another system's scores, parquet or text: the runs are held against them.")
    ] = None,
    key: Annotated[
        str, typer.Option(metavar="COLUMNS", help="Columns by which the file knows an impression, as in user_id=uid,item_id=vid,timestamp.")
    ] = "event_id",
    metrics: Metrics = None,
    on: JudgedOn = None,
    out: OutPage = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    jobs: Jobs = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Hold each run against the first, or against a file, on the same impressions: differences, intervals, verdicts in words."""
    from recsys import comparing
    from recsys.found_runs import find_runs
    from recsys.other_system import parsed_key

    if len(runs) < 2 and predictions is None:
        raise ConfigError("compare: found one run, expected two or more, or --predictions FILE. Fix: name another run, or the file")
    found = find_runs(runs, workspace, file=PREDICTIONS)
    console = Console(quiet=quiet, as_json=as_json)
    if predictions is None:
        comparing.compare(found, metrics or (), console, split=on, out=out)
    else:
        comparing.compare_with_file(found, predictions, parsed_key(key), metrics or (), console, split=on, out=out)


@app.command()
def predict(
    run_name: Annotated[str, typer.Argument(metavar="RUN")],
    candidates: Annotated[
        Path, typer.Argument(metavar="CANDIDATES", help="Text or parquet: user_id, item_id, the log's columns of the context, timestamp.")
    ],
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="The moment of all candidates, in place of a timestamp each: ISO, or ms UTC.")
    ] = None,
    top: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Write lists of the N best: one per request, or else per user and moment.")
    ] = None,
    out: OutFile = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    wait: Wait = False,
    jobs: Jobs = None,
    quiet: Quiet = False,
    log: Log = "text",
    debug: Debug = False,
) -> None:
    """Predict candidates with a trained run: users and items at any moment of its log, or after it."""
    from recsys import sources
    from recsys.found_runs import find_run
    from recsys.predicting import Question
    from recsys.predicting import predict as predicted

    run = find_run(run_name, workspace, file=MODEL)
    if out is None and not candidates.is_file() and sources.files_of(candidates):
        raise ConfigError(f"--out: found none beside {candidates}, which is no single file, expected a file for what is predicted")
    name = candidates.name.removesuffix(".gz").rpartition(".")[0] or candidates.name
    target = candidates.with_name(f"{name}.predicted.parquet") if out is None else out
    console = Console(quiet=quiet)
    predicted(run, Question(candidates, at, top), target, console, wait=wait)
    console.result(f"predictions: {target}")


@app.command()
def promote(
    run_name: Annotated[str, typer.Argument(metavar="RUN")],
    because: Annotated[
        str | None, typer.Option(metavar="REASON", help="Promote it unjudged, for a reason that is written down with the decision.")
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    wait: Wait = False,
    jobs: Jobs = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    log: Log = "text",
    debug: Debug = False,
) -> None:
    """Make a run's model the current one, if on its test days no objective loses more than its margin. RUN is then called current."""
    from recsys import promoting
    from recsys.found_runs import find_run

    found = find_run(run_name, workspace, file=MODEL)
    promoting.promote(found, Console(quiet=quiet, as_json=as_json), because=because, wait=wait)


@app.command()
def rollback(
    pipeline: PipelineFile,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="RUN", help="The run to go back to; given again, it goes no further. By default the newest before the current one."
        ),
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    overrides: Overrides = None,
    wait: Wait = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    log: Log = "text",
    debug: Debug = False,
) -> None:
    """Make the newest model current that was promoted before the current one, and is still there; with --to a run's among these."""
    from recsys import config, promoting

    folder = workspace / config.load(pipeline, overrides or ()).name
    require_inside(folder, workspace)
    promoting.rollback(folder, Console(quiet=quiet, as_json=as_json), to=to, wait=wait)


@app.command()
def fuse(
    run_name: Annotated[str, typer.Argument(metavar="RUN")],
    maximise: Annotated[str | None, typer.Option(metavar="OBJECTIVE", help="Objective whose metric is maximised.")] = None,
    metric: Annotated[str | None, typer.Option(metavar="NAME", help="captured@P%, captured@K or ndcg@K, of every objective.")] = None,
    no_worse: Annotated[
        list[str] | None,
        typer.Option(metavar="OBJECTIVE=-P%", help="Least relative change of another objective; * means all others; repeatable."),
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    jobs: Jobs = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Find fusion weights for a stated aim on a run's validation days, and judge them on its test days. By default as its [fuse] says."""
    from recsys import runs as finished
    from recsys.found_runs import find_run

    pairs = [text.partition("=") for text in no_worse or ()]
    if bad := [name for name, equals, _ in pairs if not equals]:
        raise ConfigError(f"--no-worse: found {', '.join(bad)}, expected OBJECTIVE=-P% such as click=-1%")
    given = {"maximise": maximise, "metric": metric, "constraints": {name: text for name, _, text in pairs} or None}
    asked = {key: value for key, value in given.items() if value is not None}
    finished.fuse(find_run(run_name, workspace, file=PREDICTIONS), asked, Console(quiet=quiet))
