"""The verbs on a pipeline, and they only. What they do stands in walk.py, integrity.py and pruning.py, imported when a verb runs."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from recsys import config
from recsys.cli.app import app
from recsys.cli.arguments import (
    DEFAULT_WORKSPACE,
    AsJson,
    Debug,
    From,
    HealthDay,
    Jobs,
    Log,
    OutFolder,
    OutToml,
    Overrides,
    PipelineFile,
    Quiet,
    Replace,
    RunName,
    Through,
    Told,
    Wait,
    Workspace,
)
from recsys.errors import ConfigError, nearest
from recsys.progress import Console
from recsys.stages import STAGES, Job, Stage
from recsys.workspace import METRICS, require_inside


def _opened(
    pipeline: Path,
    overrides: list[str] | None,
    workspace: Path,
    run_name: str | None,
    *,
    replace: bool = False,
    wait: bool = False,
    quiet: bool = False,
    through: datetime | None = None,
    writes: bool = True,
) -> Job:
    from recsys import jobs

    options = config.load(pipeline, overrides or ())
    if through is not None:
        try:
            options = options.model_copy(update={"split": options.split.ending(through.date())})
        except ValueError as error:
            raise ConfigError(f"--through: {error}") from error
    return jobs.open_job(options, workspace, run=run_name, replace=replace, wait=wait, writes=writes, console=Console(quiet=quiet))


@app.command()
def run(
    pipeline: PipelineFile,
    until: Annotated[str, typer.Option(metavar="STAGE", help="Stop after this stage.")] = "track",
    through: Through = None,
    since: From = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    run_name: RunName = None,
    overrides: Overrides = None,
    replace: Replace = False,
    wait: Wait = False,
    jobs: Jobs = None,
    quiet: Quiet = False,
    log: Log = "text",
    debug: Debug = False,
) -> None:
    """Run every stage in order, from ingest to report and track. What is fresh is skipped."""
    from recsys import walk

    if until not in STAGES:
        raise ConfigError(f'--until: found "{until}", expected one of {", ".join(STAGES)}{nearest(until, STAGES)}')
    job = _opened(pipeline, overrides, workspace, run_name, replace=replace, wait=wait, quiet=quiet, through=through)
    last, first = (None if moment is None else moment.date().isoformat() for moment in (through, since))
    walk.run(job, until=until, through=last, learn_from=first)


def _stage_command(stage: Stage) -> Callable[..., None]:
    def command(
        pipeline: PipelineFile,
        through: Through = None,
        workspace: Workspace = DEFAULT_WORKSPACE,
        run_name: RunName = None,
        overrides: Overrides = None,
        replace: Replace = False,
        wait: Wait = False,
        jobs: Jobs = None,
        quiet: Quiet = False,
        log: Log = "text",
        debug: Debug = False,
    ) -> None:
        from recsys import walk

        job = _opened(pipeline, overrides, workspace, run_name, replace=replace, wait=wait, quiet=quiet, through=through)
        walk.run_stage(job, stage.name, through=None if through is None else through.date().isoformat())

    command.__doc__ = stage.summary
    return command


for _stage in STAGES.values():
    if _stage.name != "evaluate":  # it takes other systems' scores too
        app.command(_stage.name)(_stage_command(_stage))


@app.command(help=STAGES["evaluate"].summary)
def evaluate(
    pipeline: PipelineFile,
    predictions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Scores of any other system, in files: the same metrics.")
    ] = None,
    out: OutFolder = None,
    through: Through = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    run_name: RunName = None,
    overrides: Overrides = None,
    replace: Replace = False,
    wait: Wait = False,
    jobs: Jobs = None,
    quiet: Quiet = False,
    log: Log = "text",
    debug: Debug = False,
) -> None:
    if (predictions is None) != (out is None):
        absent = "--predictions" if predictions is None else "--out"
        raise ConfigError(f"{absent}: found none, expected --predictions FILE and --out FOLDER together. Fix: give both, or neither")
    if predictions is None or out is None:
        stage = _stage_command(STAGES["evaluate"])
        stage(pipeline, through, workspace, run_name, overrides, replace=replace, wait=wait, quiet=quiet)
        return
    if through is not None:
        raise ConfigError("--through: found beside --predictions, whose rows are judged as they are. Fix: leave one of them out")
    from recsys import report
    from recsys import runs as finished

    loaded, console = config.load(pipeline, overrides or ()), Console(quiet=quiet)
    rows = finished.evaluate_file(loaded, predictions, out, console)
    report.terminal_table(rows, console)
    console.result(f"metrics: {out / METRICS}")


@app.command()
def init(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="The log, and files that describe its users and items.")],
    told: Told = None,
    out: OutToml = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Propose a pipeline for a log as it lies on disk: read a sample, guess what its columns are, write a TOML with comments."""
    from recsys.proposal import next_steps, propose, told_columns, write_new

    folder = Path() if out is None else out.parent
    proposal = propose(files, folder, told_columns(told or ()))
    path = write_new(proposal, folder / f"{proposal.name}.toml" if out is None else out)
    console = Console(quiet=quiet)
    for line in proposal.said:
        console.say(line)
    console.result(next_steps(path))


@app.command()
def check(
    pipeline: PipelineFile,
    overrides: Overrides = None,
    full: Annotated[bool, typer.Option("--full", help="Read every row, not only 200,000 of each file.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Read the config and some rows of the source, say what there is and everything wrong at once, do nothing."""
    from recsys import checkup

    console = Console(quiet=quiet, as_json=as_json)
    found = checkup.look(pipeline, overrides or (), full=full)
    for line in found.facts:
        console.say(line)
    for warning in found.warnings:
        console.result(f"warning: {warning}")
    console.give({"facts": found.facts, "warnings": found.warnings, "config": found.config, "data": found.data})
    if found.error is not None:
        raise found.error
    console.result(f"{pipeline}: {'nothing wrong found' if not found.warnings else 'nothing found that a run would refuse'}")


@app.command()
def status(
    pipeline: PipelineFile,
    through: Through = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    run_name: RunName = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say which stages are fresh, which option or input makes another one stale, and what depends on it. Do nothing."""
    from recsys import walk

    console = Console(as_json=as_json)
    job = _opened(pipeline, overrides, workspace, run_name, replace=True, quiet=as_json, through=through, writes=False)
    found = walk.status(job)
    for line in found:
        console.result(str(line))
    console.give({"stages": [{"stage": each.stage, "state": each.state, "because": each.because} for each in found]})


@app.command()
def verify(
    pipeline: PipelineFile,
    repair: Annotated[bool, typer.Option("--repair", help="Remove what is damaged, and run the pipeline, which makes it again.")] = False,
    through: Through = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    run_name: RunName = None,
    overrides: Overrides = None,
    wait: Wait = False,
    jobs: Jobs = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare every byte that the pipeline's stages wrote with their manifests. Name what is damaged, and the stage that makes it again."""
    from recsys import integrity

    opened = _opened(pipeline, overrides, workspace, run_name, replace=True, wait=wait, quiet=quiet, through=through, writes=repair)
    (integrity.repair if repair else integrity.verify)(opened)


@app.command()
def prune(
    pipeline: PipelineFile,
    keep: Annotated[str, typer.Option(metavar="TIME", help="Keep what was written within this time, such as 12h or 30d.")] = "30d",
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without, it is only shown.")] = False,
    workspace: Workspace = DEFAULT_WORKSPACE,
    overrides: Overrides = None,
    wait: Wait = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show the states, examples, encoded days and other files that no run needs any more, or remove them. Runs stay."""
    from recsys import pruning

    try:
        keep_ms = config.duration_ms(keep)
    except ValueError as error:
        raise ConfigError(f"--keep: {error}") from error
    folder = workspace / config.load(pipeline, overrides or ()).name
    require_inside(folder, workspace)
    pruning.prune(folder, keep_ms, remove=yes, wait=wait, console=Console(quiet=quiet))


@app.command()
def unlock(pipeline: PipelineFile, workspace: Workspace = DEFAULT_WORKSPACE, overrides: Overrides = None, debug: Debug = False) -> None:
    """Free what jobs on other hosts hold of the pipeline's folder. Those on this host free it when they end, however they end."""
    from recsys import locks

    folder = workspace / config.load(pipeline, overrides or ()).name
    require_inside(folder, workspace)
    locks.unlock(folder, Console())


@app.command("health")
def health_of(
    pipeline: PipelineFile,
    day: HealthDay = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    overrides: Overrides = None,
    wait: Wait = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    log: Log = "text",
    debug: Debug = False,
) -> None:
    """Hold each day of the log against the days before it: rows, nulls, base rates, new ids, how features are spread."""
    from recsys.health import health

    job = _opened(pipeline, overrides, workspace, None, wait=wait, quiet=quiet or as_json)
    health(job, Console(quiet=quiet, as_json=as_json), day=None if day is None else day.date().isoformat())
