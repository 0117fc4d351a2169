"""Frozen features of every study of a pack, from a pretrained encoder or from one with random weights."""

import hashlib
import json
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from lamae.checkpoint import CheckpointMeta, find_checkpoint, load_model, read_meta
from lamae.config import difference
from lamae.data import for_known_views
from lamae.errors import CheckpointError, ConfigError
from lamae.evals.settings import Precision, Progress, silent
from lamae.models import MaskedAutoencoder, Readout, read_out
from lamae.pack import Pack
from lamae.pack.files import TEMPORARY_MARK

Weights = Literal["pretrained", "random"]

CACHE_FOLDER = "features"


@dataclass(frozen=True, kw_only=True)
class FeatureTable:
    """One vector a study of a pack.

    Attributes:
        values: ``[studies, features]`` float32, rows as in the pack; may be a read-only memory map.
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
    weights: Weights = "pretrained",
    readout: Readout | None = None,
    seed: int = 0,
    precision: Precision = "fp32",
    batch_size: int = 64,
    device: str = "cpu",
    cache: Path | None = None,
    progress: Progress = silent,
) -> FeatureTable:
    """Return the features of every study of a pack, nothing hidden, nothing trained.

    Args:
        run: Folder of a run or of a checkpoint.
        pack: Prepared as the run's packs were.
        weights: ``"random"`` draws new weights for the same model: the control that everything must beat.
        readout: None takes the run's own.
        seed: Seed of the random weights.
        precision: ``"bf16"`` computes in autocast; features are float32 either way.
        batch_size: Studies at once; the features do not depend on it beyond rounding.
        device: Where to compute.
        cache: Folder in which features are kept under a hash of weights, pack, read-out and precision.
        progress: Called after each batch.

    Raises:
        CheckpointError: There is no whole checkpoint.
        ConfigError: The pack was prepared differently, or the model has no such read-out.
    """
    path = find_checkpoint(run)
    meta = read_meta(path)
    check_preprocessing(meta, pack)
    how = chosen_readout(meta, readout)
    description = describe_encoder(run, meta, weights=weights, seed=seed) | {"precision": precision}
    key = _key(description | {"readout": how, "pack_hash": pack.info.content_hash})
    file = None if cache is None else cache / f"{key}.npy"
    if file is None or not file.is_file():
        model = encoder(path, meta, weights=weights, seed=seed).to(device).eval()
        values = _run(model, pack, how, file, precision, batch_size, device, progress)
    else:
        values = np.load(file, mmap_mode="r")
    return FeatureTable(values=values, readout=how, description=description)


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
    differing = difference(dict(meta.preprocessing), _as_json(pack.info.preprocessing))
    if meta.modality != pack.info.modality or differing:
        raise ConfigError(
            f"{pack.path}: prepared differently from the data of the model (model != pack): "
            f"{'; '.join(differing) or f'modality: {meta.modality} != {pack.info.modality}'}. Prepare it with the same "
            "settings"
        )


def describe_encoder(run: str | Path, meta: CheckpointMeta, *, weights: Weights, seed: int) -> dict[str, Any]:
    """Return recipe, step and hashes of a model, as a result holds them."""
    info = run_info(run)
    return {
        "recipe": info.get("recipe"),
        "config_hash": _key(meta.model_config),
        "checkpoint_hash": meta.weights_sha256 if weights == "pretrained" else None,
        "step": meta.step if weights == "pretrained" else 0,
        "weights": weights if weights == "pretrained" else f"random, seed {seed}",
        "latent_depth": meta.model_config["latent"]["depth"],
    }


def run_folder(run: str | Path) -> Path | None:
    """Return the folder with ``run.json`` that a run or a checkpoint within it belongs to; None without one."""
    path = Path(run).resolve()
    return next((folder for folder in (path, *path.parents[:2]) if (folder / "run.json").is_file()), None)


def run_info(run: str | Path) -> dict[str, Any]:
    """Return what ``run.json`` says; empty without one."""
    folder = run_folder(run)
    if folder is None:
        return {}
    try:
        return json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{folder / 'run.json'}: not readable as JSON ({error})") from error


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


@torch.inference_mode()
def _run(
    model: MaskedAutoencoder,
    pack: Pack,
    how: Readout,
    file: Path | None,
    precision: Precision,
    batch_size: int,
    device: str,
    progress: Progress,
) -> np.ndarray:
    view_names = views_of(model, pack.info.modality)
    dataset = for_known_views(pack, view_names=view_names)
    parts: list[np.ndarray] = []
    sink: np.ndarray | None = None
    temporary = None if file is None else file.with_name(f"{file.name}{TEMPORARY_MARK}{os.getpid()}")
    for start in range(0, len(dataset), batch_size):
        indices = np.arange(start, min(start + batch_size, len(dataset)))
        batch = dataset.batch(indices).to(device)
        with autocast(precision, device):
            vectors = read_out(model.features(batch), how, view_names).float().cpu().numpy()
        if temporary is None:
            parts.append(vectors)
        else:
            sink = sink if sink is not None else _open_sink(temporary, (len(dataset), vectors.shape[1]))
            sink[indices] = vectors
        progress("extracting features", int(indices[-1]) + 1, len(dataset))
    if temporary is None or file is None or sink is None:
        return np.concatenate(parts)
    del sink
    os.replace(temporary, file)
    return np.load(file, mmap_mode="r")


def _open_sink(file: Path, shape: tuple[int, int]) -> np.ndarray:
    file.parent.mkdir(parents=True, exist_ok=True)
    return np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)


def _key(content: Any) -> str:
    return hashlib.sha256(json.dumps(_as_json(content), sort_keys=True).encode()).hexdigest()[:20]


def _as_json(content: Any) -> Any:
    return json.loads(json.dumps(content))
