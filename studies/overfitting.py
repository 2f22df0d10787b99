"""Which objectives overfit while others still learn, and what sharing more or less does to it: validation loss after every pass.

    python -m studies.overfitting pipelines/kuairand_pure.toml --budget 250000 --out docs/overfitting.csv --figure docs/overfitting.png

trains ways of sharing at equal multiplications for the same number of shuffled passes, without stopping early, and reads each
objective's validation loss off the journals, in units of the best constant prediction's. An interrupted study goes on where it stopped.
"""

import argparse
from pathlib import Path

import altair as alt
import pandas as pd

from recsys import config, jobs, pipeline
from recsys.progress import Console
from recsys.report.training_log import read_journal
from studies.intervals import bootstrap

WAYS = ("single_task", "soft", "shared_bottom", "mmoe")  # from sharing nothing to sharing most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline", type=Path, help="a pipeline's TOML")
    parser.add_argument("--passes", type=int, default=6)
    parser.add_argument("--budget", type=int, help="multiplications a row, all objectives together")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True, help="CSV of one row a way, seed, objective and pass")
    parser.add_argument("--figure", type=Path, help="PNG of the losses")
    parser.add_argument("--workspace", type=Path, default=Path("data"))
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    arguments = parser.parse_args()
    rows = pd.concat([losses(arguments, way, seed) for seed in range(1, arguments.seeds + 1) for way in WAYS])
    rows.to_csv(arguments.out, index=False, float_format="%.5f")
    print(markdown(summary(rows)))
    if arguments.figure:
        figure(rows).save(arguments.figure, scale_factor=2)


def losses(arguments: argparse.Namespace, way: str, seed: int) -> pd.DataFrame:
    """Validation loss by objective and pass; a run that stands is not trained again."""
    overrides = [*arguments.overrides, f"seed={seed}", f"model.sharing={way}", "train.order=shuffled", "train.refit=false"]
    overrides += [f"train.passes={arguments.passes}", f"train.patience={arguments.passes}"]
    if arguments.budget:
        overrides.append(f"model.budget_macs={arguments.budget}")
    options = config.load(arguments.pipeline, overrides)
    job = jobs.open_job(options, arguments.workspace, run=None, replace=False, console=Console())
    pipeline.run(job, until="train")
    journal = read_journal(job.run / jobs.JOURNAL_FILE)
    assert journal is not None  # the stage has written it
    curves = journal.curves
    judged = curves[(curves["event"] == "pass") & curves["loss"].notna()]
    mean = judged.groupby(["objective", "pass"], sort=False)["loss"].mean().reset_index()  # over members
    return mean.assign(way=way, seed=seed)[["way", "seed", "objective", "pass", "loss"]]


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a way and objective: best passes of the seeds, loss at the best, and what the last pass lies above it, with an interval."""
    lines = []
    for (way, objective), of in rows.groupby(["way", "objective"], sort=False):
        wide = of.pivot(index="seed", columns="pass", values="loss")
        best_S = wide.min(axis=1)
        lines.append(
            {
                "way": way,
                "objective": objective,
                "best_pass": wide.idxmin(axis=1).tolist(),
                "best": bootstrap("mean", best_S.to_numpy()),
                "overfit": bootstrap("mean", (wide.iloc[:, -1] - best_S).to_numpy()),
            }
        )
    return pd.DataFrame(lines)


def markdown(table: pd.DataFrame) -> str:
    """Objectives down, ways across: best pass of each seed, the mean loss there, and by how much the last pass is worse."""
    ways = list(dict.fromkeys(table["way"]))
    lines = [["objective", *ways], ["---"] * (1 + len(ways))]
    for objective, of in table.groupby("objective", sort=False):
        cells = of.set_index("way").loc[ways]
        lines.append(
            [
                str(objective),
                *(
                    f"{'/'.join(map(str, cell['best_pass']))}: {cell['best'].value:.3f}, +{cell['overfit'].value:.3f}"
                    for cell in cells.to_dict("records")
                ),
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def figure(rows: pd.DataFrame) -> alt.FacetChart:
    """A panel an objective: mean validation loss by pass, a line a way, thin lines the seeds."""
    ways = list(dict.fromkeys(rows["way"]))
    base = alt.Chart().encode(
        x=alt.X("pass:O", title="passes over the training days"), color=alt.Color("way:N", sort=ways, title="way of sharing")
    )
    loss = alt.Y("mean(loss):Q", title="validation loss (1: the best constant)", scale=alt.Scale(zero=False))
    seeds = base.mark_line(strokeWidth=0.6, opacity=0.5).encode(y=loss, detail="seed:N")
    means = base.mark_line(strokeWidth=2, point=True).encode(y=loss)
    panels = alt.layer(seeds, means, data=rows).properties(width=190, height=140)
    return panels.facet(facet=alt.Facet("objective:N", sort=list(dict.fromkeys(rows["objective"])), title=None), columns=3).resolve_scale(
        y="independent"
    )


if __name__ == "__main__":
    main()
