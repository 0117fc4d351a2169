"""Examples of a run for its report: one study as the model fills it in, and latent attention between leads."""

from pathlib import Path

import numpy as np

from lamae.data import PackDataset
from lamae.models.examples import attention_example, reconstruction_example, write_example
from lamae.models.pretrainable import Drawable
from lamae.train.step import Trainer, validation_masks

NUM_ATTENTION_STUDIES = 16


def write_examples(path: Path, trainer: Trainer, validation: PackDataset | None) -> None:
    """Write ``reconstruction.npz`` and, for models with latent attention, ``attention.npz``.

    The examples are of the first validation studies; of the first training studies when there are none.

    Args:
        path: Folder of the examples; nothing is written for a model that cannot be drawn.
        trainer: The trained model and its settings.
        validation: The validation studies.
    """
    model, device = trainer.model, trainer.workers.device
    if not isinstance(model, Drawable):
        return
    dataset = validation if validation is not None else trainer.dataset
    stream, (pack, _) = dataset.modality, dataset.locate(0)
    trainer.model.eval()
    batch = dataset.batch(np.array([0]))
    plan = validation_masks(trainer.config, batch).to(device)
    example = reconstruction_example(model, batch.to(device), plan, stream=stream, rate_hz=pack.info.rate_hz)
    write_example(path / "reconstruction.npz", example | {"simulated": np.array(pack.info.simulated)})
    if trainer.config.model.has_latent_attention:
        batch = dataset.batch(np.arange(min(len(dataset), NUM_ATTENTION_STUDIES))).to(device)
        write_example(path / "attention.npz", attention_example(model, batch, stream=stream))
    trainer.model.train()
