"""The report: it turns long rows into a terminal table and one offline page. It does not import torch."""

from recsys.report.cosines import pooled_cosines
from recsys.report.pages.affinity_page import affinity_matrix, affinity_words, write_affinity
from recsys.report.pages.backtest_page import backtest_matrices, backtest_words, write_backtest
from recsys.report.pages.compare_page import comparison_matrix, comparison_words, write_comparison
from recsys.report.pages.health_page import write_health
from recsys.report.pages.page import write_report
from recsys.report.pages.sweep_page import sweep_matrices, sweep_words, write_sweep
from recsys.report.tables.frame import frame
from recsys.report.tables.terminal import terminal_matrix, terminal_table
from recsys.report.training_log import read_inside, read_journal

__all__ = [
    "affinity_matrix",
    "affinity_words",
    "backtest_matrices",
    "backtest_words",
    "comparison_matrix",
    "comparison_words",
    "frame",
    "pooled_cosines",
    "read_inside",
    "read_journal",
    "sweep_matrices",
    "sweep_words",
    "terminal_matrix",
    "terminal_table",
    "write_affinity",
    "write_backtest",
    "write_comparison",
    "write_health",
    "write_report",
    "write_sweep",
]
