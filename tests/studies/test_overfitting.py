from argparse import Namespace
from pathlib import Path

import pandas as pd
import pytest

from studies.overfitting import figure, losses, markdown, summary

TINY = Path(__file__).parents[2] / "pipelines" / "tiny.toml"


def rows_of(losses_by_seed):
    return pd.DataFrame(
        {"way": way, "seed": seed, "objective": "click", "pass": number, "loss": loss}
        for (way, seed), of_passes in losses_by_seed.items()
        for number, loss in enumerate(of_passes, 1)
    )


def test_who_overfits_is_how_far_the_last_pass_lies_above_the_best():
    found = summary(rows_of({("a", 1): [0.9, 0.7, 0.8], ("a", 2): [0.9, 0.8, 0.7], ("b", 1): [0.6, 0.6, 0.6], ("b", 2): [0.5, 0.6, 0.7]}))
    found = found.set_index("way")
    assert found.loc["a", "best_pass"] == [2, 3]
    assert found.loc["a", "best"].value == pytest.approx(0.7)
    assert found.loc["a", "overfit"].value == pytest.approx(0.05)
    assert found.loc["b", "best_pass"] == [1, 1]
    assert found.loc["b", "overfit"].value == pytest.approx(0.1)
    assert "| click | 2/3: 0.700, +0.050 | 1/1: 0.550, +0.100 |" in markdown(found.reset_index())


def test_losses_are_of_every_pass_of_an_ordinary_run(tmp_path):
    arguments = Namespace(pipeline=TINY, overrides=[], passes=2, budget=None, workspace=tmp_path)
    rows = losses(arguments, "shared_bottom", 1)
    assert sorted(rows["pass"].unique()) == [1, 2]
    assert set(rows["way"]) == {"shared_bottom"}
    assert (rows["loss"] > 0).all()
    assert not rows.duplicated(["objective", "pass"]).any()
    assert losses(arguments, "shared_bottom", 1).equals(rows)
    assert figure(rows).to_dict()["spec"]["layer"]
