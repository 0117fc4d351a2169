"""The report: one self-contained HTML page from the files of runs and results, and ECGs drawn as they are printed."""

from lamae.ecg.paper import plot_ecg
from lamae.report.page import write_report

__all__ = ["plot_ecg", "write_report"]
