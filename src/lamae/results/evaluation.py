"""A finished evaluation: what was judged and how, and the score of every tested study."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamae.metrics import Interval
from lamae.results.identity import caveats


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A finished evaluation.

    Attributes:
        info: Content of ``result.json``.
        study_hash: ``[tested studies]``.
        patient_hash: ``[tested studies]``.
        fold: ``[tested studies]`` int64, -1 where there is none.
        targets: ``[tested studies, labels]`` float64, NaN where unknown.
        scores: ``[tested studies, labels]`` float64: probabilities, or values of a regression.
    """

    info: Mapping[str, Any]
    study_hash: np.ndarray
    patient_hash: np.ndarray
    fold: np.ndarray
    targets: np.ndarray
    scores: np.ndarray

    @property
    def system(self) -> str:
        """Display name of what was judged."""
        return str(self.info["system"])

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels that were learned and judged."""
        return tuple(self.info["labels"]["names"])

    @property
    def is_regression(self) -> bool:
        """Return True if the targets are values rather than classes."""
        return self.info["labels"].get("kind") == "regression"

    def metric(self, name: str) -> Interval:
        """Return a metric such as ``"macro_auroc"`` with its interval."""
        found = self.info["metrics"][name]
        return Interval(*(float("nan") if found[key] is None else found[key] for key in ("value", "low", "high")))

    def __str__(self) -> str:
        lines = [f"{self.info['system']}: {self.info['labels']['set']}, {len(self.scores)} test studies"]
        for name in self.info["metrics"]:
            found = self.metric(name)
            interval = "" if math.isnan(found.low) else f" [{found.low:.3f}, {found.high:.3f}]"
            lines.append(f"  {name} {found.value:.3f}{interval}")
        lines += [f"  NOTE: {self.info['system']} {caveat}" for caveat in caveats(self.info)]
        if self.info["skipped_labels"]:
            lines.append(f"  {len(self.info['skipped_labels'])} labels skipped: see result.json")
        return "\n".join(lines)
