"""Label efficiency: one system judged with ever more labels, several draws of labelled patients for each amount."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from lamae.errors import ConfigError, DataError, check_choice, refuse_twice
from lamae.evals.finetuning.finetune import finetune
from lamae.evals.identity import Initialisation
from lamae.evals.probes.encoder import FrozenEncoder
from lamae.evals.probes.features import TokenReadout
from lamae.evals.probes.handmade import handmade, measure_task
from lamae.evals.probes.probe import probe
from lamae.evals.requests import kept_or_made, request_of
from lamae.evals.results import Evaluation
from lamae.evals.settings import EvalSettings, FinetuneConfig, Progress, silent
from lamae.evals.sweeps.tables import EfficiencyRow, SweepSummary, summarise_efficiency
from lamae.evals.tasks.task import Task, make_task
from lamae.models import Readout
from lamae.nn.precision import Precision
from lamae.pack import Pack

Protocol = Literal["linear", "attention-pool", "mlp", "knn", "fine-tune", "hand-made"]


FRACTIONS = (0.05, 0.25, 1.0)
"""5, 25 and 100 % of the training patients, with which the literature compares."""


@dataclass(frozen=True, kw_only=True)
class LabelAmount:
    """An amount of labels, and the number of the draw.

    Attributes:
        fraction: Fraction of the training patients.
        count: Number of training studies in place of a fraction.
        draw: Number of the draw, from 0.
    """

    fraction: float = 1.0
    count: int | None = None
    draw: int = 0

    @property
    def name(self) -> str:
        """Name of its folder: ``"fraction-0.05-draw-0"``, ``"count-100-draw-2"``."""
        return f"{self.amount}-draw-{self.draw}"

    @property
    def amount(self) -> str:
        """Name that all draws of this amount have in common."""
        return f"fraction-{self.fraction:g}" if self.count is None else f"count-{self.count}"

    def settings(self, settings: EvalSettings) -> EvalSettings:
        """Return settings with this amount and this draw."""
        draw = settings.label_draw + self.draw
        return replace(settings, label_fraction=self.fraction, label_count=self.count, label_draw=draw)


def label_efficiency(
    run: str | Path | None,
    pack: str | Path | Pack,
    labels: str,
    out: str | Path,
    *,
    fractions: Sequence[float] | None = None,
    counts: Sequence[int] | None = None,
    draws: int = 3,
    protocol: Protocol = "linear",
    initialisation: Initialisation = "pretrained",
    readout: Readout | TokenReadout | None = None,
    config: FinetuneConfig | None = None,
    settings: EvalSettings | None = None,
    test_pack: str | Path | Pack | None = None,
    system: str | None = None,
    precision: Precision | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress = silent,
) -> SweepSummary[EfficiencyRow]:
    """Judge a system with each amount of labels and write a RESULT folder for each draw, and a table of all.

    The labels are those of the whole training set, whatever the amount; what a small draw cannot teach is skipped in
    that draw's result and named there. The table's means are over the labels that every draw could teach
    (docs/robustness.md). Draw 0 of 5 % is part of draw 0 of 25 %; other systems get the same draws. All labels are one
    draw. A finished result of the same request is kept. Fine-tuned weights are not kept.

    Args:
        run: Folder of a run or of a checkpoint; None for ``"hand-made"``.
        pack: The labelled pack.
        labels: A label set, see `lamae.labels.make_labels`.
        out: Folder for the RESULT folders, ``label-efficiency.csv`` and ``label-efficiency.md``.
        fractions: Fractions of the training patients; None for ``FRACTIONS`` where no counts are given.
        counts: Numbers of training studies, in place of or beside fractions.
        draws: Draws of each amount below all labels, from ``settings.label_draw`` on.
        protocol: Learner on the labels; ``"fine-tune"`` learns all weights.
        initialisation: ``"random"`` for the frozen control, ``"scratch"`` for fine-tuning from random weights.
        readout: None takes the run's own; attention pooling has its own, see `lamae.evals.probe`.
        config: Settings of fine-tuning.
        settings: Settings of the task and of its judging, without label fraction and count.
        test_pack: Test on the studies of this pack, see `make_task`.
        system: Name to show; None names it after the model.
        precision: Precision in which features are computed; None takes the run's own.
        batch_size: Studies at once; None takes the run's own, at most 64.
        device: Where features are computed, as in `lamae.evals.probe`; fine-tuning has its own settings of all three.
        overwrite: Replace results of other requests in ``out``.
        progress: Called as the work goes on.

    Raises:
        DataError: A label has positives in fewer training patients than there are draws, there are fewer training
            studies than a count, or as the evaluation itself.
        ConfigError: Amounts, draws, protocol or settings do not fit each other, ``out`` holds something else, or as the
            evaluation itself.
        CheckpointError: There is no whole checkpoint.
        OSError: Writing failed.
    """
    settings = settings or EvalSettings()
    amounts = label_amounts(fractions, counts, draws)
    _check(run, protocol, initialisation, config, settings)
    task = make_task(pack, labels, settings, test_pack=test_pack)
    pack, test_pack = task.pack, task.tested_pack if task.is_transfer else None  # opened once
    if any(one.amount != "fraction-1" for one in amounts):
        check_positives(task, draws)
    request = {
        "protocol": protocol,
        "initialisation": initialisation,
        "encoder": None if run is None else FrozenEncoder(run=run, precision=precision).identity,
        "readout": readout,
        "config": None if protocol != "fine-tune" else asdict(config or FinetuneConfig()),
        "system": system,
    }
    shared: dict[str, Any] = {"test_pack": test_pack, "progress": progress} | ({"system": system} if system else {})
    if run is None:
        measured = cache(partial(measure_task, task, progress=progress))

        def judge(settings: EvalSettings) -> Evaluation:
            return handmade(pack, labels, settings=settings, measured=measured(), **shared)
    elif protocol == "fine-tune":
        judge = partial(finetune, run, pack, labels, init=initialisation, readout=readout, config=config, **shared)
    else:
        shared |= {"precision": precision, "batch_size": batch_size, "device": device, "readout": readout}
        judge = partial(probe, run, pack, labels, protocol=protocol, weights=initialisation, **shared)
    found: list[tuple[str, Evaluation]] = []
    for number, amount in enumerate(amounts):
        chosen = amount.settings(settings)
        asked = request_of(task, chosen, request)
        made = kept_or_made(Path(out) / amount.name, asked, partial(judge, settings=chosen), overwrite=overwrite)
        found.append((amount.amount, made))
        progress("label amounts", number + 1, len(amounts))
    return summarise_efficiency(Path(out), found)


def _check(
    run: str | Path | None,
    protocol: Protocol,
    initialisation: Initialisation,
    config: FinetuneConfig | None,
    settings: EvalSettings,
) -> None:
    check_choice("protocol", protocol, get_args(Protocol))
    if (run is None) != (protocol == "hand-made"):
        raise ConfigError(f"the protocol 'hand-made' goes without a run, and no other does; found {protocol!r}")
    check_choice("initialisation", initialisation, get_args(Initialisation))
    allowed = {"fine-tune": ("pretrained", "scratch"), "hand-made": ("pretrained",)}.get(
        protocol, ("pretrained", "random")
    )
    if initialisation not in allowed:
        raise ConfigError(
            f"the protocol {protocol!r} knows the initialisation {' and '.join(allowed)}, found {initialisation!r}"
        )
    if config is not None and protocol != "fine-tune":
        raise ConfigError(f"settings of fine-tuning need the protocol 'fine-tune', found {protocol!r}")
    if settings.label_fraction != 1 or settings.label_count is not None:
        raise ConfigError("label efficiency sets label_fraction and label_count itself: give fractions or counts")


def label_amounts(
    fractions: Sequence[float] | None, counts: Sequence[int] | None, draws: int
) -> tuple[LabelAmount, ...]:
    """Return every draw of every amount, fewest labels first; all labels are one draw.

    Raises:
        ConfigError: An amount is out of range or given twice, there is none, or there are no draws.
    """
    fractions = (FRACTIONS if counts is None else ()) if fractions is None else tuple(fractions)
    counts = () if counts is None else tuple(counts)
    if draws < 1:
        raise ConfigError(f"draws must be at least 1, found {draws}")
    if not fractions and not counts:
        raise ConfigError("no amount of labels was given: name fractions such as 0.05,0.25,1 or counts such as 100")
    if wrong := [one for one in fractions if not 0 < one <= 1] + [one for one in counts if one < 1]:
        raise ConfigError(
            f"label fractions lie above 0 and up to 1, counts are at least 1, found {', '.join(map(str, wrong))}"
        )
    amounts = [LabelAmount(count=one) for one in sorted(counts)]
    amounts += [LabelAmount(fraction=one) for one in sorted(fractions)]
    refuse_twice("amounts of labels", [amount.amount for amount in amounts])
    return tuple(
        replace(amount, draw=draw)
        for amount in amounts
        for draw in range(1 if amount.amount == "fraction-1" else draws)
    )


def check_positives(task: Task, draws: int) -> None:
    """Check that every label has positives in at least as many training patients as there are draws.

    With fewer, draws are mostly the same few positives or none at all, and their spread says nothing.

    Raises:
        DataError: A label has not; all of them are named with their number.
    """
    if task.is_regression:
        return
    few: list[str] = []
    for label, name in enumerate(task.label_names):
        positives = min(
            len(np.unique(task.patient_hash[part.train][task.targets[part.train, label] == 1])) for part in task.parts
        )
        if positives < draws:
            few.append(f"{name} ({positives})")
    if few:
        raise DataError(
            f"fewer positives than draws: {len(few)} labels have positives in fewer than {draws} training patients, "
            f"{', '.join(few[:5])}{', ...' if len(few) > 5 else ''}: raise min_count, or ask for fewer draws",
            reason="fewer-positives-than-draws",
        )
