"""Frozen features of studies of a pack, from a pretrained encoder or from one with random weights."""

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from lamae.checkpoint import CheckpointMeta, find_checkpoint, load_model, read_meta
from lamae.config import difference
from lamae.data import PackDataset, for_known_views
from lamae.errors import ConfigError, DataError
from lamae.evals.identity import Weights, describe_encoder, run_folder, run_info
from lamae.evals.probes.feature_cache import CACHE_FOLDER, cache_key, growing_npy, open_npy
from lamae.evals.settings import Precision, Progress, silent
from lamae.evals.tasks.task import Task
from lamae.models import Features, MaskedAutoencoder, Readout, by_view, read_out
from lamae.pack import Pack

__all__ = [
    "CACHE_FOLDER",
    "FeatureTable",
    "Weights",
    "autocast",
    "check_preprocessing",
    "chosen_readout",
    "describe_encoder",
    "encoder",
    "extract",
    "of_task",
    "run_folder",
    "run_info",
    "views_of",
]

BESIDE_BYTES = 2**31
"""Read-outs that were not asked for are kept from the same pass while all together stay below this size."""


@dataclass(frozen=True, kw_only=True)
class FeatureTable:
    """One vector a study.

    Attributes:
        values: ``[studies, features]`` float32, in the order of the asked rows; may be a read-only memory map.
        readout: How tokens became vectors.
        description: Where they come from: recipe, hashes, weights, precision.
    """

    values: np.ndarray
    readout: Readout
    description: dict[str, Any]


def extract(
    run: str | Path,
    pack: Pack,
    *,
    rows: np.ndarray | None = None,
    weights: Weights = "pretrained",
    readout: Readout | None = None,
    seed: int = 0,
    precision: Precision = "fp32",
    batch_size: int = 64,
    device: str = "cpu",
    cache: Path | None = None,
    progress: Progress = silent,
) -> FeatureTable:
    """Return the features of studies of a pack, nothing hidden, nothing trained.

    With a cache, one pass over the studies keeps all read-outs of the model (up to ``BESIDE_BYTES``), so that a second
    read-out of the same studies costs nothing.

    Args:
        run: Folder of a run or of a checkpoint.
        pack: Prepared as the run's packs were.
        rows: ``[studies]`` which rows of the pack; None for all.
        weights: ``"random"`` draws new weights for the same model: the control that everything must beat.
        readout: None takes the run's own.
        seed: Seed of the random weights.
        precision: ``"bf16"`` computes in autocast; features are float32 either way.
        batch_size: Studies at once; the features do not depend on it beyond rounding.
        device: Where to compute.
        cache: Folder in which features are kept under a hash of weights, pack, rows, read-out and precision.
        progress: Called after each batch.

    Raises:
        CheckpointError: There is no whole checkpoint.
        ConfigError: The pack was prepared differently, or the model has no such read-out.
        DataError: Studies have none of the leads that the model knows.
        OSError: The cache cannot be written.
    """
    path = find_checkpoint(run)
    meta = read_meta(path)
    check_preprocessing(meta, pack)
    how = chosen_readout(meta, readout)
    rows = np.arange(len(pack)) if rows is None else np.asarray(rows, dtype=np.int64)
    description = describe_encoder(run, meta, weights=weights, seed=seed) | {"precision": precision}
    files = {} if cache is None else {one: _file(cache, description, pack, rows, one) for one in get_args(Readout)}
    values = open_npy(files[how], len(rows)) if files else None
    if values is None:
        model = encoder(path, meta, weights=weights, seed=seed).to(device).eval()
        views = views_of(model, pack.info.modality)
        kept: list[Readout] = [how] if cache is None else _kept_readouts(model, how, len(rows), len(views))
        dataset = for_known_views(pack, view_names=views, rows=rows)
        batches = (
            [read_out(features, one, views).float().cpu().numpy() for one in kept]
            for features in features_of(model, dataset, precision, batch_size, device, progress)
        )
        values = _gathered(batches) if cache is None else _written(batches, [files[one] for one in kept], len(rows))
    return FeatureTable(values=values, readout=how, description=description)


def of_task(task: Task, run: str | Path, **how: Any) -> FeatureTable:
    """Return the features of the studies of a task, rows as in ``task.rows``; arguments as of `extract`.

    Raises:
        DataError: Features are not finite: the studies are counted, and the first ones named by their hash.
        As `extract`.
    """
    tables = [extract(run, pack, rows=rows, **how) for pack, rows in task.pieces]
    values = tables[0].values if len(tables) == 1 else np.concatenate([table.values for table in tables])
    bad = np.concatenate([~np.isfinite(values[at : at + 4096]).all(axis=1) for at in range(0, len(values), 4096)])
    refuse_non_finite(task, np.flatnonzero(bad))
    return FeatureTable(values=values, readout=tables[0].readout, description=tables[0].description)


def refuse_non_finite(task: Task, positions: np.ndarray) -> None:
    """Raise `DataError` when there are studies with features that are not finite.

    Args:
        task: The task.
        positions: Which of its studies have any.
    """
    if not len(positions):
        return
    named = ", ".join(task.study_hash[positions[:3]].tolist()) + (", ..." if len(positions) > 3 else "")
    raise DataError(
        f"the encoder gives features that are not finite for {len(positions)} of {len(task.rows)} studies (by study "
        f"hash: {named}): its weights have diverged, or values overflow in this precision; use an earlier checkpoint, "
        "or fp32",
        reason="non-finite-feature",
    )


@torch.inference_mode()
def features_of(
    model: MaskedAutoencoder,
    dataset: PackDataset,
    precision: Precision,
    batch_size: int,
    device: str,
    progress: Progress,
) -> Iterator[Features]:
    """Yield what a model knows of the studies of a data set of one pack, in its order, nothing hidden."""
    for start in range(0, len(dataset), batch_size):
        indices = np.arange(start, min(start + batch_size, len(dataset)))
        with autocast(precision, device):
            features = model.features(dataset.batch(indices).to(device))
        yield features
        progress("extracting features", int(indices[-1]) + 1, len(dataset))


def encoder(path: Path, meta: CheckpointMeta, *, weights: Weights, seed: int) -> MaskedAutoencoder:
    """Return the model of a checkpoint with its own weights, or with new ones drawn from a seed."""
    model, _ = load_model(path)
    if weights == "random":
        return MaskedAutoencoder(model.config, generator=torch.Generator().manual_seed(seed))
    return model


def chosen_readout(meta: CheckpointMeta, readout: str | None) -> Readout:
    """Return the asked read-out, or the run's own.

    Raises:
        ConfigError: There is no such read-out.
    """
    chosen = meta.readout if readout is None else readout
    for known in get_args(Readout):
        if chosen == known:
            return known
    raise ConfigError(f"unknown read-out {chosen!r}: expected one of {', '.join(get_args(Readout))}")


def check_preprocessing(meta: CheckpointMeta, pack: Pack) -> None:
    """Check that a pack was prepared as a model's training data.

    Raises:
        ConfigError: It was not; the message lists where.
    """
    differing = difference(dict(meta.preprocessing), json.loads(json.dumps(pack.info.preprocessing)))
    if meta.modality != pack.info.modality or differing:
        raise ConfigError(
            f"{pack.path}: prepared differently from the data of the model (model != pack): "
            f"{'; '.join(differing) or f'modality: {meta.modality} != {pack.info.modality}'}. Prepare it with the same "
            "settings"
        )


def autocast(precision: Precision, device: str) -> AbstractContextManager[Any]:
    """Return the context in which a model computes in a precision."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)


def views_of(model: MaskedAutoencoder, modality: str) -> tuple[str, ...]:
    """Return the names of the views that a model knows.

    Raises:
        ConfigError: The model has no stream of that modality.
    """
    if modality not in model.config.streams:
        raise ConfigError(f"the model has no stream {modality!r}, only {', '.join(model.config.streams)}")
    return model.config.streams[modality].view_names


def _kept_readouts(model: MaskedAutoencoder, how: Readout, num_rows: int, num_views: int) -> list[Readout]:
    """Return the read-outs that one pass keeps, the asked one first; those equal to another one are left out."""
    mixes = model.config.latent.depth > 0
    held: list[Readout] = [one for one in get_args(Readout) if mixes or not one.startswith(("cls", "encoder-"))]
    width = sum(num_views if by_view(one) else 1 for one in held) * model.config.encoder.dim
    if 4 * num_rows * width > BESIDE_BYTES:
        return [how]
    return [how, *(one for one in held if one != how)]


def _file(cache: Path, description: dict[str, Any], pack: Pack, rows: np.ndarray, readout: Readout) -> Path:
    return cache / f"{cache_key(description, pack, rows, readout)}.npy"


def _gathered(batches: Iterator[list[np.ndarray]]) -> np.ndarray:
    return np.concatenate([first for first, *_ in batches])


def _written(batches: Iterator[list[np.ndarray]], files: Sequence[Path], num_rows: int) -> np.ndarray:
    with ExitStack() as stack:
        sinks = [stack.enter_context(growing_npy(file, num_rows)) for file in files]
        for vectors in batches:
            for append, block in zip(sinks, vectors, strict=True):
                append(block)
    found = open_npy(files[0], num_rows)
    assert found is not None
    return found
