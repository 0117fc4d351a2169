"""Objectives: pure functions from what a model returns to a loss."""

from lamae.objectives.alignment import AlignmentConfig, alignment
from lamae.objectives.masked_reconstruction import masked_reconstruction

__all__ = ["AlignmentConfig", "alignment", "masked_reconstruction"]
