"""One study with a part of it hidden, and what a pretrained model makes of the rest: for looking at."""

import io
from pathlib import Path

import numpy as np
import torch

from lamae.data import batch_of
from lamae.embedder import Embedder, OneStudy
from lamae.files import write_atomically
from lamae.nn.masks import draw_masks


def reconstruct(embedder: Embedder, study: OneStudy, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Hide a part of a study as in pretraining and fill it in.

    Args:
        embedder: A model from `lamae.load`.
        study: A study, or the path of a file that `lamae.read` reads.
        seed: Seed of the mask.

    Returns:
        ``leads`` ``[leads]``, ``rate_hz``, ``original`` and ``reconstructed`` ``[leads, samples]`` in mV, and
        ``masked`` ``[leads, samples]``. Where the model predicts patches that are normalised by themselves, their true
        mean and deviation bring them back to mV: the picture shows the shape that was predicted, not the level.

    Raises:
        DataError: The file cannot be read, or its preprocessing refuses it.
    """
    model = embedder.model
    batch = batch_of([embedder.prepare(study)], view_names=embedder.view_names)
    generator = torch.Generator().manual_seed(seed)
    plan = draw_masks(model.config.mask, batch, model.config.patch_shapes, generator)
    with torch.inference_mode():
        found = model.reconstruct(batch, plan)
    (instances,) = batch.streams.values()
    return {
        "leads": np.array([instances.view_names[view] for view in instances.view_of.tolist()]),
        "rate_hz": np.array(embedder.preprocessing.rate_hz),
        "original": found.original[:, 0].float().numpy(),
        "reconstructed": found.reconstructed[:, 0].float().numpy(),
        "masked": found.masked.numpy(),
    }


def write_reconstruction(embedder: Embedder, study: OneStudy, path: str | Path, *, title: str) -> Path:
    """Write `reconstruct` as an example that the report shows (``examples/reconstruction*.npz`` of a run).

    Args:
        embedder: A model from `lamae.load`.
        study: A study, or the path of a file.
        path: File to write.
        title: Title of the picture. It goes into reports: no name and no identifier of a patient.
    """
    path, buffer = Path(path), io.BytesIO()
    example = reconstruct(embedder, study) | {"simulated": np.array(False), "title": np.array(title)}
    np.savez_compressed(buffer, allow_pickle=False, **example)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())
    return path
