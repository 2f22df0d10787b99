"""The intervals that chance alone would mark, in words."""


def by_chance(intervals: int, confidence: float) -> str:
    """Say how many of so many intervals would exclude 0 if every true difference were 0."""
    expected = (1 - confidence) * intervals
    about = f"{expected:.0f}" if expected >= 1 else f"{expected:.2g}"
    return f"By chance alone, about {about} of {intervals} intervals would exclude 0."
