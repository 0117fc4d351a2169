"""The report: one self-contained HTML page from the files of runs and results."""

from lamae.report.page import write_report

__all__ = ["write_report"]
