"""One study with a part of it hidden, and what a pretrained model makes of the rest: for looking at."""

from pathlib import Path

import numpy as np
import torch

from lamae.data import batch_of
from lamae.embedder import Embedder, OneStudy
from lamae.models.examples import reconstruction_example, write_example
from lamae.nn.masks import draw_masks


def reconstruct(embedder: Embedder, study: OneStudy, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Hide a part of a study as in pretraining and fill it in.

    Args:
        embedder: A model from `lamae.load`.
        study: A study, or the path of a file that `lamae.read` reads.
        seed: Seed of the mask.

    Returns:
        As of `lamae.models.examples.reconstruction_example`.

    Raises:
        DataError: The file cannot be read, or its preprocessing refuses it.
    """
    model = embedder.model
    batch = batch_of([embedder.prepare(study)], view_names=embedder.view_names)
    generator = torch.Generator().manual_seed(seed)
    plan = draw_masks(model.config.mask, batch, model.config.patch_shapes, generator)
    (stream,) = batch.streams
    with torch.inference_mode():
        batch, plan = batch.to(embedder.device), plan.to(embedder.device)
        return reconstruction_example(model, batch, plan, stream=stream, rate_hz=embedder.preprocessing.rate_hz)


def write_reconstruction(embedder: Embedder, study: OneStudy, path: str | Path, *, title: str) -> Path:
    """Write `reconstruct` as an example that the report shows (``examples/reconstruction*.npz`` of a run).

    Args:
        embedder: A model from `lamae.load`.
        study: A study, or the path of a file.
        path: File to write.
        title: Title of the picture. It goes into reports: no name and no identifier of a patient.
    """
    example = reconstruct(embedder, study) | {"simulated": np.array(False), "title": np.array(title)}
    write_example(Path(path), example)
    return Path(path)
