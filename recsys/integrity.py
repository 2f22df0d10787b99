"""Every file of a pipeline's workspace compared with its manifest, and what is damaged made again."""

import shutil
from pathlib import Path

from recsys import artifacts, walk
from recsys.errors import ArtifactError
from recsys.stages import STAGES, Job


def verify(job: Job) -> None:
    """Say that every file is as it was written. Raise ArtifactError that names each damaged one and the stage that makes it again."""
    checked, damaged = artifacts.damages(job.folder)
    if damaged:
        fix = "Fix: the same command with --repair, or delete what is named and run again"
        raise ArtifactError("\n".join([*(_said(job, target, what) for target, what in damaged.items()), fix]))
    job.console.say(f"verify: {checked:,} files in {job.folder} are as they were written")


def repair(job: Job) -> None:
    """Remove what is damaged, and run the job's stages, which make again what belongs to it. Say what belongs to other runs."""
    _, damaged = artifacts.damages(job.folder)
    for target, what in damaged.items():
        job.console.say(f"removed: {_said(job, target, what)}")
        if target.is_dir():
            shutil.rmtree(target)
        else:
            artifacts.remove(target)
    if damaged:
        walk.run(job)
    for target in damaged:
        if artifacts.manifest(target) is None:
            job.console.say(f"{target}: is of another run or experiment; the command that made it makes it again")
    verify(job)


def _said(job: Job, target: Path, what: str) -> str:
    stage = next((stage.name for stage in STAGES.values() if any(target.is_relative_to(path) for path in stage.writes(job))), None)
    return f"{what}; made by the stage {stage}" if stage else what
