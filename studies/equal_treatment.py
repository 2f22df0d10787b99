"""The lead of a pipeline's net over boosted trees that know what the net knows, per objective, over simulated worlds.

    python -m studies.equal_treatment benchmarks/demo.toml --seeds 7 8 9 10 11 --out docs/equal-treatment.csv

The study runs the pipeline until evaluate once per seed, with the trees as its only baseline. Each seed makes another world. Per seed and
objective it keeps the main metric on the test days and its paired difference to the trees, as metrics.parquet has them. An interrupted
study goes on where it stopped. The interval of a mean is Student's, over worlds.
"""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from recsys import artifacts, config, jobs, schema, walk
from recsys.evaluation import half_widths, main_metric
from recsys.progress import Console
from recsys.workspace import METRICS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline", type=Path, help="a pipeline's TOML")
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9, 10, 11])
    parser.add_argument("--out", type=Path, required=True, help="CSV of one row per seed and objective")
    parser.add_argument("--workspace", type=Path, default=Path("data"))
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="repeatable")
    arguments = parser.parse_args()
    rows: list[Any] = pd.read_csv(arguments.out).to_dict("records") if arguments.out.exists() else []
    for seed in arguments.seeds:
        if seed not in {row["seed"] for row in rows}:
            rows += one_world(arguments.pipeline, seed, arguments.overrides, arguments.workspace)
            pd.DataFrame(rows).to_csv(arguments.out, index=False)
    print(summary(pd.DataFrame(rows)).to_string(index=False))


def one_world(path: Path, seed: int, overrides: list[str], workspace: Path) -> list[dict[str, object]]:
    """Return one row per objective: the net's main metric on the test days and its paired difference to the trees."""
    options = config.load(path, [*overrides, f"seed={seed}", 'evaluate.baselines=["gbdt"]', "evaluate.against=[]"])
    job = jobs.open_job(options, workspace, run=None, replace=False, console=Console())
    walk.run(job, until="evaluate")
    metrics = artifacts.read_table(job.run / METRICS).to_pandas()
    whole = metrics[(metrics["split"] == schema.TEST) & metrics["day"].isna() & (metrics["slice"] == "all")]
    rows = []
    for objective in options.objective:
        of_it = whole[(whole["objective"] == objective.name) & (whole["metric"] == main_metric(objective))]
        own, paired = (of_it[of_it["against"].isna() == alone].iloc[0] for alone in (True, False))
        kept: dict[str, object] = {"seed": seed, "objective": objective.name, "metric": own["metric"], "value": own["value"]}
        rows.append(kept | {"gain": paired["value"], "low": paired["low"], "high": paired["high"], "n": own["n"]})
    return rows


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one line per objective: the mean over worlds of the metric, and of its difference to the trees with the interval."""
    lines = []
    for (objective, metric), worlds in rows.groupby(["objective", "metric"], sort=False):
        gain, (half,) = worlds["gain"].mean(), half_widths(worlds["gain"].to_numpy().reshape(1, -1, 1), confidence=0.95)
        means = {"net": worlds["value"].mean(), "trees": (worlds["value"] - worlds["gain"]).mean()}
        interval = {"net − trees": gain, "low": gain - half, "high": gain + half}
        lines.append({"objective": objective, "metric": metric, "worlds": len(worlds), **means, **interval})
    return pd.DataFrame(lines).round(4)


if __name__ == "__main__":
    main()
