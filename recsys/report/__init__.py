"""The report: long rows in, a terminal table and one offline page out. Knows no torch."""

from recsys.report.affinity_page import affinity_matrix, write_affinity
from recsys.report.frame import frame
from recsys.report.page import write_report
from recsys.report.terminal import terminal_matrix, terminal_table
from recsys.report.training_log import read_inside, read_journal

__all__ = [
    "affinity_matrix",
    "frame",
    "read_inside",
    "read_journal",
    "terminal_matrix",
    "terminal_table",
    "write_affinity",
    "write_report",
]
