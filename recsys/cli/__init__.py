"""The command line: its verbs, the arguments that they share, and how a mistake is said."""

from recsys.cli.command_line import main, run_command

__all__ = ["main", "run_command"]
