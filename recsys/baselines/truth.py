"""Predict what the simulator itself expects of each impression, for the simulated feed alone.

No ranker can be expected to do better by AUC, log loss or squared error. By XAUC it can (docs/world.md).
"""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys import schema
from recsys.baselines.base import Baseline, Position
from recsys.baselines.day_rows import Rows
from recsys.config import Pipeline, known_truth
from recsys.errors import ArtifactError
from recsys.progress import Console
from recsys.world import read_truth

_REQUEST, _VIDEO = "request", "vid"  # an impression is a video of a request


class Truth(Baseline):
    """The expectations in truth.parquet, as logged and, with the position missing, where the impression is looked at. It learns nothing."""

    def __init__(self, pipeline: Pipeline, console: Console, raw: Path) -> None:
        super().__init__(pipeline, console)
        self._raw = raw
        self._truth: pd.DataFrame | None = None  # read once for all days
        known = [known_truth(objective, pipeline.objective) for objective in pipeline.objective]
        self._known = [columns for columns in known if columns is not None]  # all of them: the pipeline has been checked

    @property
    def sees_position(self) -> bool:
        return any(columns.logged != columns.looked_at for columns in self._known)

    def fit(self, train: Rows, validation: Rows | None) -> None:
        pass

    def refit(self, rows: Rows) -> None:
        pass

    def predict(self, rows: Rows, *, position: Position = "logged") -> NDArray[np.float64]:
        """Return [N, K]. Raise ArtifactError where the truth is not of the feed that the rows are from."""
        names = [columns.logged if position == "logged" else columns.looked_at for columns in self._known]
        truth = self._expectations()
        impressions = rows.read([schema.REQUEST_ID, schema.ITEM_ID]).to_pandas()
        joined = impressions.merge(
            truth[[_REQUEST, _VIDEO, *dict.fromkeys(names)]],
            "left",
            left_on=[schema.REQUEST_ID, schema.ITEM_ID],
            right_on=[_REQUEST, _VIDEO],
        )
        absent = int(joined[_REQUEST].isna().sum())
        if absent or len(joined) != len(impressions):
            raise ArtifactError(
                f"{self._raw}: found the truth of another feed ({absent:,} of {len(impressions):,} impressions are missing), expected that"
                " of the log. Fix: delete this folder and run again"
            )
        found_NK: NDArray[np.float64] = joined[names].to_numpy(np.float64)
        return found_NK

    def _expectations(self) -> pd.DataFrame:
        if self._truth is None:
            names = dict.fromkeys(name for columns in self._known for name in (columns.logged, columns.looked_at))
            self._truth = read_truth(self._raw, [_REQUEST, _VIDEO, *names]).to_pandas()
        return self._truth
