"""The days of a simulated feed, one after the other: requests, pages, behaviour, and the policy's learning at midnight.

Shapes: U users, V videos, T topics, R requests, S slots, N = R · S impressions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.config import WorldOptions
from recsys.world import raw_files
from recsys.world.behaviour import Expectations, Outcomes, Shown, draw_outcomes, expectations
from recsys.world.policy import Catalogue, Guess, Pages, Policy, fill_pages, retrieve
from recsys.world.population import Floats, Ints, Users, Videos, draw_users, draw_videos, drifted, midnight_ms
from recsys.world.raw_files import WorldFiles
from recsys.world.requests import Memory, Requests, draw_requests
from recsys.world.streams import Stream, generator

_UNLOGGED_DAYS = 5  # before the first logged day: the policy learns, and users fill their memories
_BLOCK_IMPRESSIONS = 65_536  # made at once, so that candidates need little memory; another size changes the draws of a seed


def simulate(options: WorldOptions, seed: int, folder: Path) -> WorldFiles:
    """Write impressions.parquet, users.csv, videos.csv, surveys.csv and truth.parquet into `folder`.

    Equal options and seed give equal bytes. More days leave the rows of the earlier days as they were. Existing files are
    overwritten one by one. A caller that needs all files or none calls this inside `artifacts.writing`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = WorldFiles(folder)
    users, videos = draw_users(options, seed), draw_videos(options, seed)
    surveys = []
    with (
        pq.ParquetWriter(written.impressions, raw_files.IMPRESSIONS, compression="zstd") as impressions,
        pq.ParquetWriter(written.truth, raw_files.TRUTH, compression="zstd") as truth,
    ):
        for block in _logged_blocks(World(options, seed, users, videos)):
            impressions.write_table(raw_files.impression_batch(block.request_N, block.shown, block.outcomes))
            truth.write_table(
                raw_files.truth_batch(block.request_N, block.shown, block.expected, block.outcomes, users, videos, block.score_N)
            )
            surveys.append(raw_files.survey_batch(block.shown, block.outcomes))
    raw_files.write_csv(raw_files.user_table(users, options.start), written.users)
    raw_files.write_csv(raw_files.video_table(videos), written.videos)
    raw_files.write_csv(pa.concat_tables([raw_files.SURVEYS.empty_table(), *surveys]), written.surveys)
    return written


@dataclass(frozen=True)
class World:
    """The parts of a world that are the same on all days."""

    options: WorldOptions
    seed: int
    users: Users
    videos: Videos


@dataclass(frozen=True)
class Block:
    """Impressions of some requests of one day, page after page, in the order of time."""

    request_N: Ints
    shown: Shown
    score_N: Floats
    expected: Expectations
    outcomes: Outcomes


def _logged_blocks(world: World) -> Iterator[Block]:
    """Yield every impression of the log. Policy and memory change only between days: within a day both are those of midnight."""
    options, seed, users, videos = world.options, world.seed, world.users, world.videos
    policy = Policy.untaught(options.users, len(videos))
    memory = Memory.empty(options.users)
    mood_UT = None
    for day in range(-_UNLOGGED_DAYS, options.days):
        mood_UT = drifted(mood_UT, users, seed, day)
        shelf = Catalogue(policy, videos, midnight_ms(options, day), options.slots)
        requests = draw_requests(generator(seed, Stream.REQUESTS, day), options, day, users, shelf, memory)
        seen = []
        for block in _blocks_of_day(world, day, users.lasting_interest_UT + mood_UT, policy.guess(), shelf, requests):
            seen.append((block.shown.user_N, block.shown.video_N, block.outcomes.clicked_N))
            if day >= 0:
                yield block
        if seen:
            user_N, video_N, clicked_N = (np.concatenate(parts) for parts in zip(*seen, strict=True))
            policy = policy.taught(videos, user_N, video_N, clicked_N)
            memory = memory.after(user_N, video_N, clicked_N)


def _blocks_of_day(world: World, day: int, interest_UT: Floats, guess: Guess, shelf: Catalogue, requests: Requests) -> Iterator[Block]:
    users, videos, slots = world.users, world.videos, world.options.slots
    policy_rng, behaviour_rng = generator(world.seed, Stream.POLICY, day), generator(world.seed, Stream.BEHAVIOUR, day)
    length = max(1, _BLOCK_IMPRESSIONS // slots)
    for start in range(0, len(requests), length):
        block = requests.block(start, length)
        candidate_RC = retrieve(policy_rng, guess, shelf, block.user_R, videos.topic_V[block.query_R], slots)
        pages = fill_pages(
            policy_rng, guess, videos, block.user_R, block.query_R, candidate_RC, slots=slots, sharpness=world.options.sharpness
        )
        shown = _shown(block, pages)
        expected = expectations(users, videos, interest_UT, shown)
        outcomes = draw_outcomes(behaviour_rng, expected, videos.seconds_V[shown.video_N], world.options.survey_rate)
        yield Block(np.repeat(block.id_R, slots), shown, pages.score_RS.ravel(), expected, outcomes)


def _shown(requests: Requests, pages: Pages) -> Shown:
    slots = pages.video_RS.shape[1]
    return Shown(
        user_N=np.repeat(requests.user_R, slots),
        video_N=pages.video_RS.ravel(),
        query_N=np.repeat(requests.query_R, slots),
        device_N=np.repeat(requests.device_R, slots),
        slot_N=np.tile(np.arange(1, slots + 1), len(requests)),
        timestamp_N=np.repeat(requests.timestamp_R, slots),
    )
