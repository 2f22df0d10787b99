"""Runs that stand, found by their names or folders; where none is found, what was named instead."""

import os
from collections.abc import Sequence
from pathlib import Path

from recsys import artifacts, registry
from recsys.errors import ArtifactError, ConfigError, many, nearest
from recsys.workspace import CONFIG, METRICS, MODEL, MODELS, PREDICTIONS, RUNS, UNCALIBRATED, require_inside

_WITH = {METRICS: "evaluated", PREDICTIONS: "scored", MODEL: "trained"}  # words for a run that has it


def find_runs(names: Sequence[str], workspace: Path, *, file: str = METRICS) -> list[Path]:
    """Return runs that have `file`, as `find_run` does. After the first, names are those of runs of the first one's pipeline."""
    first = find_run(names[0], workspace, file=file)
    return [first, *(find_run(name, workspace, file=file, beside=first) for name in names[1:])]


def find_run(name: str, workspace: Path, *, file: str = METRICS, beside: Path | None = None) -> Path:
    """Return a run that has `file`, by its path or by its name anywhere in the workspace. Raise ConfigError where none or several fit.

    With `beside`, names are those of runs of the same pipeline alone. `current` is the run whose model was promoted; where several
    pipelines have one, WORKSPACE/NAME/current. Raise ArtifactError where one of that name lies behind a link that leads out of the
    workspace, and where what it has is of an earlier model.
    """
    run = _found(name, workspace, file, beside)
    if file in (METRICS, PREDICTIONS):
        _require_of_its_model(run, file)
    return run


def _found(name: str, workspace: Path, file: str, beside: Path | None) -> Path:
    if Path(name).name == registry.CURRENT:
        return _current(name, workspace, beside, file)
    if (Path(name) / file).exists():
        _require_inside(Path(name))
        return Path(name)
    beside = None if beside is None else beside.resolve().parent
    runs = sorted(path.parent for path in (workspace.glob(f"*/{RUNS}/*/{file}") if beside is None else beside.glob(f"*/{file}")))
    found = [path for path in runs if path.name == name]
    if len(found) == 1:
        require_inside(found[0].parent.parent, workspace)
        return found[0]
    if found:
        raise ConfigError(f"{name}: found in {', '.join(map(str, found))}, expected one. Fix: give its path")
    raise _no_run(name, [path.name for path in runs], workspace, file, beside)


def _no_run(name: str, there: Sequence[str], workspace: Path, file: str, beside: Path | None) -> ConfigError:
    """Return the error for a run that is not there, or that lacks `file`; `there` are those that have it."""
    if not name.strip():
        return ConfigError("RUN: found no text, expected the name of a run, or its folder. Fix: recsys runs lists them")
    standing = sorted(workspace.glob(f"*/{RUNS}/*") if beside is None else beside.iterdir())
    folders = [Path(name), *(path for path in standing if path.name == name)]
    without = next((folder for folder in folders if folder.is_dir() and folder.parent.name == RUNS), None)
    fix = "name one of them; recsys runs shows how far each is"
    if without is not None:
        is_baseline = file == MODEL and (without / PREDICTIONS).exists()
        why = "it is a baseline, or its model was removed" if is_baseline else "it was not run to its end"
        found = f"{without}: found no {file}, expected a run that is {_WITH[file]}: {why}"
        fix = fix if is_baseline else "recsys run PIPELINE.toml, as it was begun, goes on to its end"
    elif (other := _runs_at(Path(name), file)) is not None:
        found, runs = other
        if runs:
            return ConfigError(f"{found}. Fix: name {'it' if len(runs) == 1 else 'one of them'}, {', '.join(map(str, runs))}")
    else:
        where = f"under {workspace}" if beside is None else f"of the pipeline {beside.parent.name}"
        found = f'"{name}": found no {_WITH[file]} run of that name {where}'
    names = list(dict.fromkeys(there))
    if not names and (without is None or is_baseline):
        above = workspace_above(workspace)
        one = "recsys run PIPELINE.toml makes one; --workspace says where runs are"
        fix = one if above is None else f"--workspace {above}, which has runs"
    meant = nearest(name, names)
    return ConfigError(f"{found}{f'{meant} There are' if meant else '; there are'}: {', '.join(names) or 'none'}. Fix: {fix}")


def _runs_at(path: Path, file: str) -> tuple[str, list[Path]] | None:
    """Return what stands at a path that is no run, and the runs in it, or else beside it, that have `file`; None where nothing stands."""
    if not path.exists():
        return None
    found = f"{path}: found {'a file' if path.is_file() else 'a folder' if any(path.iterdir()) else 'an empty folder'}"
    below = (f"{RUNS}/*", f"*/{RUNS}/*", *(["*"] if path.resolve().name == RUNS else []))  # of a pipeline, a workspace, a folder of runs
    if runs := sorted(made.parent for place in below for made in path.glob(f"{place}/{file}")):
        return f"{found} that holds {many(len(runs), 'run')}, expected a run", runs
    for above in path.parents:
        if above.parent.name == RUNS and (above / file).exists():
            return f"{found} of the run {above.name}, expected the run", [above]
        if runs := sorted(made.parent for made in above.glob(f"{RUNS}/*/{file}")):
            return f"{found} of the pipeline {above.resolve().name}, expected a run", runs
    return f"{found}, expected a run that is {_WITH[file]}, such as data/NAME/runs/RUN", []


def workspace_above(folder: Path) -> Path | None:
    """Return the workspace with runs that was probably meant by the folder of a pipeline, or by its folder of runs; else None."""
    pipeline = folder.absolute().parent if folder.name == RUNS else folder.absolute()
    return pipeline.parent if next(pipeline.glob(f"{RUNS}/*/{CONFIG}"), None) is not None else None


def _require_of_its_model(run: Path, file: str) -> None:
    """Raise ArtifactError where a run's predictions, or its metrics, are of an earlier model: the run was trained anew, and no further."""
    sources = {METRICS: (PREDICTIONS,), PREDICTIONS: (UNCALIBRATED, MODEL), UNCALIBRATED: (MODEL,), MODEL: ()}
    left = [file]
    while left:
        made = left.pop()
        for source in sources[made]:
            match is_made_of(run, made, source):
                case True:
                    left.append(source)
                case False:
                    raise of_another_model(run / file)
                case None:  # a baseline has no model, and most predictions are not calibrated
                    pass


def is_made_of(run: Path, file: str, source: str) -> bool | None:
    """Return whether a file of a run was made of another one as that stands now. None: it names no such file, or none stands."""
    manifest, now = artifacts.manifest(run / file), artifacts.manifest(run / source)
    inputs, own = {} if manifest is None else manifest.inputs, f"{run.name}/{source}"
    # A run whose folder was renamed names its files by the old name. Metrics also name the predictions of the baselines.
    named = [of for name, of in inputs.items() if (name == own if own in inputs else name.endswith(f"/{source}"))]
    return None if now is None or len(named) != 1 else named[0] == now.content


def of_another_model(path: Path) -> ArtifactError:
    """Return the error for what the model of a run has not given: the run was trained anew, and no further."""
    return ArtifactError(f"{path}: found what another model than the run's has given. Fix: run the pipeline to its end")


def _require_inside(run: Path) -> None:
    """Raise ArtifactError where the folder of a run's pipeline is, or holds, a link that leads out of the workspace."""
    folder = Path(os.path.abspath(run)).parent.parent
    if folder.joinpath(RUNS).is_dir() and run.parent.name == RUNS:
        require_inside(folder, folder.parent)


def _current(name: str, workspace: Path, beside: Path | None, file: str) -> Path:
    """Return the current run of the one pipeline that has one, or of the pipeline's folder that stands before the name.

    Raise ConfigError where none or several pipelines have one, and where it lacks `file`.
    """
    if Path(name).parent != Path():
        folders = [Path(name).parent]
    else:
        folders = [beside.resolve().parent.parent] if beside is not None else sorted(path.parent for path in workspace.glob(f"*/{MODELS}"))
    found = [run for folder in folders if (run := registry.current_run(folder)) is not None]
    if not found:
        where = " or ".join(map(str, folders)) or str(workspace)
        raise ConfigError(f"{name}: found no run that was promoted in {where}, expected one. Fix: recsys promote RUN")
    if len(found) > 1:
        there = ", ".join(str(run.parent.parent / registry.CURRENT) for run in found)
        raise ConfigError(f"{name}: found a current run in several pipelines, expected one. Fix: one of {there}")
    if not (found[0] / file).exists():
        raise ConfigError(
            f"{name}: found no {_WITH[file]} run, but {found[0].name}, expected one with {file}. Fix: run its pipeline to the end"
        )
    require_inside(found[0].parent.parent, found[0].parent.parent.parent)
    return found[0]
