"""Probes of a frozen encoder, by one of four protocols: open it once, take its features of a task, judge."""

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from lamae.errors import check_choice
from lamae.evals.identity import Weights, system_name
from lamae.evals.probes.attention_pool import predict_by_attention
from lamae.evals.probes.encoder import FrozenEncoder, run_cache
from lamae.evals.probes.features import TokenReadout, features_of_pack, features_of_task, tokens_of_task
from lamae.evals.probes.frozen_system import FrozenSystem
from lamae.evals.probes.knn import predict_by_neighbours
from lamae.evals.probes.linear_probe import predict_linearly
from lamae.evals.probes.mlp import predict_by_mlp
from lamae.evals.probes.selection import Predicted
from lamae.evals.requests import claim, request_of
from lamae.evals.results import Evaluation
from lamae.evals.settings import EvalSettings, Progress, silent
from lamae.evals.tasks.leak_guard import check_pretraining
from lamae.evals.tasks.task import Task, make_task
from lamae.models import Readout, by_view
from lamae.nn.precision import Precision
from lamae.pack import Pack

ProbeProtocol = Literal["linear", "attention-pool", "mlp", "knn"]

PROTOCOLS = {
    "linear": "linear probe on frozen features: standardised, L2 logistic regression for each label",
    "ridge": "linear probe on frozen features: standardised, ridge regression for each label",
    "attention-pool": "attention pooling of frozen tokens: a learned query over all tokens and a linear layer",
    "mlp": "perceptron on frozen features: standardised, one hidden layer",
    "knn": "nearest neighbours on frozen features: standardised, weighted by the cosine",
}
"""The words of a result for each protocol; ``"ridge"`` is the linear one for values."""

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
    precision: Precision | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    cache: bool = True,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Evaluation:
    """Probe a frozen encoder for a label set, and write a RESULT folder.

    All settings are chosen on the validation studies; the test studies are predicted once, at the end.

    Args:
        run: Folder of a run or of a checkpoint.
        pack: The labelled pack, prepared as the run's data.
        labels: A label set, see `lamae.labels.make_labels`.
        out: RESULT folder; None writes nothing.
        protocol: Learner on the labels: a line, attention pooling over all tokens, a perceptron, or nothing
            but the number of nearest neighbours.
        weights: ``"random"`` for the control with random weights (no pretraining, hence no guard against leaks).
        readout: One of `lamae.models.Readout`; None takes the run's own. Attention pooling takes ``"tokens"`` (None)
            or ``"encoder-tokens"``.
        settings: Settings of the task and of its judging.
        test_pack: Test on the studies of this pack in place of the first one's own, see `make_task`.
        system: Name to show; None names it after the model.
        precision: Precision in which features are computed; None takes the run's own.
        batch_size: Studies at once; None takes the run's own, at most 64.
        device: Where features are computed; ``"auto"`` takes a GPU when there is one.
        cache: Keep features in the run's folder and take them from there.
        overwrite: Replace the result of another request in ``out``.
        progress: Called as the work goes on.

    Raises:
        DataError: The task cannot be made, tested patients were pretrained on, or features are not finite.
        CheckpointError: There is no whole checkpoint.
        ConfigError: Protocol, settings, label set or preprocessing do not fit, or ``out`` holds something else.
        OSError: The cache or the result cannot be written.
    """
    check_choice("protocol", protocol, get_args(ProbeProtocol))
    settings = settings or EvalSettings()
    task = make_task(pack, labels, settings, test_pack=test_pack)
    leak = check_pretraining(run, task, settings, weights=weights)
    with _features_folder(run, cache=cache, needed=protocol == "attention-pool") as folder:
        how: dict[str, Any] = {"device": device, "precision": precision, "batch_size": batch_size}
        encoder = FrozenEncoder(run=run, weights=weights, seed=settings.seed, cache=folder, **how)
        asked = encoder.identity | {"protocol": protocol, "readout": readout, "system": system}
        request = request_of(task, settings, asked)
        claim(out, request, overwrite=overwrite, checkpoint=encoder.checkpoint)
        probed = probed_encoder(encoder, task, settings, protocol, readout, leak=leak, system=system, progress=progress)
        return probed.evaluate(task, settings, request, out)


def probed_encoder(
    encoder: FrozenEncoder,
    task: Task,
    settings: EvalSettings,
    protocol: ProbeProtocol,
    readout: str | None,
    *,
    leak: dict[str, Any] | None,
    system: str | None,
    progress: Progress,
) -> FrozenSystem:
    """Return a frozen encoder with a protocol; its features of the task are taken from the cache or computed.

    Raises:
        DataError: Features are not finite.
        ConfigError: Read-out or preprocessing do not fit.
    """
    blocks: tuple[str, ...] = ()
    if protocol == "attention-pool":
        table = features = tokens_of_task(encoder, task, readout=readout, progress=progress)
        learn: Callable[..., Predicted] = partial(predict_by_attention, device=encoder.device)
    else:
        table = features_of_task(encoder, task, readout=readout, progress=progress)
        features, learn = table.values, _OF_FEATURES[protocol]
        blocks = encoder.view_names if by_view(table.readout) else ()
    uncached = replace(encoder, cache=None)  # studies under a condition are looked at once
    protocol_id = "ridge" if protocol == "linear" and task.is_regression else protocol
    return FrozenSystem(
        features=features,
        under=lambda pack: features_of_pack(uncached, pack, readout=readout, progress=progress).values,
        predict=lambda features, task: learn(features, task, settings, progress=progress),
        blocks=blocks,
        judged_as={
            "kind": "probe",
            "system": system or system_name(encoder.description, encoder.weights, readout=table.readout),
            "protocol": PROTOCOLS[protocol_id],
            "readout": table.readout,
            "run": encoder.description,
            "leak": leak,
            "details": {"protocol_id": protocol_id, "initialisation": encoder.weights},
        },
        identity={
            **encoder.identity,
            "protocol": protocol_id,
            "readout": table.readout,
            "system": system,
        },
    )


def _features_folder(run: str | Path, *, cache: bool, needed: bool) -> AbstractContextManager[str | Path | None]:
    """Return the folder of the run's features; without one None, or where needed one that is removed at the end."""
    folder = run_cache(run) if cache else None
    if folder is not None or not needed:
        return nullcontext(folder)
    return tempfile.TemporaryDirectory(prefix="lamae-tokens-")
