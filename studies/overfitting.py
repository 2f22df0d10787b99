"""Overfitting of some objectives while others still learn, alone and in company: the validation loss after every pass.

    python -m studies.overfitting benchmarks/kuairand.toml --budget 250000 --out docs/overfitting.csv --figure docs/overfitting.png

The study trains every objective alone, and several architectures at equal multiplications. All train for the same number of shuffled passes
without early stopping. The study reads each objective's validation loss from the journals, in units of the best constant prediction's loss.
An interrupted study goes on where it stopped.

"Alone" means one training per objective: a shared bottom of the same cost in which all other objectives have weight 0, as in `recsys
affinity`. So each objective is read at its own best pass, as it would be served. A net of several objectives is served as it was after one
pass: the pass with the least weighted sum of its losses. The net's objectives are read there, and each is read at its own best pass too.
The first reading says what sharing gives to its user. The second reading says what sharing could give if every objective could stop by
itself.
"""

import argparse
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd

from recsys import config
from recsys.evaluation import SHARED_REFERENCE, half_widths
from recsys.experiments import Run, Variant, only, open_runs, trained
from recsys.progress import Console
from recsys.report.training_log import read_journal
from recsys.workspace import JOURNAL

ALONE = "alone"
WAYS = (ALONE, "soft", "shared_bottom", "mmoe")  # from sharing nothing to sharing most
ALONE_IN = "shared_bottom"  # architecture of the net in which one objective learns
READINGS = ("own", "served")  # at an objective's own best pass, and at the best pass of the weighted sum


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline", type=Path, help="a pipeline's TOML")
    parser.add_argument("--passes", type=int, default=6)
    parser.add_argument("--budget", type=int, help="multiplications per row of every training")
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
    """Return the validation loss by objective and pass, with the weighted sum of the same training.

    Trainings that stand are not run again.
    """
    overrides = [
        *arguments.overrides,
        f"model.architecture={ALONE_IN if way == ALONE else way}",
        "train.order=shuffled",
        "train.refit=false",
    ]
    overrides += [f"train.passes={arguments.passes}", f"train.patience={arguments.passes}"]
    overrides += [] if arguments.budget is None else [f"model.budget_macs={arguments.budget}"]
    options = config.load(arguments.pipeline, overrides)
    names = [objective.name for objective in options.objective if objective.loss_weight > 0]
    sets = [[name] for name in names] if way == ALONE else [names]
    variants = [Variant(", ".join(chosen), only(options, chosen)) for chosen in sets]
    runs = open_runs(variants, [seed], arguments.workspace, Console())
    found = pd.concat([_curves(run) for run in trained(runs, "overfitting", stages=["train"])])
    return found.assign(way=way, seed=seed)[["way", "seed", "objective", "pass", "loss", "joint"]]


def _curves(run: Run) -> pd.DataFrame:
    """Return the losses of the objectives that learn in one training. `joint` is the sum that early stopping would compare."""
    journal = read_journal(run.job.run / JOURNAL)
    assert journal is not None  # the stage has written it
    weights = {objective.name: objective.loss_weight for objective in run.job.pipeline.objective if objective.loss_weight > 0}
    curves = journal.curves
    judged = curves[(curves["event"] == "pass") & curves["loss"].notna() & curves["objective"].isin(weights)]
    mean = judged.groupby(["objective", "pass"], sort=False)["loss"].mean().reset_index()  # over members
    joint = (mean["loss"] * mean["objective"].map(weights)).groupby(mean["pass"]).transform("sum")
    return mean.assign(joint=joint)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per way, objective and reading: each seed's pass, the mean loss there, the gain over alone, the rise by the last pass.

    A gain says how much lower the loss is than that of the objective alone in the same seed. Its interval is Student's over seeds, with the
    variance pooled over all gains of an objective. With one seed it is NaN.
    """
    lines = [_read(of, str(way), str(objective), reading) for (way, objective), of in rows.groupby(["way", "objective"], sort=False)
             for reading in (READINGS[:1] if way == ALONE else READINGS)]  # fmt: skip
    table = pd.DataFrame(lines)
    alone = table[table["way"] == ALONE].set_index("objective")["loss_S"]
    table["gain_S"] = [alone[line["objective"]] - line["loss_S"] for line in table.to_dict("records")]
    table["half"] = table["objective"].map({name: _half_width(of) for name, of in table[table["way"] != ALONE].groupby("objective")})
    table["loss"], table["gain"] = table["loss_S"].map(np.mean), table["gain_S"].map(np.mean)
    return table.drop(columns=["loss_S", "gain_S"])


def _read(of: pd.DataFrame, way: str, objective: str, reading: str) -> dict[str, object]:
    """Read one objective of one way, at its own best pass or at the best pass of the weighted sum."""
    loss_SP, told_SP = (of.pivot(index="seed", columns="pass", values=value) for value in ("loss", "loss" if reading == "own" else "joint"))
    passes = told_SP.idxmin(axis=1)
    loss_S = np.array([loss_SP.loc[seed, number] for seed, number in passes.items()])
    rise = float((loss_SP.iloc[:, -1].to_numpy() - loss_S).mean())
    return {"way": way, "objective": objective, "reading": reading, "passes": passes.tolist(), "loss_S": loss_S, "rise": rise}


def _half_width(of: pd.DataFrame) -> float:
    (half,) = half_widths(np.stack(of["gain_S"].to_list())[:, :, None], confidence=0.95, correlation=SHARED_REFERENCE)
    return float(half)


def markdown(table: pd.DataFrame) -> str:
    """Return a table with objectives down and ways across, each with its readings.

    A cell holds the mean loss, each seed's pass, and the gain over alone (bold beyond noise).
    """
    columns = list(dict.fromkeys(zip(table["way"], table["reading"], strict=True)))
    lines = [["objective", *(way if way == ALONE else f"{way}, {reading}" for way, reading in columns)], ["---"] * (1 + len(columns))]
    for objective, of in table.groupby("objective", sort=False):
        cells = of.set_index(["way", "reading"]).loc[columns]
        lines.append([str(objective), *(_cell(way, cells.loc[(way, reading)]) for way, reading in columns)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(way: str, cell: pd.Series) -> str:
    at = f"{cell['loss']:.3f} ({'/'.join(map(str, cell['passes']))})"
    if way == ALONE:
        return f"{at}, last {cell['rise']:+.3f}"
    gain = f"{cell['gain']:+.3f} ± {cell['half']:.3f}"
    return f"{at}, {f'**{gain}**' if abs(cell['gain']) > cell['half'] else gain}"


def figure(rows: pd.DataFrame) -> alt.FacetChart:
    """Draw one panel per objective and one line per way: the mean validation loss by pass.

    Thin lines are the seeds. A diamond marks the pass at which a seed would be served.
    """
    ways = list(dict.fromkeys(rows["way"]))
    best = rows.groupby(["way", "seed", "objective"])["joint"].transform("min")
    base = alt.Chart().encode(x=alt.X("pass:O", title="passes over the training days"), color=alt.Color("way:N", sort=ways, title=None))
    title, scale = "validation loss (1: the best constant)", alt.Scale(zero=False)
    seeds = base.mark_line(strokeWidth=0.6, opacity=0.5).encode(y=alt.Y("loss:Q", title=title, scale=scale), detail="seed:N")
    means = base.mark_line(strokeWidth=2).encode(y=alt.Y("mean(loss):Q", title=title, scale=scale))
    served = (
        base.transform_filter(alt.datum.served).mark_point(shape="diamond", size=45).encode(y=alt.Y("loss:Q", title=title, scale=scale))
    )
    panels = alt.layer(seeds, means, served, data=rows.assign(served=rows["joint"] == best)).properties(width=190, height=140)
    return panels.facet(facet=alt.Facet("objective:N", sort=list(dict.fromkeys(rows["objective"])), title=None), columns=3).resolve_scale(
        y="independent"
    )


if __name__ == "__main__":
    main()
