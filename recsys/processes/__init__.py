"""Tasks in processes of their own, side by side, or beside what the first process does."""

from recsys.processes.side_by_side import Begun, ProcessDiedError, begun, run_side_by_side
from recsys.processes.worker import Task

__all__ = ["Begun", "ProcessDiedError", "Task", "begun", "run_side_by_side"]
