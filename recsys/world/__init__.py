"""A simulated watch-next feed with known truth (docs/world.md)."""

from recsys.world.raw_files import ATTRACTIVENESS, WorldFiles, read_truth, table_source
from recsys.world.simulate import simulate

__all__ = ["ATTRACTIVENESS", "WorldFiles", "read_truth", "simulate", "table_source"]
