"""What a ranker could learn is in the log: past rates of users, topics and videos tell clicks and likes of the last days."""

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def joined(feed) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = feed.log.merge(feed.videos[["vid", "topic", "author", "tags"]], on="vid")
    cut = feed.log.ts.min() // DAY_MS * DAY_MS + (feed.options.days - 2) * DAY_MS
    return rows[rows.ts < cut], rows[rows.ts >= cut]


@pytest.mark.parametrize(
    ("keys", "signal"),
    [
        (["uid", "topic"], "clicked"),
        (["uid"], "clicked"),
        (["vid"], "clicked"),
        (["author"], "liked"),
        (["vid"], "liked"),
        (["slot", "device"], "clicked"),
    ],
)
def test_past_rates_tell_the_future(joined, keys, signal):
    past, future = joined
    base = past[signal].mean()
    tallies = past.groupby(keys)[signal].agg(["sum", "count"])
    rate = (tallies["sum"] + 10 * base) / (tallies["count"] + 10)
    scores = future[keys].merge(rate.rename("rate").reset_index(), on=keys, how="left").rate.fillna(base)
    assert roc_auc_score(future[signal], scores) > 0.54


def test_the_query_videos_topic_tells_clicks(feed):
    topic = feed.videos.set_index("vid").topic
    same = topic[feed.log.vid].to_numpy() == topic[feed.log.watching].to_numpy()
    assert feed.log.clicked[same].mean() > feed.log.clicked[~same].mean() + 0.03


def test_clickbait_shows_in_tags_but_not_wholly(feed):
    shocking = feed.videos.set_index("vid").tags.str.contains("shocking")
    bait = feed.truth.drop_duplicates("vid").set_index("vid")["latent.clickbait"]
    assert 0.65 < roc_auc_score(shocking[bait.index], bait) < 0.9
