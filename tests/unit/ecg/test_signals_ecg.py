from dataclasses import replace

import numpy as np
import pytest

from lamae.ecg.leads import LEADS
from lamae.ecg.preprocess import EcgPreprocessing, preprocess
from lamae.errors import ConfigError, DataError
from lamae.studies import MISSING_CODE, Study, View, Views

PLAIN = EcgPreprocessing(bandpass_hz=None, lead_identity="off")
"""10 s at 100 Hz without a filter."""


def noise(seed: int, num_samples: int) -> np.ndarray:
    return (0.3 * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


def make_study(leads: dict[str, np.ndarray] | None = None, *, rate_hz: float = 100.0) -> Study:
    leads = leads or {name: noise(seed, 1000) for seed, name in enumerate(LEADS)}
    return Study(
        study_id="s1",
        views=Views(
            View(name=name, values=np.asarray(values, np.float32), rate_hz=rate_hz) for name, values in leads.items()
        ),
    )


def millivolts(prepared, name: str) -> np.ndarray:
    row = prepared.view_names.index(name)
    return prepared.values[row] * prepared.scale[row]


def refused(study: Study, config: EcgPreprocessing) -> DataError:
    with pytest.raises(DataError) as caught:
        preprocess(study, config)
    return caught.value


def test_leads_are_found_by_name_and_stand_in_the_configured_order():
    leads = {name: noise(seed, 1000) for seed, name in enumerate(LEADS)}
    shuffled = make_study({name.upper(): leads[name] for name in reversed(LEADS)})
    prepared = preprocess(shuffled, PLAIN)
    assert prepared.view_names == LEADS
    for name in LEADS:
        np.testing.assert_allclose(millivolts(prepared, name), leads[name], atol=0.0006)


def test_absent_leads_are_absent_and_others_are_left_out():
    study = make_study({"V4R": noise(0, 1000), "V2": noise(1, 1000), "II": noise(2, 1000)})
    prepared = preprocess(study, PLAIN)
    assert prepared.view_names == ("II", "V2")
    assert prepared.values.shape == (2, 1000)
    assert not prepared.has_missing
    assert preprocess(study, replace(PLAIN, leads=("V4R", "II"))).view_names == ("V4R", "II")


def test_quantising_worked_by_hand():
    values = np.zeros(1000)
    values[:4] = [0.0014, -0.0016, 2.0, -3.2767]
    large = values.copy()
    large[5] = 65.534
    prepared = preprocess(make_study({"I": values, "II": large}), replace(PLAIN, flat="flag"))
    np.testing.assert_array_equal(prepared.values[0, :4], [1, -2, 2000, -3277])
    np.testing.assert_allclose(prepared.scale, [0.001, 0.002], rtol=1e-6)
    assert prepared.values[1, 5] == 32767
    assert prepared.values[1, 2] == 1000
    assert prepared.values.dtype == np.int16
    assert prepared.scale.dtype == np.float32


@pytest.mark.parametrize(("crop", "first"), [("start", 0), ("centre", 151)])
def test_a_longer_recording_is_cropped(crop, first):
    values = noise(3, 1303)
    prepared = preprocess(make_study({"V1": values}), replace(PLAIN, crop=crop))
    np.testing.assert_allclose(millivolts(prepared, "V1"), values[first : first + 1000], atol=0.0006)


@pytest.mark.parametrize(("crop", "before"), [("start", 0), ("centre", 148)])
def test_a_shorter_recording_is_padded_with_the_missing_code(crop, before):
    values = noise(4, 703)
    prepared = preprocess(make_study({"V1": values}), replace(PLAIN, crop=crop))
    assert prepared.has_missing
    recorded = prepared.values[0] != MISSING_CODE
    np.testing.assert_array_equal(np.flatnonzero(recorded), np.arange(before, before + 703))
    np.testing.assert_allclose(millivolts(prepared, "V1")[recorded], values, atol=0.0006)
    assert prepared.flags == {}


def test_leads_of_differing_rates_and_lengths_become_alike():
    views = [
        View(name="I", values=noise(0, 5000), rate_hz=500.0),
        View(name="V1", values=noise(1, 2503), rate_hz=250.0),
        View(name="V2", values=noise(2, 311), rate_hz=100.0),
        View(name="II", values=noise(3, 5000), rate_hz=500.0),
    ]
    prepared = preprocess(Study(study_id="s", views=Views(views)), PLAIN)
    assert prepared.view_names == ("I", "II", "V1", "V2")
    assert prepared.values.shape == (4, 1000)
    assert (prepared.values[3, 311:] == MISSING_CODE).all()
    assert (prepared.values[:3] != MISSING_CODE).all()


@pytest.mark.parametrize("rate_hz", [1000.0, 500.0, 400.0, 360.0, 257.0, 128.0, 100.0, 62.5])
def test_a_known_sine_survives_resampling(rate_hz):
    num_samples = int(10 * rate_hz)
    sine = np.sin(2 * np.pi * 7.0 * np.arange(num_samples) / rate_hz + 0.4)
    prepared = preprocess(make_study({"V3": sine}, rate_hz=rate_hz), PLAIN)
    times = np.arange(1000) / 100.0
    expected = np.sin(2 * np.pi * 7.0 * times + 0.4)
    inner = slice(30, -30)
    np.testing.assert_allclose(millivolts(prepared, "V3")[inner], expected[inner], atol=0.01)
    assert np.sqrt(np.mean((millivolts(prepared, "V3")[inner] - expected[inner]) ** 2)) < 0.004


def test_frequencies_above_the_new_half_rate_are_removed():
    times = np.arange(5000) / 500.0
    prepared = preprocess(make_study({"V3": np.sin(2 * np.pi * 90.0 * times)}, rate_hz=500.0), PLAIN)
    assert np.abs(millivolts(prepared, "V3")[30:-30]).max() < 0.01


def test_an_offset_does_not_bend_the_ends_when_resampling():
    prepared = preprocess(make_study({"V3": 7.0 + noise(1, 5000) * 1e-3}, rate_hz=500.0), replace(PLAIN, flat="flag"))
    np.testing.assert_allclose(millivolts(prepared, "V3"), 7.0, atol=0.01)


def test_short_gaps_are_bridged_and_long_ones_stay_missing():
    values = np.arange(1000) / 1000.0
    broken = values.copy()
    broken[100:104] = np.nan
    broken[300:305] = np.nan
    prepared = preprocess(make_study({"I": broken, "V1": noise(0, 1000)}), PLAIN)
    np.testing.assert_array_equal(np.flatnonzero(prepared.values[0] == MISSING_CODE), np.arange(300, 305))
    np.testing.assert_array_equal(prepared.values[0, 98:106], np.arange(98, 106))
    assert prepared.has_missing
    assert prepared.flags == {"I": ("missing-samples",)}


def test_gaps_are_carried_through_resampling():
    values = noise(2, 5000)
    values[1000:1101] = np.inf
    prepared = preprocess(make_study({"I": values}, rate_hz=500.0), EcgPreprocessing())
    np.testing.assert_array_equal(np.flatnonzero(prepared.values[0] == MISSING_CODE), np.arange(200, 221))


def test_masking_keeps_every_gap():
    values = noise(5, 1000)
    values[[7, 11, 12]] = np.nan
    prepared = preprocess(make_study({"I": values}), replace(PLAIN, nan="mask"))
    np.testing.assert_array_equal(np.flatnonzero(prepared.values[0] == MISSING_CODE), [7, 11, 12])


def test_a_lead_that_misses_more_than_half_is_left_out():
    gone = noise(5, 1000)
    gone[:503] = np.nan
    prepared = preprocess(make_study({"I": gone, "V1": noise(6, 1000)}), PLAIN)
    assert prepared.view_names == ("V1",)
    assert prepared.flags == {"I": ("missing-samples",)}
    assert preprocess(make_study({"I": gone, "V1": noise(6, 1000)}), replace(PLAIN, max_missing=0.6)).view_names == (
        "I",
        "V1",
    )


FAULTS = {
    "flat": np.full(1000, 0.37),
    "saturated": np.clip(3 * noise(1, 1000), -0.7, 0.7),
    "out-of-range": np.where(np.arange(1000) == 531, 11.0, noise(2, 1000)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_flagged_dropped_or_refused_by_its_policy(fault):
    study = make_study({"I": FAULTS[fault], "V1": noise(6, 1000)})
    setting = fault.replace("-", "_")
    flagged = preprocess(study, replace(PLAIN, **{setting: "flag"}))
    assert flagged.view_names == ("I", "V1")
    assert flagged.flags == {"I": (fault,)}
    dropped = preprocess(study, replace(PLAIN, **{setting: "drop-lead"}))
    assert dropped.view_names == ("V1",)
    assert dropped.flags == {"I": (fault,)}
    error = refused(study, replace(PLAIN, **{setting: "reject"}))
    assert error.reason == f"{fault}-lead"
    assert str(error) == f"study s1, lead I: {fault}, refused by the policy"


@pytest.mark.parametrize(("policy", "names"), [("drop-lead", ("V1",)), ("reject", None)])
def test_missing_samples_can_drop_the_lead_or_refuse_the_study(policy, names):
    values = noise(0, 1000)
    values[13] = np.nan
    study, config = make_study({"I": values, "V1": noise(1, 1000)}), replace(PLAIN, nan=policy)
    if names:
        assert preprocess(study, config).view_names == names
    else:
        assert refused(study, config).reason == "missing-samples"


def test_a_lead_flat_for_half_of_the_time_is_flat():
    values = noise(0, 1000)
    values[:500] = 0.0
    assert preprocess(make_study({"I": values, "V1": noise(1, 1000)}), PLAIN).flags == {"I": ("flat",)}
    values[:500] = noise(2, 500)
    values[:400] = 0.0
    assert preprocess(make_study({"I": values, "V1": noise(1, 1000)}), PLAIN).flags == {}


def test_a_lead_flat_wherever_it_was_recorded_is_flat():
    values = np.zeros(1000)
    values[:409] = np.nan
    assert "flat" in preprocess(make_study({"I": values, "V1": noise(1, 1000)}), PLAIN).flags["I"]


def test_peaks_of_equal_height_are_not_saturation():
    values = 0.001 * noise(0, 1000)
    values[5::40] = 1.7
    assert preprocess(make_study({"I": values}), PLAIN).flags == {}


def test_small_steps_are_not_saturation():
    values = np.round(noise(0, 1000) * 0.05, 2)
    assert preprocess(make_study({"I": values}), PLAIN).flags == {}


@pytest.mark.parametrize(
    ("leads", "reason", "words"),
    [
        ({"I": np.full(1000, np.nan), "V1": np.full(1000, np.nan)}, "all-missing", "no lead holds a recorded sample"),
        ({"I": np.zeros(1000), "V1": np.ones(1000)}, "all-flat", "every lead is flat"),
        ({"I": noise(0, 199), "V1": noise(1, 150)}, "too-short", "longest lead has 1.99 s, fewer than the 2 s"),
        ({"I": np.zeros(1000), "V1": np.full(1000, np.nan)}, "too-few-leads", "0 usable leads, fewer than the 1"),
        ({"X": noise(0, 1000)}, "no-known-leads", "none of the leads I, II, .* is there, found X"),
    ],
)
def test_studies_that_must_be_refused(leads, reason, words):
    with pytest.raises(DataError, match=words) as caught:
        preprocess(make_study(leads), PLAIN)
    assert caught.value.reason == reason


def test_fewer_leads_than_asked_for():
    error = refused(make_study({"I": np.zeros(1000), "V1": noise(0, 1000)}), replace(PLAIN, min_leads=2))
    assert error.reason == "too-few-leads"
    assert "1 usable leads, fewer than the 2 asked for (min_leads); faults: I flat" in str(error)


def test_a_lead_that_is_too_short_beside_a_good_one():
    prepared = preprocess(make_study({"I": noise(0, 151), "V1": noise(1, 1000)}), PLAIN)
    assert prepared.view_names == ("V1",)
    assert prepared.flags == {"I": ("too-short",)}


def test_no_views_at_all():
    with pytest.raises(DataError, match="found no lead"):
        preprocess(Study(study_id="s1", views=Views([])), PLAIN)


@pytest.mark.parametrize("rate_hz", [1.0, 1e6])
def test_a_rate_that_no_ecg_has(rate_hz):
    error = refused(make_study({"I": noise(0, 1000)}, rate_hz=rate_hz), PLAIN)
    assert error.reason == "wrong-rate"
    assert "are not an ECG (expected 50 to 50000)" in str(error)


def test_an_echo_study_is_refused():
    frames = View(name="A4C", values=np.zeros((3, 5, 7), np.uint8), rate_hz=30.0)
    study = Study(study_id="s1", views=Views([frames]), modality="echo")
    with pytest.raises(DataError, match="expected an ECG, found echo"):
        preprocess(study, PLAIN)


def test_frames_under_the_name_of_a_lead_are_refused():
    frames = View(name="I", values=np.zeros((3, 5, 7), np.uint8), rate_hz=100.0)
    with pytest.raises(DataError, match=r"lead I: expected \[samples\] float32 in mV, found \(3, 5, 7\) uint8"):
        preprocess(Study(study_id="s1", views=Views([frames])), PLAIN)


def test_the_same_study_gives_the_same_bits():
    study = make_study()
    first, second = preprocess(study, EcgPreprocessing()), preprocess(study, EcgPreprocessing())
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(first.scale, second.scale)


def test_each_lead_is_prepared_as_if_it_were_alone():
    study = make_study({name: noise(seed, 5000) for seed, name in enumerate(LEADS)}, rate_hz=500.0)
    together = preprocess(study, EcgPreprocessing())
    for row, name in enumerate(LEADS):
        alone = preprocess(make_study({name: study.views[name].values}, rate_hz=500.0), EcgPreprocessing())
        np.testing.assert_allclose(alone.values[0], together.values[row], atol=1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rate_hz": 0.0}, "rate_hz must be above 0"),
        ({"duration_s": -1.0}, "duration_s must be above 0"),
        ({"resolution_mv": 0.0}, "resolution_mv must be above 0"),
        ({"duration_s": 0.001, "min_duration_s": 0.001}, "are no samples"),
        ({"min_duration_s": 11.0}, "min_duration_s must not exceed duration_s"),
        ({"max_gap_s": -0.1}, "must not be negative"),
        ({"max_missing": 1.0}, "at least 0 and below 1, found 1.0"),
        ({"leads": ("I", "i")}, "leads: 'i' unknown"),
        ({"leads": ("I", "I")}, "each lead once"),
        ({"leads": ()}, "at least one"),
        ({"min_leads": 13}, "between 1 and the 12 leads, found 13"),
        ({"bandpass_hz": (0.5, 50.0)}, r"rise between 0 and half of rate_hz \(50 Hz\), found 0.5 and 50"),
        ({"bandpass_hz": (40.0, 0.5)}, "bandpass_hz: the edges must rise"),
        ({"bandpass_order": 0}, "bandpass_order must be 1 to 8"),
        ({"notch_hz": 50.0}, "notch_hz must lie between 0 and half of rate_hz"),
    ],
)
def test_settings_that_cannot_be(changes, words):
    with pytest.raises(ConfigError, match=words):
        EcgPreprocessing(**changes)


@pytest.mark.parametrize("height_mv", [-1.1e6, 3e38])
def test_voltages_of_no_heart_are_refused_before_they_overflow(height_mv):
    values = np.random.default_rng(0).standard_normal(1009).astype(np.float32)
    values[503:507] = height_mv
    with pytest.raises(DataError, match="mV are no ECG; the unit or gain is wrong") as caught:
        preprocess(make_study({"I": values}), EcgPreprocessing())
    assert caught.value.reason == "implausible-values"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"rate_hz": 1e9}, r"rate_hz must be at most 50000, found 1e\+09"),
        ({"duration_s": 1e6}, r"duration_s must be at most 86400, found 1e\+06"),
    ],
)
def test_a_length_that_no_memory_holds(setting, words):
    with pytest.raises(ConfigError, match=words):
        replace(PLAIN, **setting)
