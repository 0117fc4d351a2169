"""What a report shows of a run: one study as the model fills it in, and which leads look at which."""

import io
from pathlib import Path

import numpy as np

from lamae.data import PackDataset
from lamae.files import write_atomically
from lamae.train.step import Trainer, validation_masks

NUM_ATTENTION_STUDIES = 16


def write_examples(path: Path, trainer: Trainer, validation: PackDataset | None) -> None:
    """Write ``reconstruction.npz`` and, for models with latent attention, ``attention.npz``.

    The examples are of the first validation studies; of the first training studies when there are none.

    Args:
        path: Folder of the examples.
        trainer: The trained model and its settings.
        validation: The validation studies.
    """
    path.mkdir(parents=True, exist_ok=True)
    dataset = validation if validation is not None else trainer.dataset
    trainer.model.eval()
    write_atomically(path / "reconstruction.npz", _npz(reconstruction_example(trainer, dataset)))
    if trainer.model.latent is not None:
        write_atomically(path / "attention.npz", _npz(attention_example(trainer, dataset)))
    trainer.model.train()


def reconstruction_example(trainer: Trainer, dataset: PackDataset) -> dict[str, np.ndarray]:
    """Return the first study with its hidden parts and what the model makes of them, in mV by lead."""
    device = trainer.workers.device
    batch = dataset.batch(np.array([0]))
    plan = validation_masks(trainer.config, batch).to(device)
    instances = batch.streams[dataset.modality]
    found = trainer.model.reconstruct(batch.to(device), plan, stream=dataset.modality)
    pack, _ = dataset.locate(0)
    return {
        "leads": np.array([instances.view_names[view] for view in instances.view_of.tolist()]),
        "rate_hz": np.array(pack.info.rate_hz),
        "original": found.original[:, 0].float().cpu().numpy(),
        "reconstructed": found.reconstructed[:, 0].float().cpu().numpy(),
        "masked": found.masked.cpu().numpy(),
        "simulated": np.array(pack.info.simulated),
    }


def attention_example(trainer: Trainer, dataset: PackDataset) -> dict[str, np.ndarray]:
    """Return latent attention between leads, averaged over the first studies; that of the CLS token over layers too."""
    batch = dataset.batch(np.arange(min(len(dataset), NUM_ATTENTION_STUDIES))).to(trainer.workers.device)
    maps = trainer.model.latent_attention_maps(batch, stream=dataset.modality)
    return {
        "leads": np.array(maps.view_names),
        "weights": maps.views.float().cpu().numpy(),
        "cls": maps.cls.float().mean(dim=0).cpu().numpy(),
    }


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
