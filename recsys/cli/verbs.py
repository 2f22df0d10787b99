"""The verbs only. What a verb does stands in walk.py, runs.py and experiments/, which are imported when the verb runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from recsys import config
from recsys.cli.arguments import (
    ABOUT,
    DEFAULT_WORKSPACE,
    EXIT_CODES,
    Debug,
    JudgedOn,
    Metrics,
    Overrides,
    PipelineFile,
    Quiet,
    Replace,
    RunName,
    Wait,
    Workspace,
)
from recsys.errors import ConfigError, nearest
from recsys.progress import Console
from recsys.stages import STAGES, Job, Stage
from recsys.workspace import METRICS, PREDICTIONS, require_inside

app = typer.Typer(name="recsys", help=ABOUT, epilog=EXIT_CODES, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def _opened(
    pipeline: Path,
    overrides: list[str] | None,
    workspace: Path,
    run_name: str | None,
    *,
    replace: bool = False,
    wait: bool = False,
    quiet: bool = False,
) -> Job:
    from recsys import jobs

    options = config.load(pipeline, overrides or ())
    return jobs.open_job(options, workspace, run=run_name, replace=replace, wait=wait, console=Console(quiet=quiet))


@app.command()
def run(
    pipeline: PipelineFile,
    until: Annotated[str, typer.Option(help="Stop after this stage.")] = "report",
    workspace: Workspace = DEFAULT_WORKSPACE,
    run_name: RunName = None,
    overrides: Overrides = None,
    replace: Replace = False,
    wait: Wait = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run every stage in order, from ingest to report. What is fresh is skipped."""
    from recsys import walk

    if until not in STAGES:
        raise ConfigError(f'--until: found "{until}", expected one of {", ".join(STAGES)}{nearest(until, STAGES)}')
    job = _opened(pipeline, overrides, workspace, run_name, replace=replace, wait=wait, quiet=quiet)
    walk.run(job, until=until)


def _stage_command(stage: Stage) -> Callable[..., None]:
    def command(
        pipeline: PipelineFile,
        workspace: Workspace = DEFAULT_WORKSPACE,
        run_name: RunName = None,
        overrides: Overrides = None,
        replace: Replace = False,
        wait: Wait = False,
        quiet: Quiet = False,
        debug: Debug = False,
    ) -> None:
        from recsys import walk

        job = _opened(pipeline, overrides, workspace, run_name, replace=replace, wait=wait, quiet=quiet)
        walk.run_stage(job, stage.name)

    command.__doc__ = stage.summary
    return command


for _stage in STAGES.values():
    if _stage.name != "evaluate":  # it takes other systems' scores too
        app.command(_stage.name)(_stage_command(_stage))


@app.command(help=STAGES["evaluate"].summary)
def evaluate(
    pipeline: PipelineFile,
    predictions: Annotated[Path | None, typer.Option(help="Scores of any other system (parquet or csv): the same metrics.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the metrics of --predictions go.")] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    run_name: RunName = None,
    overrides: Overrides = None,
    replace: Replace = False,
    wait: Wait = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    from recsys import jobs, walk

    loaded = config.load(pipeline, overrides or ())
    console = Console(quiet=quiet)
    if (predictions is None) != (out is None):
        raise ConfigError("--predictions and --out go together: whose scores, and where their metrics go")
    if predictions is None or out is None:
        walk.run_stage(jobs.open_job(loaded, workspace, run=run_name, replace=replace, wait=wait, console=console), "evaluate")
        return
    from recsys import report
    from recsys import runs as finished

    rows = finished.evaluate_file(loaded, predictions, out, console)
    report.terminal_table(rows, console)
    console.say(f"metrics: {out / METRICS}")


@app.command()
def check(pipeline: PipelineFile, overrides: Overrides = None, quiet: Quiet = False, debug: Debug = False) -> None:
    """Read the config and the first rows of the source, report everything wrong at once, do nothing."""
    from recsys import walk

    walk.check(config.load(pipeline, overrides or ()))
    Console(quiet=quiet).say(f"{pipeline}: nothing wrong found")


@app.command()
def status(
    pipeline: PipelineFile,
    workspace: Workspace = DEFAULT_WORKSPACE,
    run_name: RunName = None,
    overrides: Overrides = None,
    debug: Debug = False,
) -> None:
    """Say which stages are fresh, which option or input makes another one stale, and what depends on it. Do nothing."""
    from recsys import walk

    job = _opened(pipeline, overrides, workspace, run_name, replace=True)
    for line in walk.status(job):
        job.console.say(str(line))


@app.command()
def verify(
    pipeline: PipelineFile,
    repair: Annotated[bool, typer.Option("--repair", help="Remove what is damaged, and run the pipeline, which makes it again.")] = False,
    workspace: Workspace = DEFAULT_WORKSPACE,
    run_name: RunName = None,
    overrides: Overrides = None,
    wait: Wait = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare every byte that the pipeline's stages wrote with their manifests. Name what is damaged, and the stage that makes it again."""
    from recsys import integrity

    job = _opened(pipeline, overrides, workspace, run_name, replace=True, wait=wait, quiet=quiet)
    (integrity.repair if repair else integrity.verify)(job)


@app.command()
def unlock(pipeline: PipelineFile, workspace: Workspace = DEFAULT_WORKSPACE, overrides: Overrides = None, debug: Debug = False) -> None:
    """Free what jobs on other hosts hold of the pipeline's folder. Those on this host free it when they end, however they end."""
    from recsys import locks

    folder = workspace / config.load(pipeline, overrides or ()).name
    require_inside(folder, workspace)
    locks.unlock(folder, Console())


@app.command()
def show(run_name: Annotated[str, typer.Argument(metavar="RUN")], workspace: Workspace = DEFAULT_WORKSPACE, debug: Debug = False) -> None:
    """Print the metric table of a run. RUN is a run's name or its folder."""
    from recsys import runs as finished

    finished.show(finished.find_run(run_name, workspace), Console())


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN [RUN…]")],
    metrics: Metrics = None,
    on: JudgedOn = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write a page too; for a folder, compare.html in it.")] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Hold each run against the first, on the same impressions: per objective the difference, its interval, and a verdict in words."""
    from recsys import runs as finished

    if len(runs) < 2:
        raise ConfigError("compare: found one run, expected two or more")
    found = [finished.find_run(name, workspace, file=PREDICTIONS) for name in runs]
    finished.compare(found, metrics or (), Console(quiet=quiet), split=on, out=out)


@app.command()
def fuse(
    run_name: Annotated[str, typer.Argument(metavar="RUN")],
    maximise: Annotated[str | None, typer.Option(metavar="OBJECTIVE", help="Objective whose metric is maximised.")] = None,
    metric: Annotated[str | None, typer.Option(help="captured@P%, captured@K or ndcg@K, of every objective.")] = None,
    no_worse: Annotated[
        list[str] | None,
        typer.Option(metavar="OBJECTIVE=-P%", help="Least relative change of another objective; * means all others; repeatable."),
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Find fusion weights for a stated aim on a run's validation days, and judge them on its test days. By default as its [fuse] says."""
    from recsys import runs as finished

    pairs = [text.partition("=") for text in no_worse or ()]
    if bad := [name for name, equals, _ in pairs if not equals]:
        raise ConfigError(f"--no-worse: found {', '.join(bad)}, expected OBJECTIVE=-P% such as click=-1%")
    given = {"maximise": maximise, "metric": metric, "constraints": {name: text for name, _, text in pairs} or None}
    asked = {key: value for key, value in given.items() if value is not None}
    finished.fuse(finished.find_run(run_name, workspace, file=PREDICTIONS), asked, Console(quiet=quiet))


@app.command()
def affinity(
    pipeline: PipelineFile,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds that each set of objectives is trained with.")] = 3,
    budget: Annotated[
        int | None, typer.Option(min=1, metavar="MACS", help="Multiplications per row in every run; by default those of the model.")
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    overrides: Overrides = None,
    wait: Wait = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show which objectives help each other: each alone, every two, all together; at equal cost, over seeds. Nothing is trained twice."""
    from recsys import experiments

    options, console = config.load(pipeline, overrides or ()), Console(quiet=quiet)
    experiments.run_affinity(options, workspace, seeds=seeds, budget=budget, wait=wait, console=console)


@app.command()
def sweep(
    pipeline: PipelineFile,
    over: Annotated[
        list[str] | None, typer.Option(metavar="KEY=V1,V2,…", help="Values for a key of the TOML; repeatable: each with each.")
    ] = None,
    over_weights: Annotated[
        str | None, typer.Option(metavar="OBJECTIVE,OBJECTIVE,…", help="Share out the sum of these objectives' loss weights, in every way.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Number of equal parts that --over-weights shares out.")] = 4,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds that each point is trained with.")] = 1,
    objectives: Annotated[
        list[str] | None,
        typer.Option("--objective", metavar="NAME", help="Judge by this objective; repeatable. By default all that learn."),
    ] = None,
    metrics: Metrics = None,
    on: JudgedOn = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    overrides: Overrides = None,
    wait: Wait = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show a Pareto front instead of a point: every config of a grid with every seed. What is trained is not trained again."""
    from recsys import experiments
    from recsys.config.grid import axis, grid, simplex

    axes = [axis(text) for text in over or ()]
    if over_weights is not None:
        axes.append(simplex([name.strip() for name in over_weights.split(",")], steps, config.load(pipeline, overrides or ())))
    if not axes:
        raise ConfigError("sweep: found nothing to go over, expected --over KEY=V1,V2,… or --over-weights OBJECTIVE,OBJECTIVE,…")
    judge = experiments.Judge(on, tuple(objectives or ()), tuple(metrics or ()))
    experiments.run_sweep(pipeline, overrides or (), grid(axes), judge, workspace, seeds=seeds, wait=wait, console=Console(quiet=quiet))


@app.command()
def world(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the raw files and the truth go.")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option of the world, such as users=500; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 7,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write the simulated feed's raw files and its truth."""
    from recsys import walk

    walk.make_world(folder, config.options_from(config.WorldOptions, overrides or ()), seed=seed, console=Console(quiet=quiet))
