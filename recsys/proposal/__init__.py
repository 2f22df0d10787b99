"""A pipeline's TOML proposed from the files as they lie on disk: roles of columns, a split, objectives, features."""

from recsys.proposal.draft import Proposal, next_steps, write_new
from recsys.proposal.propose import propose
from recsys.proposal.told import told_columns

__all__ = ["Proposal", "next_steps", "propose", "told_columns", "write_new"]
