"""A small pack whose labels are known, and runs of a tiny model on it."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from lamae.checkpoint import save_checkpoint
from lamae.ecg.leads import LEADS
from lamae.files import write_json
from lamae.models import MaskedAutoencoder, MaskedAutoencoderConfig, StreamConfig
from lamae.nn.transformer import TransformerConfig
from lamae.pack import Pack, write_pack
from lamae.provenance import UNTRAINED, Provenance, seen
from lamae.splits import assign_splits, patient_hashes
from lamae.studies import PreparedStudy

PREPROCESSING = {"rate_hz": 20.0, "duration_s": 5.0}
NUM_PATIENTS = 97


def toy_studies(
    seed: int = 0, *, patients: int = NUM_PATIENTS, prefix: str = "toy"
) -> tuple[list[PreparedStudy], pa.Table]:
    """Return studies of which ``label_inverted`` shows in V1 to V6, and ``label_luck`` nowhere."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), rng.integers(1, 4, size=patients))
    num = len(patient)
    inverted = (rng.random(patients) < 0.4)[patient]
    size = rng.uniform(0.5, 2.0, size=num)
    wave = np.zeros(100)
    wave[5::10] = 1.0
    wave[6::10] = 0.4
    studies = []
    for study in range(num):
        sign = np.where(np.arange(12) >= 6, -1.0 if inverted[study] else 1.0, 1.0)
        signal = size[study] * sign[:, None] * wave + rng.normal(scale=0.1, size=(12, 100))
        studies.append(
            PreparedStudy.of_waveforms(
                view_names=LEADS,
                values=np.round(signal * 1000).astype(np.int16),
                scale=np.full(12, 0.001, np.float32),
                rate_hz=20.0,
                has_missing=False,
            )
        )
    keys = [f"{prefix}:{one}" for one in patient]
    luck = (rng.random(num) < 0.5).astype(np.float32)
    luck[::7] = np.nan
    table = pa.table(
        {
            "study_id": [f"s{study}" for study in range(num)],
            "patient_key": keys,
            "record_key": [f"{prefix}:record:{study}" for study in range(num)],
            "split": assign_splits(keys, fractions=(0.6, 0.2, 0.2), seed=1).tolist(),
            "fold": pa.array(patient % 5 + 1, pa.int32()),
            "label_inverted": pa.array(inverted.astype(np.float32)),
            "label_luck": pa.array(luck, from_pandas=True),
            "label_never": pa.array(np.zeros(num, np.float32)),
            "measure_size_mv": pa.array((10 * size * np.where(inverted, -1, 1)).astype(np.float32)),
        }
    )
    return studies, table


def write_toy(
    path: Path,
    table: pa.Table | None = None,
    *,
    seed: int = 0,
    patients: int = NUM_PATIENTS,
    prefix: str = "toy",
    **options: Any,
) -> Pack:
    """Write the toy pack, with another table of studies if one is given."""
    studies, own = toy_studies(seed, patients=patients, prefix=prefix)
    options = {"cohort": "toy", "cohort_version": "1", "preprocessing": PREPROCESSING} | options
    return write_pack(path, studies, own if table is None else table, **options)


@pytest.fixture(scope="session")
def toy_pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return write_toy(tmp_path_factory.mktemp("toy") / "pack")


def write_run(
    path: Path,
    trained_on: list[str] | None,
    *,
    latent_depth: int = 1,
    preprocessing: Any = PREPROCESSING,
    card: dict[str, Any] | None = None,
    salt: str | None = None,
) -> Path:
    """Write a run of a model that was never trained, with the patients that it says it was trained on (None: nobody
    knows)."""
    config = MaskedAutoencoderConfig(
        streams={"ecg": StreamConfig(patch=(10,), grid=(100,), view_names=LEADS)},
        encoder=TransformerConfig(dim=16, depth=2, num_heads=2),
        latent=TransformerConfig(dim=16, depth=latent_depth, num_heads=2),
        decoder=TransformerConfig(dim=8, depth=1, num_heads=2),
    )
    hashes = patient_hashes(trained_on or [], salt)
    entry = {"verb": "pretrain", "recipe": "toy"} | ({} if card is None else {"card": card})
    known = UNTRAINED.then(entry, seen(hashes, hashes, salt))
    save_checkpoint(
        path / "checkpoint",
        model=MaskedAutoencoder(config, generator=torch.Generator().manual_seed(11)),
        modality="ecg",
        preprocessing=preprocessing,
        readout="view-concat",
        step=3,
        provenance=known if trained_on is not None else Provenance(known.trained_on),
    )
    write_json(path / "run.json", {"format": "lamae-run", "format_version": 2, "recipe": "toy"})
    return path


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory: pytest.TempPathFactory, toy_pack: Pack) -> Path:
    """A run on the toy pack's training patients."""
    studies = toy_pack.studies
    in_train = np.array(studies["split"].to_pylist()) == "train"
    keys = np.array(studies["patient_key"].to_pylist())[in_train]
    return write_run(tmp_path_factory.mktemp("toy") / "run", sorted(set(keys.tolist())))
