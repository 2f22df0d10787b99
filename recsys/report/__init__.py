"""The report: long rows in, a terminal table and one offline page out. Knows no torch."""

from recsys.report.frame import frame
from recsys.report.page import write_report
from recsys.report.terminal import terminal_table

__all__ = ["frame", "terminal_table", "write_report"]
