"""Off-policy estimates on Open Bandit (Saito et al., 2021), compared with what the policies earned when they ran themselves.

    python -m studies.off_policy --path data/open_bandit_dataset --out docs/off-policy.csv

There are two logs of one week and one campaign: `random` chose uniformly, `bts` by Bernoulli Thompson sampling. Each way of stating a
policy is valued from the other policy's log, and compared with the mean click of the policy's own log (rows "on-policy"):

- "frequencies": bts as the share of each item among its own choices at a position;
- "averaged": bts as the mean of its logged propensities over the rows in which it chose the item. This is wrong: the rows are those in
  which the item was likely. So the mean is Σ π² / Σ π over time instead of the mean of π. It is too large for each item whose π moved;
- "uniform": random, from the log of bts with the propensity of each row;
- "uniform, frequencies", "uniform, averaged": the same, with frequencies or averages in place of the propensity of each row.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys.evaluation import off_policy
from recsys.objectives import Objective

CLICK = Objective(name="click", label="click = 1")
SHOWN = ("ips", "snips", "ess", "max_weight")


class Log(NamedTuple):
    """One campaign under one policy; N rows."""

    item_N: NDArray[np.int64]
    position_N: NDArray[np.int64]  # from 0
    click_N: NDArray[np.float64]
    propensity_N: NDArray[np.float64]

    def table(self, *, propensity_N: NDArray[np.float64], target_N: NDArray[np.float64]) -> pd.DataFrame:
        """Return the table that `off_policy` reads, in which every row is a user of its own."""
        row_N = np.arange(len(self.item_N))
        return pd.DataFrame(
            {
                "event_id": row_N,
                "user_id": row_N,
                "timestamp": 0,
                "label.click": self.click_N,
                "propensity": propensity_N,
                "target_propensity": target_N,
            }
        )


def read(folder: Path, policy: str, campaign: str) -> Log:
    rows = pd.read_csv(folder / policy / campaign / f"{campaign}.csv", usecols=["item_id", "position", "click", "propensity_score"])
    return Log(
        rows["item_id"].to_numpy(),
        rows["position"].to_numpy() - 1,
        rows["click"].to_numpy(float),
        rows["propensity_score"].to_numpy(float),
    )


def shares(log: Log, items: int) -> NDArray[np.float64]:
    """Return [positions, items]: how often each item was chosen at a position. The shares of a position add up to 1."""
    count = np.zeros((log.position_N.max() + 1, items))
    np.add.at(count, (log.position_N, log.item_N), 1)
    return count / count.sum(axis=1, keepdims=True)


def averaged(log: Log, items: int) -> NDArray[np.float64]:
    """Return [positions, items]: the mean logged propensity of the rows that chose an item at a position; 0 where none did."""
    total = np.zeros((log.position_N.max() + 1, items))
    count = total.copy()
    np.add.at(total, (log.position_N, log.item_N), log.propensity_N)
    np.add.at(count, (log.position_N, log.item_N), 1)
    return total / np.maximum(count, 1)


def compare(folder: Path, campaign: str, *, bootstrap: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Return the long rows of every way for one campaign, with columns `campaign`, `policy`, `way` and `mass`.

    `mass` is the mean over positions of Σ π.
    """
    random, bts = (read(folder, policy, campaign) for policy in ("random", "bts"))
    items = int(max(random.item_N.max(), bts.item_N.max())) + 1
    share, average = shares(bts, items), averaged(bts, items)
    uniform_N = np.full(len(bts.item_N), 1 / items)
    at_random, at_bts = (random.position_N, random.item_N), (bts.position_N, bts.item_N)
    ways = {
        ("bts", "on-policy"): (bts, bts.propensity_N, bts.propensity_N, 1.0),
        ("bts", "frequencies"): (random, random.propensity_N, share[at_random], share.sum(axis=1).mean()),
        ("bts", "averaged"): (random, random.propensity_N, np.minimum(average[at_random], 1), average.sum(axis=1).mean()),
        ("random", "on-policy"): (random, random.propensity_N, random.propensity_N, 1.0),
        ("random", "uniform"): (bts, bts.propensity_N, uniform_N, 1.0),
        ("random", "uniform, frequencies"): (bts, share[at_bts], uniform_N, share.sum(axis=1).mean()),
        ("random", "uniform, averaged"): (bts, average[at_bts], uniform_N, average.sum(axis=1).mean()),
    }
    parts = []
    for (policy, way), (log, propensity_N, target_N, mass) in ways.items():
        table = log.table(propensity_N=propensity_N, target_N=target_N)
        rows = off_policy(table, [CLICK], run=way, bootstrap=bootstrap, seed=seed).to_pandas()
        parts.append(rows.assign(campaign=campaign, policy=policy, way=way, mass=mass))
    return pd.concat(parts, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", type=Path, required=True, help="the folder that holds random/ and bts/")
    parser.add_argument("--out", type=Path, required=True, help="CSV of one row a campaign, way and metric")
    parser.add_argument("--campaigns", nargs="+", default=["men", "women"])
    parser.add_argument("--bootstrap", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    parts = [compare(arguments.path, campaign, bootstrap=arguments.bootstrap, seed=arguments.seed) for campaign in arguments.campaigns]
    rows = pd.concat(parts, ignore_index=True)
    columns = ["campaign", "policy", "way", "mass", "metric", "value", "low", "high", "n", "n_positive", "seed", "reason"]
    rows[columns].to_csv(arguments.out, index=False, float_format="%.6g")
    print(rows[rows["metric"].isin(SHOWN)][columns[:-1]].to_string(index=False))


if __name__ == "__main__":
    main()
