import sys
from pathlib import Path

import pandas as pd
import pytest

from studies import distillation
from tests.pipelines.test_whole_path import TINY


@pytest.mark.words
def test_each_way_is_judged_and_the_table_says_what_it_gains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out, table = tmp_path / "rows.csv", tmp_path / "table.md"
    options = ["--members", "2", "--seeds", "2", "--workspace", str(tmp_path), "--set", "train.order=shuffled", "--set", "train.passes=1"]
    words = ["distillation", TINY, "--out", str(out), "--table", str(table), *options]
    monkeypatch.setattr(sys, "argv", words)
    distillation.main()
    rows = pd.read_csv(out)
    assert list(rows["way"].unique()) == ["one net", "several nets", *(f"one net, {share} taught" for share in (0.5, 0.9, 1))]
    assert set(rows["seed"]) == {7, 9}
    cost = rows.groupby("way")["multiplications"].first()
    assert cost["several nets"] == 2 * cost["one net"] == 2 * cost["one net, 1 taught"]
    gains = rows.pivot_table(index=["seed", "objective"], columns="way", values="gain")
    assert (gains["one net"] == 0).all()
    assert (gains.drop(columns="one net") != 0).all().all()
    assert "| one net, 1 taught |" in table.read_text()
    distillation.main()  # goes on from what stands: nothing is judged again
    pd.testing.assert_frame_equal(pd.read_csv(out), rows)
