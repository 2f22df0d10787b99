"""The per-objective table as a frame. The terminal's table, the page's tables and its figures show this frame and compute nothing anew."""

import re

import numpy as np
import pandas as pd
import pyarrow as pa

from recsys import schema
from recsys.evaluation import ALIKE, HEADLINE, POOLED, WITHIN, is_within_lists
from recsys.list_metrics import ListMetric, is_captured, is_list_metric

IN_UNITS = ("rmse",)  # in the label's unit: not to be drawn on one axis with another objective
SPLIT_ORDER = (schema.TEST, schema.VALIDATION, schema.TRAIN)
ALL_IMPRESSIONS, IN_LISTS, IN_USERS, VALUES = "all impressions", "lists", "users", "values"  # what a metric asks of the predictions
ORDERS = ("auc", "pr_auc", "xauc", "spearman")  # metrics of the order of all impressions
BETTER, WORSE, UNCLEAR = "better", "worse", "unclear"
KEYS = ["run", "split", "objective", "metric", "day", "slice", "slice_value"]  # these identify a number; nulls are values of their own

_DIFFERENCE = {
    "value": "difference",
    "low": "difference_low",
    "high": "difference_high",
    "reason": "difference_reason",
    "n": "difference_n",
}
_FINGERPRINT = re.compile(r"-[0-9a-f]{6}([0-9a-f]{6})?$")  # no day, as in night-2024-01-05


def frame(rows: pa.Table) -> pd.DataFrame:
    """Return one row per run, split, objective, metric, day, slice value *and* run compared with, with the numbers of `rows`.

    `rows` are in the form of `schema.METRICS`. The frame holds the columns of that form, with `against` null where nothing is
    compared. It also holds `difference`, `difference_low`, `difference_high`, `difference_reason`, `difference_n`, `verdict`, `is_main`
    and `scope`. A
    verdict is better, worse or unclear (the interval holds 0), and None without an interval. The main metrics of an objective are the
    pooled ones of its kind (`evaluation.POOLED`) and one within lists or users; `scope` says which. Within a run, test
    rows come first. Objectives and metrics stand in the order of `rows`, main metrics first. Raises ValueError naming the columns that
    `rows` lacks.
    """
    missing = [name for name in schema.METRICS.names if name not in rows.column_names]
    if missing:
        raise ValueError(f"found no column {', '.join(missing)}, expected the columns of metrics.parquet")
    long = rows.select(schema.METRICS.names).to_pandas()
    values = long[long["against"].isna()].drop(columns="against")
    differences = long[long["against"].notna()][[*KEYS, "against", *_DIFFERENCE]].rename(columns=_DIFFERENCE)
    table = values.merge(differences, on=KEYS, how="left", sort=False, validate="one_to_many")
    table["verdict"] = [
        verdict_of(*row) for row in table[["difference_low", "difference_high", "better"]].itertuples(index=False, name=None)
    ]
    table["scope"] = _scopes(table)
    table["is_main"] = table["scope"].notna()
    return _ordered(table)


def scope_of(metric: str) -> str | None:
    """Return what a metric asks of the predictions: an order of all impressions, lists or users, or values. None: of the fused order."""
    if is_list_metric(metric):
        return None
    if metric in WITHIN:
        return IN_LISTS
    if metric in WITHIN.values():
        return IN_USERS
    return ALL_IMPRESSIONS if metric in ORDERS else VALUES


def _scopes(table: pd.DataFrame) -> pd.Series:
    """Return how each main metric looks at the impressions, None for other metrics.

    Of the two metrics within, the whole split decides which one counts, for its days and slices too.
    """
    scopes = pd.Series(None, index=table.index, dtype=object)
    pooled = table["metric"].isin(POOLED)
    scopes[pooled] = table.loc[pooled, "metric"].map(scope_of)
    for _, of in table.groupby(["run", "split", "objective"], sort=False):
        of_whole = whole(of)
        for in_lists, in_users in WITHIN.items():
            lists, users = of_whole[of_whole["metric"] == in_lists], of_whole[of_whole["metric"] == in_users]
            is_told = lists["reason"].isna() | (lists["reason"] == ALIKE)
            lists_tell, users_tell = lists["value"].notna() & is_told, users["value"].notna()
            is_lists = is_within_lists(lists_tell=bool(lists_tell.any()), users_tell=bool(users_tell.any()))
            scopes[of.index[of["metric"] == (in_lists if is_lists else in_users)]] = IN_LISTS if is_lists else IN_USERS
    return scopes


def whole(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows over all days and all slices of a split."""
    return table[table["day"].isna() & (table["slice"] == schema.ALL)]


def by_day(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["day"].notna() & (table["slice"] == schema.ALL)]


def by_slice(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["day"].isna() & (table["slice"] != schema.ALL)]


def falls(table: pd.DataFrame) -> pd.DataFrame:
    """Return the main metrics by slice, the worst falls first.

    Slices where the run is worse than another run come first, then the others. So a deep fall in a slice with few rows, whose interval
    holds 0, does not hide a fall that can be relied on. Slices without an interval (too few users) come behind those with one, and
    undefined values last. Within each part the order is by the fall, as a share of the value on the whole split (`whole_value`). Without a
    run to compare with, the fall is the one against `whole_value`.
    """
    of_whole = whole(table).drop_duplicates(KEYS)[["run", "split", "objective", "metric", "value"]].rename(columns={"value": "whole_value"})
    sliced = by_slice(table[table["is_main"]]).merge(of_whole, on=["run", "split", "objective", "metric"], how="left")
    change = sliced["difference"] if compared(table) else sliced["value"] - sliced["whole_value"]
    gain = change * sliced["better"].map({schema.HIGHER: 1.0, schema.LOWER: -1.0}).astype(float) / sliced["whole_value"].abs()
    lines = [sliced[key] for key in KEYS]
    worst = gain.groupby(lines, dropna=False).transform("min").to_numpy()
    is_worse = (sliced["verdict"] == WORSE).groupby(lines, dropna=False).transform("any").to_numpy()
    has_interval = sliced["difference_low" if compared(table) else "low"].notna().groupby(lines, dropna=False).transform("any").to_numpy()
    return sliced.iloc[np.lexsort((worst, ~has_interval, ~is_worse))].reset_index(drop=True)


def captured(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the first captured@P% in the table, one per objective: the share that the fused order puts on top.

    There are none without a score.
    """
    names = [name for name in table["metric"].unique() if is_captured(name) and ListMetric.parse(name).k is None]
    return table[table["metric"].isin(names[:1])]


def splits(table: pd.DataFrame) -> list[str]:
    """Return the splits in the table, the test first, and last those that another system's file has names of its own for."""
    there = set(table["split"])
    return [*(split for split in SPLIT_ORDER if split in there), *sorted(there.difference(SPLIT_ORDER))]


def compared(table: pd.DataFrame) -> list[str]:
    """Return the runs that this run is compared with, in the order of the rows."""
    return list(table["against"].dropna().unique())


def short_names(runs: list[str]) -> dict[str, str]:
    """Return run → short name: without the fingerprint at its end ("gbdt-1a2b3c" → "gbdt").

    Runs that would share a short name keep their whole name.
    """
    short = [_FINGERPRINT.sub("", run) for run in runs]
    return {run: name if short.count(name) == 1 else run for run, name in zip(runs, short, strict=True)}


def verdict_of(low: float, high: float, better: str | None) -> str | None:
    """Return the verdict on the interval of a difference. None without an interval, and for a metric without a direction."""
    if pd.isna(low) or pd.isna(high) or better not in (schema.HIGHER, schema.LOWER):
        return None
    if low <= 0 <= high:
        return UNCLEAR
    return BETTER if (low > 0) == (better == schema.HIGHER) else WORSE


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    """Sort stably by run, split and objective (first seen first), main metrics first."""
    place = pd.DataFrame(
        {
            "run": pd.factorize(table["run"])[0],
            "split": table["split"].map({split: n for n, split in enumerate(splits(table))}).to_numpy(),
            "objective": pd.factorize(table["objective"])[0],
            "metric": [HEADLINE.index(metric) if metric in HEADLINE else len(HEADLINE) for metric in table["metric"]],
        }
    )
    return table.iloc[place.sort_values(list(place.columns), kind="stable").index].reset_index(drop=True)
