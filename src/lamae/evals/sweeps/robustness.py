"""Robustness: a probe learned once on studies as recorded, tested on the same studies with less or worse signal."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lamae.errors import ConfigError, did_you_mean
from lamae.evals.identity import Weights
from lamae.evals.probes.encoder import FrozenEncoder, run_cache
from lamae.evals.probes.frozen_system import FrozenSystem
from lamae.evals.probes.handmade import measured_system
from lamae.evals.probes.probe import probed_encoder
from lamae.evals.probes.selection import Predicted
from lamae.evals.requests import answered, finished, kept_or_made, request_of
from lamae.evals.results import Evaluation
from lamae.evals.settings import EvalSettings, Progress, silent
from lamae.evals.sweeps.conditioned_pack import ConditionedPack
from lamae.evals.sweeps.conditions import Condition, parse_conditions
from lamae.evals.sweeps.tables import AS_RECORDED, RobustnessRow, SweepSummary, summarise_robustness
from lamae.evals.tasks.leak_guard import check_pretraining
from lamae.evals.tasks.task import Part, Task, make_task
from lamae.models import Readout
from lamae.nn.precision import Precision
from lamae.pack import Pack

FrozenProtocol = Literal["linear", "mlp", "knn", "hand-made"]
"""Protocols that predict from one vector a study."""

CLEAN = "clean"
"""Folder of the result as recorded."""

MATCHED = " (trained alike)"
"""Added to the name of a condition under which the training studies were seen too."""


def robustness(
    run: str | Path | None,
    pack: str | Path | Pack,
    labels: str,
    out: str | Path,
    *,
    conditions: Sequence[str] = ("all",),
    train_too: bool = False,
    protocol: FrozenProtocol = "linear",
    weights: Weights = "pretrained",
    readout: Readout | None = None,
    settings: EvalSettings | None = None,
    test_pack: str | Path | Pack | None = None,
    system: str | None = None,
    noise_seed: int = 0,
    precision: Precision | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    cache: bool = True,
    overwrite: bool = False,
    progress: Progress = silent,
) -> SweepSummary[RobustnessRow]:
    """Judge a frozen system under conditions and write a RESULT folder for each, one as recorded, and a table.

    The probe is learned and selected on studies as recorded, once; then it predicts the tested studies under every
    condition. What conditions mean, and the value of absent leads, stands in docs/robustness.md. A finished result of
    the same request is kept.

    Args:
        run: Folder of a run or of a checkpoint; None for hand-crafted features.
        pack: The labelled pack, prepared as the run's data.
        labels: A label set, see `lamae.labels.make_labels`.
        out: Folder for the RESULT folders, ``robustness.csv`` and ``robustness.md``.
        conditions: As `lamae.evals.sweeps.conditions.parse_conditions` reads them.
        train_too: Also learn a probe of its own under each condition, on training and validation studies changed alike:
            what could be reached when the condition is known. Orders change nothing to learn from and are left out.
        protocol: ``"linear"``, ``"mlp"`` or ``"knn"``; ``"hand-made"`` or ``"linear"`` without a run.
        weights: ``"random"`` for the control with random weights.
        readout: None takes the run's own.
        settings: Settings of the task and of its judging.
        test_pack: Test on the studies of this pack, see `make_task`.
        system: Name to show; None names it after the model.
        noise_seed: Seed of noise and of shuffled orders; the same for systems that are to be compared.
        precision: Precision in which features are computed; None takes the run's own.
        batch_size: Studies at once; None takes the run's own, at most 64.
        device: Where features are computed; ``"auto"`` takes a GPU when there is one.
        cache: Keep features as recorded in the run's folder and take them from there.
        overwrite: Replace results of other requests in ``out``.
        progress: Called as the work goes on.

    Raises:
        DataError: The task cannot be made, tested patients were pretrained on, or studies have none of the leads that a
            condition leaves.
        CheckpointError: There is no whole checkpoint.
        ConfigError: Conditions, protocol, settings, label set or preprocessing do not fit, or ``out`` holds something
            else.
        OSError: Writing failed.
    """
    settings, out = settings or EvalSettings(), Path(out)
    asked = parse_conditions(conditions, seed=noise_seed)
    task = make_task(pack, labels, settings, test_pack=test_pack)
    packs = [_tested(task, condition) for condition in asked]  # refuses what does not fit before anything is computed
    if run is None:
        if protocol not in ("linear", "hand-made") or weights == "random" or readout is not None:
            raise ConfigError("hand-made features know no protocol, weights or read-out: leave them out")
        frozen = measured_system(task, settings, system=system, progress=progress)
    else:
        if protocol not in (known := ("linear", "mlp", "knn")):
            hint = did_you_mean(protocol, known)
            raise ConfigError(
                f"unknown protocol {protocol!r} of frozen features: {hint}expected one of {', '.join(known)}"
            )
        leak = check_pretraining(run, task, settings, weights=weights)
        how: dict[str, Any] = {"device": device, "precision": precision, "batch_size": batch_size}
        kept = run_cache(run) if cache else None
        encoder = FrozenEncoder(run=run, weights=weights, seed=settings.seed, cache=kept, **how)
        frozen = probed_encoder(encoder, task, settings, protocol, readout, leak=leak, system=system, progress=progress)
    sweep = _Sweep(frozen=frozen, task=task, settings=settings, out=out, overwrite=overwrite, progress=progress)
    found = sweep.learned_as_recorded(asked, packs)
    if train_too:
        found += [sweep.learned_alike(condition) for condition in asked if condition.order is None]
    return summarise_robustness(out, found)


@dataclass(frozen=True, kw_only=True)
class _Sweep:
    """One system on one task, under one condition after the other."""

    frozen: FrozenSystem
    task: Task
    settings: EvalSettings
    out: Path
    overwrite: bool
    progress: Progress

    def learned_as_recorded(
        self, conditions: Sequence[Condition], packs: Sequence[ConditionedPack]
    ) -> list[Evaluation]:
        """Return the evaluation as recorded and one a condition, all from one probe."""
        names = [CLEAN, *(condition.name for condition in conditions)]
        found = {
            name: finished(self.out / folder_name(name), self._hash(name, condition), overwrite=self.overwrite)
            for name, condition in zip(names, (None, *conditions), strict=True)
        }
        missing = [one for one in zip(conditions, packs, strict=True) if found[one[0].name] is None]
        if missing or found[CLEAN] is None:
            scores, selection, validation = predict_under(
                self.frozen, self.task, [self._features(condition, pack) for condition, pack in missing]
            )
            if found[CLEAN] is None:
                found[CLEAN] = self._judge(CLEAN, None, None, (scores[0], selection, validation))
            for (condition, pack), changed in zip(missing, scores[1:], strict=True):
                said = condition.describe() | {"trained": AS_RECORDED}
                if condition.leads is not None and self.frozen.blocks:
                    said["absent_views"] = "mean of the training studies"
                said |= pack.tally()
                if condition.order is not None:
                    said["largest_change"] = float(np.abs(changed - scores[0]).max())
                predicted = (changed, selection, validation)
                found[condition.name] = self._judge(condition.name, condition, said, predicted)
        return [evaluation for name in names if (evaluation := found[name]) is not None]

    def learned_alike(self, condition: Condition) -> Evaluation:
        """Return the evaluation of a probe that was learned under the condition too."""
        name = condition.name + MATCHED

        def judge() -> Evaluation:
            packs = [ConditionedPack(pack, rows, condition) for pack, rows in self.task.pieces]
            features = np.concatenate([self.frozen.under(pack) for pack in packs])
            said = condition.describe() | {"name": name, "trained": "alike"} | packs[-1].tally()
            return self.frozen.judge(self.task, self.settings, self.frozen.predict(features, self.task), said)

        request = self._hash(name, condition)
        return kept_or_made(self.out / folder_name(name), request, judge, overwrite=self.overwrite)

    def _features(self, condition: Condition, pack: ConditionedPack) -> np.ndarray:
        self.progress(f"under {condition.name}", 0, 1)
        features = self.frozen.under(pack)
        if condition.leads is None or not self.frozen.blocks:
            return features
        width = features.shape[1] // len(self.frozen.blocks)
        gone = np.repeat([name not in condition.leads for name in self.frozen.blocks], width)
        return np.where(gone, np.nan, features)

    def _hash(self, name: str, condition: Condition | None) -> str:
        said = None if condition is None else condition.describe()
        return request_of(self.task, self.settings, {**self.frozen.identity, "name": name, "condition": said})

    def _judge(
        self, name: str, condition: Condition | None, said: dict[str, Any] | None, predicted: Predicted
    ) -> Evaluation:
        evaluation = self.frozen.judge(self.task, self.settings, predicted, said)
        return answered(evaluation, self._hash(name, condition), self.out / folder_name(name))


def folder_name(condition: str) -> str:
    """Return the name of the folder of a condition: ``"leads-I-II"``, ``"noise-muscle-10dB"``."""
    return condition.replace(MATCHED, "-trained-alike").replace(":", "-").replace(",", "-").replace("@", "-")


def predict_under(frozen: FrozenSystem, task: Task, changed: Sequence[np.ndarray]) -> Predicted:
    """Learn one probe a division on studies as recorded and predict the tested studies as recorded and changed.

    The changed studies stand behind the others of the task as further tested ones, so that each is predicted by the
    probe that did not learn from it, in a cross-validation too.

    Args:
        frozen: The system.
        task: Labels and divisions.
        changed: For each condition ``[tested studies, features]`` in the order of ``task.tested``; NaN becomes the mean
            of the training studies of the division.

    Returns:
        ``[1 + conditions, tested studies, labels]`` with the studies as recorded first; the selection; and the scores
        of the validation studies of each division.
    """
    clean, tested, num_studies = np.asarray(frozen.features), task.tested, len(task.rows)
    features = np.concatenate([clean, *changed], dtype=np.float32)
    parts = []
    for part in task.parts:
        place = np.searchsorted(tested, part.test)
        tests, mean = [part.test], None
        for number, values in enumerate(changed):
            positions = num_studies + number * len(tested) + place
            tests.append(positions)
            if frozen.blocks and np.isnan(values).any():
                mean = clean[part.train].mean(axis=0) if mean is None else mean
                features[positions] = np.where(np.isnan(values[place]), mean, values[place])
        parts.append(Part(train=part.train, validation=part.validation, test=np.concatenate(tests)))
    every = np.concatenate([np.arange(num_studies), np.tile(tested, len(changed))])
    by_study = ("rows", "targets", "patient_hash", "record_hash", "study_hash", "fold")
    longer = replace(task, parts=tuple(parts), **{name: getattr(task, name)[every] for name in by_study})
    scores, selection, validation = frozen.predict(features, longer)
    return scores.reshape(1 + len(changed), len(tested), -1), selection, validation


def _tested(task: Task, condition: Condition) -> ConditionedPack:
    """Return the tested studies under a condition, in the order of ``task.tested``."""
    first = sum(len(pack) for pack in task.packs[:-1])
    return ConditionedPack(task.tested_pack, task.rows[task.tested] - first, condition)
