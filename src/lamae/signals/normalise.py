"""From stored integers to float32 with mean 0 and standard deviation 1, quickly and in place."""

from typing import Literal

import numpy as np

from lamae.studies import MISSING_CODE

EPSILON_MV = 1e-6
"""Added to the standard deviation, so that a study without a signal becomes zeros."""


def normalise(
    values: np.ndarray,
    scale: np.ndarray,
    study_of: np.ndarray,
    *,
    by: Literal["study", "view"] = "study",
    has_missing: bool = True,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Turn integers into z-scores over each study (all its leads together) or over each view.

    Two sums over data that stay in the processor's cache, in place; see ``benchmarks/pack_read.py``.

    Args:
        values: ``[instances, samples]`` int16 with ``MISSING_CODE`` where nothing was recorded.
        scale: ``[instances]`` float32, mV for one integer step.
        study_of: ``[instances]`` non-decreasing; instances of one study stand together.
        by: Over what mean and standard deviation are taken.
        has_missing: Whether the code may occur; False saves looking for it.
        out: ``[instances, samples]`` float32 to write into.

    Returns:
        ``[instances, samples]`` float32; 0 where nothing was recorded.
    """
    out = np.empty(values.shape, dtype=np.float32) if out is None else out
    edges = np.arange(len(values) + 1) if by == "view" else _edges(study_of)
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        _normalise_block(values[start:end], scale[start:end].astype(np.float64), out[start:end], has_missing)
    return out


def _edges(study_of: np.ndarray) -> np.ndarray:
    inner = np.flatnonzero(np.diff(study_of)) + 1
    return np.concatenate([[0], inner, [len(study_of)]]) if len(study_of) else np.zeros(1, dtype=np.int64)


def _normalise_block(values: np.ndarray, scale: np.ndarray, out: np.ndarray, has_missing: bool) -> None:
    out[:] = values
    missing = None
    counts = np.full(len(values), values.shape[1], dtype=np.float64)
    if has_missing and values.min() == MISSING_CODE:
        missing = values == MISSING_CODE
        out[missing] = 0.0
        counts -= missing.sum(axis=1)
    total = max(counts.sum(), 1.0)
    mean = (out.sum(axis=1, dtype=np.float32) * scale).sum() / total
    out -= (mean / scale).astype(np.float32)[:, None]
    if missing is not None:
        out[missing] = 0.0
    squares = np.einsum("ij,ij->i", out, out)
    deviation = np.sqrt((squares * scale**2).sum() / total)
    out *= (scale / (deviation + EPSILON_MV)).astype(np.float32)[:, None]
