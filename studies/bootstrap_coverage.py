"""The share of 95 % intervals that hold a metric's truth, for users of equal size, of log-normal size, and with a heavy tail.

    python -m studies.bootstrap_coverage --runs coverage-runs.csv --out docs/bootstrap-coverage.csv --figure docs/bootstrap-coverage.png

A log has 500 users. Each user has one level in the prediction and another in the label. Neither depends on the user's number of rows, which
is 20 for all ("equal"), log-normal with σ = 1 ("log-normal"), or follows Zipf's law with exponent 1.6 up to 5,000 ("zipf"). In three more
kinds of logs every user has 20 rows, and 10, 25 or 50 positives are expected among the rows of all ("rare 10" and so on). Simulation s of
a size is drawn with seed s, and its users are resampled 1,000 times with seed s. All ways to an interval use the same draws or the same
sums by user:

- "expanded": that of `recsys.evaluation`, the percentile interval expanded for the effective number of users;
- "percentile": the plain percentile interval;
- "bca": bias-corrected and accelerated (Efron, JASA 1987), with the acceleration from leaving out each user;
- "bootstrap-t": quantiles of (replicate − value) / its own standard error, robust for clusters (Efron & Tibshirani 1993, ch. 12);
- "jackknife t": ± Student's t with (effective users − 1) degrees of freedom, times the error from leaving out each user (CV3: MacKinnon,
  Nielsen & Webb, Journal of Econometrics 2023).

"auc" is replicated exactly, and "auc, influence" to first order. The last three ways use the first-order sums for both. Where positives
are rare, only the first two ways are tried: without a positive in some replicates the others are not defined.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from recsys.evaluation import Rows, UserDraws, percentile_interval
from recsys.evaluation.intervals.bootstrap import MIN_USERS, Estimate, Sums, effective_users, replicate
from recsys.evaluation.metrics.probability import calibration
from recsys.evaluation.metrics.ranking import _auc_exact, _auc_influence, _is_rarer, contrast, gauc
from studies.intervals import share

# Shapes: N rows, U users, R replicates, M sums of a metric.
FloatArray = NDArray[np.float64]
SIZES = ("equal", "log-normal", "zipf")
RARE = {"rare 10": 10, "rare 25": 25, "rare 50": 50}  # expected positives
ROWS = 20  # of a user, where all have as many
LARGEST = 5_000  # most rows of a user under Zipf's law
METRICS: dict[str, Callable[[Rows], Estimate]] = {
    "calibration": calibration,
    "auc": lambda rows: contrast(_auc_exact(rows), rows, _is_rarer(rows)),
    "auc, influence": lambda rows: contrast(_auc_influence(rows), rows, _is_rarer(rows)),
    "gauc": gauc,
}  # fmt: skip
WAYS = ("expanded", "percentile", "bca", "bootstrap-t", "jackknife t")
Bounds = tuple[float | None, float | None]
CONFIDENCE, REPLICATES = 0.95, 1_000


def main() -> None:
    """Run what is missing. Every finished hundred is in the table of runs, so an interrupted study goes on where it stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="CSV of one row an interval; what stands there is not run again")
    parser.add_argument("--out", type=Path, required=True, help="CSV of one row a size, metric and way")
    parser.add_argument("--figure", type=Path, help="PNG of the coverages")
    parser.add_argument("--simulations", type=int, default=1_000)
    parser.add_argument("--users", type=int, default=500)
    arguments = parser.parse_args()
    parts = [pd.read_csv(arguments.runs)] if arguments.runs.exists() else []
    for size in (*SIZES, *RARE):
        done = {seed for part in parts for seed in part.loc[part["size"] == size, "seed"]}
        missing = [seed for seed in range(arguments.simulations) if seed not in done]
        for start in range(0, len(missing), 100):
            true = truth(size, of_users=arguments.users)
            rows = [row for seed in missing[start : start + 100] for row in simulate(size, seed, true, users=arguments.users)]
            parts.append(pd.DataFrame(rows))
            pd.concat(parts).to_csv(arguments.runs, index=False, float_format="%.7g")
            print(f"{size}: {start + 100} of {len(missing)}", flush=True)
    table = coverages(pd.concat(parts))
    table.to_csv(arguments.out, index=False, float_format="%.4g")
    print(table.to_string(index=False))
    if arguments.figure:
        figure(table).save(arguments.figure, scale_factor=2)


# --- The logs and the truth ---------------------------------------------------------------------------------------
def rows_by_user(size: str, rng: np.random.Generator, users: int) -> NDArray[np.int64]:
    """Draw [U], the number of rows of each user."""
    if size == "equal" or size in RARE:
        return np.full(users, ROWS)
    if size == "log-normal":
        return np.ceil(rng.lognormal(2.5, 1.0, users)).astype(np.int64)
    weight = np.arange(1, LARGEST + 1) ** -1.6
    return rng.choice(np.arange(1, LARGEST + 1), users, p=weight / weight.sum())


def level(size: str, users: int) -> float:
    """Return the logit of an average row, such that so many positives are expected of so many users as the size says."""
    return float(np.log(RARE[size] / (users * ROWS)) - (1 + 1 + 0.7**2) / 2) if size in RARE else -1.5


def log(rng: np.random.Generator, rows_U: NDArray[np.int64], level: float) -> Rows:
    """Draw the log of users with these numbers of rows.

    The prediction is right on average, but knows nothing of the user's own level in the label.
    """
    users = len(rows_U)
    user_N = np.repeat(np.arange(users), rows_U)
    logit_N = rng.normal(size=users)[user_N] + rng.normal(size=len(user_N)) + level
    true_N = logit_N + 0.7 * rng.normal(size=users)[user_N]
    label_N = (rng.random(len(user_N)) < 1 / (1 + np.exp(-true_N))).astype(np.float64)
    prediction_N = 1 / (1 + np.exp(-logit_N))
    return Rows(label_N, prediction_N, prediction_N, user_N, user_N, users, users)


@cache
def truth(size: str, *, of_users: int, users: int = 200_000, logs: int = 5) -> dict[str, float]:
    """Compute the metrics of practically infinitely many users, of whom a log has `of_users`.

    A user's size says nothing about the user's levels. So users with one row each have the same AUC and calibration as users of any size.
    """
    at = level(size, of_users)
    alone = [log(np.random.default_rng([1, seed]), np.ones(10 * users, np.int64), at) for seed in range(logs)]
    of_rows = {name: float(np.mean([METRICS[name](rows).value() for rows in alone])) for name in ("calibration", "auc, influence")}
    sums_LM = []
    for seed in range(logs):
        rng = np.random.default_rng([2, seed])
        estimate = gauc(log(rng, rows_by_user(size, rng, users), at))
        assert isinstance(estimate, Sums)
        sums_LM.append(estimate.per_user_UM.sum(axis=0))
    right, weight = np.sum(sums_LM, axis=0)
    return of_rows | {"auc": of_rows["auc, influence"], "gauc": float(right / weight)}


# --- The intervals ------------------------------------------------------------------------------------------------
def simulate(size: str, seed: int, true: Mapping[str, float], *, users: int, replicates: int = REPLICATES) -> Iterator[dict[str, object]]:
    """Yield one row per metric and way. `true` holds the metrics of practically infinitely many users."""
    rng = np.random.default_rng([0, seed])
    rows = log(rng, rows_by_user(size, rng, users), level(size, users))
    estimates = {name: of(rows) for name, of in METRICS.items()}
    if not rows.label_N.any():
        return  # a log without a positive has no AUC
    draws = UserDraws(users, replicates, seed)
    by_metric = replicate(list(estimates.values()), draws, np.arange(users))
    for (name, estimate), replicates_R in zip(estimates.items(), by_metric, strict=True):
        by_sums = estimates["auc, influence"] if name == "auc" else estimate
        assert isinstance(by_sums, Sums)
        effective = effective_users(estimate, np.bincount(rows.user_N))
        place = {"size": size, "seed": seed, "rows": len(rows), "effective_users": effective, "metric": name}
        for way, (low, high) in intervals(estimate.value(), replicates_R, by_sums, draws, effective, rare=size in RARE).items():
            yield place | {"way": way, "low": low, "high": high, "covered": int(low <= true[name] <= high)}


def intervals(
    value: float, replicates_R: FloatArray, sums: Sums, draws: UserDraws, effective: float, *, rare: bool = False
) -> dict[str, Bounds]:
    """Return the interval of each way; of `rare` positives, of the two that need no other sums."""
    expanded_low, expanded_high, _ = percentile_interval(replicates_R, value, confidence=CONFIDENCE, effective_users=effective)
    low, high, _ = percentile_interval(replicates_R, value, confidence=CONFIDENCE)
    if rare:
        return {"expanded": (expanded_low, expanded_high), "percentile": (low, high)}
    whole_M, users = sums.per_user_UM.sum(axis=0), len(sums.per_user_UM)
    without_U = value - sums.combine(whole_M - sums.per_user_UM)
    error = float(np.sqrt((users - 1) / users * np.sum(without_U**2)))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, effective - 1)) * error
    return {
        "expanded": (expanded_low, expanded_high),
        "percentile": (low, high),
        "bca": bca(value, replicates_R, without_U),
        "bootstrap-t": bootstrap_t(value, sums, draws),
        "jackknife t": (value - half, value + half),
    }


def bca(value: float, replicates_R: FloatArray, without_U: FloatArray) -> tuple[float, float]:
    z = stats.norm.ppf([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    bias = stats.norm.ppf(np.mean(replicates_R < value))
    acceleration = np.sum(without_U**3) / (6 * np.sum(without_U**2) ** 1.5)
    low, high = np.quantile(replicates_R, stats.norm.cdf(bias + (bias + z) / (1 - acceleration * (bias + z))))
    return float(low), float(high)


def bootstrap_t(value: float, sums: Sums, draws: UserDraws) -> tuple[float, float]:
    """Compute the bootstrap-t interval.

    A replicate's variance is Σ w (∇ · s)² over users, with the metric's gradient ∇ and each user's sums s. It is computed as ∇ᵀ (Σ w s sᵀ)
    ∇, because Σ w s sᵀ is a sum over users too.
    """
    s_UM = sums.per_user_UM
    first, second = np.triu_indices(s_UM.shape[1])
    squares_UP = s_UM[:, first] * s_UM[:, second] * np.where(first == second, 1, 2)
    weights_RU = np.concatenate(list(draws.blocks())).astype(np.float64)
    t_R = (sums.combine(weights_RU @ s_UM) - value) / _errors(sums, weights_RU @ s_UM, weights_RU @ squares_UP)
    error = float(_errors(sums, s_UM.sum(axis=0)[None], squares_UP.sum(axis=0)[None])[0])
    low, high = np.quantile(t_R[np.isfinite(t_R)], [(1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2])
    return value - float(low) * error, value - float(high) * error


def _errors(sums: Sums, total_RM: FloatArray, squares_RP: FloatArray) -> FloatArray:
    steps = np.diag(1e-5 * np.abs(sums.per_user_UM.sum(axis=0)))
    slope_RM = np.stack([(sums.combine(total_RM + h) - sums.combine(total_RM - h)) / (2 * h.sum()) for h in steps], axis=-1)
    first, second = np.triu_indices(len(steps))
    errors_R: FloatArray = np.sqrt(np.sum(squares_RP * slope_RM[:, first] * slope_RM[:, second], axis=1))
    return errors_R


# --- The summary --------------------------------------------------------------------------------------------------
def coverages(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per size, metric and way: the share that covered, with Wilson's interval, and the mean width.

    Zipf's law has rows for all logs, for logs with fewer than twelve effective users, and for logs with twelve or more. Rare positives have
    rows for all logs in which the number has an interval, too.
    """
    few = runs["effective_users"] < 12
    zipf = runs["size"] == "zipf"
    parts = {size: runs["size"] == size for size in SIZES} | {"zipf, under 12 effective": zipf & few, "zipf, 12 or more": zipf & ~few}
    rare = runs["size"].isin(RARE)
    parts |= {size: runs["size"] == size for size in RARE} | {"rare, 20 or more effective": rare & (runs["effective_users"] >= MIN_USERS)}
    rows = []
    for part, chosen in parts.items():
        for (metric, way), group in runs[chosen].groupby(["metric", "way"], sort=False):
            coverage = share(int(group["covered"].sum()), len(group))
            rows.append(
                {
                    "size": part,
                    "metric": metric,
                    "way": way,
                    "simulations": len(group),
                    "rows": int(group["rows"].median()),
                    "effective_users": group["effective_users"].median(),
                    "coverage": coverage.value,
                    "low": coverage.low,
                    "high": coverage.high,
                    "mean_width": (group["high"] - group["low"]).mean(),
                }
            )
    return pd.DataFrame(rows)


def figure(table: pd.DataFrame) -> alt.FacetChart:
    """Draw coverage by way, one panel per size and metric, against the band of 93 to 97 %."""
    shown = table[table["size"].isin(SIZES)]
    base = alt.Chart().encode(y=alt.Y("way:N", sort=list(WAYS), title=None), color=alt.Color("way:N", sort=list(WAYS), legend=None))
    scale = alt.Scale(domain=[0.78, 1.0])
    band = (
        alt.Chart()
        .transform_aggregate(n="count()")  # once per panel, not once per row
        .mark_rect(opacity=0.15, color="green")
        .encode(x=alt.XDatum(0.93, scale=scale), x2=alt.X2Datum(0.97))
    )
    points = base.mark_point(filled=True, size=60).encode(x=alt.X("coverage:Q", title="coverage", scale=scale))
    bars = base.mark_rule().encode(x="low:Q", x2="high:Q")
    panels = alt.layer(band, bars, points, data=shown).properties(width=150, height=90)
    title = "How often a 95 % interval holds the truth (green: 93 to 97 %)"
    return panels.facet(
        row=alt.Row("size:N", sort=list(SIZES), title="size of users"),
        column=alt.Column("metric:N", sort=list(METRICS), title=None),
        title=title,
    )


if __name__ == "__main__":
    main()
