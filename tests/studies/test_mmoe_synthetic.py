import pandas as pd
import pytest

from studies import mmoe_synthetic
from studies.mmoe_synthetic import WAYS, across_cosines, differences, ends, extended, figure, final, runs


@pytest.fixture(scope="module")
def table():
    """Four seeds a way at two rates, a few steps each."""
    return pd.concat([runs(way, rate, 0.5, (1, 2, 3, 4), 24) for way in WAYS for rate in (3e-3, 1e-2)])


@pytest.mark.words
def test_every_run_is_looked_at_along_the_way(table):
    looks = table.groupby(["rate", "way", "seed"])["step"].agg(["count", "max"])
    assert (looks["count"] == mmoe_synthetic.LOOKS).all()
    assert (looks["max"] == 24).all()
    assert table["error"].between(0.5, 2.0).all()


def test_only_the_ends_are_compared(table):
    assert (final(table)["step"] == 24).all()
    assert set(ends(table)["runs"]) == {4}
    made_up = table.assign(error=[0.5 if way == "mmoe" else 0.75 for way in table["way"]])
    made_up.loc[made_up["step"] < 24, "error"] = 9.0
    assert differences(made_up)["median"].tolist() == ["0.000 [0.000, 0.000]", "0.250 [0.250, 0.250]", "0.250 [0.250, 0.250]"] * 2


def test_cosines_are_compared_seed_by_seed(table):
    other = table.assign(cosine=1.0, error=table["error"] - 0.125 * table["seed"])
    found = across_cosines(pd.concat([table, other]))
    assert found["difference"].unique().tolist() == ["0.5 − 1"]
    assert found["median"].str.startswith("0.312 ").all()  # of .125, .250, .375, .500


def test_only_what_is_missing_is_run(table, tmp_path, monkeypatch):
    asked = []

    def recorded(way, rate, cosine, seeds, steps):
        asked.append(list(seeds))
        return table.query("way == 'mmoe' and rate == 0.01").assign(seed=seeds[0])

    monkeypatch.setattr(mmoe_synthetic, "runs", recorded)
    longer = extended(table, tmp_path / "table.csv", "mmoe", 1e-2, 0.5, range(1, 15), 24)
    assert asked == [list(range(5, 13)), [13, 14]]
    assert len(pd.read_csv(tmp_path / "table.csv")) == len(longer)


def test_the_same_seeds_give_the_same_errors(table):
    again = runs("mmoe", 1e-2, 0.5, (1, 2, 3, 4), 24)
    pd.testing.assert_frame_equal(again, table.query("way == 'mmoe' and rate == 0.01").reset_index(drop=True))


def test_the_figure_is_drawn(table):
    assert {"vconcat", "datasets"} <= figure(table).to_dict().keys()
