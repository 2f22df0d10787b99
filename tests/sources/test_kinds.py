"""The official layouts of KuaiRand and Open Bandit and the simulated feed, as far as they differ from any table."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from recsys import artifacts, sources
from recsys.errors import DataError
from recsys.progress import Console
from recsys.workspace import days_in
from tests.sources.logs import Ingested, make_log, make_pipeline


@pytest.fixture
def kuairand(tmp_path: Path) -> Path:
    folder = tmp_path / "KuaiRand-1K"
    folder.mkdir()
    names = {"uid": "user_id", "vid": "video_id", "ts": "time_ms"}
    log = make_log(90).rename(columns=names).assign(is_rand=0)
    log.iloc[:40].to_csv(folder / "log_standard_4_08_to_4_21_1k.csv", index=False)
    log.iloc[40:80].to_csv(folder / "log_standard_4_22_to_5_08_1k.csv", index=False)
    log.iloc[80:].assign(is_rand=1).to_csv(folder / "log_random_4_22_to_5_08_1k.csv", index=False)
    pd.DataFrame({"user_id": [1, 2], "is_live_streamer": [-124, 1]}).to_csv(folder / "user_features_1k.csv", index=False)
    pd.DataFrame({"video_id": ["v001"], "upload_dt": ["2022-04-10"]}).to_csv(folder / "video_features_basic_1k.csv", index=False)
    pd.DataFrame({"video_id": ["v001"], "leak": [1]}).to_csv(folder / "video_features_statistic_1k.csv", index=False)
    return folder


def _run(source: dict[str, object], out: Path) -> Ingested:
    return Ingested(out, sources.ingest(make_pipeline(source), out, options=str(source), fingerprint="f", console=Console(quiet=True)))


def test_kuairand_reads_both_periods_and_the_random_log_on_demand(kuairand: Path, tmp_path: Path) -> None:
    standard = _run({"kind": "kuairand", "path": kuairand}, tmp_path / "a")
    both = _run({"kind": "kuairand", "path": kuairand, "random": True}, tmp_path / "b")
    assert (standard.account.kept, both.account.kept) == (80, 90)
    assert both.events()["log.is_rand"].sum() == 10


def test_kuairand_unknown_is_null_and_the_leaking_file_is_not_read(kuairand: Path, tmp_path: Path) -> None:
    result = _run({"kind": "kuairand", "path": kuairand}, tmp_path / "out")
    assert result.table("users")["is_live_streamer"].to_pylist() == [None, 1]
    assert result.table("items").column_names == ["item_id", "upload_dt"]


def test_a_folder_that_is_not_kuairand(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"log_standard_\*\.csv\*: found no such file"):
        _run({"kind": "kuairand", "path": tmp_path}, tmp_path / "out")


@pytest.fixture
def two_campaigns(tmp_path: Path) -> Path:
    """40 rows of bts/men, 30 of random/women; the rows of a log are numbered from 0."""
    for policy, campaign, rows in (("bts", "men", 40), ("random", "women", 30)):
        folder = tmp_path / "obd" / policy / campaign
        folder.mkdir(parents=True)
        log = pd.DataFrame({"timestamp": "2019-11-24 23:59:59.999999+00:00", "item_id": range(rows), "position": 2, "click": 0})
        log.assign(propensity_score=1 / rows).to_csv(folder / f"{campaign}.csv")
        pd.DataFrame({"item_id": range(rows), "item_feature_0": 0.5}).to_csv(folder / "item_context.csv")
    return tmp_path / "obd"


def test_open_bandit_reads_the_log_of_one_campaign_under_one_policy(two_campaigns: Path, tmp_path: Path) -> None:
    for policy, campaign, rows in (("bts", "men", 40), ("random", "women", 30)):
        out = tmp_path / policy
        result = _run({"kind": "open_bandit", "path": two_campaigns, "policy": policy, "campaign": campaign}, out)
        events = result.events()
        assert events["user_id"].tolist() == events["item_id"].tolist()
        assert sorted(events["user_id"]) == list(range(rows))
        assert events["propensity"].tolist() == [1 / rows] * rows
        assert days_in(out / "events") == ["2019-11-24"]
        assert result.table("users").num_rows == 0


def test_a_folder_that_is_not_open_bandit(two_campaigns: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"random.men.men\.csv\*: found no such file"):
        _run({"kind": "open_bandit", "path": two_campaigns, "campaign": "men"}, tmp_path / "out")


@pytest.mark.words
def test_a_world_is_simulated_once(tmp_path: Path) -> None:
    source = {"kind": "world", "users": 40, "days": 2, "videos": 30}
    first = _run(source, tmp_path)
    raw = artifacts.verify(tmp_path / "raw")
    assert {"impressions.parquet", "truth.parquet"} <= set(raw.files)
    assert "feedback.survey" in first.table("events").column_names
    changed = (tmp_path / "raw" / "impressions.parquet").stat().st_mtime_ns
    assert _run({**source, "max_bad": 0.5}, tmp_path).account == first.account
    assert (tmp_path / "raw" / "impressions.parquet").stat().st_mtime_ns == changed
    _run({**source, "users": 41}, tmp_path)
    assert (tmp_path / "raw" / "impressions.parquet").stat().st_mtime_ns != changed


def test_a_folder_and_a_glob_name_the_same_files(tmp_path: Path, ingest: Callable) -> None:
    logs = tmp_path / "logs"
    (logs / "day=1").mkdir(parents=True)
    make_log(50).to_csv(logs / "day=1" / "a.csv", index=False)
    make_log(60).iloc[50:].to_csv(logs / "b.csv", index=False)
    (logs / "_SUCCESS").write_text("")
    (logs / "notes.txt").write_text("not a log")
    assert ingest("logs", to="a").account.kept == 60
    assert ingest("logs/**/*.csv", to="b").account.kept == 60
    assert ingest("logs/*.csv", to="c").account.kept == 10
