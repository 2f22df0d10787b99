"""The judgement of predictions under a pipeline's options: metric rows, what calibration changed, and what makes the numbers doubtful."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from recsys import artifacts, schema
from recsys.config import Pipeline
from recsys.errors import ConfigError
from recsys.list_metrics import ListMetric
from recsys.predictions import judged, judged_beside, train_means
from recsys.progress import Console
from recsys.workspace import PREDICTIONS

AGAINST_KEY = "evaluate.against_key"
# Metrics that calibration is for, and those that it may change besides: ties move auc and xauc, and the fused order (captured@P%).
CHANGED = ("calibration", "ece", "log_loss", "normalized_entropy", "rps", "rmse", "auc", "xauc")


def read_judged(run: Path) -> pa.Table:
    """Return the columns of a run's predictions that judge it, in the order of event_id."""
    return _in_order(run, judged)


def read_judged_beside(run: Path) -> pa.Table:
    """Return the columns of a run's predictions that compare it with another run, in the order of event_id."""
    return _in_order(run, judged_beside)


def _in_order(run: Path, of: Callable[[Iterable[str]], list[str]]) -> pa.Table:
    """Put the rows in order here. A table that its reader holds while the evaluation orders a copy of it takes its room twice."""
    from recsys.evaluation import as_table

    file = run / PREDICTIONS
    return as_table(artifacts.read_table(file, of(artifacts.read_schema(file).names)), run.name)


def metrics_of(
    pipeline: Pipeline,
    predictions: pa.Table,
    *,
    run: str,
    against: Mapping[str, pa.Table],
    metrics: Sequence[str] | None = None,
    also: Sequence[str] = (),
) -> pa.Table:
    """Return the long rows of one set of predictions under the pipeline's objectives and evaluation options.

    `metrics`: only these. `also`: other runs whose own rows are wanted too.
    """
    from recsys import evaluation

    options = pipeline.evaluate
    return evaluation.evaluate(
        predictions,
        pipeline.objective,
        run=run,
        against=against,
        train_means=train_means(predictions.schema),
        bootstrap=options.bootstrap,
        confidence=options.confidence,
        seed=pipeline.seed,
        list_k=options.list_k,
        top_percent=options.top_percent,
        target_temperature=options.target_temperature,
        metrics=metrics,
        also=also,
    )


def problems_of_days(pipeline: Pipeline) -> list[str]:
    """Say that a split has no days to score, if it has none."""
    if {schema.VALIDATION, schema.TEST} & set(pipeline.split.parts()):
        return []
    return ["split: found neither validation nor test days, expected some to judge on. Fix: name test days"]


def problems_of_files(pipeline: Pipeline) -> list[str]:
    """Return the problems of evaluate.against_key and of the files of evaluate.against: not there, or without the columns of the key."""
    files = pipeline.evaluate.files_against
    if not files:
        return []
    from recsys.other_system import file_problems, parsed_key

    try:
        key = parsed_key(pipeline.evaluate.against_key, AGAINST_KEY)
    except ConfigError as error:
        return list(error.problems)
    problems = []
    for file in files:
        if file.is_file():
            problems += [f"evaluate.against: {problem}" for problem in file_problems(file, key, pipeline.objective)]
        else:
            problems.append(f"evaluate.against: found no file {file}, expected another system's scores. Fix: check the path")
    return problems


def metrics_against_file(pipeline: Pipeline, predictions: pa.Table, file: Path, *, run: str, console: Console) -> pa.Table:
    """Return the long rows of the differences of a run's predictions to another system's scores, under the name of their file.

    The differences are on the impressions that both have, of the objectives that the file predicts, and of the fused order where the file
    has one. The policy that this order makes is valued where the file has all candidates of the requests that it has. Raise what
    `other_system.join` raises.
    """
    from recsys.evaluation import OFF_POLICY
    from recsys.other_system import join, parsed_key, time_of

    key = parsed_key(pipeline.evaluate.against_key, AGAINST_KEY)
    joined = join(predictions, file, key, pipeline.objective, time_of(pipeline, key))
    for line in joined.said(file):
        console.say(line)
    options = pipeline.evaluate
    if options.target_temperature is not None and not _has_whole_requests(predictions, joined.ours):
        console.say(f"{file}: lacks candidates of requests that it has: the policy that its order makes is not valued")
        options = options.model_copy(update={"target_temperature": None})
    rows = metrics_of(pipeline.model_copy(update={"evaluate": options}), joined.ours, run=run, against={file.name: joined.theirs})
    differences = rows.filter(pc.equal(rows["against"], file.name))
    if options.target_temperature is None:  # then any policy is the log's, and the same on both sides
        of_policy = pa.array([metric.name for metric in OFF_POLICY])
        differences = differences.filter(pc.invert(pc.is_in(differences["metric"], value_set=of_policy)))
    numbers = zip(differences["metric"].to_pylist(), differences["objective"].to_pylist(), strict=True)
    return differences.filter(pa.array([joined.has(*number) for number in numbers], pa.bool_()))


def _has_whole_requests(predictions: pa.Table, some: pa.Table) -> bool:
    """Return whether `some` of the impressions are whole requests."""
    if schema.REQUEST_ID not in predictions.column_names:
        return True  # what is missing is named by the evaluation
    others = predictions.filter(pc.invert(pc.is_in(predictions[schema.EVENT_ID], value_set=some[schema.EVENT_ID].combine_chunks())))
    return not pc.any(pc.is_in(others[schema.REQUEST_ID], value_set=some[schema.REQUEST_ID].combine_chunks())).as_py()


def what_calibration_changed(pipeline: Pipeline, predictions: pa.Table, *, run: str) -> pa.Table:
    """Return long rows of the run `uncalibrated`, of the run as it is, and of their paired differences.

    The table is empty where no map was fitted.
    """
    from recsys.calibration import is_calibrated, uncalibrated

    if not is_calibrated(predictions):
        return schema.METRICS.empty_table()
    before = uncalibrated(predictions)
    metrics = [*CHANGED, *(str(ListMetric("captured", percent=percent)) for percent in pipeline.evaluate.top_percent)]
    return pa.concat_tables(
        [
            metrics_of(pipeline, before, run=schema.UNCALIBRATED, against={}, metrics=metrics),
            metrics_of(pipeline, predictions, run=run, against={schema.UNCALIBRATED: before}, metrics=metrics),
        ]
    )


def warn_of_run(pipeline: Pipeline, run: Path, console: Console) -> None:
    """Warn as `warn` does, about a run's predictions."""
    labels = [schema.label_column(objective.name) for objective in pipeline.objective]
    warn(pipeline, artifacts.read_table(run / PREDICTIONS, [schema.USER_ID, schema.SPLIT, *labels]), console)


def warn(pipeline: Pipeline, predictions: pa.Table, console: Console) -> None:
    """Say what makes all numbers of these predictions doubtful."""
    from recsys import evaluation

    for dominant in evaluation.dominant_users(predictions, pipeline.objective):
        console.say(f"warning: {dominant}")


def judging(pipeline: Pipeline, asked: str | None = None) -> str:
    """Return the part of the split that runs are judged on: `asked`, else the last part that is not for training.

    Raise ConfigError where it has no days.
    """
    there = [part for part in (schema.TEST, schema.VALIDATION) if part in pipeline.split.parts()]
    if not there:
        raise ConfigError("split: found neither test nor validation days, expected some to judge on")
    if asked is not None and asked not in there:
        raise ConfigError(f"--on {asked}: found no such days to judge on, expected {' or '.join(there)}")
    return asked or there[0]
