"""Examples that a report shows of a model: one study as it fills it in, and latent attention between views."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from lamae.batch import StudyBatch
from lamae.files import write_atomically
from lamae.models.pretrainable import Drawable
from lamae.nn.plan import MaskPlan


def reconstruction_example(
    model: Drawable, batch: StudyBatch, plan: MaskPlan, *, stream: str, rate_hz: float | None
) -> dict[str, np.ndarray]:
    """Return a study with its hidden parts and what the model makes of them.

    Args:
        model: A model, on the device of the batch.
        batch: One study.
        plan: Masks of this batch.
        stream: Stream of the study, which is its modality.
        rate_hz: Samples or frames a second; None where it is not known.

    Returns:
        ``leads`` ``[instances]`` (names of their views), ``modality``, ``rate_hz``, ``original`` and ``reconstructed``
        ``[instances, *grid]`` in the unit of the modality, and ``masked`` ``[instances, *grid]``. Where the model
        predicts patches that are normalised by themselves, their true mean and deviation bring them back: the picture
        shows the shape that was predicted, not the level.
    """
    instances = batch.streams[stream]
    found = model.reconstruct(batch, plan, stream=stream)
    return {
        "leads": np.array([instances.view_names[view] for view in instances.view_of.tolist()]),
        "modality": np.array(stream),
        "rate_hz": np.array(np.nan if rate_hz is None else rate_hz),
        "original": found.original[:, 0].float().cpu().numpy(),
        "reconstructed": found.reconstructed[:, 0].float().cpu().numpy(),
        "masked": found.masked.cpu().numpy(),
    }


def attention_example(model: Drawable, batch: StudyBatch, *, stream: str) -> dict[str, np.ndarray]:
    """Return latent attention between views, averaged over the studies; that of the CLS token over layers too."""
    maps = model.latent_attention_maps(batch, stream=stream)
    return {
        "leads": np.array(maps.view_names),
        "weights": maps.views.float().cpu().numpy(),
        "cls": maps.cls.float().mean(dim=0).cpu().numpy(),
    }


def write_example(path: Path, example: dict[str, Any]) -> None:
    """Write an example that the report shows (``examples/*.npz`` of a run), whole or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{name: np.asarray(value) for name, value in example.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())
