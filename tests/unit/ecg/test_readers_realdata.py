"""Every record of the open data sets, where they are at hand."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest

import lamae
from lamae.ecg.leads import LEADS
from lamae.ecg.readers import read_wfdb
from lamae.errors import DataError

ROOT = Path(os.environ.get("LAMAE_REAL_DATA") or Path(__file__).parents[4] / "shared" / "data")

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not ROOT.is_dir(), reason="LAMAE_REAL_DATA names no folder of open data"),
]


@pytest.mark.parametrize(
    ("folder", "num_records", "rates_hz"),
    [
        ("ptb-xl", 868, {100.0, 500.0}),
        ("challenge-2011", 811, {500.0}),
        ("cinc2021", 59, {500.0, 1000.0}),
    ],
)
def test_all_wfdb_records_equal_the_package(folder, num_records, rates_hz):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wfdb = pytest.importorskip("wfdb")
        headers = sorted((ROOT / folder).rglob("*.hea"))
        assert len(headers) == num_records
        found = set()
        for number, header in enumerate(headers):
            study = read_wfdb(header, verify_checksum=True)
            assert set(study.views) == set(LEADS)
            found.add(study.views["I"].rate_hz)
            if number % 20 == 0:
                theirs = wfdb.rdrecord(str(header.with_suffix("")))
                ours = np.stack([study.views[name].values for name in theirs.sig_name], axis=1)
                np.testing.assert_array_equal(ours, theirs.p_signal.astype(np.float32))
    assert found == rates_hz


def test_codes_of_the_challenge():
    study = lamae.read(next((ROOT / "cinc2021").rglob("A0002.mat")))
    assert study.metadata["codes"] == {"snomed": ("426783006",)}
    assert (study.metadata["age_years"], study.metadata["sex"]) == (49.0, "female")


def test_the_real_aecg():
    study = lamae.read(ROOT / "formats" / "hl7-aecg" / "Example aECG.xml")
    assert set(study.views) == set(LEADS)
    assert {(view.num_samples, view.rate_hz) for view in study.views.values()} == {(5000, 500.0)}
    np.testing.assert_allclose(study.views["I"].values[:6], np.array([-2, -2, -2, -2, -3, -4]) * 2.5e-3, rtol=1e-6)
    residual = study.views["III"].values - (study.views["II"].values - study.views["I"].values)
    assert np.abs(residual).max() < 0.01
    assert (study.metadata["age_years"], study.metadata["sex"]) == (46.0, "male")


@pytest.mark.parametrize(
    ("name", "reason"), [("empty.xml", "no-rhythm"), ("badschema.xsd", "not-an-aecg"), ("minimum_aecg.xml", None)]
)
def test_small_aecg_files(name, reason):
    path = ROOT / "formats" / "hl7-aecg" / "examples" / name
    if reason is None:
        assert lamae.read(path).views["II"].num_samples == 13
        return
    with pytest.raises(DataError) as caught:
        lamae.read(path)
    assert caught.value.reason == reason


def test_an_echo_is_no_ecg():
    path = next((ROOT / "ultrasound-dicom").rglob("examples_ybr_color.dcm"))
    with pytest.raises(DataError, match="this DICOM file has no waveform"):
        lamae.read(path)
