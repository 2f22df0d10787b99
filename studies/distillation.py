"""One net that several nets taught (`train.distil_from`), beside one net and several nets that learned from the labels alone.

    python -m studies.distillation pipelines/demo.toml --seeds 5 --out docs/distillation-world.csv

The study trains for each seed one net (the reference), as many nets as --members says, and one net per share of the loss that follows
what those nets say. (The one net, the taught nets and the teacher's first net have one seed: they start from the same weights and see the
same batches.) Then it judges the test days. It writes one row per way, seed and objective, and prints the means of the differences
(studies/comparison.py says what noise their intervals hold). An interrupted study goes on where it stopped.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from recsys import config
from recsys.experiments import Run, Variant, open_runs, trained
from recsys.progress import Console
from studies import comparison

ONE, SEVERAL = "one net", "several nets"
SHARES = (0.5, 0.9, 1.0)


def main() -> None:
    """Run every seed. Each finished run is a block of the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline", type=Path, help="a pipeline's TOML")
    parser.add_argument("--members", type=int, default=4, help="nets of the teacher")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=7)
    parser.add_argument("--out", type=Path, required=True, help="CSV of one row a way, seed and objective")
    parser.add_argument("--table", type=Path, help="markdown of the means and differences")
    parser.add_argument("--workspace", type=Path, default=Path("data"))
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    arguments = parser.parse_args()
    rows = pd.read_csv(arguments.out).to_dict("records") if arguments.out.exists() else []
    done = {(row["way"], row["seed"]) for row in rows}
    for place in range(arguments.seeds):
        seed = arguments.first_seed + place * arguments.members  # each net of a teacher has a seed of its own
        for run, reference in runs_of(arguments, seed):
            if (run.variant.name, seed) not in done:
                rows += comparison.measured(run, reference)
                pd.DataFrame(rows).to_csv(arguments.out, index=False)
    table = comparison.summary(pd.DataFrame(rows))
    print(table.to_string(index=False))
    if arguments.table:
        arguments.table.write_text(comparison.markdown(table))


def runs_of(arguments: argparse.Namespace, seed: int) -> Iterator[tuple[Run, Run]]:
    """Train all ways with this seed, the teacher before those that it teaches. Yield each one with the reference."""
    alone = {ONE: ["model.members=1"], SEVERAL: [f"model.members={arguments.members}", "train.keep_chosen=true"]}
    reference, teacher = trained(_open(arguments, seed, alone), "distillation")
    yield reference, reference
    yield teacher, reference
    common = ["model.members=1", f"train.distil_from={teacher.job.run}"]
    taught = {f"one net, {share:g} taught": [*common, f"train.distil_share={share}"] for share in SHARES}
    for run in trained(_open(arguments, seed, taught), "distillation"):
        yield run, reference


def _open(arguments: argparse.Namespace, seed: int, ways: dict[str, list[str]]) -> list[Run]:
    common = [*arguments.overrides, "evaluate.baselines=[]"]
    variants = [Variant(way, config.load(arguments.pipeline, [*common, *overrides])) for way, overrides in ways.items()]
    return open_runs(variants, [seed], arguments.workspace, Console())


if __name__ == "__main__":
    main()
