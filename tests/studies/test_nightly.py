import sys
from pathlib import Path

import pandas as pd
import pytest

from recsys import registry
from studies import nightly
from tests.pipelines.test_whole_path import TINY


@pytest.mark.words
def test_each_night_is_judged_and_decided_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, figure = tmp_path / "rows.csv", tmp_path / "nights.png"
    words = [
        "nightly",
        TINY,
        "--nights",
        "2024-01-04",
        "2024-01-05",
        "--out",
        str(out),
        "--figure",
        str(figure),
        "--workspace",
        str(tmp_path),
        "--set",
        "promote.calibration=9.0",
    ]
    monkeypatch.setattr(sys, "argv", words)
    nightly.main()
    rows = pd.read_csv(out)
    assert rows["night"].unique().tolist() == ["2024-01-04", "2024-01-05"]
    assert set(rows["objective"]) == {"click", "watch_time", "like"}
    decisions = registry.decisions(tmp_path / "tiny")
    assert rows.drop_duplicates("night")["outcome"].tolist() == [decision["outcome"] for decision in decisions]
    assert rows["difference"].isna().tolist()[:3] == [True] * 3  # nothing to be compared with on the first night
    assert rows[rows["night"] == "2024-01-05"].set_index("objective")["difference"].notna().to_dict() == {
        "click": True,
        "watch_time": True,
        "like": False,
    }
    assert rows["learned"].diff().dropna().ge(0).all()
    assert figure.stat().st_size > 1000
    nightly.main()  # goes on from what stands: nothing is decided again
    assert len(registry.decisions(tmp_path / "tiny")) == 2
    pd.testing.assert_frame_equal(pd.read_csv(out), rows)


@pytest.mark.words
def test_a_simulated_log_arrives_as_files_of_single_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "rows.csv"
    for last in ("2024-01-04", "2024-01-05"):
        words = ["nightly", TINY, "--files", "--nights", "2024-01-04", last, "--out", str(out), "--workspace", str(tmp_path)]
        monkeypatch.setattr(sys, "argv", words)
        nightly.main()
        logs = sorted(path.stem for path in (tmp_path / "tiny-files" / "log").glob("*.parquet"))
        assert (logs[0], logs[-1], len(logs)) == ("2024-01-01", last, int(last[-1]))
    rows = pd.read_csv(out)
    assert rows["night"].unique().tolist() == ["2024-01-04", "2024-01-05"]
    assert (rows["read_mib"] > 0).all()
