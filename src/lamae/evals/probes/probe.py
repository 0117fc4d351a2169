"""Probes of a frozen encoder: what it knows without being told the labels, by one of four protocols."""

import tempfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from lamae.errors import ConfigError
from lamae.evals.identity import Weights, run_folder, system_name
from lamae.evals.probes.attention_pool import predict_by_attention
from lamae.evals.probes.feature_cache import CACHE_FOLDER
from lamae.evals.probes.features import of_task
from lamae.evals.probes.knn import predict_by_neighbours
from lamae.evals.probes.linear_probe import predict_linearly
from lamae.evals.probes.mlp import predict_by_mlp
from lamae.evals.probes.tokens import TokenReadout, tokens_of_task
from lamae.evals.results import Evaluation, judge, write_result
from lamae.evals.settings import EvalSettings, Precision, Progress, silent
from lamae.evals.tasks.leak_guard import check_pretraining
from lamae.evals.tasks.task import make_task
from lamae.models import Readout
from lamae.pack import Pack

ProbeProtocol = Literal["linear", "attention-pool", "mlp", "knn"]

PROTOCOLS = {
    "linear": "linear probe on frozen features: standardised, L2 logistic regression for each label",
    "ridge": "linear probe on frozen features: standardised, ridge regression for each label",
    "attention-pool": "attention pooling of frozen tokens: a learned query over all tokens and a linear layer",
    "mlp": "perceptron on frozen features: standardised, one hidden layer",
    "knn": "nearest neighbours on frozen features: standardised, weighted by the cosine",
}
"""What a protocol's name stands for; ``"ridge"`` is the linear one for values."""

_OF_FEATURES = {"linear": predict_linearly, "mlp": predict_by_mlp, "knn": predict_by_neighbours}


def probe(
    run: str | Path,
    pack: str | Path | Pack,
    labels: str,
    out: str | Path | None = None,
    *,
    protocol: ProbeProtocol = "linear",
    weights: Weights = "pretrained",
    readout: Readout | TokenReadout | None = None,
    settings: EvalSettings | None = None,
    test_pack: str | Path | Pack | None = None,
    system: str | None = None,
    precision: Precision = "fp32",
    batch_size: int = 64,
    device: str = "cpu",
    cache: bool = True,
    progress: Progress = silent,
) -> Evaluation:
    """Probe a frozen encoder for a label set, and write a RESULT folder.

    All settings are chosen on the validation studies; the test studies are predicted once, at the end.

    Args:
        run: Folder of a run or of a checkpoint.
        pack: The labelled pack, prepared as the run's data.
        labels: A label set, see `lamae.labels.make_labels`.
        out: RESULT folder; None writes nothing.
        protocol: What is learned from the labels: a line, attention pooling over all tokens, a perceptron, or nothing
            but the number of nearest neighbours.
        weights: ``"random"`` for the control with random weights (no pretraining, hence no guard against leaks).
        readout: One of `lamae.models.Readout`; None takes the run's own. Attention pooling takes ``"tokens"`` (None)
            or ``"encoder-tokens"``.
        settings: How the task is made and judged.
        test_pack: Test on the studies of this pack in place of the first one's own, see `make_task`.
        system: Name to show; None names it after the model.
        precision: Precision in which features are computed.
        batch_size: Studies at once.
        device: Where features are computed.
        cache: Keep features in the run's folder and take them from there.
        progress: Called as the work goes on.

    Raises:
        DataError: The task cannot be made, tested patients were pretrained on, or features are not finite.
        CheckpointError: There is no whole checkpoint.
        ConfigError: Protocol, settings, label set or preprocessing do not fit.
        OSError: The cache or the result cannot be written.
    """
    if protocol not in get_args(ProbeProtocol):
        raise ConfigError(f"unknown protocol {protocol!r}: expected one of {', '.join(get_args(ProbeProtocol))}")
    settings = settings or EvalSettings()
    task = make_task(pack, labels, settings, test_pack=test_pack)
    leak = check_pretraining(run, task, allow=settings.allow_leak) if weights == "pretrained" else None
    folder = run_folder(run) if cache else None
    shared: dict[str, Any] = {"weights": weights, "readout": readout, "seed": settings.seed, "precision": precision}
    shared |= {"batch_size": batch_size, "device": device, "progress": progress}
    found: tuple[np.ndarray, dict[str, Any], list[np.ndarray]]
    if protocol == "attention-pool":
        with _folder_of_tokens(folder) as kept:
            table = tokens_of_task(task, run, Path(kept), **shared)
            found = predict_by_attention(table, task, settings, device=device, progress=progress)
    else:
        table = of_task(task, run, cache=None if folder is None else folder / CACHE_FOLDER, **shared)
        found = _OF_FEATURES[protocol](table.values, task, settings, progress=progress)
    scores, selection, in_validation = found
    initialisation = "pretrained" if weights == "pretrained" else "random"
    protocol_id = "ridge" if protocol == "linear" and task.is_regression else protocol
    evaluation = judge(
        task,
        scores,
        settings,
        kind="probe",
        system=system or system_name(table.description, initialisation, readout=table.readout),
        protocol=PROTOCOLS[protocol_id],
        selection=selection,
        validation_scores=in_validation,
        readout=table.readout,
        run=table.description,
        leak=leak,
        details={"protocol_id": protocol_id, "initialisation": initialisation},
    )
    if out is not None:
        write_result(out, evaluation)
    return evaluation


def _folder_of_tokens(run: Path | None) -> AbstractContextManager[str | Path]:
    """Return the folder of the run's features, or one that is removed at the end."""
    return tempfile.TemporaryDirectory(prefix="lamae-tokens-") if run is None else nullcontext(run / CACHE_FOLDER)
