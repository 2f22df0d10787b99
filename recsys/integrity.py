"""Every file of a pipeline's workspace compared with its manifest, and what is damaged made again."""

import shutil
from dataclasses import replace
from pathlib import Path

from recsys import artifacts, registry, walk
from recsys.errors import ArtifactError, ConfigError, many
from recsys.jobs import require_own
from recsys.stages import STAGES, Job, baseline_kinds, baseline_run, learned_states
from recsys.workspace import JOURNALS, MODELS, PREDICTED, RAW, REGISTRY, day_folder, days_in


def verify(job: Job) -> None:
    """Say that every file is as it was written.

    Raise ArtifactError that names each damaged file and the stage that makes it again, and ConfigError where there is no folder to compare.
    """
    if not job.folder.is_dir():
        raise ConfigError(
            f"{job.folder}: found no such folder, expected what a run has written: nothing was compared."
            " Fix: mend --workspace, or run the pipeline first"
        )
    registry.decisions(job.folder)  # which no manifest tells of
    files, damaged = artifacts.damages(job.folder)
    if damaged:
        is_mine = any(_is_of(job, target) for target in damaged)
        how = "the same command with --repair" if is_mine else "--repair with the options of that run"
        fix = f"Fix: {how}, or delete what is named and run again"
        raise ArtifactError("\n".join([*(_said(job, target, what) for target, what in damaged.items()), fix]))
    job.console.say(f"verify: {files:,} files in {job.folder} are as they were written")
    others = [path.relative_to(job.folder) for path in artifacts.unnamed(job.folder) if path != job.folder / MODELS / REGISTRY]
    if others:
        what = f"{many(len(others), 'file')} that no manifest names, such as {others[0]}"
        job.console.say(f"verify: not compared: {what}. Where a stage wrote it, `recsys run` makes it again when it is needed")


def repair(job: Job) -> None:
    """Remove what is damaged of this job, and run its stages, which make it again. Raise ArtifactError that names what is left damaged.

    What no stage needs at present is not made again, and that is said of each such target. What other runs and experiments left is only
    named: this job cannot make it again. Raise ConfigError where the run's name stands for another config.
    """
    job = replace(job, replace=False)
    _, damaged = artifacts.damages(job.folder)
    mine = [target for target in damaged if _is_of(job, target)]
    for target in mine:
        with job.locked(target):
            what = artifacts.damage(target)
            if what is not None:
                job.console.say(f"removed: {_said(job, target, what)}")
                _remove(target)
    require_own(job)
    if mine:
        walk.run(job)
    verify(job)
    for target in mine:
        if not target.exists():
            job.console.result(f"verify: {target} was removed and is not there again: nothing needs it now. {_what_follows(job, target)}")


def _what_follows(job: Job, target: Path) -> str:
    """Return what becomes of a target that was removed, and that no stage has made again."""
    if target == job.folder / RAW:
        return "The next `recsys run` for which ingest reads the log again, or which has the baseline truth, makes it again"
    states = learned_states(job)
    if not target.is_relative_to(states):
        return "The next `recsys run` that needs it makes it again"
    kind = target.relative_to(states).parts[0]
    if kind == JOURNALS:
        return "A training that learns this day no more says that its journal does not tell of it"
    if kind == PREDICTED:
        return "How this day was predicted before it was learned is no longer judged"
    left = [day for day in days_in(states) if (day_folder(states, day) / target.name).exists()]
    goes_on = f"goes on from the state of {left[-1]}" if left else "learns all days again, because no state is left"
    return f"The next training {goes_on}"


def _remove(target: Path) -> None:
    """Remove an artifact; of one with a folder in the place of its manifest, that alone: without a manifest it counts as absent."""
    if artifacts.place_of(target).is_dir():
        artifacts.unseal(target)
    elif target.is_dir():
        shutil.rmtree(target)
    else:
        artifacts.remove(target)


def _is_of(job: Job, target: Path) -> bool:
    runs = [job.run, *(baseline_run(job, kind) for kind in baseline_kinds(job.pipeline))]
    return _stage_of(job, target) is not None or target.parent in runs


def _stage_of(job: Job, target: Path) -> str | None:
    """Return the stage that makes a target: of several whose folders it lies in, that of the innermost one."""
    made = [(len(path.parts), stage.name) for stage in STAGES.values() for path in stage.writes(job) if target.is_relative_to(path)]
    return max(made, key=lambda each: each[0])[1] if made else None


def _said(job: Job, target: Path, what: str) -> str:
    if (stage := _stage_of(job, target)) is not None:
        return f"{what}; made by the stage {stage}"
    return what if _is_of(job, target) else f"{what}; made by another run or experiment"
