"""The training of a model: the loop, the optimisers, the checkpoint, the journal, and fine-tuning."""

from recsys.training.train_model import train

__all__ = ["train"]
