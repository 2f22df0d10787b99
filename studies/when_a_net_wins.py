"""From how many impressions on a mixture of experts beats boosted trees on the simulated feed, and how far both are from the truth.

    python -m studies.when_a_net_wins --users 1250 4000 12500 --worlds 3 --out docs/when-a-net-wins.csv --figure docs/when-a-net-wins.png

For each number of users and each seed the study simulates a world of eight days and runs the demo's pipeline on it, with as many members
as are the default. A user leaves some eighty impressions. The trees are scikit-learn's, one ensemble per objective, on the same columns; or
LightGBM's, with --set 'evaluate.baselines=["popularity", "lightgbm", "truth"]'.
The truth is the simulator's own expectation, on the same impressions: no ranker can be expected to do better by AUC. (By XAUC of a watch
time it can be beaten, so no share of the way is computed there.) The last day is judged.

Per objective there are the metric over all impressions and the one within lists, of popularity, trees, experts and truth, and the
difference of experts and trees with its interval over users.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

import recsys
from recsys import schema
from recsys.config import Pipeline, load
from recsys.evaluation import half_widths
from recsys.workspace import RAW
from recsys.world import read_truth

CONFIG = Path(__file__).parents[1] / "pipelines" / "demo.toml"
FIRST_SEED = 7
METRICS = {"click": ("auc", "gauc_list"), "watch_time": ("xauc", "xgauc_list"), "like": ("auc", "gauc_list"),
           "share": ("auc", "gauc_list"), "dismissal": ("auc", "gauc_list")}  # fmt: skip
EXPERTS, TREES, POPULARITY, TRUTH, LEAD = "experts", "trees", "popularity", "truth", "experts - trees"
RANKERS = {"popularity": POPULARITY, "gbdt": TREES, "lightgbm": TREES, "truth": TRUTH}
Rows = list[dict[str, Any]]


def main() -> None:
    """Run the grid. Every finished world is a block of the table, so an interrupted study goes on where it stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="CSV of one row a world, objective, metric and ranker")
    parser.add_argument("--figure", type=Path, help="PNG of the share of the way from popularity to the truth")
    parser.add_argument("--users", type=int, nargs="+", default=[1_250, 4_000, 12_500])
    parser.add_argument("--worlds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another value for a key of the pipeline")
    parser.add_argument(
        "--trees", type=Path, help="earlier table of the same worlds: its trees are taken, because they do not depend on the nets"
    )
    arguments = parser.parse_args()
    earlier = None if arguments.trees is None else pd.read_csv(arguments.trees)
    rows: Rows = pd.read_csv(arguments.out).to_dict("records") if arguments.out.exists() else []
    done = {(row["users"], row["seed"]) for row in rows}
    for users in arguments.users:
        for seed in range(FIRST_SEED, FIRST_SEED + arguments.worlds):
            if (users, seed) not in done:
                rows += one_world(users, seed, arguments.set, earlier)
                pd.DataFrame(rows).to_csv(arguments.out, index=False, float_format="%.5f")
    table = pd.DataFrame(rows)
    table = table[table["users"].isin(arguments.users)]
    print(summary(table).to_string(index=False))
    if arguments.figure:
        figure(summary(table)).save(arguments.figure, scale_factor=2)


def one_world(users: int, seed: int, overrides: Sequence[str] = (), earlier: pd.DataFrame | None = None) -> Rows:
    """Run the pipeline on one world. Return a row per objective, metric and ranker. The world's files are deleted afterwards.

    Trees are fitted, or taken from an `earlier` table of this world. Then their difference to the experts has no interval over users.
    """
    trees = None if earlier is None else _trees_of(earlier, users, seed)
    if trees is not None:
        overrides = ['evaluate.baselines=["popularity", "truth"]', *overrides]
    with tempfile.TemporaryDirectory(prefix="when-a-net-wins-") as folder:
        workspace = Path(folder)
        pipeline = pipeline_of(users, seed, overrides)
        run = recsys.run(pipeline, workspace=workspace, quiet=True)
        impressions = len(read_truth(workspace / pipeline.name / RAW, ["request"]))
        found = _of_run(run.metrics)
    if trees is not None:
        found += _with_trees(found, trees)
    return [{"users": users, "seed": seed, "impressions": impressions, **row} for row in found]


def pipeline_of(users: int, seed: int, overrides: Sequence[str] = ()) -> Pipeline:
    """Return the demo's pipeline on a world of so many users, with the default number of members and without the baseline `single_task`."""
    fixed = [f"source.users={users}", f"seed={seed}", "model.members=auto", 'evaluate.baselines=["popularity", "gbdt", "truth"]']
    return load(CONFIG, [*fixed, *overrides])


def _of_run(metrics: pd.DataFrame) -> Rows:
    found: Rows = []
    for objective, names in METRICS.items():
        for metric in names:
            rows = _whole_test(metrics, objective, metric)
            own = rows[rows["against"].isna()].iloc[0]
            found.append(_row(objective, metric, EXPERTS, own["value"], own["low"], own["high"], own["n"]))
            for _, other in rows[rows["against"].notna()].iterrows():
                ranker = RANKERS[str(other["against"]).partition("-")[0]]
                found.append(_row(objective, metric, ranker, own["value"] - other["value"], n=own["n"]))
                if ranker == TREES:
                    found.append(_row(objective, metric, LEAD, other["value"], other["low"], other["high"], own["n"]))
    return found


def _trees_of(earlier: pd.DataFrame, users: int, seed: int) -> pd.Series:
    """Return the trees' values by objective and metric; exit with an error where the table has none of this world."""
    rows = earlier[(earlier["users"] == users) & (earlier["seed"] == seed) & (earlier["ranker"] == TREES)]
    if rows.empty:
        raise SystemExit(f"error: --trees: found no row of users {users} and seed {seed}, expected a table of the same worlds")
    return rows.set_index(["objective", "metric"])["value"]


def _with_trees(found: Rows, trees: pd.Series) -> Rows:
    """Return rows of the trees, and of the difference of these experts to them."""
    rows = []
    for own in [row for row in found if row["ranker"] == EXPERTS]:
        value = float(trees[own["objective"], own["metric"]])
        rows.append(_row(own["objective"], own["metric"], TREES, value, n=own["n"]))
        rows.append(_row(own["objective"], own["metric"], LEAD, own["value"] - value, n=own["n"]))
    return rows


def _whole_test(metrics: pd.DataFrame, objective: str, metric: str) -> pd.DataFrame:
    is_asked = (metrics["objective"] == objective) & (metrics["metric"] == metric)
    return metrics[is_asked & (metrics["split"] == schema.TEST) & (metrics["slice"] == schema.ALL) & metrics["day"].isna()]


def _row(
    objective: str, metric: str, ranker: str, value: float, low: float | None = None, high: float | None = None, n: int | None = None
) -> dict[str, Any]:
    return {"objective": objective, "metric": metric, "ranker": ranker, "value": value, "low": low, "high": high, "n": n}


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return, per size, objective and metric: means over worlds, the lead over the trees, and shares of the way from popularity to truth.

    Intervals are Student's at 95 %, over the worlds. One world has none.
    """
    found = []
    for (users, objective, metric), group in table.groupby(["users", "objective", "metric"], sort=False):
        of = group.pivot(index="seed", columns="ranker", values="value")
        way = (of[TRUTH] - of[POPULARITY]) * (np.nan if metric.startswith("x") else 1.0)
        numbers = {
            LEAD: of[LEAD],
            "way of experts": (of[EXPERTS] - of[POPULARITY]) / way,
            "way of trees": (of[TREES] - of[POPULARITY]) / way,
        }
        row: dict[str, Any] = {"users": users, "impressions": round(group["impressions"].mean()), "objective": objective, "metric": metric}
        row |= {name: of[name].mean() for name in (POPULARITY, TREES, EXPERTS, TRUTH)} | {"worlds": len(of)}
        for name, values in numbers.items():
            (half,) = half_widths(values.to_numpy().reshape(1, -1, 1), confidence=0.95)
            row |= {name: values.mean(), f"{name}, low": values.mean() - half, f"{name}, high": values.mean() + half}
        found.append(row)
    return pd.DataFrame(found).round(4)


def figure(shown: pd.DataFrame) -> alt.FacetChart:
    """Draw the share of the way from popularity to the truth against impressions: a panel per objective, a line per ranker."""
    rows = pd.concat(
        [
            shown[["impressions", "objective", "metric"]].assign(
                ranker=name, share=shown[f"way of {name}"], low=shown[f"way of {name}, low"], high=shown[f"way of {name}, high"]
            )
            for name in (EXPERTS, TREES)
        ]
    )
    rows = rows[rows["metric"] == "auc"]
    base = alt.Chart(rows).encode(
        x=alt.X(
            "impressions:Q",
            scale=alt.Scale(type="log", nice=False, padding=15),
            title="impressions",
            axis=alt.Axis(format="~s", tickCount=3),
        ),
        color=alt.Color("ranker:N", title=None, scale=alt.Scale(domain=[EXPERTS, TREES], range=["#4269d0", "#ff8ab7"])),
    )
    of_way = alt.Scale(domain=[0, 1])
    y = alt.Y("share:Q", title="share of the way to the truth", axis=alt.Axis(format="%"), scale=of_way)
    lines = base.mark_line(point=True, clip=True).encode(y=y)
    bars = base.mark_rule(clip=True).encode(y=alt.Y("low:Q", title=None, scale=of_way), y2="high:Q")
    return (
        (bars + lines)
        .properties(width=150, height=180)
        .facet(alt.Facet("objective:N", title=None, sort=[name for name, (pooled, _) in METRICS.items() if pooled == "auc"]), columns=4)
    )


if __name__ == "__main__":
    main()
