"""Label sets: from the raw codes and columns of a pack to a matrix of labels, without preparing it again."""

from lamae.labels.label_table import LabelTable, Statements
from lamae.labels.sets import label_sets, make_labels

__all__ = ["LabelTable", "Statements", "label_sets", "make_labels"]
