"""A trained run is asked for predictions of candidates: of any user and item at any moment that its log reaches."""

from recsys.predicting.predict import Question, predict

__all__ = ["Question", "predict"]
