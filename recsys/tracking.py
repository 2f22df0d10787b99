"""Write a finished run as a run of MLflow: its config, its metrics, each day as it was before it was learned, its page and its model."""

import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from recsys import artifacts, schema
from recsys.config import SQLITE, Pipeline
from recsys.days import ordinal
from recsys.errors import ArtifactError, ConfigError
from recsys.workspace import CONFIG, METRICS, MODEL, PROGRESSIVE, REPORT

if TYPE_CHECKING:
    from mlflow.entities import Metric

_LONGEST = 6_000  # letters of a parameter, of which MLflow keeps no more
_AT_ONCE = 100  # parameters that MLflow takes in one call; of metrics it takes 1,000
_ID = "recsys.id"  # tag: the folder of the run, in its workspace
_NO_NAME = re.compile(r"[^\w\-. /:]")  # letters that MLflow refuses in the name of a metric


def require_mlflow() -> None:
    """Raise ConfigError where the library cannot be imported."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # of what it does it would tell its makers
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # by default it waits for minutes, and the run is locked meanwhile
    try:
        import mlflow  # noqa: F401
    except ImportError as error:
        raise ConfigError(f'tracking.mlflow: found no library ({error}). Fix: pip install -e ".[mlflow]" in the checkout') from error


def track(run: Path, pipeline: Pipeline, identity: str) -> dict[str, str]:
    """Write a run into the store that the pipeline names, and remove what earlier calls wrote of it. Return where it stands.

    `run` is the run's folder, with its page. `identity` stands for it: what has the same in the store is of earlier calls.
    Raises ArtifactError where the store cannot be reached or refuses it.
    """
    require_mlflow()
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    uri = pipeline.tracking.mlflow
    assert uri is not None, "the stage asks for nothing without an address"
    try:
        return _track(run, pipeline, uri, identity)
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        # OSError and ImportError come from where files go: over a network, or by a library that is not there
        what = " ".join(str(error).split())
        raise ArtifactError(
            f"tracking.mlflow: found that {uri} did not take the run ({what[:300]}). Fix: mend the address or the store,"
            " and run the same command again: only this is left to do"
        ) from error


def _track(run: Path, pipeline: Pipeline, uri: str, identity: str) -> dict[str, str]:
    from mlflow.entities import Param
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    experiment = pipeline.tracking.experiment or pipeline.name
    known = client.get_experiment_by_name(experiment)
    number = known.experiment_id if known else client.create_experiment(experiment, artifact_location=_beside(uri))
    earlier = client.search_runs([number], filter_string=f"tags.`{_ID}` = '{identity}'")
    tags = {
        _ID: identity,
        "recsys.model": artifacts.require_manifest(run / MODEL).content,
        "recsys.learned_through": pipeline.learned_through,
    }
    made = client.create_run(number, run_name=run.name, tags=tags).info.run_id
    try:
        params = [Param(key, value[:_LONGEST]) for key, value in _named(_params(run)).items()]
        for start in range(0, len(params), _AT_ONCE):
            client.log_batch(made, params=params[start : start + _AT_ONCE])
        metrics = [*_of_test(run), *_of_days(run, pipeline)]
        for start in range(0, len(metrics), _AT_ONCE):
            client.log_batch(made, metrics=metrics[start : start + _AT_ONCE])
        for name in (REPORT, CONFIG):
            client.log_artifact(made, str(artifacts.checked(run / name)))
        client.log_artifacts(made, str(run / MODEL), artifact_path=MODEL)
    except BaseException:
        client.set_terminated(made, status="FAILED")
        raise
    client.set_terminated(made)
    for old in earlier:
        client.delete_run(old.info.run_id)
    return {"store": uri, "experiment": experiment, "run": run.name, "id": made}


def _beside(uri: str) -> str | None:
    """Return where files go: beside a database on this machine; where the server says, of a server."""
    return (Path(uri.removeprefix(SQLITE)).resolve().parent / "mlartifacts").as_uri() if uri.startswith(SQLITE) else None


def _named(params: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return values under names that MLflow takes, each its own: names of columns and of files are among them, and may have any letters."""
    found: dict[str, str] = {}
    for key, value in params:
        name = _NO_NAME.sub("_", key).replace("/", "_").replace(":", "_")
        while name in found:
            name += "_"
        found[name] = value
    return found


def _params(run: Path) -> Iterator[tuple[str, str]]:
    """Yield what was written in the run's TOML, as `--set` would name it."""
    written = artifacts.read_json(run / CONFIG)["written"]
    yield from _flat({key: value for key, value in written.items() if key != "tracking"}, "")


def _flat(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}".removeprefix("."))
    elif isinstance(value, list) and value and all(isinstance(entry, Mapping) and "name" in entry for entry in value):
        for entry in value:
            yield from _flat({name: inner for name, inner in entry.items() if name != "name"}, f"{key}.{entry['name']}")
    else:
        yield key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _of_test(run: Path) -> Iterator["Metric"]:
    """Yield the metrics of all test days, and their differences to other runs."""
    frame = artifacts.read_table(run / METRICS, form=schema.METRICS).to_pandas()
    whole = (frame["split"] == schema.TEST) & frame[schema.DAY].isna() & (frame["slice"] == schema.ALL) & (frame["run"] == run.name)
    called = _called(list(frame[whole]["against"].dropna().unique()))
    for row in frame[whole].to_dict("records"):
        minus = "" if pd.isna(row["against"]) else f" minus {called[row['against']]}"
        yield from _numbers(f"test/{row['objective']}/{row['metric']}{minus}", row, _now_ms(), 0)


def _called(runs: Sequence[str]) -> dict[str, str]:
    """Return the names of other runs without what follows the first dash, so that a baseline is called the same on each night.

    Two that would be called the same keep their names.
    """
    short = {run: run.partition("-")[0] for run in runs}
    names = _named((name if list(short.values()).count(name) == 1 else run, run) for run, name in short.items())
    return {run: name for name, run in names.items()}


def _of_days(run: Path, pipeline: Pipeline) -> Iterator["Metric"]:
    """Yield the metrics of each day as it was predicted before it was learned. The step is the number of the day from the first one.

    A run that was trained in time order before may have left some, which are not its own.
    """
    if pipeline.train.order != "time" or not (run / PROGRESSIVE).exists():
        return
    first = ordinal(pipeline.split.train[0].isoformat())
    for row in artifacts.read_table(run / PROGRESSIVE, form=schema.METRICS).to_pandas().to_dict("records"):
        moment = int(datetime.fromisoformat(row[schema.DAY]).replace(tzinfo=UTC).timestamp() * 1000)
        yield from _numbers(f"progressive/{row['objective']}/{row['metric']}", row, moment, ordinal(row[schema.DAY]) - first)


def _numbers(key: str, row: Mapping[Any, Any], moment: int, step: int) -> Iterator["Metric"]:
    """Yield a value and its interval, as far as they are defined."""
    from mlflow.entities import Metric

    name = _NO_NAME.sub("_", key.replace("%", " percent").replace("@", " at ").replace("|", " given "))
    for part, number in (("", row["value"]), (" low", row["low"]), (" high", row["high"])):
        if not pd.isna(number):
            yield Metric(f"{name}{part}", float(number), moment, step)


def _now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)
