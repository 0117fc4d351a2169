"""Label efficiency: one system judged with ever more labels, several draws of labelled patients for each amount."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, get_args

from lamae.checkpoint import find_checkpoint, read_meta
from lamae.errors import ConfigError
from lamae.evals.finetuning.finetune import Init, finetune
from lamae.evals.identity import Initialisation, Weights
from lamae.evals.probes.features import TokenReadout
from lamae.evals.probes.handmade import handmade, measure_task
from lamae.evals.probes.probe import probe
from lamae.evals.results import Evaluation
from lamae.evals.settings import EvalSettings, FinetuneConfig, Progress, silent
from lamae.evals.sweeps.finished import kept_or_made, request_hash
from lamae.evals.sweeps.label_amounts import check_positives, label_amounts
from lamae.evals.sweeps.tables import EfficiencySummary, summarise_efficiency
from lamae.evals.tasks.task import Task, make_task
from lamae.models import Readout
from lamae.nn.precision import Precision
from lamae.pack import Pack

Protocol = Literal["linear", "attention-pool", "mlp", "knn", "fine-tune", "hand-made"]


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
    precision: Precision = "fp32",
    batch_size: int = 64,
    device: str = "cpu",
    progress: Progress = silent,
) -> EfficiencySummary:
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
        protocol: How labels are learned; ``"fine-tune"`` learns all weights.
        initialisation: ``"random"`` for the frozen control, ``"scratch"`` for fine-tuning from random weights.
        readout: None takes the run's own; attention pooling has its own, see `lamae.evals.probe`.
        config: How to fine-tune.
        settings: How the task is made and judged, without label fraction and count.
        test_pack: Test on the studies of this pack, see `make_task`.
        system: Name to show; None names it after the model.
        precision: Precision in which features are computed.
        batch_size: Studies at once.
        device: Where features are computed; fine-tuning has its own setting.
        progress: Called as the work goes on.

    Raises:
        DataError: A label has positives in fewer training patients than there are draws, there are fewer training
            studies than a count, or as the evaluation itself.
        ConfigError: Amounts, draws, protocol or settings do not fit each other, or as the evaluation itself.
        CheckpointError: There is no whole checkpoint.
        OSError: Writing failed.
    """
    settings = settings or EvalSettings()
    amounts = label_amounts(fractions, counts, draws)
    _check(run, protocol, initialisation, config, settings)
    pack = pack if isinstance(pack, Pack) else Pack.open(pack)
    test_pack = Pack.open(test_pack) if isinstance(test_pack, str | Path) else test_pack
    task = make_task(pack, labels, settings, test_pack=test_pack)
    if any(one.amount != "fraction-1" for one in amounts):
        check_positives(task, draws)
    frozen = {"precision": precision, "batch_size": batch_size, "device": device}
    same: dict[str, Any] = {"test_pack": test_pack, "progress": progress} | ({"system": system} if system else {})
    request = {
        "protocol": protocol,
        "initialisation": initialisation,
        "encoder": None if run is None else read_meta(find_checkpoint(run)).weights_sha256,
        "readout": readout,
        "config": None if protocol != "fine-tune" else asdict(config or FinetuneConfig()),
        "packs": [one.info.content_hash for one in task.packs],
        "labels": labels,
        "system": system,
        "precision": precision,
    }
    judge = _judge(run, task, labels, protocol, initialisation, readout, config, frozen=frozen, same=same)
    found: list[tuple[str, Evaluation]] = []
    for number, amount in enumerate(amounts):
        chosen = amount.settings(settings)
        asked = request_hash(request | {"settings": chosen.plain()})
        made = kept_or_made(Path(out) / amount.name, asked, lambda chosen=chosen: judge(chosen))
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
    if protocol not in get_args(Protocol):
        raise ConfigError(f"unknown protocol {protocol!r}: expected one of {', '.join(get_args(Protocol))}")
    if (run is None) != (protocol == "hand-made"):
        raise ConfigError(f"the protocol 'hand-made' goes without a run, and no other does; found {protocol!r}")
    if initialisation not in get_args(Initialisation):
        known = ", ".join(get_args(Initialisation))
        raise ConfigError(f"unknown initialisation {initialisation!r}: expected one of {known}")
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


def _judge(
    run: str | Path | None,
    task: Task,
    labels: str,
    protocol: Protocol,
    initialisation: Initialisation,
    readout: Readout | TokenReadout | None,
    config: FinetuneConfig | None,
    *,
    frozen: dict[str, Any],
    same: dict[str, Any],
) -> Callable[[EvalSettings], Evaluation]:
    """Return a function that judges the system with some settings; nothing is computed before it is called."""
    if run is None:
        measured = cache(partial(measure_task, task, progress=same["progress"]))
        return lambda settings: handmade(task.pack, labels, settings=settings, measured=measured(), **same)
    if protocol == "fine-tune":
        init: Init = "scratch" if initialisation == "scratch" else "pretrained"
        how: dict[str, Any] = {"init": init, "readout": readout, "config": config}
        return lambda settings: finetune(run, task.pack, labels, settings=settings, **how, **same)
    weights: Weights = "random" if initialisation == "random" else "pretrained"
    how = {"protocol": protocol, "weights": weights, "readout": readout, **frozen}
    return lambda settings: probe(run, task.pack, labels, settings=settings, **how, **same)
