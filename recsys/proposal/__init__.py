"""A pipeline's TOML proposed from the files as they lie on disk: roles of columns, a split, objectives, features."""

from recsys.proposal.draft import Proposal, write_new
from recsys.proposal.propose import propose

__all__ = ["Proposal", "propose", "write_new"]
