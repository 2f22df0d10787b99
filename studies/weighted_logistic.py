"""The odds of a logistic regression weighted by watch time, as fewer impressions are watched (Covington et al. 2016, §4.2).

    python -m studies.weighted_logistic --out docs/weighted-logistic.csv --figure docs/weighted-logistic.png

The study simulates impressions whose P(watched | x) and E[watch time | x] are known. For each share of watched impressions and each seed,
it trains a small net with the losses of recsys/losses. It compares three readings with the expected watch time E[T | x] = P(x) μ(x):

- "odds": the learned odds themselves, which the paper serves;
- "mended": the odds times the one factor that makes sums agree on training rows, which this project serves;
- "log_squared": another net of the same shape, with squared loss on log(1 + y), smeared.

Shape letters: N rows, D inputs, K = 2 objectives, H hidden numbers.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import optimize, stats
from torch import Tensor

from recsys.evaluation.inputs.rows import Order
from recsys.evaluation.metrics.concordance import pair_counts
from recsys.losses import ObjectiveLosses
from recsys.nn.towers import Towers
from recsys.objectives import Objective

SHARES = (0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 0.8, 0.95, 0.99)
TO_WATCH = np.array([1.0, 0.5, 0.0, 0.0])  # logit of P(watched | x), up to a constant
TO_LENGTH = np.array([0.0, 0.5, 0.5, 0.0])  # log of the mean watch time of the watched, up to a constant
MEAN_LENGTH, SHAPE = 5.0, 2.0  # minutes of the watched; a gamma variable of this shape with mean μ(x)
TRAINING, HELD_OUT = 1_000_000, 20_000
PASSES, BATCH, RATE, HIDDEN = 4, 8192, 5e-3, 32
OBJECTIVES = (
    Objective(name="odds", kind="watch_time", method="weighted_logistic", label="watch_time"),
    Objective(name="log", kind="watch_time", method="log_squared", label="watch_time"),
)
READINGS = ("odds", "mended", "log_squared")


class Impressions(NamedTuple):
    """Impressions: what a log has (x, y), and what only the simulator knows."""

    x_ND: NDArray[np.float64]
    y_N: NDArray[np.float64]  # watch time, 0 where not watched
    watched_N: NDArray[np.float64]  # P(watched | x)
    expected_N: NDArray[np.float64]  # E[y | x]


def main() -> None:
    """Run the grid. Every finished share and seed is in the table, so an interrupted study goes on where it stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="CSV of one row a share, seed and reading")
    parser.add_argument("--figure", type=Path, help="PNG of the ratios and of the order")
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    rows: list[Any] = pd.read_csv(arguments.out).to_dict("records") if arguments.out.exists() else []
    done = {(row["share"], row["seed"]) for row in rows}
    for seed in range(1, arguments.seeds + 1):
        for share in SHARES:
            if (share, seed) not in done:
                rows += one_log(share, seed)
                pd.DataFrame(rows).to_csv(arguments.out, index=False)
        print(pd.DataFrame(rows[-len(SHARES) * len(READINGS) :]).to_string(index=False), flush=True)
    table = pd.DataFrame(rows)
    print(summary(table).to_string(index=False))
    if arguments.figure:
        figure(table).save(arguments.figure, scale_factor=2)


def simulate(share: float, rows: int, generator: np.random.Generator) -> Impressions:
    """Simulate impressions of which on average `share` are watched."""
    x_ND = generator.standard_normal((rows, len(TO_WATCH)))
    watched_N = 1.0 / (1.0 + np.exp(-(intercept(share) + x_ND @ TO_WATCH)))
    mean_N = MEAN_LENGTH * np.exp(x_ND @ TO_LENGTH - TO_LENGTH @ TO_LENGTH / 2)
    length_N = mean_N * generator.gamma(SHAPE, 1.0 / SHAPE, rows)
    return Impressions(x_ND, np.where(generator.random(rows) < watched_N, length_N, 0.0), watched_N, watched_N * mean_N)


def intercept(share: float) -> float:
    """Return the a for which σ(a + z) has the mean `share` over z ~ N(0, ‖TO_WATCH‖²)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(101)
    z, weights = nodes * np.linalg.norm(TO_WATCH), weights / weights.sum()
    return float(optimize.brentq(lambda a: float(weights @ (1.0 / (1.0 + np.exp(-(a + z))))) - share, -30.0, 30.0))


def one_log(share: float, seed: int) -> list[dict[str, object]]:
    """Train on a fresh log, and measure the readings on held-out impressions of the same feed."""
    generator = np.random.default_rng([seed, int(share * 1000)])
    training, held_out = simulate(share, TRAINING, generator), simulate(share, HELD_OUT, generator)
    net, losses = fit(training, seed)
    values_NK = losses.values(outputs(net, held_out)).numpy()
    mending = float(losses.methods["weighted_logistic"].get_buffer("smear_J"))
    readings = dict(zip(READINGS, (values_NK[:, 0] / mending, values_NK[:, 0], values_NK[:, 1]), strict=True))
    true_N, chance_N = held_out.expected_N, held_out.watched_N
    theory = {"first_order": (true_N * (1 + chance_N)).sum() / true_N.sum(), "exact": (true_N / (1 - chance_N)).sum() / true_N.sum()}
    return [
        {
            "share": share,
            "seed": seed,
            "reading": reading,
            **{name: round(value, 5) for name, value in (measured(values, true_N) | theory).items()},
        }
        for reading, values in readings.items()
    ]


def measured(values_N: NDArray[np.float64], true_N: NDArray[np.float64]) -> dict[str, float]:
    """Compare values with the expected watch time.

    Return the ratio of the sums, the median ratio, the mean absolute error in units of the mean, and the share of pairs ordered rightly.
    """
    right_N, comparable_N = pair_counts(Order.of(true_N), Order.of(values_N), np.zeros(len(true_N), dtype=np.int64))
    return {
        "ratio": float(values_N.sum() / true_N.sum()),
        "middle_ratio": float(np.median(values_N / true_N)),
        "absolute_error": float(np.abs(values_N - true_N).mean() / true_N.mean()),
        "ordered_rightly": float(right_N.sum() / comparable_N.sum()),
    }


def fit(training: Impressions, seed: int) -> tuple[Towers, ObjectiveLosses]:
    """Train two nets side by side, one per loss, by Adam with a cosine schedule to zero. Fit the smearing on the training rows."""
    labels_NK = np.repeat(training.y_N[:, None], len(OBJECTIVES), axis=1)
    losses = ObjectiveLosses.fit(OBJECTIVES, labels_NK)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        net = Towers(training.x_ND.shape[1], (HIDDEN,), losses.start_K)
        orders = [torch.randperm(len(training.y_N)) for _ in range(PASSES)]
    x_ND, y_NK = torch.from_numpy(training.x_ND).float(), torch.from_numpy(labels_NK).float()
    optimiser = torch.optim.Adam(net.parameters(), lr=RATE)
    batches = [batch for order in orders for batch in torch.split(order, BATCH)]
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, len(batches))
    for batch in batches:
        losses_K, _ = losses(net(_for_both(x_ND[batch])), y_NK[batch])
        optimiser.zero_grad()
        torch.autograd.backward(losses_K.sum())
        optimiser.step()
        schedule.step()
    losses.fit_smearing(outputs(net, training).numpy(), labels_NK)
    return net, losses


@torch.no_grad()
def outputs(net: Towers, impressions: Impressions) -> Tensor:
    """Return the net's [N, K] outputs."""
    outputs_NK: Tensor = net(_for_both(torch.from_numpy(impressions.x_ND).float()))
    return outputs_NK


def _for_both(x_ND: Tensor) -> Tensor:
    return x_ND.unsqueeze(1).expand(-1, len(OBJECTIVES), -1)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return means over the seeds, with 95 % t intervals."""
    rows = []
    for (share, reading), group in table.groupby(["share", "reading"], sort=False):
        for measure in ("ratio", "middle_ratio", "absolute_error", "ordered_rightly"):
            half = stats.t.ppf(0.975, len(group) - 1) * group[measure].sem()
            theory = {name: group[name].mean() for name in ("first_order", "exact")}
            mean = group[measure].mean()
            rows.append(
                {
                    "share": share,
                    "reading": reading,
                    "measure": measure,
                    "seeds": len(group),
                    "mean": mean,
                    "low": mean - half,
                    "high": mean + half,
                    **theory,
                }
            )
    return pd.DataFrame(rows).round(4)


# --- The figure ---------------------------------------------------------------------------------------------------
def figure(table: pd.DataFrame) -> alt.HConcatChart:
    """Draw the sums relative to the sum of the expected watch time, with what theory says (left), and the pairs ordered rightly (right).

    The pairs are the same for both odds.
    """
    shown = summary(table).assign(odds=lambda rows: rows["share"] / (1 - rows["share"]))
    exact = shown.query("measure == 'ratio' and reading == 'odds'")
    theory = pd.concat(
        [
            exact[["odds", "first_order"]].set_axis(["odds", "mean"], axis=1).assign(of="E[T] (1 + P)"),
            exact[["odds", "exact"]].set_axis(["odds", "mean"], axis=1).assign(of="E[T] / (1 − P)"),
        ]
    )
    ratio = _panel(
        shown.query("measure == 'ratio'"),
        "Sum of predictions over sum of E[T | x]",
        alt.Scale(type="log", domain=[0.5, 1000], clamp=True, nice=False),
    )
    lines = alt.Chart(theory).mark_line(strokeDash=[4, 3]).encode(x="odds:Q", y="mean:Q", color=alt.Color("of:N", title=None))
    order = _panel(
        shown.query("measure == 'ordered_rightly' and reading != 'odds'"), "Pairs in the order of E[T | x]", alt.Scale(zero=False)
    )
    return (ratio + lines).properties(width=380, height=280) | order.properties(width=380, height=280)


def _panel(shown: pd.DataFrame, title: str, scale: alt.Scale) -> alt.LayerChart:
    ticks = [share / (1 - share) for share in SHARES]
    labels = " : ".join(f"abs(datum.value / {odds!r} - 1) < 1e-6 ? '{share:g}'" for share, odds in zip(SHARES, ticks, strict=True))
    axis = alt.Axis(values=ticks, labelExpr=f"{labels} : ''", labelOverlap=False, labelAngle=-60)
    base = alt.Chart(shown, title=title).encode(
        x=alt.X("odds:Q", title="share of impressions watched (spaced by its logit)", scale=alt.Scale(type="log", nice=False), axis=axis),
        color=alt.Color("reading:N", title=None, sort=list(READINGS)),
    )
    bars = base.mark_rule().encode(y=alt.Y("low:Q", title=None, scale=scale), y2="high:Q")
    return base.mark_line(point=True).encode(y=alt.Y("mean:Q", title=None, scale=scale)) + bars


if __name__ == "__main__":
    main()
