"""Three simulated feeds, made once: as by default, shown at random, shown in the policy's own order."""

from dataclasses import dataclass

import pandas as pd
import pytest

from recsys.config import WorldOptions
from recsys.world import WorldFiles, read_truth, simulate


@dataclass(frozen=True)
class Feed:
    """A world's files as frames, read with pandas; `log` and `truth` have the same rows in the same order."""

    options: WorldOptions
    files: WorldFiles
    log: pd.DataFrame
    truth: pd.DataFrame
    users: pd.DataFrame
    videos: pd.DataFrame
    surveys: pd.DataFrame


def make_feed(options: WorldOptions, folder) -> Feed:
    files = simulate(options, 7, folder)
    return Feed(
        options,
        files,
        pd.read_parquet(files.impressions),
        read_truth(folder).to_pandas(),
        pd.read_csv(files.users),
        pd.read_csv(files.videos),
        pd.read_csv(files.surveys),
    )


@pytest.fixture(scope="session")
def feed(tmp_path_factory) -> Feed:
    return make_feed(WorldOptions(survey_rate=0.05), tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def random_feed(tmp_path_factory) -> Feed:
    return make_feed(WorldOptions(sharpness=0, users=3_000), tmp_path_factory.mktemp("random"))


@pytest.fixture(scope="session")
def sharp_feed(tmp_path_factory) -> Feed:
    return make_feed(WorldOptions(sharpness=1_000, users=500, days=4), tmp_path_factory.mktemp("sharp"))
