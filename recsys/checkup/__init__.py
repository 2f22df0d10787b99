"""A look at a pipeline and its source before anything runs: what there is, what a run would refuse, and what makes its numbers doubtful."""

from recsys.checkup.checkup import MOST_ROWS, look
from recsys.checkup.findings import Findings
from recsys.checkup.labels_seen import bounded_mean
from recsys.checkup.leaks import leaks

__all__ = ["MOST_ROWS", "Findings", "bounded_mean", "leaks", "look"]
