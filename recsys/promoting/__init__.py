"""A run's model becomes the current one if no objective loses more than its margin, and can be taken back."""

from recsys.promoting.promote import promote, rollback

__all__ = ["promote", "rollback"]
