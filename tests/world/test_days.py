"""Days are closed: later days never change earlier ones, and what is new is shown only afterwards."""

import pandas as pd
import pyarrow.parquet as pq

from recsys.config import WorldOptions
from recsys.world import simulate

DAY_MS = 86_400_000


def test_more_days_leave_the_earlier_ones_as_they_were(tmp_path):
    options = WorldOptions(users=200, days=2, videos=100, new_videos=20)
    short = simulate(options, 7, tmp_path / "short")
    long = simulate(options.model_copy(update={"days": 4}), 7, tmp_path / "long")
    for name in ("impressions", "truth"):
        few, many = pq.read_table(getattr(short, name)), pq.read_table(getattr(long, name))
        assert many.num_rows > few.num_rows
        assert many.slice(0, few.num_rows).equals(few)
    for name in ("users", "videos", "surveys"):
        assert getattr(long, name).read_bytes().startswith(getattr(short, name).read_bytes())


def test_the_log_covers_just_its_days_in_order(feed):
    start = pd.Timestamp(feed.options.start).value // 1_000_000
    day = (feed.log.ts - start) // DAY_MS
    assert sorted(day.unique()) == list(range(feed.options.days))
    assert feed.log.ts.is_monotonic_increasing
    assert feed.log.request.is_monotonic_increasing


def test_videos_appear_only_after_the_midnight_that_follows_their_upload(feed):
    uploaded_ms = pd.to_datetime(feed.videos.set_index("vid").uploaded).astype("datetime64[ms]").astype("int64")
    for column in ("vid", "watching"):
        assert (uploaded_ms[feed.log[column]].to_numpy() < feed.log.ts // DAY_MS * DAY_MS).all()
    batch = (feed.videos.index - feed.options.videos) // feed.options.new_videos  # of the day that uploaded it
    shown = feed.videos.vid.isin(feed.log.vid)
    assert shown[batch == 0].all()
    assert not shown[batch == feed.options.days - 1].any()
