"""The verbs that train many runs, or make a world, and they only. What they do stands in experiments/ and walk.py."""

from datetime import datetime
from typing import Annotated

import typer

from recsys import config
from recsys.cli.app import app
from recsys.cli.arguments import (
    DEFAULT_WORKSPACE,
    Debug,
    Jobs,
    JudgedOn,
    Metrics,
    Over,
    Overrides,
    PipelineFile,
    Quiet,
    Wait,
    Workspace,
    WorldFolder,
)
from recsys.errors import ConfigError
from recsys.progress import Console


@app.command()
def affinity(
    pipeline: PipelineFile,
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Seeds that each set of objectives is trained with.")] = 3,
    budget: Annotated[
        int | None, typer.Option(min=1, metavar="MACS", help="Multiplications per row in every run; by default those of the model.")
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    overrides: Overrides = None,
    wait: Wait = False,
    jobs: Jobs = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show which objectives help each other: each alone, every two, all together; at equal cost, over seeds. Nothing is trained twice."""
    from recsys import experiments

    options, console = config.load(pipeline, overrides or ()), Console(quiet=quiet)
    experiments.run_affinity(options, workspace, seeds=seeds, budget=budget, wait=wait, console=console)


@app.command()
def backtest(
    pipeline: PipelineFile,
    days: Annotated[
        tuple[datetime, datetime],
        typer.Option(metavar="FIRST LAST", formats=["%Y-%m-%d"], help="First and last of the days that are predicted."),
    ],
    over: Over = None,
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Seeds that each config is trained with.")] = 1,
    metrics: Metrics = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    overrides: Overrides = None,
    wait: Wait = False,
    jobs: Jobs = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Predict each of several days by models of the days before it, baselines alike, and judge all days together and one by one."""
    from recsys import experiments
    from recsys.config.grid import axis, grid

    first, last = (day.date() for day in days)
    if last < first:
        raise ConfigError(f"--days: found {first} {last}, expected a first day that is not after the last")
    asked = experiments.Asked(first, last, seeds, tuple(metrics or ()))
    choices = grid([axis(text) for text in over]) if over else []
    experiments.run_backtest(pipeline, overrides or (), choices, asked, workspace, wait=wait, console=Console(quiet=quiet))


@app.command()
def sweep(
    pipeline: PipelineFile,
    over: Over = None,
    over_weights: Annotated[
        str | None, typer.Option(metavar="OBJECTIVE,OBJECTIVE,…", help="Share out the sum of these objectives' loss weights, in every way.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Number of equal parts that --over-weights shares out.")] = 4,
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Seeds that each point is trained with.")] = 1,
    objectives: Annotated[
        list[str] | None,
        typer.Option("--objective", metavar="NAME", help="Judge by this objective; repeatable. By default all that learn."),
    ] = None,
    metrics: Metrics = None,
    on: JudgedOn = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    overrides: Overrides = None,
    wait: Wait = False,
    jobs: Jobs = None,
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
    folder: WorldFolder,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option of the world, such as users=500; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N")] = 7,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write the simulated feed's raw files and its truth."""
    from recsys import walk

    walk.make_world(folder, config.options_from(config.WorldOptions, overrides or ()), seed=seed, console=Console(quiet=quiet))
