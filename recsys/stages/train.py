"""encoded/ → runs/RUN/model/."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from recsys import artifacts, schema
from recsys.config import Pipeline, all_but
from recsys.errors import ConfigError
from recsys.objectives import Objective
from recsys.stages.identity import claim, run_identity
from recsys.stages.room import Room
from recsys.stages.stage import Job, Part, Stage, contents, timed
from recsys.workspace import CHECKPOINT, CONFIG, ENCODER, JOURNAL, MODEL, RUNS, day_folder

_FLOAT = 4  # bytes of a number


def _parts(job: Job, options: Pipeline) -> list[Part]:
    """Return one part. Another run that it goes on from, or is balanced against, counts by its content."""
    days = job.days(schema.TRAIN, schema.VALIDATION)
    inputs = contents([job.encoded / ENCODER, *(day_folder(job.encoded, day) for day in days)])
    inputs |= _first_model(job, options) | _expected_losses(job, options)
    return [TRAIN.part(options, "train", [job.run / MODEL, job.run / JOURNAL], inputs)]


def _first_model(job: Job, options: Pipeline) -> dict[str, str]:
    """Return the bytes of the model that training starts from, if it starts from one."""
    first = options.train.init_from
    if first is None:
        return {}
    if first.resolve() == job.run.resolve():
        raise ConfigError(f"train.init_from: found {first}, the run that is to be trained, expected another. Fix: --run with a new name")
    if artifacts.manifest(first / MODEL) is None:
        raise ConfigError(
            f"train.init_from: found no trained model in {first}, expected the folder of a trained run, such as data/NAME/runs/RUN."
            " Fix: train it first, or mend the path"
        )
    return {"init_from": artifacts.verify(first / MODEL).content}


def _expected_losses(job: Job, options: Pipeline) -> dict[str, str]:
    """Return what the run that worst_case balances against has reached, if the config names one."""
    baseline = options.balance.worst_case.baseline
    if options.balance.method != "worst_case" or baseline is None:
        return {}
    if baseline.resolve() == job.run.resolve():
        raise ConfigError(
            f"balance.worst_case.baseline: found {baseline}, the run that is to be trained, expected another. Fix: --run with a new name"
        )
    from recsys.balancing.baseline import losses_of

    return {"baseline": artifacts.fingerprint(losses_of(baseline, options.objective))}


def _make(job: Job, options: Pipeline, stale: Sequence[Part]) -> None:
    (part,) = stale
    twins = (run for run in _runs(job.folder) if all(artifacts.is_fresh(run / path.name, part.origin.fingerprint) for path in part.writes))
    twin = next(twins, None)
    if twin is not None:  # another run that differs only in what is done with its predictions
        artifacts.copy_file(twin / JOURNAL, job.run / JOURNAL)
        artifacts.copy(artifacts.checked(twin / MODEL), job.run / MODEL)
        job.console.say(f"train: the model of {twin.name}")
        return
    from recsys import training

    with timed(job, "train"):
        training.train(options, job.encoded, job.run, part.origin, console=job.console)


def _room(job: Job, options: Pipeline, stale: Sequence[Part]) -> Room:
    """Return the bytes of the embedding vectors in a member's checkpoint, the present and the best ones, beside the checkpoint before it.

    All else is little beside many of them (so many are not averaged), and at the end the checkpoints and the model take less.
    """
    from recsys.encoding.encoder import VOCABULARY_FILE

    rows = artifacts.count_rows(job.encoded / ENCODER / VOCABULARY_FILE)
    return Room(4 * _FLOAT * rows * options.model.d_embedding * options.model.most_members)


def _remove_checkpoint(job: Job) -> None:
    """Remove the checkpoint of a training that died after its model stood."""
    shutil.rmtree(job.run / CHECKPOINT, ignore_errors=True)


def _runs(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob(f"{RUNS}/*/{CONFIG}"))


TRAIN = Stage(
    name="train",
    summary="Train a model on the encoded examples.",
    version=3,
    options=(
        *("seed", "split", "model", "balance", "train"),
        *all_but(Objective, "objective", "fusion_weight"),
    ),
    free=("train.checkpoint_seconds",),
    reads=lambda job: [job.encoded],
    writes=lambda job: [job.run / MODEL, job.run / JOURNAL],
    parts=_parts,
    make=_make,
    room=_room,
    before=lambda job: claim(job.run, run_identity(job.pipeline), job.pipeline),
    always=_remove_checkpoint,
)
