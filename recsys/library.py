"""The tool as a library: a pipeline from a file, a run of it, and what a run has left."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from recsys import config
from recsys.config import Pipeline
from recsys.errors import ConfigError, DataError
from recsys.progress import Console
from recsys.workspace import METRICS, PREDICTIONS, REPORT

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

DEFAULT_WORKSPACE = Path("data")


@dataclass(frozen=True)
class Run:
    """A finished run. In a notebook it shows its main metrics."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def report(self) -> Path:
        """The page of the run."""
        return self.path / REPORT

    @cached_property
    def pipeline(self) -> Pipeline:
        """The config that the run was made with. Raises ArtifactError where it is of an earlier version."""
        from recsys.runs import pipeline_of

        return pipeline_of(self.path)

    @cached_property
    def metrics(self) -> "pd.DataFrame":
        """All rows of metrics.parquet, with the columns of schema.METRICS. Raises ArtifactError where the file is damaged or absent."""
        return self._frame(METRICS)

    @cached_property
    def predictions(self) -> "pd.DataFrame":
        """All rows of predictions.parquet. Raises ArtifactError where the file is damaged or absent."""
        return self._frame(PREDICTIONS)

    @property
    def summary(self) -> "pd.DataFrame":
        """The main metrics on the days that the run is judged on, and their differences to each baseline."""
        from recsys.evaluation import HEADLINE
        from recsys.judge import judging

        rows = self.metrics
        rows = rows[
            (rows["split"] == judging(self.pipeline)) & rows["day"].isna() & (rows["slice"] == "all") & rows["metric"].isin(HEADLINE)
        ]
        own = rows[rows["against"].isna()].set_index(["objective", "metric"])[["value", "low", "high"]]
        for other, of_other in rows[rows["against"].notna()].groupby("against", sort=False):
            difference = of_other.set_index(["objective", "metric"])[["value", "low", "high"]]
            own = own.join(difference.add_prefix(f"minus {other}: "))
        return own

    def predict(
        self, candidates: "pd.DataFrame | pa.Table", *, at: str | int | None = None, top: int | None = None, quiet: bool = False
    ) -> "pd.DataFrame":
        """Predict candidates, as `recsys predict` does: one row each, in their order, or with `top` ranked lists.

        `candidates` is a frame of pandas, a table of Arrow, or what gives its columns to Arrow, as a frame of polars does. Its columns
        are user_id, item_id, those of the log that the features are made of, and `timestamp`, unless all are asked for `at` one moment
        (an ISO text, or ms UTC). Raises the errors of the command, DataError for candidates that cannot be used among them.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        from recsys.predicting import Question, predict

        with tempfile.TemporaryDirectory(prefix="recsys-predict-") as folder:
            given, target = Path(folder) / "candidates.parquet", Path(folder) / "predictions.parquet"
            try:
                pq.write_table(_as_table(candidates), given)
            except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
                raise DataError(
                    f"candidates: cannot be written as columns ({error}), expected one type per column. Fix: convert them, ids to texts"
                ) from error
            try:
                predict(self.path, Question(given, None if at is None else str(at), top), target, Console(quiet=quiet))
            except DataError as error:  # there is no file for the reader of the message
                raise DataError(str(error).replace(str(given), "candidates")) from error
            answers: pd.DataFrame = pq.read_table(target).to_pandas()
            return answers

    def _repr_html_(self) -> str:
        return f"<p><b>{self.name}</b> ({self.report})</p>{self.summary.to_html(float_format='{:.4f}'.format)}"

    def _frame(self, file: str) -> "pd.DataFrame":
        from recsys import artifacts

        frame: pd.DataFrame = artifacts.read_table(self.path / file).to_pandas()
        return frame


def _as_table(frame: "pd.DataFrame | pa.Table") -> "pa.Table":
    import pandas as pd
    import pyarrow as pa

    return pa.Table.from_pandas(frame, preserve_index=False) if isinstance(frame, pd.DataFrame) else pa.table(frame)


def load_pipeline(path: Path | str, overrides: Sequence[str] = ()) -> Pipeline:
    """Read a pipeline's TOML; `overrides` are texts such as "model.architecture=ple". Raises ConfigError with every problem found.

    >>> pipeline = load_pipeline("pipelines/tiny.toml", ["model.architecture=ple"])
    >>> pipeline.name, [objective.name for objective in pipeline.objective]
    ('tiny', ['click', 'watch_time', 'like'])
    """
    if isinstance(overrides, str) or not all(isinstance(each, str) for each in overrides):
        fix = f"[{overrides!r}]" if isinstance(overrides, str) else '["model.architecture=ple"] is one'
        raise ConfigError(f"overrides: found {overrides!r}, expected a list of texts KEY=VALUE. Fix: {fix}")
    return config.load(Path(path), overrides)


def run(pipeline: Pipeline | Path | str, *, workspace: Path | str = DEFAULT_WORKSPACE, name: str | None = None, quiet: bool = False) -> Run:
    """Run every stage of a pipeline that is not fresh, and return the run.

    `workspace` is where everything generated goes. `name` is that of the run; by default it is made from the config. Raises as the stages
    do: ConfigError, DataError, ArtifactError, InUseError.

    >>> first = run("pipelines/tiny.toml", workspace=workspace, name="first", quiet=True)  # doctest: +ELLIPSIS
    first: test...
    >>> first.report.name
    'report.html'
    """
    from recsys import walk
    from recsys.jobs import open_job

    options = pipeline if isinstance(pipeline, Pipeline) else load_pipeline(pipeline)
    job = open_job(options, Path(workspace), run=name, console=Console(quiet=quiet))
    walk.run(job)
    return Run(job.run)


def open_run(name: Path | str, *, workspace: Path | str = DEFAULT_WORKSPACE) -> Run:
    """Open a run by its folder, or by its name anywhere in the workspace. Raises ConfigError where none or several fit.

    >>> first = open_run("first", workspace=workspace)
    >>> first.summary.loc[("click", "auc")].index[:3].tolist()
    ['value', 'low', 'high']
    """
    from recsys.found_runs import find_run

    return Run(find_run(str(name), Path(workspace)))
