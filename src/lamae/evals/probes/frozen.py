"""Frozen features and what predicts from them, apart from the studies: the same probe on the same studies changed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from lamae.checkpoint import find_checkpoint, read_meta
from lamae.errors import ConfigError
from lamae.evals.identity import Weights, run_folder, system_name
from lamae.evals.probes.feature_cache import CACHE_FOLDER
from lamae.evals.probes.features import extract, of_task
from lamae.evals.probes.handmade import DETAILS, impute, measure_rows, measure_task
from lamae.evals.probes.handmade import PROTOCOL as HAND_MADE_PROTOCOL
from lamae.evals.probes.knn import predict_by_neighbours
from lamae.evals.probes.linear_probe import predict_linearly
from lamae.evals.probes.mlp import predict_by_mlp
from lamae.evals.probes.probe import PROTOCOLS
from lamae.evals.settings import EvalSettings, Precision, Progress
from lamae.evals.tasks.leak_guard import check_pretraining
from lamae.evals.tasks.task import Task
from lamae.models import Readout, by_view
from lamae.pack import Pack

FrozenProtocol = Literal["linear", "mlp", "knn", "hand-made"]
"""Protocols that predict from one vector a study."""

Predicted = tuple[np.ndarray, dict[str, Any], list[np.ndarray]]
"""Scores of the tested studies, what was selected, and scores of the validation studies of each division."""


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """A frozen system on a task.

    Attributes:
        clean: ``[studies, features]`` of the task as recorded.
        under: Returns the same of every study of another pack, such as one under a condition.
        predict: Learns from the training studies of a task and predicts its tested ones.
        blocks: For a read-out with the views side by side their names in order, otherwise empty.
        judged_as: What `lamae.evals.results.judge` is told of the system.
        identity: Everything that its features depend on, but for the studies.
    """

    clean: np.ndarray
    under: Callable[[Pack], np.ndarray]
    predict: Callable[[np.ndarray, Task], Predicted]
    blocks: tuple[str, ...]
    judged_as: dict[str, Any]
    identity: dict[str, Any]


def frozen_encoder(
    run: str | Path,
    task: Task,
    settings: EvalSettings,
    *,
    protocol: FrozenProtocol,
    weights: Weights,
    readout: Readout | None,
    system: str | None,
    precision: Precision,
    batch_size: int,
    device: str,
    cache: bool,
    progress: Progress,
) -> Frozen:
    """Return a frozen encoder; its features of the task are taken from the run's cache or computed.

    Raises:
        DataError: Tested patients were pretrained on, or features are not finite.
        CheckpointError: There is no whole checkpoint.
        ConfigError: Protocol, read-out or preprocessing do not fit.
    """
    learn = {"linear": predict_linearly, "mlp": predict_by_mlp, "knn": predict_by_neighbours}.get(protocol)
    if learn is None:
        known = ", ".join(one for one in get_args(FrozenProtocol) if one != "hand-made")
        raise ConfigError(f"unknown protocol {protocol!r} of frozen features: expected one of {known}")
    leak = check_pretraining(run, task, allow=settings.allow_leak) if weights == "pretrained" else None
    folder = run_folder(run) if cache else None
    how: dict[str, Any] = {"weights": weights, "readout": readout, "seed": settings.seed, "precision": precision}
    how |= {"batch_size": batch_size, "device": device, "progress": progress}
    table = of_task(task, run, cache=None if folder is None else folder / CACHE_FOLDER, **how)
    initialisation = "pretrained" if weights == "pretrained" else "random"
    protocol_id = "ridge" if protocol == "linear" and task.is_regression else protocol
    meta = read_meta(find_checkpoint(run))
    return Frozen(
        clean=table.values,
        under=lambda pack: extract(run, pack, **how).values,
        predict=lambda features, task: learn(features, task, settings, progress=progress),
        blocks=tuple(meta.model_config["streams"][meta.modality]["view_names"]) if by_view(table.readout) else (),
        judged_as={
            "kind": "probe",
            "system": system or system_name(table.description, initialisation, readout=table.readout),
            "protocol": PROTOCOLS[protocol_id],
            "readout": table.readout,
            "run": table.description,
            "leak": leak,
            "details": {"protocol_id": protocol_id, "initialisation": initialisation},
        },
        identity={
            "encoder": meta.weights_sha256,
            "weights": table.description["weights"],
            "protocol": protocol_id,
            "readout": table.readout,
            "precision": precision,
            "system": system,
        },
    )


def frozen_measurements(task: Task, settings: EvalSettings, *, system: str | None, progress: Progress) -> Frozen:
    """Return the hand-made features as a frozen system."""
    return Frozen(
        clean=measure_task(task, progress=progress),
        under=lambda pack: measure_rows(pack, np.arange(len(pack)), progress=progress),
        predict=lambda features, task: predict_linearly(features, task, settings, design=impute, progress=progress),
        blocks=(),
        judged_as={
            "kind": "handmade",
            "system": system or "Hand-made",
            "protocol": HAND_MADE_PROTOCOL,
            "details": DETAILS,
        },
        identity={"protocol": "hand-made", "system": system},
    )
