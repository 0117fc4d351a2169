"""Hand-crafted features of an ECG: rhythm, intervals, axes and amplitudes."""

from lamae.ecg.measure.features import FEATURES, measure

__all__ = ["FEATURES", "measure"]
