"""The maps of all objectives of a run: fitted on its validation days, applied to every prediction before the fused score is made.

An objective with `given` is calibrated in its conditional form: P(like and click) = map(P(like | click)) · calibrated P(click). So the
joint probability stays a product, and no conditional probability exceeds 1. Shapes: N rows, K objectives.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from recsys import schema
from recsys.calibration.levels import tilted
from recsys.calibration.maps import FloatArray, Isotonic, Platt, fit_isotonic, fit_platt
from recsys.errors import Place, data_error
from recsys.evaluation.inputs.scores import Scores, check_predictions, read_scores
from recsys.evaluation.inputs.targets import Target
from recsys.objectives import Objective, chain
from recsys.options import Options
from recsys.predictions import fused_score, ranking_columns

LEAST = 50  # the fewest rows to fit a map to: rows of each label for a probability, rows with a known label for a value
Method = Literal["isotonic", "platt"]


class Fitted(Options):
    """The result of the fit to the validation rows of one objective, or conditional form: a map, or the `reason` why there is none."""

    rows: int
    positives: int | None  # only for a probability
    map: Annotated[Isotonic | Platt, Field(discriminator="kind")] | None = None
    reason: str | None = None

    def __call__(self, predicted_N: FloatArray) -> FloatArray:
        return predicted_N if self.map is None else self.map(predicted_N)


class Calibration(Options):
    """The maps of a run by objective. An objective with `given` stands under the name of its conditional form (`like|click`)."""

    method: Method
    fitted: dict[str, Fitted]

    @property
    def left(self) -> dict[str, str]:
        """The objectives, or conditional forms, whose predictions stay as they are, each with the reason."""
        return {name: fitted.reason for name, fitted in self.fitted.items() if fitted.reason is not None}

    def applied(self, predictions: pa.Table, objectives: Sequence[Objective], *, run: str) -> pa.Table:
        """Return the table with every prediction calibrated and the score made anew. `raw.COLUMN` holds the former values of a column.

        `pred.X` and `rank.X` pass through the same map. The map was fitted where the position is known, because there are no labels of a
        missing position. Probabilities of levels move as little as the calibrated expected level requires (`levels.tilted`). Columns that
        no map reaches stay as they are, and have no `raw.`. Raises ValueError for a table that is calibrated already, and DataError as
        `evaluate` does.
        """
        if is_calibrated(predictions):
            raise ValueError(f"predictions of run {run} are calibrated already")
        scores = read_scores(predictions, objectives, run, labels=False)
        changed: dict[str, FloatArray] = {}
        for objective in objectives:
            changed |= self._of_objective(objective, objectives, scores, predictions.column_names)
        if changed and schema.SCORE in predictions.column_names:
            names = ranking_columns(predictions.column_names, objectives)
            ranked = [changed[name] if name in changed else predictions[name].to_numpy() for name in names]
            changed[schema.SCORE] = fused_score(np.column_stack(ranked), objectives)
        table = predictions
        for name, values_N in changed.items():
            table = table.set_column(table.column_names.index(name), name, pa.array(values_N))
        for name in changed:
            table = table.append_column(schema.raw_column(name), predictions[name])
        return table

    def _of_objective(
        self, objective: Objective, objectives: Sequence[Objective], scores: Scores, there: Sequence[str]
    ) -> dict[str, FloatArray]:
        """Return the columns of one objective that a map reaches, calibrated."""
        links = [Target(link, link.given) for link in chain(objective, objectives)]
        if all(self.fitted[link.name].map is None for link in links):
            return {}
        expected, ranking = (
            {link.name: getattr(scores.predicted[link.name], field) for link in links} for field in ("expected_N", "ranking_N")
        )
        columns = {schema.prediction_column(objective.name): self._product(links, expected)}
        columns[schema.rank_column(objective.name)] = self._product(links, ranking)
        if objective.given is not None and self.fitted[links[0].name].map is not None:
            columns[schema.prediction_column(links[0].name)] = self._product(links[:1], expected)
            columns[schema.rank_column(links[0].name)] = self._product(links[:1], ranking)
        probability_NL = scores.predicted[objective.name].probability_NL
        if probability_NL is not None:
            levels_NL = tilted(probability_NL, objective.levels, columns[schema.prediction_column(objective.name)])
            names = (schema.level_name(objective.name, level) for level in objective.levels)
            columns |= dict(zip(map(schema.prediction_column, names), levels_NL.T, strict=True))
        return {name: values_N for name, values_N in columns.items() if name in there}

    def _product(self, links: Sequence[Target], predicted: Mapping[str, FloatArray]) -> FloatArray:
        """Return the objective's own mapped prediction, times that of its given objective, and so on along the chain."""
        product_N = self.fitted[links[0].name](predicted[links[0].name])
        for link in links[1:]:
            product_N = product_N * self.fitted[link.name](predicted[link.name])
        return product_N


def fit(predictions: pa.Table, objectives: Sequence[Objective], method: Method, *, run: str) -> Calibration:
    """Fit the maps to the validation rows of `predictions` (predictions.parquet). No other row is read.

    "isotonic" fits objectives of any kind, by their expected value. "platt" fits probabilities only; other kinds stay as they are. An
    objective with too little to fit to (`LEAST`) also stays as it is. Each objective that stays has its reason. Raises DataError without
    validation rows, for a probability outside [0, 1], and as `evaluate` does.
    """
    rows = predictions.filter(pc.equal(predictions[schema.SPLIT], schema.VALIDATION))
    if not len(rows):
        raise data_error(
            Place(f"predictions of run {run}"), found="no validation rows", expected="some to fit the calibration to",
            fix='validation days with rows in [split], or evaluate.calibrate = "none"',
        )  # fmt: skip
    scores = read_scores(rows, objectives, run, labels=True)
    check_predictions(scores, scores.label)
    links = [Target(objective, objective.given) for objective in objectives]
    return Calibration(method=method, fitted={link.name: _fitted(link, scores, method) for link in links})


def is_calibrated(predictions: pa.Table) -> bool:
    return any(name.startswith(schema.RAW) for name in predictions.column_names)


def uncalibrated(predictions: pa.Table) -> pa.Table:
    """Return the table as it was before calibration, column for column."""
    table = predictions
    for raw in [name for name in predictions.column_names if name.startswith(schema.RAW)]:
        name = schema.strip(raw, schema.RAW)
        table = table.set_column(table.column_names.index(name), name, table[raw]).drop_columns([raw])
    return table


def _fitted(link: Target, scores: Scores, method: Method) -> Fitted:
    objective, label_N = link.objective, scores.label[link.name]
    known_N = ~np.isnan(label_N)
    label_N, predicted_N = label_N[known_N], scores.predicted[link.name].expected_N[known_N]
    positives = int(np.count_nonzero(label_N > 0)) if objective.is_probability else None
    reason = _why_not(objective, method, label_N, positives)
    if reason is not None:
        return Fitted(rows=len(label_N), positives=positives, reason=reason)
    if objective.is_probability and (bad := int(np.count_nonzero((predicted_N < 0) | (predicted_N > 1)))):
        raise data_error(
            Place(f"predictions of run {scores.run}", column=schema.prediction_column(link.name)), found="values outside [0, 1]",
            expected="probabilities to calibrate", bad_rows=bad, rows=len(predicted_N), fix="write probabilities",
        )  # fmt: skip
    if method == "platt":
        return Fitted(rows=len(label_N), positives=positives, map=fit_platt(predicted_N, label_N))
    legal = objective.legal_labels()
    return Fitted(rows=len(label_N), positives=positives, map=fit_isotonic(predicted_N, label_N, low=legal.least, high=legal.most))


def _why_not(objective: Objective, method: Method, label_N: FloatArray, positives: int | None) -> str | None:
    if method == "platt" and positives is None:
        return f'"platt" is of probabilities, and this is a value ({objective.kind})'
    if positives is not None and min(positives, len(label_N) - positives) < LEAST:
        return f"{positives:,} positives of {len(label_N):,} rows on the validation days, expected {LEAST} of each label at least"
    if len(label_N) < LEAST:
        return f"{len(label_N):,} known labels on the validation days, expected {LEAST} at least"
    return "all labels are the same on the validation days" if label_N.min() == label_N.max() else None
