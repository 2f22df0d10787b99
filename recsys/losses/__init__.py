"""One file per loss: what is learned from a label, and the way back to an expected value in the label's own unit.

A new loss is a file with a `Loss`, and a line in `objectives.LOSSES`.
"""

from recsys.losses.log_squared import smearing
from recsys.losses.loss import Fitted, Loss, Sample
from recsys.losses.masked import LOSSES, ObjectiveLosses

__all__ = ["LOSSES", "Fitted", "Loss", "ObjectiveLosses", "Sample", "smearing"]
