"""The error of a training whose numbers are no longer finite."""

from recsys.errors import ConfigError
from recsys.training.state import Place


def diverged(what: str, place: Place) -> ConfigError:
    """Return the error that `what` was found not finite where the training stands. No weight has been changed by it."""
    return ConfigError(
        f"train.learning_rate: found {what} at step {place.steps + 1} (member {place.member + 1}, {place.phase}, round {place.round + 1}),"
        " expected finite numbers. Fix: a lower train.learning_rate or train.embedding_learning_rate"
    )
