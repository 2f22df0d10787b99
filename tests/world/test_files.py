"""The raw files are what a user would have; the truth lies apart from them and never in them."""

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from recsys.config import WorldOptions, duration_ms
from recsys.errors import DataError
from recsys.world import read_truth, simulate, table_source
from recsys.world.raw_files import IMPRESSIONS, TRUTH

SMALL = WorldOptions(users=60, days=3, videos=80, new_videos=5)


def _bytes(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_equal_seeds_give_equal_bytes(tmp_path):
    simulate(SMALL, 3, tmp_path / "a")
    simulate(SMALL, 3, tmp_path / "b")
    assert _bytes(tmp_path / "a") == _bytes(tmp_path / "b")
    assert sorted(_bytes(tmp_path / "a")) == ["impressions.parquet", "surveys.csv", "truth.parquet", "users.csv", "videos.csv"]


def test_another_seed_gives_other_users_videos_and_impressions(tmp_path):
    simulate(SMALL, 3, tmp_path / "a")
    simulate(SMALL, 4, tmp_path / "b")
    one, other = _bytes(tmp_path / "a"), _bytes(tmp_path / "b")
    assert all(one[name] != other[name] for name in one)


@pytest.mark.words
def test_raw_files_hold_the_stated_columns_and_no_latent(feed):
    assert pq.read_schema(feed.files.impressions).equals(IMPRESSIONS)
    assert list(feed.users) == ["uid", "country", "age_band", "signup_date"]
    assert list(feed.videos) == ["vid", "author", "topic", "language", "seconds", "uploaded", "tags"]
    assert list(feed.surveys) == ["uid", "vid", "ts", "stars"]
    raw = {*feed.log, *feed.users, *feed.videos, *feed.surveys}
    assert raw & set(TRUTH.names) == {"request", "uid", "vid", "ts", "slot"}


def test_the_truth_has_the_rows_of_the_log_in_their_order(feed):
    assert pq.read_schema(feed.files.truth).equals(TRUTH)
    keys = ["request", "uid", "vid", "ts", "slot"]
    pd.testing.assert_frame_equal(feed.log[keys], feed.truth[keys])
    assert np.isfinite(feed.truth.select_dtypes("number").to_numpy()).all()


def test_ids_join_and_are_unique(feed):
    assert feed.users.uid.is_unique
    assert feed.videos.vid.is_unique
    assert set(feed.log.uid) <= set(feed.users.uid)
    assert set(feed.log.vid) | set(feed.log.watching) <= set(feed.videos.vid)
    assert len(feed.users) == feed.options.users
    assert len(feed.videos) == feed.options.videos + feed.options.days * feed.options.new_videos


def test_a_page_shows_every_slot_once_no_video_twice_and_never_the_query_video(feed):
    pages = feed.log.groupby("request")
    assert (pages.size() == feed.options.slots).all()
    assert (pages.vid.nunique() == feed.options.slots).all()
    assert (feed.log.slot.to_numpy().reshape(-1, feed.options.slots) == np.arange(1, feed.options.slots + 1)).all()
    assert (pages[["uid", "ts", "device", "watching"]].nunique() == 1).all(axis=None)
    assert (feed.log.vid != feed.log.watching).all()


def test_tags_hold_one_to_several_values_and_topics_own_them(feed):
    tags = feed.videos.tags.str.split("|")
    assert tags.map(len).between(1, 9).all()
    assert (tags.map(len) > 1).any()
    own = [f"{topic}-" for topic in feed.videos.topic]
    assert all(cell[0].startswith(prefix) for cell, prefix in zip(tags, own, strict=True))


def test_dates_are_iso_and_before_the_impressions(feed):
    signup = feed.users.set_index("uid").signup_date.map(dt.date.fromisoformat)
    assert (signup < feed.options.start).all()
    uploaded = feed.videos.uploaded.map(dt.datetime.fromisoformat)
    assert uploaded.is_monotonic_increasing
    assert uploaded.iloc[: feed.options.videos].max().date() < feed.options.start


def test_every_column_that_the_source_names_is_in_its_file(feed):
    source = table_source(feed.files.folder)
    assert set(source.columns.named().values()) <= set(feed.log)
    assert source.columns.user_id in feed.users
    assert source.columns.item_id in feed.videos
    (survey,) = source.feedback
    assert {survey.value, survey.timestamp, source.columns.user_id, source.columns.item_id} == set(feed.surveys)
    assert feed.files.truth not in (source.log, source.users, source.items, survey.file)


def test_a_survey_joins_the_watch_that_it_asks_about(feed):
    """By the rule of the source: the last impression of the same user and video at or before the answer, within 24 h."""
    (survey,) = table_source(feed.files.folder).feedback
    pairs = feed.surveys.reset_index().merge(feed.log, on=["uid", "vid"], suffixes=("_answer", ""))
    waited = pairs.ts_answer - pairs.ts
    pairs = pairs[(waited >= 0) & (waited <= duration_ms(survey.within))]
    assert set(pairs["index"]) == set(feed.surveys.index)
    last = pairs.sort_values("ts").groupby("index").last()
    assert last.clicked.mean() > 0.97  # the rest were shown the video again before they answered
    assert (last.ts_answer - last.ts).min() >= 60_000
    assert (last.ts_answer - last.ts).median() > 10 * 60_000


def test_a_folder_without_a_truth_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match=r"truth\.parquet: found no parquet file .* Fix: "):
        read_truth(tmp_path)
    (tmp_path / "truth.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"truth\.parquet: found no parquet file"):
        read_truth(tmp_path)


def test_a_world_without_requests_has_all_files_and_no_rows(tmp_path):
    files = simulate(WorldOptions(users=1, days=1, requests=1e-9, videos=11), 7, tmp_path)
    assert pq.read_table(files.impressions).num_rows == read_truth(tmp_path).num_rows == 0
    assert pd.read_csv(files.surveys).empty


def test_fewer_topics_than_videos_and_one_more_video_than_slots_is_enough(tmp_path):
    files = simulate(WorldOptions(users=50, days=2, videos=4, new_videos=0, slots=3), 7, tmp_path)
    log = pd.read_parquet(files.impressions)
    assert (log.groupby("request").vid.nunique() == 3).all()
