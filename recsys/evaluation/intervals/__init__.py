"""Confidence intervals: over users, over seeds, and a check whether single users dominate them."""
