"""Scores of another system on the impressions of a run, joined by keys that both know."""

from recsys.other_system.joined import Joined, file_problems, join
from recsys.other_system.keys import KEYS, parsed_key, time_of

__all__ = ["KEYS", "Joined", "file_problems", "join", "parsed_key", "time_of"]
