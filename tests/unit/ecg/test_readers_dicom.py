"""DICOM ECG: files written here element by element, and the one that pydicom ships."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

import lamae
from lamae.ecg.readers.dicom import read_dicom_ecg
from lamae.errors import DataError, FormatError

TWELVE_LEAD = "1.2.840.10008.5.1.4.1.1.9.1.1"
NUM_SAMPLES = 11


def code(value: str, scheme: str, meaning: str) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return Sequence([item])


def channel(lead_code: str, meaning: str = "", *, unit: str = "uV", scheme: str = "MDC", **values: Any) -> Dataset:
    made = Dataset()
    made.ChannelSourceSequence = code(lead_code, scheme, meaning or lead_code)
    made.ChannelSensitivityUnitsSequence = code(unit, "UCUM", unit)
    made.ChannelSensitivity, made.ChannelSensitivityCorrectionFactor, made.ChannelBaseline = 1, 1, 0
    made.WaveformBitsStored = 16
    for keyword, value in values.items():
        if value is None:
            delattr(made, keyword)
        else:
            setattr(made, keyword, value)
    return made


def group(samples: np.ndarray, channels: list[Dataset], *, rate_hz: float = 500, **values: Any) -> Dataset:
    made = Dataset()
    made.WaveformOriginality, made.MultiplexGroupLabel = "ORIGINAL", "RHYTHM"
    made.NumberOfWaveformSamples, made.NumberOfWaveformChannels = samples.shape
    made.SamplingFrequency = rate_hz
    made.WaveformBitsAllocated = 16
    made.WaveformSampleInterpretation = {"i": "SS", "u": "US"}[samples.dtype.kind]
    made.WaveformData = samples.tobytes()
    made.ChannelDefinitionSequence = Sequence(channels)
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def write(path: Path, groups: list[Dataset], *, syntax: str = ExplicitVRLittleEndian, **values: Any) -> Path:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.PatientID = TWELVE_LEAD, "1.2.3.4", "patient-7"
    if groups:
        dataset.WaveformSequence = Sequence(groups)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def samples() -> np.ndarray:
    return np.random.default_rng(3).integers(-2000, 2000, (NUM_SAMPLES, 2)).astype("<i2")


def test_scale_worked_by_hand(tmp_path):
    raw = np.array([[0, 4], [100, -4]], "<i2")
    channels = [
        channel("2:1", ChannelSensitivity=2.5, ChannelSensitivityCorrectionFactor=2, ChannelBaseline=50),
        channel("2:61", unit="mV", ChannelSensitivity=0.25),
    ]
    study = read_dicom_ecg(write(tmp_path / "ecg", [group(raw, channels)]))
    np.testing.assert_allclose(study.views["I"].values, [0.05, 0.55])  # 100 x 2.5 x 2 + 50 = 550 uV
    np.testing.assert_allclose(study.views["III"].values, [1.0, -1.0])
    assert study.views["I"].rate_hz == 500.0
    assert (study.study_id, study.patient_id) == ("1.2.3.4", "patient-7")


def test_the_file_that_ships_with_pydicom():
    path = get_testdata_file("waveform_ecg.dcm")
    study = lamae.read(path)
    assert list(study.views) == ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
    assert {(view.num_samples, view.rate_hz) for view in study.views.values()} == {(10_000, 1000.0)}
    np.testing.assert_allclose(study.views["I"].values[:5], np.array([80, 65, 50, 35, 37]) * 1.25e-3, atol=1e-7)
    residual = study.views["III"].values - (study.views["II"].values - study.views["I"].values)
    assert np.abs(residual).max() < 0.01  # Einthoven: III = II - I, to the file's resolution
    assert study.metadata["sex"] == "female"
    assert study.metadata["age_years"] == 42.0
    assert str(study.acquired_at) == "2013-01-25 10:59:19"


@pytest.mark.parametrize(
    ("age", "moment", "expected"),
    [
        ("042Y", "20130125105919.25+0900", (42.0, "2013-01-25 10:59:19.250000")),
        ("018M", "20130125105919-0530", (1.5, "2013-01-25 10:59:19")),
        ("120Y", "20130125", (120.0, "2013-01-25 00:00:00")),
        ("300Y", "00010101000000", (None, "None")),
        ("999Y", "", (None, "None")),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_ages_and_times(tmp_path, samples, age, moment, expected):
    groups = [group(samples, [channel("2:1"), channel("2:2")])]
    study = read_dicom_ecg(write(tmp_path / "ecg", groups, PatientAge=age, AcquisitionDateTime=moment))
    assert (study.metadata.get("age_years"), str(study.acquired_at)) == expected


@pytest.mark.parametrize(
    ("value", "scheme", "meaning", "lead"),
    [
        ("2:62", "MDC", "aVR, augmented voltage, right", "aVR"),
        ("131135", "MDC", "", "aVL"),
        ("5.6.3-9-64", "SCPECG", "", "aVF"),
        ("2:111", "MDC", "Derived Lead III", "III"),
        ("2:16", "MDC", "Lead X", "X"),
        ("MYCODE", "99LOCAL", "Lead V4", "V4"),
        ("MYCODE", "99LOCAL", "Lead I (Einthoven)", "I"),
        ("MYCODE", "99LOCAL", "aVF, augmented voltage, foot", "aVF"),
    ],
)
def test_leads_by_code_and_by_meaning(tmp_path, samples, value, scheme, meaning, lead):
    made = channel(value, meaning, scheme=scheme)
    path = write(tmp_path / "ecg", [group(samples[:, :1].copy(), [made])])
    assert list(read_dicom_ecg(path).views) == [lead]


@pytest.mark.parametrize("beat", [{"MultiplexGroupLabel": "MEDIAN BEAT"}, {"MultiplexGroupLabel": ""}])
def test_the_rhythm_is_read_and_not_the_beat(tmp_path, samples, beat):
    channels = [channel("2:1"), channel("2:2")]
    derived = group(np.zeros((NUM_SAMPLES + 2, 2), "<i2"), channels, WaveformOriginality="DERIVED", **beat)
    study = read_dicom_ecg(write(tmp_path / "ecg", [derived, group(samples, channels)]))
    np.testing.assert_allclose(study.views["II"].values, samples[:, 1] / 1000, rtol=1e-6)


def test_a_second_recording_of_the_same_leads_is_left_out(tmp_path, samples):
    channels = [channel("2:1"), channel("2:2")]
    shorter = group(np.zeros((7, 2), "<i2"), channels)
    study = read_dicom_ecg(write(tmp_path / "ecg", [shorter, group(samples, channels)]))
    np.testing.assert_allclose(study.views["I"].values, samples[:, 0] / 1000, rtol=1e-6)


def test_leads_recorded_in_turn_stand_at_their_own_time(tmp_path):
    strip = group(np.arange(10, dtype="<i2")[:, None] * 1000, [channel("2:2")], rate_hz=1000)
    first = group(np.full((5, 1), 1000, "<i2"), [channel("2:1")], rate_hz=1000, MultiplexGroupTimeOffset=0)
    second = group(np.full((5, 1), 2000, "<i2"), [channel("2:3")], rate_hz=1000, MultiplexGroupTimeOffset=5)
    study = read_dicom_ecg(write(tmp_path / "ecg", [first, second, strip]))
    nan = np.nan
    np.testing.assert_allclose(study.views["II"].values, np.arange(10))
    np.testing.assert_allclose(study.views["I"].values, [1, 1, 1, 1, 1, nan, nan, nan, nan, nan])
    np.testing.assert_allclose(study.views["V1"].values, [nan, nan, nan, nan, nan, 2, 2, 2, 2, 2])


@pytest.mark.parametrize("interpretation", ["SS", "US"])
def test_padding_becomes_nan(tmp_path, interpretation):
    dtype, padding = {"SS": ("<i2", -32768), "US": ("<u2", 65535)}[interpretation]
    raw = np.array([[5], [padding], [7]], dtype)
    made = group(raw, [channel("2:1")], WaveformPaddingValue=np.array(padding, dtype).tobytes())
    study = read_dicom_ecg(write(tmp_path / "ecg", [made]))
    np.testing.assert_allclose(study.views["I"].values, [0.005, np.nan, 0.007], rtol=1e-6)


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, ImplicitVRLittleEndian])
def test_other_transfer_syntaxes(tmp_path, samples, syntax):
    raw = samples.astype(">i2") if syntax == ExplicitVRBigEndian else samples
    path = write(tmp_path / "ecg", [group(raw, [channel("2:1"), channel("2:2")])], syntax=syntax)
    np.testing.assert_allclose(lamae.read(path).views["I"].values, samples[:, 0] / 1000, rtol=1e-6)


def test_without_preamble(tmp_path, samples):
    path = write(tmp_path / "ecg", [group(samples, [channel("2:1"), channel("2:2")])], syntax=ImplicitVRLittleEndian)
    path.write_bytes(path.read_bytes()[132:])
    assert list(lamae.read(path).views) == ["I", "II"]


@pytest.mark.parametrize("name", ["MDC-TEMP", "temperature"])
def test_lead_names_and_extra_channels(tmp_path, samples, name):
    channels = [channel("2:1"), channel("MDC-TEMP", "temperature")]
    path = write(tmp_path / "ecg", [group(samples, channels)])
    with pytest.raises(DataError, match="unknown ECG lead 'temperature'"):
        read_dicom_ecg(path)
    assert list(read_dicom_ecg(path, extra_channels="ignore").views) == ["I"]
    assert list(read_dicom_ecg(path, lead_names={name: "V9"}).views) == ["I", "V9"]


@pytest.mark.parametrize(
    ("change", "reason", "match"),
    [
        ({"SamplingFrequency": 0}, "wrong-rate", "sampling frequency must be above 0 Hz"),
        ({"WaveformData": b"\0\0"}, "truncated-file", "2 channels of 11 samples need 44 bytes, found 2"),
        ({"WaveformSampleInterpretation": "MB"}, "unsupported-samples", "interpretation 'MB' is not read"),
        ({"ChannelDefinitionSequence": Sequence([channel("2:1")])}, "malformed-dicom", "2 channels are promised and 1"),
        ({"NumberOfWaveformSamples": 0, "WaveformData": b"\0\0"}, "no-samples", "no samples"),
        ({"WaveformOriginality": "DERIVED", "MultiplexGroupLabel": "BEAT"}, "no-rhythm", "it holds no rhythm"),
    ],
)
def test_bad_groups(tmp_path, samples, change, reason, match):
    path = write(tmp_path / "ecg", [group(samples, [channel("2:1"), channel("2:2")], **change)])
    with pytest.raises(DataError, match=match) as caught:
        read_dicom_ecg(path)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("second", "reason", "match"),
    [
        (channel("2:1"), "duplicated-lead", "channels 1 and 2 are both lead I"),
        (channel("2:2", unit="mm"), "unknown-unit", "unknown unit 'mm'"),
        (
            channel("2:2", ChannelSensitivityUnitsSequence=None),
            "missing-units",
            "lead II has no sensitivity or no unit",
        ),
        (channel("2:2", ChannelSensitivity=None), "missing-units", "lead II has no sensitivity"),
        (channel("2:2", ChannelSensitivity=0), "zero-gain", "lead II has a sensitivity of 0"),
        (channel("2:2", ChannelSensitivity=1e12), "implausible-values", "mV are no ECG; the unit or gain is wrong"),
        (channel("2:2", ChannelOffset=0.5), "skewed-channels", "lead II is shifted in time"),
        (channel("2:2", ChannelTimeSkew=0.5), "skewed-channels", "lead II is shifted in time"),
        (channel("2:2", ChannelSampleSkew=2), "skewed-channels", "lead II is shifted in time"),
    ],
)
def test_bad_channels(tmp_path, samples, second, reason, match):
    path = write(tmp_path / "ecg", [group(samples, [channel("2:1"), second])])
    with pytest.raises(DataError, match=match) as caught:
        read_dicom_ecg(path)
    assert caught.value.reason == reason
    assert str(caught.value).startswith(str(path))


def test_leads_of_different_rates(tmp_path, samples):
    first = group(samples, [channel("2:1"), channel("2:2")])
    second = group(samples[:, :1].copy(), [channel("2:3")], rate_hz=250)
    with pytest.raises(DataError, match=r"different rates: \[250.0, 500.0\] Hz"):
        read_dicom_ecg(write(tmp_path / "ecg", [first, second]))


def test_leads_recorded_hours_apart(tmp_path, samples):
    first = group(samples, [channel("2:1"), channel("2:2")])
    second = group(samples[:, :1].copy(), [channel("2:3")], MultiplexGroupTimeOffset=7_200_000)
    with pytest.raises(DataError, match="too far apart to be one study: 7200 s in all"):
        read_dicom_ecg(write(tmp_path / "ecg", [first, second]))


def test_without_waveform(tmp_path):
    with pytest.raises(DataError, match=r"this DICOM file has no waveform .*12-lead ECG") as caught:
        lamae.read(write(tmp_path / "ecg", []))
    assert caught.value.reason == "no-waveform"
    with pytest.raises(DataError, match="this DICOM file has no waveform"):
        lamae.read(get_testdata_file("CT_small.dcm"))


def test_another_kind_of_waveform(tmp_path, samples):
    sound = write(tmp_path / "ecg", [group(samples, [])], SOPClassUID="1.2.840.10008.5.1.4.1.1.9.4.1")
    with pytest.raises(DataError, match="this DICOM waveform is no ECG") as caught:
        read_dicom_ecg(sound)
    assert caught.value.reason == "not-an-ecg"


@pytest.mark.parametrize("content", [b"", b"garbage" * 99, b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM" + b"\xff" * 40])
def test_damaged_files(tmp_path, content):
    path = tmp_path / "ecg.dcm"
    path.write_bytes(content)
    with pytest.raises(FormatError, match="damaged, or not DICOM") as caught:
        read_dicom_ecg(path)
    assert caught.value.reason == "malformed-dicom"


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_truncated_file(tmp_path, kept):
    content = Path(str(get_testdata_file("waveform_ecg.dcm"))).read_bytes()
    path = tmp_path / "ecg.dcm"
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError, match=str(path)):
        read_dicom_ecg(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="there is no such file") as caught:
        read_dicom_ecg(tmp_path / "nothing.dcm")
    assert caught.value.reason == "missing-file"
