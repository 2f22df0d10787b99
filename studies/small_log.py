"""Hold the default recipe against boosted trees on small real logs: quarters of KuaiRand-Pure, of some 40,000 impressions each.

    python -m studies.small_log WHERE --days 2022-05-01 2022-05-04 --out docs/small-log.csv

WHERE is the folder of KuaiRand's files. A quarter has a random fourth of the users, drawn anew per seed, with all that they were shown.
On each quarter the pipeline pipelines/kuairand_pure.toml is backtested with the default options of model and training: each of the days
is predicted by a net and by trees that learned the days before it. The study writes one row per quarter, objective and metric, and prints
the means of the differences with Student's 95 % intervals over the quarters. (Quarters share users, so the intervals are a little narrow.)
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recsys import artifacts
from recsys.config.grid import axis, grid
from recsys.evaluation import half_widths
from recsys.experiments import Asked, run_backtest
from recsys.progress import Console

CONFIG = Path(__file__).parents[1] / "pipelines" / "kuairand_pure.toml"
LOG = "log_standard_4_22_to_5_08_pure.csv"
COLUMNS = ["objective", "metric", "better", "run", "against", "value", "low", "high", "n", "users"]


def main() -> None:
    """Run every quarter. Each finished one is a block of the table, so an interrupted study goes on where it stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="WHERE", help="folder of KuaiRand-Pure's files")
    parser.add_argument("--days", nargs=2, metavar="DAY", default=["2022-05-01", "2022-05-04"], help="first and last day that is predicted")
    parser.add_argument("--out", type=Path, required=True, help="CSV of one row a quarter, objective, metric and ranker")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="a quarter each")
    parser.add_argument("--share", type=float, default=0.25, help="part of the users that is kept")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another value for a key of the pipeline")
    parser.add_argument("--over", action="append", default=[], metavar="KEY=V1,V2", help="configs to compare; each has rows of its own")
    arguments = parser.parse_args()
    options = " ".join([*arguments.days, f"{arguments.share}", *arguments.set, *arguments.over])
    rows = [pd.read_csv(arguments.out)] if arguments.out.exists() else []
    if rows and set(rows[0]["options"]) != {options}:
        parser.error(f"{arguments.out}: found results of other options ({', '.join(set(rows[0]['options']))}). Fix: another --out")
    done = set(rows[0]["seed"]) if rows else set()
    for seed in arguments.seeds:
        if seed not in done:
            found = one_quarter(arguments.source, seed, arguments.share, arguments.days, arguments.set, arguments.over)
            rows.append(found.assign(options=options))
            pd.concat(rows).to_csv(arguments.out, index=False, float_format="%.5f")
    print(means(pd.concat(rows)).to_string(index=False))


def one_quarter(
    source: Path, seed: int, share: float, days: Sequence[str], overrides: Sequence[str] = (), over: Sequence[str] = ()
) -> pd.DataFrame:
    """Backtest one part of the log. Return all days' values and differences. Its files are deleted afterwards."""
    with tempfile.TemporaryDirectory(prefix="small-log-") as scratch:
        part = Path(scratch) / "source"
        thin(source, part, share, seed)
        first, last = (pd.Timestamp(day).date() for day in days)
        folder = run_backtest(
            CONFIG,
            [f"source.path={part}", f"seed={seed + 7}", *overrides],
            grid([axis(text) for text in over]) if over else [],
            Asked(first, last),
            Path(scratch) / "data",
            console=Console(quiet=True),
        )
        found: pd.DataFrame = artifacts.read_table(folder / "backtest.parquet").to_pandas()
    return found[found["day"].isna()][COLUMNS].assign(seed=seed)


def thin(source: Path, part: Path, share: float, seed: int) -> None:
    """Write the log of a random share of its users into a new folder `part`, beside links to the other files."""
    part.mkdir(parents=True)
    for file in source.glob("*.csv"):
        if file.name != LOG:
            (part / file.name).symlink_to(file.resolve())
    log = pd.read_csv(source / LOG)
    users = np.sort(log["user_id"].unique())
    kept = np.random.default_rng(seed).choice(users, round(share * len(users)), replace=False)
    log[log["user_id"].isin(kept)].to_csv(part / LOG, index=False)


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each difference over the quarters with Student's 95 % interval."""
    found = []
    differences = table[table["against"].notna()]
    for names, group in differences.groupby(["objective", "metric", "run", "against"], sort=False):
        values = group["value"].to_numpy()
        (half,) = half_widths(values.reshape(1, -1, 1), confidence=0.95)
        mean, rows = values.mean(), group["n"].mean()
        found.append([*names, mean, mean - half, mean + half, values.min(), round(rows), len(values)])
    return pd.DataFrame(found, columns=["objective", "metric", "run", "against", "mean", "low", "high", "least", "n", "quarters"]).round(4)


if __name__ == "__main__":
    main()
