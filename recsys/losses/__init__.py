"""One file per kind of label: the loss that fits it, and the way back to an expected value in the label's own unit."""

from recsys.losses.kind import Fitted, Kind, Sample
from recsys.losses.log_squared import smearing
from recsys.losses.masked import METHODS, ObjectiveLosses

__all__ = ["METHODS", "Fitted", "Kind", "ObjectiveLosses", "Sample", "smearing"]
