"""Objectives: pure functions from what a model returns to a loss."""

from lamae.objectives.masked_reconstruction import masked_reconstruction

__all__ = ["masked_reconstruction"]
