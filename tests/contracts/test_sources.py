"""One body over every kind of source: whatever the files look like, the same impressions come out in the same form."""

import shlex
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from recsys import artifacts, features, schema, sources
from recsys.config import Pipeline, load
from recsys.errors import DataError
from recsys.progress import Console
from recsys.workspace import days_in
from tests.sources.miniatures import SOURCES, kuairec, movielens, small_log, table, write_csv
from tests.spread import spread


def _pipeline(source: dict[str, object]) -> Pipeline:
    objective = {"name": "click", "kind": "binary", "group": "engagement", "label": "is_click = 1"}
    return Pipeline.model_validate(
        {"name": "t", "source": source, "split": {"train": ["2024-01-01", "2024-01-01"]}, "objective": [objective]}
    )


def _ingest(source: dict[str, object], folder: Path) -> artifacts.RowAccount:
    return sources.ingest(_pipeline(source), folder, options=str(source), fingerprint="f", console=Console(quiet=True))


def _bytes(folder: Path) -> dict[str, str]:
    """Path → sha256 of what must not depend on the order of the input."""
    return {
        f"{name}/{path}": entry["sha256"]
        for name in ("events", "users", "items")
        for path, entry in artifacts.verify(folder / name).files.items()
    }


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, object]:
    (tmp_path / "in").mkdir()
    return SOURCES[request.param](tmp_path / "in")


def test_every_source_keeps_the_contract(source: dict[str, object], tmp_path: Path) -> None:
    pipeline, out = _pipeline(source), tmp_path / "out"
    assert sources.check(pipeline) == []
    account = _ingest({**source, "max_bad": 0.02}, out)
    manifest = artifacts.verify(out / "events")
    days = days_in(out / "events")
    tables = [artifacts.read_table(out / "events" / f"day={day}" / "part-0.parquet") for day in days]
    events = pa.concat_tables(tables)

    assert manifest.stage == "ingest"
    assert manifest.rows == asdict(account)
    assert account.kept == len(events)
    assert len(artifacts.read_table(out / "quarantine" / "part-0.parquet")) == account.quarantined
    if source["kind"] != "world":
        assert (account.read, account.kept, account.duplicate, account.quarantined) == (312, 298, 12, 2)

    assert events.column_names[:4] == [schema.EVENT_ID, schema.USER_ID, schema.ITEM_ID, schema.TIMESTAMP]
    assert events.schema.field(schema.EVENT_ID).type == events.schema.field(schema.TIMESTAMP).type == pa.int64()
    assert all(events.schema.field(name).type in schema.ID_TYPES for name in (schema.USER_ID, schema.ITEM_ID))
    known = {schema.EVENT_ID, *schema.KNOWN_COLUMNS}
    assert all(name in known or name.startswith((schema.LOG, schema.FEEDBACK)) for name in events.column_names)
    assert {schema.strip(name, schema.LOG) for name in events.column_names if name.startswith(schema.LOG)} == set(
        sources.columns(pipeline)["log"]
    )

    ids, stamps = events[schema.EVENT_ID].to_numpy(), events[schema.TIMESTAMP].to_numpy()
    assert len(set(ids.tolist())) == len(ids)
    assert (ids >= 0).all()
    assert sorted(zip(stamps, ids, strict=True)) == list(zip(stamps, ids, strict=True))
    for day, of_day in zip(days, tables, strict=True):
        local = pd.to_datetime(of_day[schema.TIMESTAMP].to_numpy(), unit="ms", utc=True).tz_convert(pipeline.zone)
        assert set(local.strftime("%Y-%m-%d")) == {day}

    for name, key in (("users", schema.USER_ID), ("items", schema.ITEM_ID)):
        entities = artifacts.read_table(out / name / "part-0.parquet")
        assert entities.column_names[0] == key
        assert entities[key].type == events[key].type
        assert entities[key].to_pylist() == sorted(set(entities[key].to_pylist()))
        assert set(entities.column_names[1:]) == set(sources.columns(pipeline)[name])


def test_every_source_gives_the_same_bytes_again(source: dict[str, object], tmp_path: Path) -> None:
    source = {**source, "max_bad": 0.02}
    _ingest(source, tmp_path / "a")
    _ingest(source, tmp_path / "b")
    assert _bytes(tmp_path / "a") == _bytes(tmp_path / "b")
    assert sources.raw_states(_pipeline(source)) == sources.raw_states(_pipeline(source))


@pytest.mark.parametrize("suffix", [".csv", ".tsv.gz", ".parquet"])
def test_order_and_splitting_of_the_files_change_no_byte(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "in").mkdir()
    source = {**table(suffix)(tmp_path / "in"), "max_bad": 0.02}
    _ingest(source, tmp_path / "whole")
    log = small_log({"user": "uid", "item": "vid", "time": "ts"}).sample(frac=1, random_state=11)
    logs = tmp_path / "in" / "logs"
    (logs / f"log{suffix}").unlink()
    for part, name in enumerate("cab"):
        piece = log.iloc[part * 104 : (part + 1) * 104]
        piece = piece[list(reversed(piece.columns))] if part == 1 else piece  # another order of columns, too
        if suffix == ".parquet":
            piece.to_parquet(logs / f"{name}.parquet", index=False, row_group_size=10)
        else:
            write_csv(logs, piece, name, suffix)
    _ingest(source, tmp_path / "split")
    assert _bytes(tmp_path / "whole") == _bytes(tmp_path / "split")


def test_text_and_parquet_give_the_same_events(tmp_path: Path) -> None:
    for suffix in (".csv", ".parquet"):
        folder = tmp_path / suffix.strip(".")
        folder.mkdir()
        _ingest({**table(suffix)(folder), "max_bad": 0.02}, folder / "out")
    assert _bytes(tmp_path / "csv" / "out") == _bytes(tmp_path / "parquet" / "out")


@pytest.mark.words
def test_the_real_kuairand_is_accounted_for(kuairand_pure: Path, tmp_path: Path) -> None:
    source = {"kind": "kuairand", "path": kuairand_pure}
    account = _ingest(source, tmp_path)
    raw = pd.read_csv(kuairand_pure / "log_standard_4_22_to_5_08_pure.csv")
    distinct = raw.drop_duplicates()
    assert account == artifacts.RowAccount(171_671, len(distinct), 171_671 - len(distinct), 0)
    days = pd.to_datetime(distinct["time_ms"], unit="ms", utc=True).dt.tz_convert("Asia/Shanghai").dt.strftime("%Y-%m-%d").value_counts()
    files = artifacts.verify(tmp_path / "events").files
    assert {path.split("/")[0].removeprefix("day="): entry["rows"] for path, entry in files.items()} == days.to_dict()
    users = artifacts.read_table(tmp_path / "users" / "part-0.parquet").to_pandas()
    official = pd.read_csv(kuairand_pure / "user_features_pure.csv", na_values={"is_live_streamer": [-124]})
    assert len(users) == 27_285
    assert users["is_live_streamer"].isna().sum() == official["is_live_streamer"].isna().sum() > 0
    items = artifacts.read_table(tmp_path / "items" / "part-0.parquet")
    assert len(items) == 7_583
    assert items.schema.field("upload_dt").type == pa.date32()
    assert items.schema.field("tag").type == pa.string()


@pytest.mark.parametrize(("policy", "campaign"), spread(("random", "bts"), ("men", "women"), over=2))
def test_the_real_open_bandit_is_accounted_for(open_bandit: Path, policy: str, campaign: str, tmp_path: Path) -> None:
    account = _ingest({"kind": "open_bandit", "path": open_bandit, "policy": policy, "campaign": campaign}, tmp_path)
    assert account == artifacts.RowAccount(10_000, 10_000, 0, 0)
    days = days_in(tmp_path / "events")
    events = pa.concat_tables(artifacts.read_table(tmp_path / "events" / f"day={day}" / "part-0.parquet") for day in days).to_pandas()
    raw = pd.read_csv(open_bandit / policy / campaign / f"{campaign}.csv", index_col=0)
    assert days == [f"2019-11-{day}" for day in range(24, 31)]
    assert events[schema.USER_ID].is_unique  # nobody is named: a row is its own cluster
    events = events.sort_values(schema.USER_ID)
    pairs = {schema.ITEM_ID: "item_id", schema.POSITION: "position", schema.PROPENSITY: "propensity_score", "log.click": "click"}
    for ours, theirs in pairs.items():
        assert np.array_equal(events[ours], raw[theirs]), ours
    assert raw.index.is_unique
    assert set(events[schema.ITEM_ID]) <= set(artifacts.read_table(tmp_path / "items" / "part-0.parquet")[schema.ITEM_ID].to_pylist())


@pytest.mark.parametrize("release", ["ml-100k", "ml-1m", "ml-10M100K", "ml-25m"])
def test_every_release_of_movielens_has_the_same_names(release: str, tmp_path: Path) -> None:
    pipeline = _pipeline(movielens(release)(tmp_path))
    names = sources.columns(pipeline)
    assert names["log"] == ["rating"]
    assert set(names["items"]) >= {"title"} | ({"film_noir", "release_date"} if release == "ml-100k" else {"genres"})
    assert ("zip_code" in names["users"]) == (release in ("ml-100k", "ml-1m"))
    _ingest({**_movielens_source(pipeline), "max_bad": 0.02}, tmp_path / "out")
    titles = artifacts.read_table(tmp_path / "out" / "items" / "part-0.parquet")["title"].to_pylist()
    assert all("Café" in title for title in titles)
    if names["users"]:
        codes = artifacts.read_table(tmp_path / "out" / "users" / "part-0.parquet")["zip_code"]
        assert codes.to_pylist()[3] == "01233"  # a code keeps its zero


def _movielens_source(pipeline: Pipeline) -> dict[str, object]:
    return {"kind": "movielens", "path": pipeline.source.path}  # type: ignore[union-attr]


def test_a_folder_without_ratings_is_no_movielens(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"found no ratings of MovieLens, expected a folder with u\.data or ratings\.dat or ratings\.csv\. Fix: "
    ):
        sources.check(_pipeline({"kind": "movielens", "path": tmp_path}))


def test_the_small_matrix_of_kuairec_is_a_log_of_its_own(tmp_path: Path) -> None:
    source = kuairec(tmp_path)
    assert _ingest({**source, "matrix": "small"}, tmp_path / "out").read == 5


@pytest.mark.parametrize(("release", "wants"), [("ml-100k", ()), ("ml-1m", (0, 1)), ("ml-10M100K", (0, 2)), ("ml-25m", (0, 2))])
def test_the_pipeline_of_movielens_says_how_to_read_each_release(release: str, wants: tuple[int, ...], tmp_path: Path) -> None:
    """The lines with --set in its comments, in their order, as somebody would type them."""
    source = movielens(release)(tmp_path)
    text = (Path(__file__).resolve().parents[2] / "pipelines" / "movielens.toml").read_text()
    lines = [
        shlex.split(line[line.index("--set") :].split(". From")[0])
        for line in text.splitlines()
        if line.startswith("#") and "--set" in line
    ]
    overrides = [word for want in wants for word in lines[want] if word != "--set" and not word.startswith("source.path=")]
    pipeline = load(Path("pipelines/movielens.toml"), [*overrides, f"source.path={source['path']}"])
    features.check(pipeline, sources.columns(pipeline))
