"""Noise of a given SNR on a prepared ECG, as if present before the recording was prepared."""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from lamae.ecg.noise import artefacts
from lamae.ecg.noise.artefacts import ARTEFACT_RATE_HZ
from lamae.ecg.preprocess.normalise import quantise
from lamae.ecg.preprocess.settings import EcgPreprocessing
from lamae.ecg.preprocess.study import resample_and_filter
from lamae.errors import ConfigError, DataError, did_you_mean
from lamae.studies import MISSING_CODE, PreparedStudy

NoiseKind = Literal["muscle", "mains-50", "mains-60", "wander", "motion"]

LARGEST_SNR_DB = 120.0
"""Largest absolute SNR: beyond it the noise on a QRS complex of 30 mV is far below one integer step."""

_MOVES_A_SECOND = 0.5
_LAST_MOVE_S = 1.0
"""No electrode moves in the last second, where most of the artefact would be cut off."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """A kind of noise and its SNR.

    Attributes:
        kind: ``"muscle"`` (about 20 to 150 Hz), ``"mains-50"`` or ``"mains-60"`` (a sine), ``"wander"`` (0.05 to
            0.6 Hz), ``"motion"`` (an electrode that moves and recovers, once in two seconds on average).
        snr_db: Signal-to-noise ratio of each lead, see `add_noise`.
        seed: Seed; each lead of each study has its own noise.

    Raises:
        ConfigError: The kind is unknown, or the SNR is not a number within +-120 dB.
    """

    kind: NoiseKind
    snr_db: float
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in get_args(NoiseKind):
            mains = "; name the frequency of the mains" if self.kind == "mains" else ""
            hint = mains or did_you_mean(self.kind, get_args(NoiseKind), "; did you mean {!r}?")
            raise ConfigError(f"unknown noise {self.kind!r}: expected {', '.join(get_args(NoiseKind))}{hint}")
        if not abs(self.snr_db) <= LARGEST_SNR_DB:
            raise ConfigError(f"snr_db must lie within +-{LARGEST_SNR_DB:g} dB, found {self.snr_db}")
        if self.seed < 0:
            raise ConfigError(f"the seed of noise must be at least 0, found {self.seed}")


@dataclass(frozen=True, kw_only=True)
class NoisyStudy:
    """A study with added noise, and the SNR achieved.

    Attributes:
        study: The study; leads that do not fit otherwise have a coarser integer step.
        snr_db: ``[leads]`` SNR measured before filtering, as requested; NaN for leads without signal or samples.
        arrived_snr_db: ``[leads]`` SNR after filtering, as a model sees it; infinite if no noise remains.
        num_silent: Number of leads without signal, which have no SNR and are left unchanged.
        num_rescaled: Number of leads whose integer step became coarser.
    """

    study: PreparedStudy
    snr_db: np.ndarray
    arrived_snr_db: np.ndarray
    num_silent: int
    num_rescaled: int


def add_noise(study: PreparedStudy, noise: Noise, config: EcgPreprocessing, *, key: str) -> NoisyStudy:
    """Add noise to each lead of a prepared ECG.

    1. Noise is drawn at 500 Hz, with its own seed for each lead, and its mean is subtracted.
    2. Its power is set: the variance of the lead in the pack over the variance of the noise **before filtering**, both
       over the recorded samples, is the requested ratio (``10 log10`` of it in dB). This is the noise of the recording;
       filters then remove part of it.
    3. It goes through the resampling and the filters of the preprocessing. These are linear, so the sum equals the
       preprocessed noisy recording up to rounding (fault policies are not applied again).
    4. Lead and noise are added and quantised as in `preprocess`: a lead that no longer fits takes a coarser step, and
       nothing is clipped. Missing samples stay missing.

    Args:
        study: A study as stored in a pack.
        noise: Noise to add. The same seed gives the same noise at any SNR, and with any other leads present.
        config: Preprocessing of the study.
        key: Identifier of the study, from which its noise is seeded.

    Raises:
        DataError: Length or rate of the study differ from the configuration (``wrong-length``).
    """
    _check(study, config, key)
    held, old_scale = study.values, study.scale
    recorded = held != MISSING_CODE
    clean = np.where(recorded, held, 0) * old_scale[:, None].astype(np.float64)
    power = _variance(clean, recorded)
    raw = _made(study, noise, config, key)
    recorded_fast = recorded[:, _slow_index(raw.shape[1], held.shape[1], config.rate_hz)]
    raw -= _mean(raw, recorded_fast)[:, None]
    raw_power = _variance(raw, recorded_fast)
    heard = (power > 0) & (raw_power > 0)
    raw *= _gain(power, raw_power, heard, noise.snr_db)[:, None]
    arrived = resample_and_filter(raw, ARTEFACT_RATE_HZ, config)[:, : held.shape[1]]
    values, scale = quantise(clean + arrived, ~recorded, old_scale)
    values[~heard], scale[~heard] = held[~heard], old_scale[~heard]
    return NoisyStudy(
        study=study.with_waveforms(values, scale),
        snr_db=_decibels(power, _variance(raw, recorded_fast), heard),
        arrived_snr_db=_decibels(power, _variance(arrived, recorded), heard),
        num_silent=int((~heard).sum()),
        num_rescaled=int((scale > old_scale).sum()),
    )


def _check(study: PreparedStudy, config: EcgPreprocessing, key: str) -> None:
    found = study.values.shape[1], study.rate_hz
    if found != (config.num_samples, config.rate_hz):
        raise DataError(
            f"study {key}: {found[0]} samples at {found[1] or 0:g} Hz, but the preprocessing makes "
            f"{config.num_samples} at {config.rate_hz:g} Hz: give the preprocessing of its pack",
            reason="wrong-length",
        )


def _made(study: PreparedStudy, noise: Noise, config: EcgPreprocessing, key: str) -> np.ndarray:
    """Draw noise ``[leads, samples at 500 Hz]`` float64, each lead with its own seed."""
    num_samples = math.ceil(study.values.shape[1] * ARTEFACT_RATE_HZ / config.rate_hz)
    made = np.empty((len(study.view_names), num_samples))
    for row, lead in enumerate(study.view_names):
        digest = hashlib.sha256(f"{noise.seed}\n{noise.kind}\n{key}\n{lead}".encode()).digest()
        made[row] = _MAKERS[noise.kind](np.random.default_rng(list(digest)), num_samples)
    return made


def _motion(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    made = np.zeros(num_samples)
    duration_s = num_samples / ARTEFACT_RATE_HZ
    for _ in range(max(1, int(rng.poisson(_MOVES_A_SECOND * duration_s)))):
        start = int(rng.integers(max(num_samples - round(_LAST_MOVE_S * ARTEFACT_RATE_HZ), 1)))
        made[start:] += artefacts.jump(rng, num_samples - start)
    return made


_MAKERS: Mapping[NoiseKind, Callable[[np.random.Generator, int], np.ndarray]] = {
    "muscle": lambda rng, num_samples: artefacts.muscle(rng, 1, num_samples)[0],
    "mains-50": lambda rng, num_samples: artefacts.mains(rng, 1, num_samples, hz=50.0)[0],
    "mains-60": lambda rng, num_samples: artefacts.mains(rng, 1, num_samples, hz=60.0)[0],
    "wander": lambda rng, num_samples: artefacts.wander(rng, 1, num_samples)[0],
    "motion": _motion,
}


def _slow_index(num_fast: int, num_slow: int, rate_hz: float) -> np.ndarray:
    """Return for each noise sample the index of the pack's sample at the same time."""
    index = (np.arange(num_fast) * (rate_hz / ARTEFACT_RATE_HZ)).astype(np.int64)
    return np.minimum(index, num_slow - 1)


def _mean(values: np.ndarray, recorded: np.ndarray) -> np.ndarray:
    return np.where(recorded, values, 0).sum(axis=1) / np.maximum(recorded.sum(axis=1), 1)


def _variance(values: np.ndarray, recorded: np.ndarray) -> np.ndarray:
    centred = values - _mean(values, recorded)[:, None]
    return _mean(np.square(centred), recorded)


def _gain(power: np.ndarray, raw_power: np.ndarray, heard: np.ndarray, snr_db: float) -> np.ndarray:
    ratio = np.divide(power, raw_power, out=np.zeros_like(power), where=heard)
    return np.sqrt(ratio / 10 ** (snr_db / 10))


def _decibels(power: np.ndarray, noise_power: np.ndarray, heard: np.ndarray) -> np.ndarray:
    ratio = np.full(len(power), np.inf)
    np.divide(power, noise_power, out=ratio, where=noise_power > 0)
    return np.where(heard, 10 * np.log10(np.where(heard, ratio, 1.0)), np.nan)
