"""The importance weight of each row, from its two propensities. All checks of propensities happen here, once.

Shapes: N rows, G lists.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys import schema
from recsys.errors import ConfigError, DataError, data_error, many
from recsys.evaluation.inputs.prediction_columns import no_nulls, numbers, place, plain
from recsys.evaluation.inputs.rows import FloatArray, IntArray
from recsys.evaluation.inputs.scored_impressions import Impressions
from recsys.evaluation.inputs.scores import Importance, Scores

_SUM = 0.01 + 1e-9  # by how much the summed probabilities of a list's candidates may miss 1: a file may have rounded them


def has_propensities(table: pa.Table) -> bool:
    return schema.PROPENSITY in table.column_names and schema.TARGET_PROPENSITY in table.column_names


def require_propensities(table: pa.Table, run: str, *, temperature: float | None) -> None:
    """Raise DataError that names the columns off-policy evaluation lacks. A propensity that was not logged cannot be made up."""
    fixes = {
        schema.PROPENSITY: "log the probability with which each item was chosen; a feed that does not choose at random has none",
        schema.TARGET_PROPENSITY: "write the probability with which the policy in question chooses that item"
        if temperature is None
        else f"write {schema.SCORE}, of which temperature = {temperature:g} makes it",
        schema.REQUEST_ID: "name the request that each row was a candidate of: the softmax is over the candidates of one decision",
    }
    needed = {schema.PROPENSITY: schema.PROPENSITY}
    needed[schema.TARGET_PROPENSITY] = schema.TARGET_PROPENSITY if temperature is None else schema.SCORE
    if temperature is not None:
        needed[schema.REQUEST_ID] = schema.REQUEST_ID
    missing = [ours for ours, column in needed.items() if column not in table.column_names]
    if missing:
        raise data_error(
            place(run),
            found=f"no column {' and no column '.join(needed[ours] for ours in missing)}",
            expected=f"{schema.PROPENSITY} (of the policy that was logged) and {schema.TARGET_PROPENSITY} (of the one in question)",
            fix="; ".join(fixes[ours] for ours in missing),
        )


def with_softmax(table: pa.Table, list_N: IntArray, known_N: NDArray[np.bool_], run: str, *, temperature: float) -> pa.Table:
    """Return the table with a target propensity: the softmax of its fused scores over each list.

    Raises ConfigError for a temperature out of range. Raises DataError as `require_propensities` does, for a score that is not finite, and
    for a list that cannot be the candidates of one decision, of which one was shown.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ConfigError(f"temperature: found {temperature}, expected more than 0. Fix: 1 samples by the odds of the fused score")
    require_propensities(table, run, temperature=temperature)
    score_N = numbers(table, schema.SCORE, run)
    _refuse(
        ~np.isfinite(score_N),
        run,
        schema.SCORE,
        found="null, NaN or infinite",
        expected="a finite score of each candidate",
        fix="score every candidate",
    )
    _check_decisions(table, list_N, known_N, run)
    target_N = softmax_propensity(score_N, list_N, temperature=temperature)
    kept = table.drop_columns([schema.TARGET_PROPENSITY]) if schema.TARGET_PROPENSITY in table.column_names else table
    return kept.append_column(schema.TARGET_PROPENSITY, pa.array(target_N))


def _check_decisions(table: pa.Table, list_N: IntArray, known_N: NDArray[np.bool_], run: str) -> None:
    """Raise DataError where a list cannot be one decision.

    Each row needs a request. Each request has at most one known label. The candidates that were not chosen must stand beside the chosen
    one.
    """
    no_nulls(plain(table, schema.REQUEST_ID), place(run, schema.REQUEST_ID))
    several = int(np.count_nonzero(np.bincount(list_N, known_N) > 1))
    if several:
        raise data_error(
            place(run),
            found=f"{many(several, 'list')} with more than one known label",
            expected="one in a list: that of the candidate that was chosen",
            fix=f"give each decision a {schema.REQUEST_ID} of its own with all its candidates, or write {schema.TARGET_PROPENSITY}",
        )
    _refuse(
        known_N & (np.bincount(list_N)[list_N] == 1) & (numbers(table, schema.PROPENSITY, run) < 1),
        run,
        schema.PROPENSITY,
        found="less than 1 in a list of one row",
        expected="1, or beside it the candidates that were not chosen: the softmax is over all that could have been",
        fix=f"add them as rows without labels and without {schema.PROPENSITY}, or write {schema.TARGET_PROPENSITY}",
    )


def known_rows(label: Mapping[str, FloatArray]) -> NDArray[np.bool_]:
    """Return which rows have a known label of any objective."""
    known_N: NDArray[np.bool_] = np.any([~np.isnan(label_N) for label_N in label.values()], axis=0)
    return known_N


def weighed(scores: Scores, table: pa.Table, impressions: Impressions, label: Mapping[str, FloatArray]) -> Scores:
    """Return the scores with the importance weights of the ordered table that they were read from.

    `label` holds the labels of the log, by target. q̂(π) is the mean of a prediction over a list, weighted by its target propensities.
    q̂(π) is given only if the table names requests, no list has two known labels, and the propensities of each list with a known label sum
    to 1. Then the rows of a list are all the candidates of one decision. Raises DataError for a propensity that is null, not above 0 or
    above 1 in a row with a known label, for a target propensity outside [0, 1], for a logging policy that never chose at random, and where
    the candidates of some requests, but not of most, sum to something else than 1.
    """
    known_N = known_rows(label)
    logged_N, target_N = (numbers(table, column, scores.run) for column in (schema.PROPENSITY, schema.TARGET_PROPENSITY))
    _check_logged(logged_N[known_N], target_N[known_N], scores.run)
    _refuse(
        ~((target_N >= 0) & (target_N <= 1))[known_N | ~np.isnan(target_N)],
        scores.run,
        schema.TARGET_PROPENSITY,
        found="null, or a value outside [0, 1]",
        expected="a probability wherever the label is known",
        fix="write the probability with which the target policy chooses the item",
    )
    weight_N = np.full(len(table), np.nan)
    weight_N[known_N] = target_N[known_N] / logged_N[known_N]
    predicted = {name: predicted.expected_N for name, predicted in scores.predicted.items()}
    return replace(
        scores, importance=Importance(weight_N, _over_policy(table, impressions.list_N, known_N, target_N, predicted, scores.run))
    )


def _check_logged(logged_N: FloatArray, target_N: FloatArray, run: str) -> None:
    _refuse(
        (logged_N == 0) & (target_N > 0),
        run,
        schema.PROPENSITY,
        found=f"0 where {schema.TARGET_PROPENSITY} is above 0",
        expected="more than 0: the log says nothing of what its policy never chooses",
        fix="value a policy that chooses among what was logged",
    )
    _refuse(
        ~((logged_N > 0) & (logged_N <= 1)),
        run,
        schema.PROPENSITY,
        found="null, or a value not above 0 or above 1",
        expected="the probability with which the logged item was chosen, wherever the label is known",
        fix="leave out rows that nobody chose at random",
    )
    if len(logged_N) and (logged_N == 1).all():
        raise data_error(
            place(run, schema.PROPENSITY),
            found="1 throughout: a logging policy that is deterministic",
            expected="one that chooses at random: this log says nothing of what it did not choose",
            bad_rows=len(logged_N),
            rows=len(logged_N),
            fix="log some traffic of a policy that chooses at random",
        )


def _refuse(bad_N: NDArray[np.bool_], run: str, column: str, *, found: str, expected: str, fix: str) -> None:
    bad = int(np.count_nonzero(bad_N))
    if bad:
        error: DataError = data_error(place(run, column), found=found, expected=expected, bad_rows=bad, rows=len(bad_N), fix=fix)
        raise error


def _over_policy(
    table: pa.Table, list_N: IntArray, known_N: NDArray[np.bool_], target_N: FloatArray, predicted: Mapping[str, FloatArray], run: str
) -> dict[str, FloatArray]:
    """Return q̂(π) of each row's list, by target.

    Targets with a missing prediction are left out. The result is empty where lists are not whole decisions.
    """
    if schema.REQUEST_ID not in table.column_names or table[schema.REQUEST_ID].null_count:
        return {}
    chosen_G = np.bincount(list_N, known_N)
    total_G = np.bincount(list_N, target_N)
    if (chosen_G > 1).any():
        return {}
    is_whole_G = np.abs(total_G - 1) <= _SUM
    if not is_whole_G[chosen_G == 1].all():
        _check_wholes(is_whole_G, np.bincount(list_N) > 1, chosen_G == 1, run)
        return {}
    share_N = target_N / np.where(total_G > 0, total_G, 1.0)[list_N]
    means = {name: np.asarray(np.bincount(list_N, share_N * each_N), np.float64)[list_N] for name, each_N in predicted.items()}
    return {name: mean_N for name, mean_N in means.items() if not np.isnan(mean_N[known_N]).any()}


def _check_wholes(is_whole_G: NDArray[np.bool_], has_others_G: NDArray[np.bool_], is_chosen_G: NDArray[np.bool_], run: str) -> None:
    """Raise DataError where most requests hold all their candidates, and some do not: one of them would change what `dr` is."""
    torn = int(np.count_nonzero(~is_whole_G & has_others_G & is_chosen_G))
    chosen = int(np.count_nonzero(is_chosen_G))
    if torn and 2 * np.count_nonzero(is_whole_G & has_others_G & is_chosen_G) > chosen:
        raise data_error(
            place(run, schema.TARGET_PROPENSITY),
            found=f"{many(torn, 'request')} of {chosen:,} whose candidates do not sum to 1",
            expected="1 in all of them, as in most: then the rows of a request are all that could have been chosen",
            fix="add the candidates that are missing, write more digits, or leave these requests out",
        )


def softmax_propensity(score_N: FloatArray, list_N: IntArray, *, temperature: float = 1.0) -> FloatArray:
    """Return P(row | its list) ∝ exp(score / temperature): how often a policy that samples by the fused score chooses each row of a list.

    `list_N` are codes ≥ 0 of lists. The rows of a list are all the candidates of one decision. A small temperature comes close to always
    taking the best candidate, a large one to choosing uniformly. Raises ValueError for a temperature that is not above 0, for scores that
    are not finite, and for arrays of different length.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature: found {temperature}, expected more than 0")
    if len(score_N) != len(list_N):
        raise ValueError(f"found {len(score_N)} scores and {len(list_N)} lists, expected a list for each score")
    if not np.isfinite(score_N).all():
        raise ValueError(f"found {np.count_nonzero(~np.isfinite(score_N)):,} of {len(score_N):,} scores not finite, expected numbers")
    lists = int(list_N.max(initial=-1)) + 1
    best_G = np.full(lists, -np.inf)
    np.maximum.at(best_G, list_N, score_N)
    odds_N = np.exp((score_N - best_G[list_N]) / temperature)
    probability_N: FloatArray = odds_N / np.bincount(list_N, odds_N, lists)[list_N]
    return probability_N
