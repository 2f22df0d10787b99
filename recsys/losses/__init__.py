"""One file a kind of label: the loss that fits it, and the way back to an expected value in the label's own unit."""

from recsys.losses.kind import Constants, Fitted, Kind
from recsys.losses.masked import KINDS, ObjectiveLosses
from recsys.losses.watch_time import smearing

__all__ = ["KINDS", "Constants", "Fitted", "Kind", "ObjectiveLosses", "smearing"]
