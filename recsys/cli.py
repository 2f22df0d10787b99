"""The command line: verbs only. What a verb does stands in walk.py, runs.py and experiments/."""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from recsys import config
from recsys.errors import EXIT_ARTIFACT, EXIT_CONFIG, EXIT_INTERRUPTED, ConfigError, RecsysError, one_line
from recsys.progress import Console
from recsys.stages import STAGES
from recsys.workspace import METRICS, PREDICTIONS

app = typer.Typer(
    name="recsys",
    help="Multi-objective ranking: from feedback logs to a model whose trade-offs you can see.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

PipelineFile = Annotated[Path, typer.Argument(metavar="PIPELINE.toml", help="The pipeline's TOML.")]
Workspace = Annotated[Path, typer.Option("--workspace", help="Where everything generated goes.")]
RunName = Annotated[
    str | None, typer.Option("--run", help="Name of the run; by default its way of sharing and a fingerprint of its config.")
]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Another value for a key of the TOML; repeatable.")]
Metrics = Annotated[
    list[str] | None, typer.Option("--metric", metavar="[OBJECTIVE=]NAME", help="Judge by this metric; repeatable. By default main ones.")
]
JudgedOn = Annotated[str | None, typer.Option("--on", metavar="PART", help="test or validation; by default the last that there is.")]
Replace = Annotated[bool, typer.Option("--replace", help="Let --run NAME stand for another config from now on.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but errors.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

_USAGE_ERROR: Any = typer.BadParameter.__base__  # click's UsageError, wherever this typer keeps its click

DEFAULT_WORKSPACE = Path("data")


def main() -> None:
    """Entry point of the `recsys` command."""
    # GNU OpenMP's threads spin while they wait for one another; on a busy machine that costs more than the work (2 cores,
    # load 5: 27 to 290 s for 100,000 rows, 8.5 s with a short spin; idle: no slower). Read when torch is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code; mistakes are printed to stderr as `error: …`."""
    debug = "--debug" in arguments
    try:
        code = app(args=list(arguments) or ["--help"], prog_name="recsys", standalone_mode=False)
        if code == EXIT_INTERRUPTED:  # typer turns Ctrl-C into this value
            raise KeyboardInterrupt
    except _USAGE_ERROR as error:
        _complain(error.format_message())
        return EXIT_CONFIG
    except RecsysError as error:
        if debug:
            traceback.print_exc()
        for line in str(error).splitlines():
            _complain(line)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        _complain("interrupted. The same command goes on from what is done")
        return EXIT_INTERRUPTED
    except OSError as error:  # a full disk, a folder that may not be written
        if debug:
            traceback.print_exc()
        _complain(one_line(f"{error.filename or 'the workspace'}: {error.strerror or error}"))
        return EXIT_ARTIFACT
    except Exception as error:
        if debug:
            traceback.print_exc()
        _complain(one_line(f"a bug, not a mistake of yours: {type(error).__name__}: {error}. Please report it with the output of --debug"))
        return 1
    return 0


def _complain(text: str) -> None:
    print(f"error: {text}", file=sys.stderr)


@app.command()
def run(
    pipeline: PipelineFile,
    until: Annotated[str, typer.Option(help="Stop after this stage.")] = "report",
    workspace: Workspace = DEFAULT_WORKSPACE,
    run_name: RunName = None,
    overrides: Overrides = None,
    replace: Replace = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run every stage in order, from ingest to report. What is fresh is skipped."""
    from recsys import jobs, walk

    if until not in STAGES:
        raise ConfigError(f'--until: found "{until}", expected one of {", ".join(STAGES)}')
    job = jobs.open_job(config.load(pipeline, overrides or ()), workspace, run=run_name, replace=replace, console=Console(quiet=quiet))
    walk.run(job, until=until)


def _stage_command(name: str, summary: str) -> Callable[..., None]:
    def command(
        pipeline: PipelineFile,
        workspace: Workspace = DEFAULT_WORKSPACE,
        run_name: RunName = None,
        overrides: Overrides = None,
        replace: Replace = False,
        quiet: Quiet = False,
        debug: Debug = False,
    ) -> None:
        from recsys import jobs, walk

        job = jobs.open_job(config.load(pipeline, overrides or ()), workspace, run=run_name, replace=replace, console=Console(quiet=quiet))
        walk.run_stage(job, name)

    command.__doc__ = summary
    return command


for _name, _summary in {
    "ingest": "Turn raw files into events, users, items and quarantine.",
    "features": "Turn events into point-in-time examples.",
    "encode": "Turn examples into packed arrays for the trainer.",
    "train": "Train a model on the encoded examples.",
    "score": "Predict with the model.",
    "baselines": "Fit the baselines and predict with them.",
    "calibrate": "Calibrate the predictions on the validation days, where the pipeline asks for it.",
    "importance": "Measure what each group of features is worth, by permutation.",
    "report": "Write the report page of a run.",
}.items():
    app.command(_name)(_stage_command(_name, _summary))


@app.command()
def evaluate(
    pipeline: PipelineFile,
    predictions: Annotated[Path | None, typer.Option(help="Scores of any other system (parquet or csv): the same metrics.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the metrics of --predictions go.")] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    run_name: RunName = None,
    overrides: Overrides = None,
    replace: Replace = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compute the metrics, with intervals, of a run or of any other system's scores."""
    from recsys import jobs, walk

    loaded = config.load(pipeline, overrides or ())
    console = Console(quiet=quiet)
    if (predictions is None) != (out is None):
        raise ConfigError("--predictions and --out go together: whose scores, and where their metrics go")
    if predictions is None or out is None:
        walk.run_stage(jobs.open_job(loaded, workspace, run=run_name, replace=replace, console=console), "evaluate")
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
    from recsys import jobs, walk

    job = jobs.open_job(config.load(pipeline, overrides or ()), workspace, run=run_name, replace=True, console=Console())
    for line in walk.status(job):
        job.console.say(str(line))


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
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", help="A page of it; of a folder, compare.html in it.")] = None,
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
    maximise: Annotated[str | None, typer.Option(metavar="OBJECTIVE", help="What the fused order shall capture most of.")] = None,
    metric: Annotated[str | None, typer.Option(help="captured@P%, captured@K or ndcg@K, of every objective.")] = None,
    no_worse: Annotated[
        list[str] | None, typer.Option(metavar="OBJECTIVE=-P%", help="Least relative change of another one; * is all others; repeatable.")
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
        int | None, typer.Option(min=1, metavar="MACS", help="Multiplications of a row in every run; by default what the model costs.")
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    overrides: Overrides = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show which objectives help each other: each alone, every two, all together; at equal cost, over seeds. Nothing is trained twice."""
    from recsys import experiments

    experiments.run_affinity(config.load(pipeline, overrides or ()), workspace, seeds=seeds, budget=budget, console=Console(quiet=quiet))


@app.command()
def sweep(
    pipeline: PipelineFile,
    over: Annotated[
        list[str] | None, typer.Option(metavar="KEY=V1,V2,…", help="Values for a key of the TOML; repeatable: each with each.")
    ] = None,
    over_weights: Annotated[
        str | None, typer.Option(metavar="OBJECTIVE,OBJECTIVE,…", help="Loss weights on the simplex: their sum, dealt out in every way.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Parts that --over-weights deals out.")] = 4,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds that each point is trained with.")] = 1,
    objectives: Annotated[
        list[str] | None, typer.Option("--objective", metavar="NAME", help="Judge by this one; repeatable. By default all that learn.")
    ] = None,
    metrics: Metrics = None,
    on: JudgedOn = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    overrides: Overrides = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show a front instead of a point: every config of a grid with every seed. What is trained is not trained again."""
    from recsys import experiments
    from recsys.config.grid import axis, grid, simplex

    axes = [axis(text) for text in over or ()]
    if over_weights is not None:
        axes.append(simplex([name.strip() for name in over_weights.split(",")], steps, config.load(pipeline, overrides or ())))
    if not axes:
        raise ConfigError("sweep: found nothing to go over, expected --over KEY=V1,V2,… or --over-weights OBJECTIVE,OBJECTIVE,…")
    judge = experiments.Judge(on, tuple(objectives or ()), tuple(metrics or ()))
    experiments.run_sweep(pipeline, overrides or (), grid(axes), judge, workspace, seeds=seeds, console=Console(quiet=quiet))


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
