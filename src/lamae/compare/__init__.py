"""Several systems side by side: tables, paired differences, charts and matched controls, from RESULT folders alone."""

from lamae.compare.comparison import Comparison, make_comparison
from lamae.compare.judged import Settings
from lamae.compare.table import as_csv, as_latex, as_markdown
from lamae.compare.write import compare

__all__ = ["Comparison", "Settings", "as_csv", "as_latex", "as_markdown", "compare", "make_comparison"]
