"""WFDB signals: worked by hand, and against the wfdb package."""

import subprocess
import sys
import warnings
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from lamae.ecg.leads import LEADS
from lamae.ecg.readers import read_wfdb
from lamae.errors import DataError, FormatError, MissingExtraError
from lamae.studies import Study

NUM_SAMPLES = 101


class WfdbPackage:
    """The wfdb package, without the warnings of pandas that it sets off."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.package = pytest.importorskip("wfdb")

    def write(self, folder: Path, name: str, samples: np.ndarray, **options) -> Path:
        num_signals = samples.shape[1]
        defaults = {
            "fs": 250,
            "units": ["mV"] * num_signals,
            "sig_name": list(LEADS[:num_signals]),
            "adc_gain": [200.0] * num_signals,
            "baseline": [0] * num_signals,
            "fmt": ["16"] * num_signals,
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.package.wrsamp(name, d_signal=samples, write_dir=str(folder), **(defaults | options))
        return folder / f"{name}.hea"

    def read_mv(self, header: Path) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.package.rdrecord(str(header.with_suffix(""))).p_signal.T


@pytest.fixture(scope="module")
def oracle() -> WfdbPackage:
    return WfdbPackage()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def stack(study: Study) -> np.ndarray:
    return np.stack([view.values for view in study.views.values()])


def write_record(folder: Path, header: str, **files: bytes) -> Path:
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_bytes(content)
    path = folder / "rec.hea"
    path.write_text(header)
    return path


def test_gain_and_baseline_worked_by_hand(tmp_path):
    samples = np.array([[100, 0], [300, -500]], "<i2")
    header = "rec 2 500 2\nrec.dat 16 200(100)/mV 16 0 0 0 0 II\nrec.dat 16 1/uV 16 0 0 0 0 V1\n"
    study = read_wfdb(write_record(tmp_path, header, rec_dat=samples.tobytes()))
    assert study.views["II"].values.tolist() == [0.0, 1.0]
    assert study.views["v1"].values.tolist() == [0.0, -0.5]
    assert study.views["V1"].values.dtype == np.float32
    assert study.views["V1"].rate_hz == 500.0
    assert study.study_id == "rec"


def test_format_212_worked_by_hand(tmp_path):
    # 0x7FF and 0x801 (2047, -2047), then 0x001 and 0xFFF (1, -1), then 0x800, the code for a missing sample
    packed = bytes([0xFF, 0x87, 0x01, 0x01, 0xF0, 0xFF, 0x00, 0x08])
    header = "rec 1 250 5\nrec.dat 212 1000/mV 12 0 0 0 0 I\n"
    values = read_wfdb(write_record(tmp_path, header, rec_dat=packed)).views["I"].values
    np.testing.assert_array_equal(values, np.array([2.047, -2.047, 0.001, -0.001, np.nan], np.float32))


@pytest.mark.parametrize("storage", ["16", "212"])
@pytest.mark.parametrize(("num_signals", "num_samples"), [(1, 7), (3, 5), (2, 11), (7, 101)])
def test_equal_to_the_package(tmp_path, oracle, rng, storage, num_signals, num_samples):
    samples = rng.integers(-2047, 2048, (num_samples, num_signals))
    header = oracle.write(tmp_path, "rec", samples, fmt=[storage] * num_signals, baseline=[13] * num_signals)
    theirs = oracle.read_mv(header)
    np.testing.assert_array_equal(stack(read_wfdb(header)), theirs.astype(np.float32))


@pytest.mark.parametrize(("storage", "code"), [("16", -32768), ("212", -2048)])
def test_missing_samples_become_nan_as_in_the_package(tmp_path, oracle, rng, storage, code):
    samples = rng.integers(-2000, 2001, (NUM_SAMPLES, 3))
    samples[17:29, 1] = code
    header = oracle.write(tmp_path, "rec", samples, fmt=[storage] * 3)
    values = stack(read_wfdb(header))
    assert np.isnan(values).sum() == 12
    np.testing.assert_array_equal(values, oracle.read_mv(header).astype(np.float32))


@pytest.mark.parametrize("gain", [200.0, 1000.0, 409.6, 333.3, 0.1])
def test_one_rounding_whatever_the_gain(tmp_path, oracle, rng, gain):
    samples = rng.integers(-32767, 32768, (NUM_SAMPLES, 5))
    header = oracle.write(tmp_path, "rec", samples, adc_gain=[gain] * 5, baseline=[-12345] * 5)
    np.testing.assert_array_equal(stack(read_wfdb(header)), oracle.read_mv(header).astype(np.float32))


@pytest.mark.parametrize("unit", ["uV", "V", "nV"])
def test_units_become_mv(tmp_path, oracle, rng, unit):
    samples = rng.integers(-2047, 2048, (NUM_SAMPLES, 2))
    header = oracle.write(tmp_path, "rec", samples, units=[unit] * 2)
    factor = {"uV": 1e-3, "V": 1e3, "nV": 1e-6}[unit]
    np.testing.assert_allclose(stack(read_wfdb(header)), oracle.read_mv(header) * factor, rtol=1e-6)


def test_matlab_file_with_a_byte_offset(tmp_path, oracle, rng):
    from scipy.io import savemat

    samples = rng.integers(-32767, 32768, (NUM_SAMPLES, 3)).astype("<i2")
    savemat(tmp_path / "rec.mat", {"val": samples.T}, format="4")
    lines = [f"rec.mat 16+24 1000/mv 16 0 0 0 0 {name}" for name in ("I", "aVF", "V2")]
    header = write_record(tmp_path, "\n".join([f"rec 3 500 {NUM_SAMPLES} 12-May-2020 12:33:59", *lines]) + "\n")
    study = read_wfdb(header)
    np.testing.assert_array_equal(stack(study), samples.T.astype(np.float32) / 1000)
    np.testing.assert_allclose(stack(study), oracle.read_mv(header), atol=2e-6)
    assert str(study.acquired_at) == "2020-05-12 12:33:59"


def test_several_signal_files(tmp_path, oracle, rng):
    first = rng.integers(-2000, 2001, (NUM_SAMPLES, 2)).astype("<i2")
    second = rng.integers(-2000, 2001, (NUM_SAMPLES, 3)).astype("<i2")
    lines = [f"a.dat 16 200/mV 16 0 0 0 0 {name}" for name in ("I", "II")]
    lines += [f"b.dat 16 100/mV 16 0 0 0 0 {name}" for name in ("V1", "V3", "V5")]
    text = "\n".join([f"rec 5 250 {NUM_SAMPLES}", *lines]) + "\n"
    header = write_record(tmp_path, text, a_dat=first.tobytes(), b_dat=second.tobytes())
    np.testing.assert_array_equal(stack(read_wfdb(header)), oracle.read_mv(header).astype(np.float32))


@pytest.mark.parametrize("storage", ["16", "212"])
def test_without_a_length_the_file_tells_it(tmp_path, oracle, rng, storage):
    samples = rng.integers(-2047, 2048, (NUM_SAMPLES, 3))
    header = oracle.write(tmp_path, "rec", samples, fmt=[storage] * 3)
    values = stack(read_wfdb(header))
    header.write_text(header.read_text().replace(f" {NUM_SAMPLES}\n", "\n", 1))
    np.testing.assert_array_equal(stack(read_wfdb(header)), values)


@pytest.mark.parametrize("given", ["rec", "rec.hea", "rec.dat"])
def test_a_record_may_be_named_in_three_ways(tmp_path, oracle, rng, given):
    oracle.write(tmp_path, "rec", rng.integers(-9, 9, (11, 2)))
    assert list(read_wfdb(tmp_path / given).views) == ["I", "II"]


def test_lead_names_and_extra_channels(tmp_path, oracle, rng):
    samples = rng.integers(-999, 999, (NUM_SAMPLES, 3))
    header = oracle.write(tmp_path, "rec", samples, sig_name=["MLII", "resp", "V5"])
    with pytest.raises(DataError, match="unknown ECG lead 'MLII'"):
        read_wfdb(header)
    with pytest.raises(DataError, match="unknown ECG lead 'resp'"):
        read_wfdb(header, lead_names={"mlii": "II"})
    study = read_wfdb(header, lead_names={"mlii": "II"}, extra_channels="ignore")
    assert list(study.views) == ["II", "V5"]
    np.testing.assert_array_equal(study.views["V5"].values, oracle.read_mv(header)[2].astype(np.float32))


def test_checksums_are_verified_when_asked(tmp_path, oracle, rng):
    header = oracle.write(tmp_path, "rec", rng.integers(-999, 999, (NUM_SAMPLES, 3)))
    read_wfdb(header, verify_checksum=True)
    content = bytearray((tmp_path / "rec.dat").read_bytes())
    content[100] ^= 1
    (tmp_path / "rec.dat").write_bytes(content)
    read_wfdb(header)
    with pytest.raises(DataError, match="signal 'III': first sample and checksum do not match") as caught:
        read_wfdb(header, verify_checksum=True)
    assert caught.value.reason == "wrong-checksum"


def test_malformed_checksums_are_told_and_empty_records_have_none(tmp_path):
    line = "rec.dat 16 200/mV 16 0 0 many 0 I\n"
    path = write_record(tmp_path, f"rec 1 250 1\n{line}", rec_dat=b"ab")
    with pytest.raises(FormatError, match="signal 'I': first sample and checksum are malformed") as caught:
        read_wfdb(path, verify_checksum=True)
    assert caught.value.reason == "malformed-header"
    path = write_record(tmp_path, "rec 1 250\nrec.dat 16 200/mV 16 0 0 7 0 I\n", rec_dat=b"")
    with pytest.raises(DataError, match="no samples"):
        read_wfdb(path, verify_checksum=True)


# --- what goes through the package ------------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", ["24", "32", "80"])
def test_other_formats_go_through_the_package(tmp_path, oracle, rng, storage):
    header = oracle.write(tmp_path, "rec", rng.integers(-99, 99, (NUM_SAMPLES, 3)), fmt=[storage] * 3)
    np.testing.assert_array_equal(stack(read_wfdb(header)), oracle.read_mv(header).astype(np.float32))


def test_several_samples_a_frame_keep_their_own_rate(tmp_path, oracle):
    samples = np.array([[1, 2, 10], [3, 4, 20], [5, 6, 30]], "<i2")  # two samples of I and one of II a frame
    text = "rec 2 250 3\nrec.dat 16x2 100/mV 16 0 0 0 0 I\nrec.dat 16 100/mV 16 0 0 0 0 II\n"
    study = read_wfdb(write_record(tmp_path, text, rec_dat=samples.tobytes()))
    np.testing.assert_allclose(study.views["I"].values, [0.01, 0.02, 0.03, 0.04, 0.05, 0.06])
    np.testing.assert_allclose(study.views["II"].values, [0.1, 0.2, 0.3])
    assert (study.views["I"].rate_hz, study.views["II"].rate_hz) == (500.0, 250.0)


@pytest.mark.parametrize("storage", ["24", "80"])
def test_missing_samples_of_other_formats_become_nan(tmp_path, oracle, rng, storage):
    samples = rng.integers(-99, 99, (NUM_SAMPLES, 2))
    samples[3:8, 1] = {"24": -(2**23), "80": -128}[storage]
    header = oracle.write(tmp_path, "rec", samples, fmt=[storage] * 2, baseline=[5, -7])
    values = stack(read_wfdb(header))
    assert np.isnan(values).sum() == 5
    np.testing.assert_array_equal(values, oracle.read_mv(header).astype(np.float32))


def test_a_skewed_signal_is_moved_back(tmp_path, oracle):
    text = "rec 2 250 4\nrec.dat 16:2 100/mV 16 0 0 0 0 I\nrec.dat 16 100/mV 16 0 0 0 0 II\n"
    samples = np.array([[1, 5], [2, 6], [3, 7], [4, 8]], "<i2")
    study = read_wfdb(write_record(tmp_path, text, rec_dat=samples.tobytes()))
    np.testing.assert_allclose(study.views["I"].values, [0.03, 0.04, np.nan, np.nan])
    np.testing.assert_allclose(study.views["II"].values, [0.05, 0.06, 0.07, 0.08])


THROUGH_THE_PACKAGE = "rec 2 250 3{start}\nrec.dat 24 {gain}/{unit} 16 7 0 0 0 I\nrec.dat 24 2(-1)/V 16 0 0 0 0 II\n"


def packed_24(samples: list[list[int]]) -> bytes:
    return b"".join(value.to_bytes(3, "little", signed=True) for frame in samples for value in frame)


def test_units_gains_and_baselines_are_our_own_whatever_the_format(tmp_path, oracle):
    """The package takes the first letters for the unit, and the ADC zero for no baseline."""
    text = THROUGH_THE_PACKAGE.format(start="", gain=10, unit="\u00b5V")
    path = tmp_path / "rec.hea"
    path.write_bytes(text.encode("utf-8"))
    (tmp_path / "rec.dat").write_bytes(packed_24([[17, 1], [-13, 3], [7, -1]]))
    study = read_wfdb(path)
    np.testing.assert_allclose(study.views["I"].values, [0.001, -0.002, 0.0])
    np.testing.assert_allclose(study.views["II"].values, [1000.0, 2000.0, 0.0])


@pytest.mark.parametrize(
    ("start", "expected"), [(" 00:00:00 2006", None), (" 10:11:12 3/2/2006", datetime(2006, 2, 3, 10, 11, 12))]
)
def test_a_date_that_is_none_leaves_the_signals(tmp_path, oracle, start, expected):
    text = THROUGH_THE_PACKAGE.format(start=start, gain=10, unit="mV")
    study = read_wfdb(write_record(tmp_path, text, rec_dat=packed_24([[17, 1], [-13, 3], [7, -1]])))
    assert study.acquired_at == expected
    np.testing.assert_allclose(study.views["I"].values, [1.0, -2.0, 0.0])


@pytest.mark.parametrize(
    ("header", "num_bytes", "reason", "match"),
    [
        (THROUGH_THE_PACKAGE.format(start="", gain=0, unit="mV"), 18, "zero-gain", "signal line 1: the gain is 0"),
        (THROUGH_THE_PACKAGE.format(start="", gain=1, unit="mm"), 18, "unknown-unit", "unknown unit 'mm'"),
        (THROUGH_THE_PACKAGE.format(start="", gain=1, unit="V"), 17, "truncated-file", "promises 18 bytes"),
        (THROUGH_THE_PACKAGE.format(start="", gain=1, unit="V"), 25, "length-mismatch", "25 bytes of samples for 18"),
        (
            THROUGH_THE_PACKAGE.format(start="", gain=1, unit="V").replace("rec.dat", "../a"),
            18,
            "foreign-path",
            "folder",
        ),
        ("rec 1 250 99999999999\nrec.dat 80 1/mV 8 0 0 0 0 I\n", 99, "truncated-file", "promises 99999999999 bytes"),
    ],
)
def test_bad_records_of_other_formats_are_refused_as_of_ours(tmp_path, oracle, header, num_bytes, reason, match):
    with pytest.raises(DataError, match=match) as caught:
        read_wfdb(write_record(tmp_path, header, rec_dat=bytes(num_bytes)))
    assert caught.value.reason == reason


def test_segments_are_joined(tmp_path, oracle, rng):
    first, second = rng.integers(-99, 99, (7, 2)), rng.integers(-99, 99, (11, 2))
    oracle.write(tmp_path, "one", first)
    oracle.write(tmp_path, "two", second)
    header = write_record(tmp_path, "rec/2 2 250 18\none 7\ntwo 11\n")
    expected = np.concatenate([first, second]).T / 200
    np.testing.assert_array_equal(stack(read_wfdb(header)), expected.astype(np.float32))
    np.testing.assert_array_equal(stack(read_wfdb(header)), oracle.read_mv(header).astype(np.float32))


def test_segments_of_other_leads_gains_and_formats(tmp_path, oracle, rng):
    """A layout segment, a gap, a lead that comes later, and a segment that only the package can unpack."""
    first, second = rng.integers(-99, 99, (7, 1)), rng.integers(-99, 99, (5, 2))
    oracle.write(tmp_path, "one", first, sig_name=["II"], adc_gain=[100.0])
    oracle.write(tmp_path, "two", second, sig_name=["V2", "II"], fmt=["24"] * 2, units=["uV"] * 2)
    (tmp_path / "layout.hea").write_text("layout 2 250 0\n~ 0 100/mV 0 0 0 0 0 II\n~ 0 100/mV 0 0 0 0 0 V2\n")
    views = read_wfdb(write_record(tmp_path, "rec/4 2 250 15\nlayout 0\none 7\n~ 3\ntwo 5\n")).views
    gap = np.full(3, np.nan)
    np.testing.assert_allclose(views["II"].values, [*(first[:, 0] / 100), *gap, *(second[:, 1] / 2e5)], rtol=1e-6)
    np.testing.assert_allclose(views["V2"].values, [*np.full(7, np.nan), *gap, *(second[:, 0] / 2e5)], rtol=1e-6)


@pytest.mark.parametrize(
    ("record", "segment", "reason", "match"),
    [
        ("rec/2 1 250 6\none 3\none 3", "one 1 250 3\none.dat 16 0(0)/mV 16 0 0 0 0 I", "zero-gain", "gain is 0"),
        ("rec/2 1 250 6\none 3\none 3", "one 1 500 3\none.dat 16 1 16 0 0 0 0 I", "mixed-rates", "one has 500 Hz"),
        ("rec/1 1 250 5\none 5", "one 1 250 3\none.dat 16 1 16 0 0 0 0 I", "malformed-header", "holds 3 samples and"),
        ("rec/1 1 250 5\none 5", "one 1 250\none.dat 16 1 16 0 0 0 0 I", "truncated-file", "of 5 samples holds 3"),
        ("rec/2 1 250 6\none 3\none 3", "one 1 250 3\none.dat 16 1 16 0 0 0 0 Q", "unknown-lead", "'Q'"),
        ("rec/1 1 250 3\none 3", "one/1 1 250 3\none 3", "malformed-header", "consists of segments itself"),
        ("rec/1 1 250 3\n../one 3", "", "foreign-path", "in another folder"),
        ("rec/2 1 250 6\none 3\nzwei 3", "one 1 250 3\none.dat 16 1 16 0 0 0 0 I", "missing-file", "no such file"),
        ("rec/1 1 250\n~ 7", "", "no-leads", "is an ECG lead"),
        (
            "rec/2 1 250\none 3\n~ 99999999999",
            "one 1 250 3\none.dat 16 1 16 0 0 0 0 I",
            "array-too-large",
            "unpacks to 800000000016 bytes",
        ),
    ],
)
def test_bad_segments_are_refused(tmp_path, record, segment, reason, match):
    (tmp_path / "one.hea").write_text(segment + "\n")
    with pytest.raises(DataError, match=match) as caught:
        read_wfdb(write_record(tmp_path, record + "\n", one_dat=bytes(6)))
    assert caught.value.reason == reason


@pytest.mark.parametrize("storage", ["16", "212", "24"])
@pytest.mark.parametrize(
    ("rate", "gain", "reason", "match"),
    [
        ("49", "100/mV", "wrong-rate", "49 samples a second are not an ECG"),
        ("50001", "100/mV", "wrong-rate", "50001 samples a second are not an ECG"),
        ("250", "0.001/mV", "implausible-values", r"2e\+06 mV are no ECG"),
        ("250", "1(1000000000)/mV", "implausible-values", r"1e\+09 mV are no ECG"),
        ("250", "1/V", "implausible-values", r"2e\+06 mV are no ECG"),
    ],
)
def test_what_prepare_would_refuse_is_refused_by_the_reader(tmp_path, oracle, storage, rate, gain, reason, match):
    header = oracle.write(tmp_path, "rec", np.array([[7], [-2000], [5]]), fmt=[storage])
    text = header.read_text().replace("rec 1 250", f"rec 1 {rate}").replace("200.0(0)/mV", gain)
    header.write_text(text)
    with pytest.raises(DataError, match=match) as caught:
        read_wfdb(header)
    assert caught.value.reason == reason


def test_channels_in_other_units_can_be_ignored(tmp_path):
    text = "rec 2 250 3\nrec.dat 16 100/mV 16 0 0 0 0 II\nrec.dat 16 20(-1200)/mmHg 16 0 0 0 0 ABP\n"
    path = write_record(tmp_path, text, rec_dat=np.array([[1, 7], [2, 7], [3, 7]], "<i2").tobytes())
    study = read_wfdb(path, extra_channels="ignore")
    assert list(study.views) == ["II"]
    np.testing.assert_allclose(study.views["II"].values, [0.01, 0.02, 0.03])


def test_the_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wfdb", None)
    header = write_record(tmp_path, "rec 1 250 3\nrec.dat 80 200/mV 8 0 0 0 0 I\n", rec_dat=b"abc")
    with pytest.raises(MissingExtraError, match=r"lamae\[wfdb\]"):
        read_wfdb(header)


def test_a_record_that_the_package_cannot_read(tmp_path, oracle):
    header = write_record(tmp_path, "rec 1 250 9\nrec.dat 99 200/mV 8 0 0 0 0 I\n", rec_dat=b"abc")
    with pytest.raises(FormatError, match="the wfdb package cannot read this record") as caught:
        read_wfdb(header)
    assert caught.value.reason == "malformed-record"


def test_the_fast_path_needs_no_package(tmp_path):
    header = write_record(tmp_path, "rec 1 250 1\nrec.dat 16 200/mV 16 0 0 0 0 I\n", rec_dat=b"ab")
    code = f"import sys, lamae; lamae.read({str(header)!r}); sys.exit('wfdb' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], check=False).returncode == 0


# --- bad input --------------------------------------------------------------------------------------------------------

TWO_SIGNALS = "rec 2 250 5\nrec.dat 16 200/mV 16 0 0 0 0 I\nrec.dat 16 200/mV 16 0 0 0 0 II\n"
TWO_SIGNALS_212 = TWO_SIGNALS.replace(".dat 16 ", ".dat 212 ")


@pytest.mark.parametrize(
    ("header", "num_bytes", "reason", "match"),
    [
        (TWO_SIGNALS, 19, "truncated-file", "cut short: the header promises 20 bytes of samples, the file holds 19"),
        (TWO_SIGNALS, 0, "truncated-file", "the file holds 0"),
        (TWO_SIGNALS, 30, "length-mismatch", "longer than its header says: 30 bytes"),
        (TWO_SIGNALS.replace(" 5\n", "\n", 1), 18, "truncated-file", "ends within a frame of 2 signals"),
        (TWO_SIGNALS.replace(" 5\n", "\n", 1), 0, "no-samples", "the file holds no samples"),
        (TWO_SIGNALS_212, 14, "truncated-file", "the header promises 15 bytes"),
        (TWO_SIGNALS_212.replace(" 5\n", "\n", 1), 14, "truncated-file", "within a frame"),
        (
            TWO_SIGNALS.replace("rec.dat 16 200/mV 16 0 0 0 0 II", "b.dat 16 200/mV 16 0 0 0 0 II"),
            10,
            "missing-file",
            "no such file",
        ),
        (TWO_SIGNALS.replace("rec.dat", "../rec.dat"), 20, "foreign-path", "in another folder"),
        (TWO_SIGNALS.replace(" II\n", " I\n"), 20, "duplicated-lead", "channels 1 and 2 are both lead I"),
        (TWO_SIGNALS.replace("200/mV", "0/mV"), 20, "zero-gain", "signal line 1: the gain is 0"),
        (TWO_SIGNALS.replace("200/mV", "200/mmHg"), 20, "unknown-unit", "signal line 1: unknown unit 'mmHg'"),
        (TWO_SIGNALS.replace(" II\n", " Q\n"), 20, "unknown-lead", "unknown ECG lead 'Q'"),
        (TWO_SIGNALS.replace("rec.dat 16 ", "rec.dat 212 ", 1), 20, "mixed-formats", "differ in format"),
    ],
)
def test_bad_records_are_named_with_a_reason(tmp_path, header, num_bytes, reason, match):
    path = write_record(tmp_path, header, rec_dat=bytes(num_bytes))
    with pytest.raises(DataError, match=match) as caught:
        read_wfdb(path)
    assert caught.value.reason == reason
    assert str(caught.value).startswith(str(tmp_path))


def test_files_of_different_length(tmp_path):
    text = "rec 2 250\nrec.dat 16 200/mV 16 0 0 0 0 I\nb.dat 16 200/mV 16 0 0 0 0 II\n"
    path = write_record(tmp_path, text, rec_dat=bytes(10), b_dat=bytes(14))
    with pytest.raises(DataError, match=r"differ in length \(\[5, 7\] samples\)") as caught:
        read_wfdb(path)
    assert caught.value.reason == "length-mismatch"


def test_no_lead_at_all(tmp_path):
    path = write_record(tmp_path, "rec 1 250 1\nrec.dat 16 200/mV 16 0 0 0 0 resp\n", rec_dat=b"ab")
    with pytest.raises(DataError, match=r"none of the channels \(resp\) is an ECG lead"):
        read_wfdb(path, extra_channels="ignore")


def test_missing_header_and_folder(tmp_path):
    with pytest.raises(DataError, match=r"there is no WFDB header nothing\.dat\.hea or nothing\.hea") as caught:
        read_wfdb(tmp_path / "nothing.dat")
    assert caught.value.reason == "missing-file"
    (tmp_path / "folder.hea").mkdir()
    with pytest.raises(DataError, match="cannot be read") as caught:
        read_wfdb(tmp_path / "folder.hea")
    assert caught.value.reason == "unreadable-file"
