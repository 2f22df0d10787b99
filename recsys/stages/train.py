"""encoded/ → runs/RUN/model/; in time order also learned/, the states of the last days, from which a later training goes on."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from recsys import artifacts, lineage, schema
from recsys.artifacts import Manifest, Origin
from recsys.config import Pipeline, all_but
from recsys.errors import ConfigError
from recsys.objectives import Objective
from recsys.stages.identity import claim, run_identity
from recsys.stages.room import Room
from recsys.stages.stage import Job, Part, Stage, contents, timed
from recsys.workspace import CHECKPOINT, CONFIG, ENCODER, JOURNAL, LEARNED, MODEL, RUNS, day_folder, day_of, days_in

if TYPE_CHECKING:
    from recsys.training import KeptStates

_FLOAT = 4  # bytes of a number
_NAMED = 3  # days that a message names


def _parts(job: Job, options: Pipeline) -> list[Part]:
    """Return one part. Another run that it goes on from, or is balanced against, counts by its content."""
    if options.train.order == "time":
        _, learned = _now_and_as_learned(job, options)
        of_rows = {name for name in learned if name == ENCODER or day_of(name) is not None}
        inputs = {f"{job.encoded.name}/{name}" if name in of_rows else name: content for name, content in learned.items()}
    else:
        days = job.days(schema.TRAIN, schema.VALIDATION)
        rows = contents([job.encoded / ENCODER, *(day_folder(job.encoded, day) for day in days)])
        inputs = rows | _other_models(job, options, rows) | _expected_losses(job, options)
    return [TRAIN.part(options, "train", [job.run / MODEL, job.run / JOURNAL], inputs)]


def _now_and_as_learned(job: Job, options: Pipeline) -> tuple[dict[str, str], dict[str, str]]:
    """Return what a training in time order would learn now, and the same with each day that has been learned as it was then."""
    states, now = learned_states(job), _in_time(job, options, job.days(schema.TRAIN, schema.VALIDATION))
    return now, lineage.as_learned(states, states.name, now, job.pipeline.learned_through)


def _in_time(job: Job, options: Pipeline, days: Sequence[str]) -> dict[str, str]:
    """Return what a training in time order would learn now (recsys/lineage.py): most days have been learned, and are not read again."""
    encoder = artifacts.verify(job.encoded / ENCODER)
    inputs = {ENCODER: encoder.content} | _other_models(job, options, {}) | _expected_losses(job, options)
    return inputs | lineage.inputs_of_days(job.encoded, days, learns_late=options.train.late == "next_day")


def _other_models(job: Job, options: Pipeline, rows: Mapping[str, str]) -> dict[str, str]:
    """Return the content of the model that training starts from, and of the teacher, where there is one.

    Raise ConfigError where there is no such model, and where the teacher has learned other rows. `rows`: the encoded rows → their content.
    """
    named = {"init_from": options.train.init_from, "distil_from": options.train.distil_from}
    found = {key: _model(job, f"train.{key}", run) for key, run in named.items() if run is not None}
    if options.train.distil_from is not None:
        _require_same_rows(rows, found["distil_from"], options.train.distil_from)
    return {key: model.content for key, model in found.items()}


def _model(job: Job, key: str, run: Path) -> Manifest:
    """Return the manifest of a run's model. Raise ConfigError where there is none."""
    if run.resolve() == job.run.resolve():
        raise ConfigError(f"{key}: found {run}, the run that is to be trained, expected another. Fix: --run with a new name")
    if artifacts.manifest(run / MODEL) is None:
        raise ConfigError(
            f"{key}: found no trained model in {run}, expected the folder of a trained run, such as data/NAME/runs/RUN."
            " Fix: train it first, or mend the path"
        )
    return artifacts.verify(run / MODEL)


def _require_same_rows(rows: Mapping[str, str], teacher: Manifest, run: Path) -> None:
    """Raise ConfigError where the teacher has learned other rows or labels than these: it would teach something else."""
    theirs = {PurePath(name).name: content for name, content in teacher.inputs.items()}
    other = [PurePath(name).name for name, content in rows.items() if theirs.get(PurePath(name).name) != content]
    if other:
        what = "another encoder" if other[0] == ENCODER else f"other rows of {other[0].removeprefix('day=')}"
        raise ConfigError(
            f"train.distil_from: found the run {run.name}, which has learned from {what}, expected the same, because it says of each row"
            " what to learn. Fix: the same log, seed, [split], [features], [[objective]] and train.weight in both"
        )


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


def _counted_as(options: Pipeline) -> Pipeline:
    """Return the options as they count: in shuffled order no day is a warm one."""
    if options.train.order == "time":
        return options
    return options.model_copy(update={"train": options.train.model_copy(update={"warm_days": 0})})


def is_to_be_trained(job: Job) -> bool:
    """Return whether the model does not stand as it would be made now. Raise as the parts of *train* do."""
    return not all(part.is_fresh for part in _parts(job, TRAIN.receives(job.pipeline)))


def _writes(job: Job) -> list[Path]:
    states = [learned_states(job)] if job.pipeline.train.order == "time" else []
    return [job.run / MODEL, job.run / JOURNAL, *states]


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

    kept = _kept_states(job, options) if options.train.order == "time" else None
    with timed(job, "train"):
        training.train(options, job.encoded, job.run, part.origin, kept=kept, console=job.console)


def _kept_states(job: Job, options: Pipeline) -> "KeptStates":
    """Return the states of days that are done, beside what is learned now."""
    from recsys.training import KeptStates

    inputs = _in_time(job, options, job.days(schema.TRAIN, schema.VALIDATION))
    states = learned_states(job)
    return KeptStates(states, job.encoded, Origin(TRAIN.name, states.name, inputs), options.train.kept_days)


def learned_of(pipeline: Pipeline, folder: Path, encoded: Path) -> Path:
    """Return where the states of the last learned days lie; `folder` is the pipeline's in the workspace, `encoded` its encoded days'."""
    options = TRAIN.receives(pipeline)
    others = [_in_workspace(path, folder.parent) for path in (options.train.init_from, options.balance.worst_case.baseline)]
    return folder / LEARNED / artifacts.fingerprint([TRAIN.place(_of_states(options)), encoded.name, others])


def _in_workspace(run: Path | None, workspace: Path) -> str:
    """Return the path of a run within the workspace, whose states stay where it is moved or linked; of another run its whole path."""
    if run is None:
        return str(run)
    place, root = run.resolve(), workspace.resolve()
    return str(place.relative_to(root) if place.is_relative_to(root) else place)


def learned_states(job: Job) -> Path:
    """Return where the states lie from which a later training in time order goes on."""
    return learned_of(job.pipeline, job.folder, job.encoded)


def drop_learned(job: Job, first: str) -> None:
    """Remove the states of the ISO day `first` and of all later days, the newest first: these days are learned again.

    Remove nothing where the model that stands has learned these days as they are now: it would not be made again.
    """
    states, options = learned_states(job), TRAIN.receives(job.pipeline)
    now, as_learned = _now_and_as_learned(job, options)
    changed = {day_of(name) or "" for name in {*now, *as_learned} if now.get(name) != as_learned.get(name)}
    if not any(day >= first for day in changed) and not is_to_be_trained(job):
        job.console.say(f"train: --from {first}: from that day on all days are learned as they are now, so nothing is learned again")
        return
    with job.locked(states, job.run):
        dropped = [day for day in reversed(days_in(states)) if day >= first]
        for path in (path for day in dropped for path in sorted(day_folder(states, day).glob("member-*.safetensors"))):
            artifacts.remove(path)
        _remove_checkpoint(job)
    what = f"from {first} on" if dropped else f"from {first} on: none was kept"
    job.console.say(f"train: dropped the states {what}. After an interruption, go on without --from")


def _of_states(options: Pipeline) -> Pipeline:
    """Return the options without those that shape no state of a day: it does not matter where the split ends, nor what is refitted."""
    first, _ = options.split.train
    split = options.split.model_copy(update={"train": (first, first), "validation": None, "test": None})
    train = options.train.model_copy(update={"refit": True})
    return options.model_copy(update={"split": split, "train": train})


def _room(job: Job, options: Pipeline, stale: Sequence[Part]) -> Room:
    """Return the bytes of the embedding vectors in a member's checkpoint, the present and the best ones, beside the checkpoint before it.

    Those that are kept from before the refit come on top. All else is little beside many of them (so many are not averaged), and at the
    end the checkpoints and the model take less.
    """
    from recsys.encoding.encoder import VOCABULARY_FILE

    rows = artifacts.count_rows(job.encoded / ENCODER / VOCABULARY_FILE)
    kept = 0
    if options.train.order == "time":
        kept = options.train.kept_days + 1  # a state is written before the oldest one goes
        added = [day_folder(job.encoded, day) / lineage.ADDED_FILE for day in job.days(*schema.SPLITS)]
        rows += sum(artifacts.count_rows(path) for path in added if path.exists())
    return Room((4 + 2 * options.train.keep_chosen + kept) * _FLOAT * rows * options.model.d_embedding * options.model.most_members)


def _before(job: Job) -> None:
    """Claim the run. In time order say which days are not as they were learned, whether the model is fresh or not."""
    claim(job.run, run_identity(job.pipeline), job.pipeline, keep=job.keeps_config)
    if job.pipeline.train.order == "shuffled":
        return
    changed = _changed(job)
    if changed.rows:
        what = f"train: warning: found other rows of {_named(changed.rows)} than were learned, expected the same"
        _say_changed(job, what, changed.rows[0])
    if changed.late:
        what = f"train: warning: found other labels that became known on {_named(changed.late)} than were learned with these days"
        _say_changed(job, f"{what}, expected the same: answers came late, or were corrected", changed.late[0])


def _say_changed(job: Job, what: str, first: str) -> None:
    job.console.say(f"{what}. They are not learned again. Fix, where it matters: recsys run PIPELINE --from {first}")


def _named(days: Sequence[str]) -> str:
    return ", ".join(days[:_NAMED]) + (f" and {len(days) - _NAMED} more" if len(days) > _NAMED else "")


def changed_days(job: Job) -> list[str]:
    """Return the days that have other rows, or labels known by their end, than the newest fitting state has learned. In time order only."""
    return _changed(job).rows


def _changed(job: Job) -> lineage.Changed:
    options, states, last = TRAIN.receives(job.pipeline), learned_states(job), job.pipeline.learned_through
    now = _in_time(job, options, job.days(schema.TRAIN, schema.VALIDATION))
    fitting = lineage.days_that_fit(states, 0, states.name, now, last)
    return lineage.changed(states, 0, fitting[-1], now) if fitting else lineage.Changed([], [])


def _remove_checkpoint(job: Job) -> None:
    """Remove the checkpoint of a training that died after its model stood."""
    shutil.rmtree(job.run / CHECKPOINT, ignore_errors=True)


def _runs(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob(f"{RUNS}/*/{CONFIG}"))


TRAIN = Stage(
    name="train",
    summary="Train a model on the encoded examples.",
    version=12,
    options=(
        *("seed", "split", "model", "balance", "train"),
        *all_but(Objective, "objective", "fusion_weight"),
    ),
    counted_as=_counted_as,
    free=("train.checkpoint_seconds", "train.kept_days", "features.label_delay", "source.feedback.within"),
    reads=lambda job: [job.encoded],
    writes=_writes,
    parts=_parts,
    make=_make,
    room=_room,
    before=_before,
    always=_remove_checkpoint,
)
