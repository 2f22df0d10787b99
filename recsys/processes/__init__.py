"""Tasks in processes of their own, side by side."""

from recsys.processes.side_by_side import run_side_by_side
from recsys.processes.worker import Task

__all__ = ["Task", "run_side_by_side"]
