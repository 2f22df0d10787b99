"""The training of a model: the loop, the optimisers, the checkpoint, the journal, kept states, and fine-tuning."""

from recsys.training.kept_states import KeptStates
from recsys.training.train_model import train

__all__ = ["KeptStates", "train"]
