"""Each day of a log against the days before it: how many rows, what is null, base rates, what is new, how features are spread."""

from recsys.health.health import health, stops

__all__ = ["health", "stops"]
