"""A frozen system on a task: features, a learner that predicts from them, and the words of a result for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lamae.evals.probes.features import TaskTokens
from lamae.evals.probes.selection import Predicted
from lamae.evals.requests import answered
from lamae.evals.results import Evaluation, judge
from lamae.evals.settings import EvalSettings
from lamae.evals.tasks.task import Task
from lamae.pack import Pack


@dataclass(frozen=True, kw_only=True)
class FrozenSystem:
    """A frozen system on a task.

    Attributes:
        features: ``[studies, features]`` of the task as recorded, or all tokens of its studies.
        under: Returns ``[studies, features]`` of every study of another pack, such as one under a condition.
        predict: Learns from the training studies of a task and predicts its tested ones.
        blocks: Names of the views in order for concatenated per-view features, otherwise empty.
        judged_as: Keyword arguments of `lamae.evals.results.judge` about the system.
        identity: Everything that its features depend on, but for the studies.
    """

    features: np.ndarray | TaskTokens
    under: Callable[[Pack], np.ndarray]
    predict: Callable[[Any, Task], Predicted]
    blocks: tuple[str, ...] = ()
    judged_as: Mapping[str, Any]
    identity: Mapping[str, Any]

    def judge(
        self, task: Task, settings: EvalSettings, predicted: Predicted, condition: Mapping[str, Any] | None = None
    ) -> Evaluation:
        """Judge predictions of the tested studies, as recorded or under a condition."""
        scores, selection, validation_scores = predicted
        return judge(
            task,
            scores,
            settings,
            selection=selection,
            validation_scores=validation_scores,
            condition=condition,
            **self.judged_as,
        )

    def evaluate(self, task: Task, settings: EvalSettings, request: str, out: str | Path | None) -> Evaluation:
        """Predict the tested studies as recorded, judge the predictions, and write a RESULT folder (None: none)."""
        return answered(self.judge(task, settings, self.predict(self.features, task)), request, out)
