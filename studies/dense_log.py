"""Measure what factors (`features.factors`) bring, and ids instead, on a dense log whose taste is known: few users, few items.

    python -m studies.dense_log --worlds 3 --out docs/factors.csv

A log has 943 users, 1,682 items and 100,000 pairs, as MovieLens 100K has. Whether a user likes an item is a draw from a probability that
the study knows. Its logit is the item's popularity plus the product of a taste and a character of eight numbers each. The days are thirty.
On logs "all along" users come at random moments. On logs "two visits" each user comes twice, and then rates an item per minute.

Each log is learned with default options, and the signal, in three ways: without factors, with ids of users and items in their place, and
with the defaults, which are factors here.
The study writes the AUC and GAUC (within users) of the net, the trees, popularity and the truth on the last three days.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import roc_auc_score

import recsys
from recsys.config import Pipeline
from recsys.evaluation import half_widths

USERS, ITEMS, ROWS, RANK, DAYS = 943, 1_682, 100_000, 8, 30
TASTE, POPULARITY = 1.2, 0.8  # standard deviations on the logit
START, DAY_S = 1_704_067_200, 86_400  # 2024-01-01
FIRST_SEED = 7
LOGS = ("all along", "two visits")
WAYS: dict[str, dict[str, object]] = {
    "no factors": {"factors": {}},
    "ids": {"factors": {}, "ids": ["user_id", "item_id"]},
    "the defaults": {},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="CSV of one row a log, world, way, ranker and metric")
    parser.add_argument("--worlds", type=int, default=3)
    arguments = parser.parse_args()
    rows: list[pd.DataFrame] = []
    for seed in range(FIRST_SEED, FIRST_SEED + arguments.worlds):
        for kind in LOGS:
            rows.append(judged(simulate(kind, seed), seed, WAYS).assign(log=kind, seed=seed))
            pd.concat(rows).to_csv(arguments.out, index=False, float_format="%.5f")
    print(means(pd.concat(rows)).to_string(index=False))


def simulate(kind: str, seed: int, rows: int = ROWS) -> pd.DataFrame:
    """Draw a log in the order of time: user_id, item_id, timestamp (s), liked, and `truth`, the probability. A pair comes once."""
    rng = np.random.default_rng([seed, LOGS.index(kind)])
    activity, exposure = rng.lognormal(0.0, 1.0, USERS), rng.lognormal(0.0, 1.0, ITEMS)
    weights_UI = np.outer(activity, exposure).ravel()
    pairs = rng.choice(USERS * ITEMS, rows, replace=False, p=weights_UI / weights_UI.sum())
    user_N, item_N = np.divmod(pairs, ITEMS)
    taste_UR, character_IR = rng.standard_normal((USERS, RANK)), rng.standard_normal((ITEMS, RANK))
    popular_I = POPULARITY * rng.standard_normal(ITEMS)
    truth_N = expit(popular_I[item_N] + TASTE / np.sqrt(RANK) * (taste_UR[user_N] * character_IR[item_N]).sum(1))
    moment_N = rng.integers(0, DAYS * DAY_S, rows) if kind == "all along" else _in_two_visits(user_N, rng)
    log = pd.DataFrame({"user_id": user_N, "item_id": item_N, "timestamp": START + moment_N, "truth": truth_N})
    log["liked"] = (rng.random(rows) < truth_N).astype(int)
    return log.sort_values(["timestamp", "user_id"], kind="stable", ignore_index=True)


def _in_two_visits(user_N: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return seconds: each row belongs to one of its user's two visits, and is a minute after the visit's row before it."""
    days_U2, begin_U2 = rng.integers(0, DAYS, (USERS, 2)), rng.integers(0, DAY_S // 2, (USERS, 2))
    visit_N = rng.integers(0, 2, len(user_N))
    place_N = pd.DataFrame({"user": user_N, "visit": visit_N}).groupby(["user", "visit"]).cumcount().to_numpy()
    moment_N = begin_U2[user_N, visit_N] + 60 * place_N
    seconds_N: NDArray[np.int64] = days_U2[user_N, visit_N] * DAY_S + np.minimum(moment_N, DAY_S - 1)
    return seconds_N


def pipeline_of(log: Path, features: dict[str, object], seed: int) -> Pipeline:
    """Return a pipeline of default options but for the signal and what `features` says."""
    tables = {
        "name": "dense",
        "seed": seed,
        "source": {"kind": "table", "log": str(log), "time": {"unit": "s"}},
        "split": {"train": ["2024-01-03", "2024-01-23"], "validation": ["2024-01-24", "2024-01-27"], "test": ["2024-01-28", "2024-01-30"]},
        "objective": [{"name": "liked", "group": "satisfaction", "label": "liked = 1"}],
        "features": {"signals": ["liked"], **features},
        "evaluate": {"bootstrap": 20, "baselines": ["popularity", "gbdt"]},
    }
    return Pipeline.model_validate(tables)


def judged(log: pd.DataFrame, seed: int, ways: dict[str, dict[str, object]]) -> pd.DataFrame:
    """Return a row per way, ranker and metric, on the test days."""
    found = []
    with tempfile.TemporaryDirectory(prefix="dense-log-") as scratch:
        path = Path(scratch) / "log.csv"
        log.drop(columns="truth").to_csv(path, index=False)
        for way, features in ways.items():
            run = recsys.run(pipeline_of(path, features, seed), workspace=Path(scratch) / "data", quiet=True)
            metrics = run.metrics.query("objective == 'liked' and split == 'test' and slice == 'all' and day.isna()")
            for metric in ("auc", "gauc"):
                of = metrics[metrics["metric"] == metric]
                own = of[of["against"].isna()]["value"].item()
                found.append({"way": way, "ranker": "experts", "metric": metric, "value": own})
                for name, difference in of[of["against"].notna()].set_index("against")["value"].items():
                    ranker = "trees" if str(name).startswith("gbdt") else "popularity"
                    found.append({"way": way, "ranker": ranker, "metric": metric, "value": own - difference})
    test = log[log["timestamp"] >= START + (DAYS - 3) * DAY_S]
    found += [{"way": "truth", "ranker": "truth", "metric": metric, "value": value} for metric, value in true_metrics(test).items()]
    return pd.DataFrame(found)


def true_metrics(test: pd.DataFrame) -> dict[str, float]:
    """Return AUC and GAUC (within users, weighted by their rows) of the true probability."""
    within, rows = [], []
    for _, of_user in test.groupby("user_id"):
        if of_user["liked"].nunique() == 2:
            within.append(roc_auc_score(of_user["liked"], of_user["truth"]))
            rows.append(len(of_user))
    return {"auc": float(roc_auc_score(test["liked"], test["truth"])), "gauc": float(np.average(within, weights=rows))}


def means(table: pd.DataFrame, by: Sequence[str] = ("log", "way", "ranker", "metric")) -> pd.DataFrame:
    """Return means over the worlds with Student's 95 % intervals."""
    found = []
    for names, group in table.groupby(list(by), sort=False):
        (half,) = half_widths(group["value"].to_numpy().reshape(1, -1, 1), confidence=0.95)
        mean = group["value"].mean()
        found.append({**dict(zip(by, names, strict=True)), "mean": mean, "low": mean - half, "high": mean + half, "worlds": len(group)})
    return pd.DataFrame(found).round(4)


if __name__ == "__main__":
    main()
