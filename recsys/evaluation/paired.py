"""Several runs judged by a few numbers each. All runs share impressions and resampled users, so that replicates can be subtracted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

from recsys import predictions as prediction_files
from recsys.errors import ConfigError, DataError, nearest
from recsys.evaluation.inputs.scored_impressions import Impressions, as_table, check_options, read_impressions
from recsys.evaluation.inputs.scores import Scores, check_predictions, check_same_impressions, read_scores
from recsys.evaluation.inputs.slices import splits
from recsys.evaluation.inputs.targets import Target, targets
from recsys.evaluation.long_rows import Settings, SplitEvaluation
from recsys.evaluation.measured import Measured
from recsys.evaluation.metrics import HEADLINE, IN_GROUPS, METRICS, WITHIN, Metric, is_within_lists, list_metric, main_metric
from recsys.list_metrics import ListMetric
from recsys.objectives import Objective

T = TypeVar("T")


@dataclass(frozen=True)
class Judged:
    """One number that runs are judged by: a metric of an objective, or of its conditional form."""

    target: Target
    metric: Metric

    @property
    def objective(self) -> str:
        return self.target.name

    @property
    def better(self) -> str | None:
        return self.metric.better_of(self.target.objective)


@dataclass(frozen=True)
class Paired:
    """K numbers of M runs: `measured[m][k]`. The replicates of every run are of the same users.

    For each number, `users` counts the users with a known label of its objective, and `rows` counts the known labels.
    """

    runs: tuple[str, ...]
    judged: tuple[Judged, ...]
    measured: tuple[tuple[Measured, ...], ...]
    users: tuple[int, ...]
    rows: tuple[int, ...]

    def only(self, kept: Sequence[int]) -> "Paired":
        """Return the numbers at these places."""

        def of(values: Sequence[T]) -> tuple[T, ...]:
            return tuple(values[k] for k in kept)

        return Paired(self.runs, of(self.judged), tuple(map(of, self.measured)), of(self.users), of(self.rows))


def judged_by(objectives: Sequence[Objective], metrics: Sequence[str] = (), *, conditional: bool = False) -> tuple[Judged, ...]:
    """Return the numbers that judge the objectives (with `conditional`, their conditional forms too): `metrics`, or else the main metric.

    A metric is NAME, for all objectives whose kind has it, or OBJECTIVE=NAME, for one objective. A metric that is named twice judges once.
    An objective that `metrics` leaves out is judged by its main metric. Raises ConfigError with every problem found.
    """
    of = {target.name: target for target in targets(objectives) if conditional or target.given is None}
    named: dict[str, list[Judged]] = {name: [] for name in of}
    problems: list[str] = []
    for text in dict.fromkeys(metrics):
        objective, equals, metric = text.rpartition("=")
        if equals and objective not in of:
            problems.append(f'--metric {text}: found "{objective}", expected an objective; there are {", ".join(of)}')
            continue
        reasons = []
        for target in [of[objective]] if equals else of.values():
            try:
                found = Judged(target, metric_of(target, metric))
            except ValueError as error:
                reasons.append(str(error))
                continue
            if found.metric.name not in [other.metric.name for other in named[target.name]]:  # captured@10% and captured@10.0% are one
                named[target.name].append(found)
        if len(reasons) == (1 if equals else len(of)):
            problems.append(f"--metric {text}: {reasons[0]}")
    if problems:
        raise ConfigError(problems)
    return tuple(each for name, chosen in named.items() for each in chosen or [_by_main_metric(of[name])])


def headline(objectives: Sequence[Objective]) -> tuple[Judged, ...]:
    """Return the numbers that each objective and its conditional form are judged by first: pooled, within lists and within users.

    `one_within` then keeps one of the last two.
    """
    by_name = {metric.name: metric for metric in METRICS}
    return tuple(
        Judged(target, by_name[name]) for target in targets(objectives) for name in HEADLINE if target.objective.kind in by_name[name].kinds
    )


def two_questions(objectives: Sequence[Objective]) -> tuple[Judged, ...]:
    """Return one pooled number of each objective, its main metric, and those within lists and within users.

    `one_within` then keeps one of the last two.
    """
    return tuple(
        judged
        for judged in headline(objectives)
        if judged.target.given is None and judged.metric.name in (main_metric(judged.target.objective), *IN_GROUPS)
    )


def one_within(paired: Paired) -> Paired:
    """Return the numbers without those within users, or without those within lists where too few of the first run's lists can tell."""
    at = {(judged.objective, judged.metric.name): k for k, judged in enumerate(paired.judged)}
    left_out = set()
    for (objective, name), k in at.items():
        if name in WITHIN and (k_users := at.get((objective, WITHIN[name]))) is not None:
            lists, users = paired.measured[0][k], paired.measured[0][k_users]
            in_lists = is_within_lists(lists_tell=lists.has_enough_users, users_tell=users.value is not None)
            left_out.add(k_users if in_lists else k)
    return paired.only([k for k in range(len(paired.judged)) if k not in left_out])


def _by_main_metric(target: Target) -> Judged:
    return Judged(target, metric_of(target, main_metric(target.objective)))


def metric_of(target: Target, name: str) -> Metric:
    """Return the metric of this name for the target. Raises ValueError that names the metrics of the objective's kind."""
    there = {metric.name: metric for metric in METRICS if target.objective.kind in metric.kinds}
    if name in there:
        return there[name]
    if target.given is not None:
        raise ValueError(f'found "{name}", expected one of {", ".join(there)}: the fused order is not judged by a conditional form')
    try:
        return list_metric(ListMetric.parse(name))
    except ValueError as error:
        raise ValueError(f"{error}, or one of {', '.join(there)}{nearest(name, there)}") from error


def paired(
    runs: Iterable[tuple[str, pa.Table | pd.DataFrame]],
    objectives: Sequence[Objective],
    judged: Sequence[Judged],
    *,
    split: str,
    bootstrap: int,
    seed: int,
) -> Paired:
    """Compute the numbers of each run on the rows of `split`, with `bootstrap` replicates over users.

    Values and replicates are those of `evaluate` with this seed. Normalised entropy uses the first run's training rates for all runs.
    `runs` holds (name, predictions) and may be a generator, so that one table is in memory at a time. Raises DataError as `evaluate` does,
    and where the split has no rows. The error names every run that scored other impressions than the first.
    """
    first: Scores | None = None
    impressions: Impressions | None = None
    names, measured, problems = [], [], []
    counts: list[tuple[int, int]] = []
    means: dict[str, float] = {}
    for name, predictions in runs:
        table = as_table(predictions, name)
        check_options(objectives, name, {}, bootstrap=bootstrap, seed=seed)
        scores = read_scores(table, objectives, name, labels=True)
        try:
            check_predictions(scores, scores.label)
            if first is not None:
                check_same_impressions(first, scores)
        except DataError as error:
            problems.append(str(error))
            continue
        if impressions is None:
            first, means = scores, prediction_files.train_means(table.schema)
            impressions = read_impressions(table, name, ())  # for all runs: another one may name no requests
        of_split = _split(impressions, scores, split, Settings(name, bootstrap, 0.5, seed, means))
        names.append(name)
        measured.append(tuple(_measured(of_split, each) for each in judged))
        counts = counts or [_counts(of_split, each) for each in judged]
    if problems:
        raise DataError("\n".join(problems))
    users, rows = zip(*counts, strict=True)
    return Paired(tuple(names), tuple(judged), tuple(measured), users, rows)


def _split(impressions: Impressions, scores: Scores, split: str, settings: Settings) -> SplitEvaluation:
    by_name = dict(splits(impressions))
    if split not in by_name:
        raise DataError(f"predictions of run {scores.run}: found no {split} rows, but {', '.join(by_name)}. Fix: score days of that part")
    return SplitEvaluation(split, by_name[split], impressions, [scores], settings)


def _measured(of: SplitEvaluation, judged: Judged) -> Measured:
    ((measured,),) = of.measured(of.at_N, judged.target, [judged.metric])
    return measured


def _counts(of: SplitEvaluation, judged: Judged) -> tuple[int, int]:
    """Return the number of users with a known label, and the number of known labels."""
    known_N = of.at_N[~np.isnan(of.runs[0].label[judged.target.name][of.at_N])]
    return len(np.unique(of.user_N[known_N])), len(known_N)
