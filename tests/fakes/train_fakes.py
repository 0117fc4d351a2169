"""A pack of made-up beats and a model that trains on it in seconds, for the tests of training.

Run as a program it pretrains: ``python train_fakes.py PACK RUN [--kill-at STEP] [--key.of.setting VALUE ...]``.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lamae.config import apply_overrides
from lamae.ecg.leads import LEADS
from lamae.ecg.preprocess import EcgPreprocessing
from lamae.models import MaskedAutoencoderConfig, StreamConfig
from lamae.nn.masks import MaskConfig
from lamae.nn.transformer import TransformerConfig
from lamae.pack import Pack, write_pack
from lamae.studies import MISSING_CODE, PreparedStudy
from lamae.train import DataConfig, OptimConfig, PretrainConfig

PREPROCESSING = EcgPreprocessing(rate_hz=20.0, duration_s=5.5, bandpass_hz=None)
NUM_SAMPLES = 110


def beats(rng: np.random.Generator, num_leads: int) -> np.ndarray:
    """Return ``[leads, samples]`` int16 of regular beats with noise, in microvolts."""
    time_s = np.arange(NUM_SAMPLES) / 20.0
    beat = np.exp(9 * (np.cos(2 * np.pi * (rng.uniform(0.8, 1.9) * time_s + rng.random())) - 1))
    signal = rng.normal(size=(num_leads, 1)) * beat + rng.normal(scale=0.03, size=(num_leads, NUM_SAMPLES))
    return np.round(1000 * signal).astype(np.int16)


SPLITS = ("train", "train", "train", "validation", "test")


def write_fake_pack(
    path: Path,
    *,
    num: int = 37,
    seed: int = 3,
    whole: bool = True,
    patients: str = "fake",
    splits: Sequence[str] = SPLITS,
    recorded: Callable[[int, int], int] | None = None,
    **options: Any,
) -> Pack:
    """Write a pack; with ``whole=False`` some leads are absent and some samples missing.

    ``recorded`` gives the number of samples that are recorded of a lead, from the numbers of its study and of the lead.
    """
    rng = np.random.default_rng(seed)
    studies = []
    for number in range(num):
        names = LEADS if whole or number % 3 else tuple(rng.permutation(LEADS)[: 5 + number % 5])
        values = beats(rng, len(names))
        missing = not whole and number % 4 == 1
        if missing:
            values[0, -31:] = MISSING_CODE
        if recorded is not None:
            missing = True
            for lead in range(len(names)):
                values[lead, recorded(number, lead) :] = MISSING_CODE
        scale = np.full(len(names), 0.001, np.float32)
        studies.append(
            PreparedStudy.of_waveforms(
                view_names=tuple(names), values=values, scale=scale, rate_hz=20.0, has_missing=missing
            )
        )
    table = pa.table(
        {
            "study_id": [f"study-{number}" for number in range(num)],
            "patient_key": [f"{patients}:{number // 2}" for number in range(num)],
            "record_key": pa.array([f"fake:record:{number}" if number % 5 else None for number in range(num)]),
            "split": [splits[number // 2 % 5] for number in range(num)],
        }
    )
    options = {"cohort": "fake", "cohort_version": "1", "simulated": True} | options
    return write_pack(path, studies, table, preprocessing=asdict(PREPROCESSING), **options)


def fake_config(**overrides: Any) -> PretrainConfig:
    """Return a configuration of a run of seconds; overrides by dotted key with ``__`` for the dots."""
    model = MaskedAutoencoderConfig(
        streams={"ecg": StreamConfig(patch=(10,), grid=(NUM_SAMPLES,), view_names=LEADS)},
        encoder=TransformerConfig(dim=20, depth=2, num_heads=2),
        latent=TransformerConfig(dim=20, depth=1, num_heads=2),
        decoder=TransformerConfig(dim=12, depth=1, num_heads=2),
        decoder_context="cls",
        mask=MaskConfig(ratio=0.7),
    )
    config = PretrainConfig(
        model=model,
        optim=OptimConfig(steps=13, batch_size=7, lr=3e-3, warmup_steps=3),
        data=DataConfig(validation_studies=5),
        precision="fp32",
        device="cpu",
        seed=11,
        log_every=2,
        eval_every=4,
        save_every=5,
    )
    return apply_overrides(config, {key.replace("__", "."): value for key, value in overrides.items()})


def _main(pack: str, run: str, *words: str) -> None:
    import torch

    from lamae.train import loop

    torch.set_num_threads(1)
    settings = dict(zip(words[::2], words[1::2], strict=True))
    kill_at = int(settings.pop("--kill-at", -1))
    real_step = loop.train_step

    def step_or_die(trainer: Any, step: int) -> Any:
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return real_step(trainer, step)

    loop.train_step = step_or_die
    config = apply_overrides(fake_config(), {key.removeprefix("--"): value for key, value in settings.items()})
    print(loop.pretrain(config, [pack], run).status)


if __name__ == "__main__":
    _main(*sys.argv[1:])
