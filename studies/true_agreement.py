"""The true agreement of the objectives of the simulated feed: the rank correlation of what is expected of each impression.

    python studies/true_agreement.py data/demo/raw --out docs/true-agreement.csv

The study reads the truth beside a world's raw files (`recsys world DIR` writes one). For each pair of objectives it computes Spearman's
correlation of their true expectations over all impressions. It also computes this with clickbait held fixed (a partial correlation of
ranks), which shows how much of a disagreement is due to clickbait. Nothing is estimated from labels, so there is no interval: it is the
truth of this log.
"""

import argparse
from itertools import combinations
from pathlib import Path

import pandas as pd

from recsys.world import read_truth

EXPECTED = {  # objective → its true expectation on an impression whose label is known
    "click": "expected.clicked|examined",
    "watch_time": "expected.watch_seconds|examined",
    "like": "expected.liked|clicked",
    "share": "expected.shared|clicked",
    "dismissal": "expected.dismissed|examined",
    "survey": "expected.stars|clicked",
}
CLICKBAIT = "latent.clickbait"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a world's raw files")
    parser.add_argument("--out", type=Path, required=True, help="CSV of one row a pair of objectives")
    arguments = parser.parse_args()
    table = agreement(read_truth(arguments.folder).to_pandas())
    table.to_csv(arguments.out, index=False)
    for kind in ("correlation", "clickbait_fixed"):
        print(f"\n{kind}\n{markdown(table, kind)}")


def agreement(truth: pd.DataFrame) -> pd.DataFrame:
    """Return one row per pair: Spearman's correlation, and the partial correlation given clickbait.

    The partial correlation is (r_ab − r_ac r_bc) / √((1 − r_ac²)(1 − r_bc²)).
    """
    ranks = truth[[*EXPECTED.values(), CLICKBAIT]].corr(method="spearman")
    rows = []
    for left, right in combinations(EXPECTED, 2):
        a, b = EXPECTED[left], EXPECTED[right]
        r_ab, r_ac, r_bc = ranks.loc[a, b], ranks.loc[a, CLICKBAIT], ranks.loc[b, CLICKBAIT]
        fixed = (r_ab - r_ac * r_bc) / ((1 - r_ac**2) * (1 - r_bc**2)) ** 0.5
        rows.append({"objective": left, "other": right, "correlation": r_ab, "clickbait_fixed": fixed, "n": len(truth)})
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame, kind: str) -> str:
    """Return the matrix of one kind of correlation, above its diagonal."""
    found = {(row["objective"], row["other"]): row[kind] for row in table.to_dict("records")}
    names = list(EXPECTED)
    lines = [["", *names[1:]], ["---"] * len(names)]
    lines += [[name, *(f"{found[name, other]:+.2f}" if (name, other) in found else "" for other in names[1:])] for name in names[:-1]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
