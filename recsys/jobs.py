"""One pipeline in one workspace: the run that its model goes to is found by name, or by its config."""

import dataclasses
import errno
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recsys.config import DAY, FORMS, NAME, Pipeline
from recsys.errors import ConfigError, disk_full, one_line
from recsys.progress import Console
from recsys.registry import CURRENT
from recsys.stages import Job, encoded_of, examples_of, known_config, run_identity, run_name
from recsys.workspace import RUNS, file_in_the_way, require_inside


def open_job(
    pipeline: Pipeline,
    workspace: Path,
    *,
    run: str | None,
    replace: bool = False,
    wait: bool = False,
    writes: bool = True,
    console: Console,
) -> Job:
    """Find the run's folder, which training will claim. Make nothing.

    Raises ConfigError where `run` stands for another config (unless `replace`), where the workspace's path has {day}, and where the job
    `writes` and the workspace cannot be written.
    """
    name = run_name(pipeline) if run is None else run
    if name == CURRENT:
        raise ConfigError(f'--run: found "{name}", expected another name: it stands for the run that was promoted')
    if not re.fullmatch(NAME, name):
        raise ConfigError(f'--run: found "{one_line(name)}", expected {FORMS[NAME]}. Fix: another name')
    if DAY in str(workspace):  # the paths of simulated raw files, for one, would be those of days
        raise ConfigError(f"--workspace: found {workspace}, expected a folder: nothing puts a day in the place of {DAY} here. Fix: name it")
    folder = workspace / pipeline.name
    if writes:
        require_writable(workspace)
    require_inside(folder, workspace)
    job = dataclasses.replace(job_of(pipeline, folder / RUNS / name, console, wait=wait), replace=replace)
    require_own(job)
    return job


def job_of(pipeline: Pipeline, run: Path, console: Console, *, wait: bool = False) -> Job:
    """Return the job of a pipeline whose run lies in `run`. It looks at no file."""
    folder = run.parent.parent
    examples = examples_of(pipeline, folder)
    return Job(pipeline, folder, run, examples, encoded_of(pipeline, folder, examples), console, wait=wait)


def require_own(job: Job) -> None:
    """Raise ConfigError where the run's folder stands for another config, unless the job may replace it."""
    known = None if job.replace else known_config(job.run)
    identity = run_identity(job.pipeline)
    if known is not None and known["identity"] != identity:
        keys = ", ".join(_differing(known["identity"], identity))
        raise ConfigError(
            f"--run {job.run.name}: stands for another config, which differs in {keys}. Fix: another name, or --replace to train it anew"
        )


def require_writable(folder: Path) -> None:
    """Raise ConfigError where the folder, or a file in it, cannot be made. Make neither: the first who writes there makes the folder."""
    if (file := file_in_the_way(folder)) is not None:
        raise ConfigError(f"{folder}: found the file {file}, or a link to nothing, expected a folder. Fix: name another one")
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        if error.errno != errno.EROFS and (full := disk_full(error, folder)) is not None:
            raise full from error
        fix = "let this user write there, or name another folder"
        raise ConfigError(f"{folder}: cannot be written ({error.strerror}), expected a folder for what is generated. Fix: {fix}") from error


def _differing(left: Mapping[str, Any], right: Mapping[str, Any], path: str = "") -> list[str]:
    """Return the dotted keys in which two nested configs differ."""
    keys = []
    for key in sorted(set(left) | set(right)):
        a, b = left.get(key), right.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            keys += _differing(a, b, f"{path}{key}.")
        elif a != b:
            keys.append(f"{path}{key}")
    return keys
