"""Noise on prepared studies: as strong as asked, as preparing the noisy recording would give, the same each time."""

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest

from lamae.ecg.noise.perturb import Noise, NoiseKind, add_noise
from lamae.ecg.preprocess import EcgPreprocessing, preprocess
from lamae.ecg.preprocess.study import resample_and_filter
from lamae.errors import ConfigError, DataError
from lamae.studies import MISSING_CODE, PreparedStudy, Study, View

KINDS = get_args(NoiseKind)
UNFILTERED = EcgPreprocessing(rate_hz=500.0, bandpass_hz=None, lead_identity="off")
PACKED = EcgPreprocessing(lead_identity="off")
NAMES = ("I", "II", "V2")


def recording(seed: int = 3, *, size_mv: float = 1.0) -> Study:
    """Three leads of ten seconds at 500 Hz with beats of different heights, away from the edges of a 40 Hz filter."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(5000) / 500
    beats = sum(np.exp(-np.square((time_s - at) / 0.02)) for at in np.arange(0.6, 9.6, 0.83))
    leads = [
        size_mv * factor * (beats + 0.1 * np.sin(2 * np.pi * 5 * time_s + rng.uniform(0, 6)))
        for factor in (0.5, 1.0, -1.3)
    ]
    views = {
        name: View(name=name, values=lead.astype(np.float32), rate_hz=500.0)
        for name, lead in zip(NAMES, leads, strict=True)
    }
    return Study(study_id="s1", views=views)


def in_mv(study: PreparedStudy) -> np.ndarray:
    return np.where(study.values == MISSING_CODE, np.nan, study.values * study.scale[:, None].astype(np.float64))


def measured_snr(clean: PreparedStudy, noisy: PreparedStudy) -> np.ndarray:
    signal, noise = in_mv(clean), in_mv(noisy) - in_mv(clean)
    return 10 * np.log10(np.nanvar(signal, axis=1) / np.nanvar(noise, axis=1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("snr_db", [-3.0, 0.0, 13.0])
def test_without_filters_the_pack_has_the_ratio_that_was_asked(kind: NoiseKind, snr_db: float):
    clean = preprocess(recording(), UNFILTERED)
    noisy = add_noise(clean, Noise(kind=kind, snr_db=snr_db), UNFILTERED, key="s1")
    np.testing.assert_allclose(measured_snr(clean, noisy.study), snr_db, atol=0.05)
    np.testing.assert_allclose(noisy.snr_db, snr_db, atol=1e-9)
    np.testing.assert_allclose(noisy.arrived_snr_db, snr_db, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_what_arrives_after_the_filters_is_measured(kind: NoiseKind):
    clean = preprocess(recording(), PACKED)
    noisy = add_noise(clean, Noise(kind=kind, snr_db=-10.0), PACKED, key="s1")
    np.testing.assert_allclose(noisy.snr_db, -10.0, atol=1e-9)
    np.testing.assert_allclose(noisy.arrived_snr_db, measured_snr(clean, noisy.study), atol=0.2)
    assert (noisy.arrived_snr_db > -10.0).all()


def test_the_band_of_the_pack_removes_mains_and_most_wander():
    clean = preprocess(recording(), PACKED)
    gained = {
        kind: np.median(add_noise(clean, Noise(kind=kind, snr_db=0.0), PACKED, key="s1").arrived_snr_db)
        for kind in KINDS
    }
    assert gained["mains-60"] > 25
    assert gained["mains-50"] > 8
    assert gained["wander"] > 8
    assert 8 < gained["muscle"] < 20
    assert gained["motion"] < 8


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("config", [PACKED, replace(PACKED, rate_hz=128.0, notch_hz=50.0), UNFILTERED])
def test_it_is_what_preparing_the_noisy_recording_gives(kind: NoiseKind, config: EcgPreprocessing):
    study = recording()
    raw = preprocess(study, UNFILTERED)
    noise_mv = in_mv(add_noise(raw, Noise(kind=kind, snr_db=6.0), UNFILTERED, key="s1").study) - in_mv(raw)
    noisy_views = {
        name: replace(view, values=(view.values + noise_mv[row]).astype(np.float32))
        for row, (name, view) in enumerate(study.views.items())
    }
    prepared = in_mv(preprocess(replace(study, views=noisy_views), config))
    added = in_mv(preprocess(study, config)) + resample_and_filter(noise_mv, 500.0, config)
    np.testing.assert_allclose(added, prepared, atol=2.5 * config.resolution_mv)
    ours = in_mv(add_noise(preprocess(study, config), Noise(kind=kind, snr_db=6.0), config, key="s1").study)
    arrived = ours - in_mv(preprocess(study, config))
    if np.std(arrived) > 0.01:
        likeness = [
            np.corrcoef(ours_lead, row)[0, 1]
            for ours_lead, row in zip(arrived, prepared - in_mv(preprocess(study, config)), strict=True)
        ]
        assert min(likeness) > 0.99


def test_the_same_seed_gives_the_same_noise_at_any_strength_and_with_any_leads():
    clean = preprocess(recording(), UNFILTERED)
    noise = Noise(kind="muscle", snr_db=0.0, seed=7)
    first = add_noise(clean, noise, UNFILTERED, key="s1").study
    again = add_noise(clean, noise, UNFILTERED, key="s1").study
    np.testing.assert_array_equal(first.values, again.values)
    alone = PreparedStudy.of_waveforms(
        view_names=("II",), values=clean.values[1:2], scale=clean.scale[1:2], rate_hz=500.0, has_missing=False
    )
    np.testing.assert_array_equal(add_noise(alone, noise, UNFILTERED, key="s1").study.values, first.values[1:2])
    weaker = add_noise(clean, replace(noise, snr_db=20.0), UNFILTERED, key="s1").study
    np.testing.assert_allclose(in_mv(first) - in_mv(clean), 10 * (in_mv(weaker) - in_mv(clean)), atol=0.011)


@pytest.mark.parametrize("other", [{"seed": 8}, {"kind": "wander"}, {"key": "s2"}])
def test_seeds_kinds_studies_and_leads_have_noise_of_their_own(other: dict[str, Any]):
    clean = preprocess(recording(), UNFILTERED)
    noise, key = Noise(kind="muscle", snr_db=0.0, seed=7), other.pop("key", "s1")
    ours = in_mv(add_noise(clean, noise, UNFILTERED, key="s1").study) - in_mv(clean)
    theirs = in_mv(add_noise(clean, replace(noise, **other), UNFILTERED, key=key).study) - in_mv(clean)
    assert np.abs(np.corrcoef(ours, theirs)[:3, 3:]).max() < 0.2
    assert np.abs(np.corrcoef(ours) - np.eye(3)).max() < 0.2


def test_missing_samples_stay_missing_and_do_not_count():
    clean = preprocess(recording(), UNFILTERED)
    values = clean.values.copy()
    values[1, 2000:] = MISSING_CODE
    gappy = clean.with_waveforms(values, clean.scale)
    noisy = add_noise(gappy, Noise(kind="motion", snr_db=5.0), UNFILTERED, key="s1").study
    np.testing.assert_array_equal(noisy.values == MISSING_CODE, values == MISSING_CODE)
    np.testing.assert_allclose(measured_snr(gappy, noisy), 5.0, atol=0.05)


def test_a_lead_that_no_longer_fits_takes_a_coarser_step_and_is_counted():
    study = recording(size_mv=45.0)
    clean = preprocess(study, UNFILTERED)
    noisy = add_noise(clean, Noise(kind="muscle", snr_db=-10.0), UNFILTERED, key="s1")
    assert noisy.num_rescaled == 3
    assert (noisy.study.scale > clean.scale).all()
    assert np.abs(noisy.study.values.astype(int)).max() == 32767
    np.testing.assert_allclose(measured_snr(clean, noisy.study), -10.0, atol=0.05)


def test_a_lead_without_a_signal_stays_as_it_is_and_is_counted():
    clean = preprocess(recording(), PACKED)
    values = clean.values.copy()
    values[0] = 41
    noisy = add_noise(clean.with_waveforms(values, clean.scale), Noise(kind="muscle", snr_db=0.0), PACKED, key="s1")
    assert noisy.num_silent == 1
    assert np.isnan(noisy.snr_db[0])
    np.testing.assert_array_equal(noisy.study.values[0], 41)
    assert (noisy.study.values[1] != values[1]).any()


def test_a_study_of_another_length_is_refused():
    with pytest.raises(DataError, match=r"study s1: 5000 samples at 500 Hz, but the preprocessing makes 1000 at 100"):
        add_noise(preprocess(recording(), UNFILTERED), Noise(kind="muscle", snr_db=0.0), PACKED, key="s1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "mains", "snr_db": 3.0}, "unknown noise 'mains'.*mains-50, mains-60.*name the frequency"),
        ({"kind": "muscel", "snr_db": 3.0}, "unknown noise 'muscel'.*did you mean 'muscle'"),
        ({"kind": "hum", "snr_db": 3.0}, "unknown noise 'hum': expected muscle"),
        ({"kind": "muscle", "snr_db": float("nan")}, r"snr_db must lie within \+-120 dB, found nan"),
        ({"kind": "muscle", "snr_db": 300.0}, r"within \+-120 dB, found 300"),
        ({"kind": "muscle", "snr_db": 3.0, "seed": -1}, "seed of noise must be at least 0, found -1"),
    ],
)
def test_bad_noise_is_refused(arguments: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        Noise(**arguments)
