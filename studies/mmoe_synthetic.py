"""Shared bottom, one gate and many gates on two tasks of a known relation (Ma et al., KDD 2018, §3 and §5.1).

    python -m studies.mmoe_synthetic --out docs/mmoe-synthetic.csv --figure docs/mmoe-synthetic.png

The study trains the three architectures with the paper's widths on fresh rows of its synthetic data (studies/synthetic.py). Every seed has
tasks, rows and a start of its own. The study measures the squared error on held-out rows. Learning rates are not chosen: every rate that
was tried is in the table.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recsys.config.architectures import MMoEOptions, OMoEOptions, SharedBottomOptions
from recsys.options import Options
from studies.intervals import bootstrap
from studies.seeds import Net, SeedModels, train
from studies.synthetic import D_INPUT, FIGURE_2, Synthetic, label_correlation

WAYS: dict[str, Options] = {  # the paper's widths: 8 experts of 1 × 16, or a bottom of about as many numbers; towers of 1 × 8
    "shared_bottom": SharedBottomOptions(hidden=(113,)),
    "omoe": OMoEOptions(num_experts=8, hidden=(16,), expert_dropout=0.0),
    "mmoe": MMoEOptions(num_experts=8, hidden=(16,), expert_dropout=0.0),
}
GRID = {0.5: (3e-3, 1e-2), 1.0: (3e-3,)}  # cosine of the tasks → learning rates; the paper tried .0001, .001 and .01
KEY = ["cosine", "rate", "way", "seed"]
GROUP = 8  # seeds that are trained as one batched model
BATCH, HELD_OUT, LOOKS = 256, 4096, 12


def main() -> None:
    """Run the grid. Every finished group of seeds is in the table, so an interrupted study goes on where it stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="CSV of one row a run and look")
    parser.add_argument("--figure", type=Path, help="PNG of the labels' correlation, the curves and the ends")
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--steps", type=int, default=12_000)
    arguments = parser.parse_args()
    if arguments.steps % LOOKS:
        parser.error(f"found --steps {arguments.steps}, expected a multiple of {LOOKS}: a run ends with a look")
    table = pd.read_csv(arguments.out) if arguments.out.exists() else pd.DataFrame(columns=[*KEY, "step"])
    for cosine, rates in GRID.items():
        for rate in rates:
            for way in WAYS:
                table = extended(table, arguments.out, way, rate, cosine, range(1, arguments.seeds + 1), arguments.steps)
    print(ends(table).to_string(index=False))
    print(differences(table).to_string(index=False))
    print(across_cosines(table).to_string(index=False))
    if arguments.figure:
        figure(table).save(arguments.figure, scale_factor=2)


def extended(table: pd.DataFrame, out: Path, way: str, rate: float, cosine: float, seeds: Sequence[int], steps: int) -> pd.DataFrame:
    """Return the table with the runs of these seeds, and write it."""
    done = set(table.query("cosine == @cosine and rate == @rate and way == @way and step == @steps")["seed"])
    missing = [seed for seed in seeds if seed not in done]
    for start in range(0, len(missing), GROUP):
        group = missing[start : start + GROUP]
        rows = runs(way, rate, cosine, group, steps)
        table = rows if table.empty else pd.concat([table, rows], ignore_index=True)
        table.sort_values([*KEY, "step"]).to_csv(out, index=False)
        print(f"{way} at cosine {cosine:g}, rate {rate:g}: {final(rows)['error'].sort_values().round(3).tolist()}", flush=True)
    return table


def runs(way: str, rate: float, cosine: float, seeds: Sequence[int], steps: int) -> pd.DataFrame:
    """Return one row per seed and look: the mean squared error on held-out rows, of each task and of both."""
    stream = Synthetic(cosine, seeds)
    held_out = Synthetic(cosine, seeds, stream=1).rows(HELD_OUT)
    models = SeedModels(lambda: Net(way, WAYS[way], d_in=D_INPUT), seeds)
    rows: list[dict[str, object]] = []

    def look(step: int) -> None:
        errors_SK: Tensor = (models(held_out.x_SBD) - held_out.y_SBK).square().mean(1)
        for seed, (first, second) in zip(seeds, errors_SK.tolist(), strict=True):
            place = {"cosine": cosine, "rate": rate, "way": way, "seed": seed, "step": step}
            rows.append({**place, "first": round(first, 5), "second": round(second, 5), "error": round((first + second) / 2, 5)})

    torch.manual_seed(0)
    train(models, lambda: stream.rows(BATCH), steps=steps, rate=rate, every=steps // LOOKS, look=look)
    return pd.DataFrame(rows)


def final(table: pd.DataFrame) -> pd.DataFrame:
    """Return the last look of every run."""
    return table.sort_values("step").groupby(KEY).tail(1)


def ends(table: pd.DataFrame) -> pd.DataFrame:
    """Summarise the final errors of each way's runs: median with its interval, mean, quartiles, extremes, standard deviation."""
    rows = []
    for (cosine, rate, way), group in final(table).groupby(KEY[:3]):
        error = group["error"].to_numpy()
        low, quarter, three_quarters, high = np.quantile(error, [0.0, 0.25, 0.75, 1.0]).round(3)
        rows.append(
            {
                "cosine": cosine,
                "rate": rate,
                "way": way,
                "runs": len(error),
                "median": str(bootstrap("median", error)),
                "mean": round(float(error.mean()), 3),
                "quartiles": f"{quarter:.3f}–{three_quarters:.3f}",
                "extremes": f"{low:.3f}–{high:.3f}",
                "deviation": str(bootstrap("deviation", error)),
            }
        )
    return pd.DataFrame(rows)


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """Compare each pair of ways on the same seeds.

    Return median and mean of the differences, how often the first way is worse, and the difference of the standard deviations.
    """
    rows = []
    for (cosine, rate), group in final(table).groupby(KEY[:2]):
        wide = group.pivot(index="seed", columns="way", values="error").dropna()
        for first, second in (("shared_bottom", "omoe"), ("shared_bottom", "mmoe"), ("omoe", "mmoe")):
            a, b = wide[first].to_numpy(), wide[second].to_numpy()
            rows.append(
                {
                    "cosine": cosine,
                    "rate": rate,
                    "difference": f"{first} − {second}",
                    "runs": len(wide),
                    "median": str(bootstrap("median", a - b)),
                    "mean": str(bootstrap("mean", a - b)),
                    "worse": f"{int((a > b).sum())}/{len(wide)}",
                    "deviation": str(bootstrap("deviation", a, b)),
                }
            )
    return pd.DataFrame(rows)


def across_cosines(table: pd.DataFrame) -> pd.DataFrame:
    """Compute what each way pays where the tasks differ more, on the same seeds and rate.

    It is the error at the lowest cosine minus that at each other cosine.
    """
    rows = []
    for (rate, way), group in final(table).groupby(["rate", "way"]):
        wide = group.pivot(index="seed", columns="cosine", values="error").dropna()
        lowest, *others = wide.columns
        for other in others:
            gap = (wide[lowest] - wide[other]).to_numpy()
            place = {"rate": rate, "way": way, "difference": f"{lowest:g} − {other:g}", "runs": len(gap)}
            rows.append(place | {"median": str(bootstrap("median", gap)), "mean": str(bootstrap("mean", gap))})
    return pd.DataFrame(rows)


# --- The figure ---------------------------------------------------------------------------------------------------
COLOURS = alt.Scale(domain=list(WAYS), range=["#4c78a8", "#f58518", "#54a24b"])


def figure(table: pd.DataFrame) -> alt.VConcatChart:
    """Draw the labels' correlation beside the paper's Fig. 2 and all runs' final errors (above), and the errors in training (below)."""
    setting = "cosine " + table["cosine"].map("{:g}".format) + ", rate " + table["rate"].map("{:g}".format)
    shown = table.assign(setting=setting)
    above = (correlations() | run_ends(final(shown))).resolve_scale(color="independent")
    return (above & curves(shown)).resolve_scale(color="independent")


def correlations() -> alt.Chart:
    ours = [{"cosine": p, "correlation": label_correlation(p), "of": "our generator"} for p in np.linspace(0.4, 1.0, 61)]
    paper = pd.DataFrame([{"cosine": p, "correlation": value, "of": "Fig. 2, read off"} for p, value in FIGURE_2.items()])
    places = {
        "x": alt.X("cosine:Q", title="cosine of the tasks", scale=alt.Scale(domain=[0.4, 1.0])),
        "y": alt.Y("correlation:Q", title="correlation of the labels"),
        "color": alt.Color("of:N", title=None, legend=alt.Legend(orient="bottom")),
    }
    line = alt.Chart(pd.DataFrame(ours), title="Labels' correlation").mark_line().encode(**places)
    points = alt.Chart(paper).mark_point(filled=True, size=50).encode(**places)
    return (line + points).properties(width=230, height=260)


def curves(table: pd.DataFrame) -> alt.FacetChart:
    """Draw the median over the runs, and the band of their quartiles."""
    by_step = table.groupby(["setting", "way", "step"])["error"]
    bands = by_step.describe().rename(columns={"25%": "low", "50%": "middle", "75%": "high"}).reset_index()
    base = alt.Chart().encode(x=alt.X("step:Q", title="step"), color=alt.Color("way:N", title=None, scale=COLOURS))
    area = base.mark_area(opacity=0.2).encode(y=alt.Y("low:Q", title="squared error: median and quartiles"), y2="high:Q")
    panels = alt.layer(area, base.mark_line().encode(y="middle:Q"), data=bands).properties(width=250, height=220)
    return panels.facet(column=alt.Column("setting:N", title=None), title="Held-out error in training")


def run_ends(table: pd.DataFrame) -> alt.FacetChart:
    """Draw one dot per run, and the median."""
    base = alt.Chart().encode(x=alt.X("way:N", title=None, sort=list(WAYS), axis=alt.Axis(labelAngle=-60)))
    dots = base.mark_circle(opacity=0.6, size=30).encode(
        y=alt.Y("error:Q", title="squared error"), color=alt.Color("way:N", scale=COLOURS, legend=None)
    )
    medians = base.mark_tick(color="black", thickness=2, size=24).encode(y="median(error):Q")
    panels = alt.layer(dots, medians, data=table).properties(width=130, height=260)
    return panels.facet(column=alt.Column("setting:N", title=None), title="Held-out error at the end, every run")


if __name__ == "__main__":
    main()
