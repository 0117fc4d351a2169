"""Array files: what they are is told by arguments, a sidecar or the file itself, and never guessed."""

import io
import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import lamae
from lamae.ecg.leads import LEADS as TWELVE
from lamae.errors import DataError, FormatError, MissingExtraError
from lamae.studies import Study

NUM_SAMPLES = 11
LEADS = ["I", "aVF", "V5"]
TOLD = {"leads": LEADS, "rate_hz": 250.0, "units": "mV"}


@pytest.fixture
def signal() -> np.ndarray:
    values = np.random.default_rng(5).normal(size=(len(LEADS), NUM_SAMPLES)).astype(np.float32)
    values[1, 3] = np.nan
    return values


def write_npy(path: Path, array: np.ndarray) -> None:
    np.save(path, array)


def write_npz(path: Path, array: np.ndarray) -> None:
    np.savez_compressed(path, ecg=array)


def write_mat_4(path: Path, array: np.ndarray) -> None:
    from scipy.io import savemat

    savemat(path, {"val": array}, format="4")


def write_mat_5(path: Path, array: np.ndarray) -> None:
    from scipy.io import savemat

    savemat(path, {"val": array})


def write_mat_7(path: Path, array: np.ndarray) -> None:
    from scipy.io import savemat

    savemat(path, {"val": array}, do_compression=True)


def write_hdf5(path: Path, array: np.ndarray) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file["study/ecg"] = array


def write_mat_73(path: Path, array: np.ndarray) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=512) as file:
        file["val"] = array.T
    with open(path, "r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116))


def write_csv(path: Path, array: np.ndarray) -> None:
    rows = [",".join("" if np.isnan(value) else repr(float(value)) for value in row) for row in array.T]
    path.write_text("\n".join(rows) + "\n")


WRITERS = {
    "a.npy": write_npy,
    "a.npz": write_npz,
    "a4.mat": write_mat_4,
    "a5.mat": write_mat_5,
    "a7.mat": write_mat_7,
    "a.h5": write_hdf5,
    "a73.mat": write_mat_73,
    "a.csv": write_csv,
    "no_suffix": write_mat_5,
}


@pytest.fixture(params=sorted(WRITERS))
def array_file(request, tmp_path, signal) -> Path:
    path = tmp_path / request.param
    WRITERS[request.param](path, signal)
    return path


def check(study: Study, signal: np.ndarray) -> None:
    assert list(study.views) == LEADS
    np.testing.assert_array_equal(np.stack([view.values for view in study.views.values()]), signal)
    assert {view.rate_hz for view in study.views.values()} == {250.0}


def test_arguments_tell(array_file, signal):
    check(lamae.read(array_file, **TOLD), signal)


def test_a_sidecar_tells(array_file, signal):
    array_file.with_name(array_file.name + ".json").write_text(json.dumps(TOLD))
    check(lamae.read(array_file), signal)


def test_both_may_tell_a_part(array_file, signal):
    array_file.with_name(array_file.name + ".json").write_text(json.dumps({"leads": LEADS, "rate_hz": 250}))
    check(lamae.read(array_file, units="mV", rate_hz=250), signal)
    with pytest.raises(DataError, match=r"the sidecar contradict each other: rate_hz is 500\.0 and"):
        lamae.read(array_file, units="mV", rate_hz=500)


@pytest.mark.parametrize("missing", ["leads", "rate_hz", "units"])
def test_nothing_is_guessed(array_file, missing):
    told = {key: value for key, value in TOLD.items() if key != missing}
    with pytest.raises(DataError, match=f"give {missing}=… or a sidecar") as caught:
        lamae.read(array_file, **told)
    assert (
        caught.value.reason == {"leads": "missing-leads", "rate_hz": "missing-rate", "units": "missing-units"}[missing]
    )


def test_containers_may_tell_it_themselves(tmp_path, signal):
    from scipy.io import savemat

    h5py = pytest.importorskip("h5py")
    np.savez(tmp_path / "a.npz", ecg=signal, leads=LEADS, rate_hz=250, units="mV")
    cells = np.empty(len(LEADS), object)
    cells[:] = LEADS
    savemat(tmp_path / "cells.mat", {"ecg": signal, "leads": cells, "rate_hz": 250.0, "units": "mV"})
    savemat(
        tmp_path / "rows.mat", {"ecg": signal, "leads": np.array(["I  ", "aVF", "V5 "]), "rate_hz": 250, "units": "mV"}
    )
    with h5py.File(tmp_path / "attributes.h5", "w") as file:
        file["ecg"] = signal
        file["ecg"].attrs.update({"leads": LEADS, "units": "mV"})
        file.attrs["rate_hz"] = 250
    with h5py.File(tmp_path / "datasets.h5", "w") as file:
        file["ecg"], file["leads"], file["units"], file["rate_hz"] = signal, LEADS, "mV", 250
    for name in ("a.npz", "cells.mat", "rows.mat", "attributes.h5", "datasets.h5"):
        check(lamae.read(tmp_path / name), signal)
    with pytest.raises(DataError, match="the arguments or the sidecar and the file contradict each other: units"):
        lamae.read(tmp_path / "a.npz", units="uV")


def test_units_worked_by_hand(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[1500, -500, 0], [2, 1, 0]], np.int16))
    study = lamae.read(tmp_path / "a.npy", leads=["II", "V1"], rate_hz=100, units=["uV", "mV"])
    np.testing.assert_allclose(study.views["II"].values, [1.5, -0.5, 0])
    np.testing.assert_allclose(study.views["V1"].values, [2, 1, 0])


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [((3, 11), None, 11), ((11, 3), None, 11), ((3, 3), "samples-first", 3), ((3, 3), "leads-first", 3)],
)
def test_layouts(tmp_path, shape, layout, expected):
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    np.save(tmp_path / "a.npy", array)
    values = lamae.read(tmp_path / "a.npy", layout=layout, **TOLD).views["aVF"].values
    is_first = layout == "leads-first" or (layout is None and shape[0] == 3)
    np.testing.assert_array_equal(values, array[1] if is_first else array[:, 1])
    assert len(values) == expected


def test_one_lead_may_have_one_dimension(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(7.0))
    assert lamae.read(tmp_path / "a.npy", leads="II", rate_hz=100, units="mV").views["II"].num_samples == 7


@pytest.mark.parametrize(
    ("array", "told", "reason", "match"),
    [
        (np.zeros((3, 3)), TOLD, "ambiguous-layout", r"shape \[3, 3\] may be leads-first or samples-first"),
        (np.zeros((2, 11)), TOLD, "wrong-shape", r"shape \[2, 11\] does not hold 3 leads"),
        (np.zeros((3, 11, 1)), TOLD, "wrong-shape", "does not hold 3 leads"),
        (np.zeros((3, 11)), TOLD | {"layout": "samples-first"}, "wrong-shape", "is not samples-first with 3 leads"),
        (np.zeros((3, 0)), TOLD, "no-samples", "holds no samples"),
        (np.zeros((3, 11), complex), TOLD, "wrong-type", "holds complex128, expected real numbers"),
        (np.full((3, 11), np.inf), TOLD, "infinite-values", "infinite voltages"),
        (np.full((3, 11), 1e300), TOLD, "infinite-values", "infinite voltages"),
        (np.zeros((3, 11)), TOLD | {"rate_hz": 0}, "wrong-rate", "0 samples a second are not an ECG"),
        (np.zeros((3, 11)), TOLD | {"rate_hz": float("nan")}, "wrong-rate", "nan samples a second are not"),
        (np.zeros((3, 11)), TOLD | {"rate_hz": 49.9}, "wrong-rate", "49.9 samples a second are not an ECG"),
        (np.zeros((3, 11)), TOLD | {"rate_hz": 50_001}, "wrong-rate", "50001 samples a second are not an ECG"),
        (np.full((3, 11), 1001.0), TOLD | {"units": "V"}, "implausible-values", "1.001e\\+06 mV are no ECG"),
        (np.zeros((3, 11)), TOLD | {"units": "furlong"}, "unknown-unit", "unknown unit 'furlong'"),
        (np.zeros((3, 11)), TOLD | {"units": ["mV", "uV"]}, "contradiction", "2 units are given for 3 leads"),
        (np.zeros((3, 11)), TOLD | {"leads": ["I", "I", "V2"]}, "duplicated-lead", "both lead I"),
        (np.zeros((3, 11)), TOLD | {"leads": ["I", "II", "V77"]}, "unknown-lead", "Did you mean 'V7'"),
        (np.zeros((3, 11)), TOLD | {"leads": ["P", "Q", "R"], "extra_channels": "ignore"}, "no-leads", "none of the"),
    ],
)
def test_bad_arrays(tmp_path, array, told, reason, match):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=match) as caught:
        lamae.read(tmp_path / "a.npy", **told)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("sidecar", "match"),
    [
        ("{", "must hold a JSON object"),
        ("[1]", "must hold a JSON object"),
        ('{"rate": 500}', "unknown key 'rate', expected leads, rate_hz, .* Did you mean 'rate_hz'"),
        ('{"rate_hz": "fast"}', "malformed value"),
        ('{"leads": [1, 2]}', "expected names"),
    ],
)
def test_bad_sidecars(tmp_path, signal, sidecar, match):
    np.save(tmp_path / "a.npy", signal)
    (tmp_path / "a.npy.json").write_text(sidecar)
    with pytest.raises(FormatError, match=match) as caught:
        lamae.read(tmp_path / "a.npy")
    assert caught.value.reason == "malformed-sidecar"


def test_a_sidecar_with_an_unknown_layout(tmp_path, signal):
    np.save(tmp_path / "a.npy", signal)
    (tmp_path / "a.npy.json").write_text('{"layout": "sideways"}')
    with pytest.raises(DataError, match="unknown layout 'sideways': expected leads-first or samples-first") as caught:
        lamae.read(tmp_path / "a.npy", **TOLD)
    assert caught.value.reason == "wrong-layout"


@pytest.mark.parametrize("name", ["a.npz", "a5.mat", "a.h5"])
def test_several_arrays_need_a_key(tmp_path, signal, name):
    from scipy.io import savemat

    path = tmp_path / name
    if name == "a.npz":
        np.savez(path, ecg=signal, beat=signal[:, :5])
    elif name == "a5.mat":
        savemat(path, {"ecg": signal, "beat": signal[:, :5]})
    else:
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            file["ecg"], file["beat"] = signal, signal[:, :5]
    with pytest.raises(DataError, match=r"2 arrays that may be the signal \((ecg, beat|beat, ecg)\)") as caught:
        lamae.read(path, **TOLD)
    assert caught.value.reason == "ambiguous-array"
    with pytest.raises(DataError, match="has no array 'egc'; it has") as caught:
        lamae.read(path, key="egc", **TOLD)
    assert caught.value.reason == "missing-array"
    check(lamae.read(path, key="ecg", **TOLD), signal)


def test_no_array_at_all(tmp_path):
    np.savez(tmp_path / "a.npz", text=np.array(["a", "b"]))
    with pytest.raises(DataError, match="0 arrays that may be the signal") as caught:
        lamae.read(tmp_path / "a.npz", **TOLD)
    assert caught.value.reason == "missing-array"


def test_pickled_objects_are_not_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(FormatError, match="holds objects"):
        lamae.read(tmp_path / "a.npy", **TOLD)
    np.savez(tmp_path / "a.npz", ecg=np.array([{"a": 1}], object))
    with pytest.raises(FormatError, match="holds objects"):
        lamae.read(tmp_path / "a.npz", **TOLD)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a4.mat", "a5.mat", "a7.mat", "a.h5"])
def test_truncated_files(tmp_path, signal, name):
    path = tmp_path / name
    WRITERS[name](path, signal)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(FormatError, match=r"damaged|cut short") as caught:
        lamae.read(path, **TOLD)
    assert caught.value.reason == "malformed-file"


def test_the_missing_hdf5_package_is_named_with_its_extra(tmp_path, monkeypatch):
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r"lamae\[hdf5\]"):
        lamae.read(tmp_path / "a.h5", **TOLD)


# --- CSV --------------------------------------------------------------------------------------------------------------

ROWS = "1,2,3\n4,,6\n7,8,nan\n"
EXPECTED = np.array([[1, 4, 7], [2, np.nan, 8], [3, 6, np.nan]], np.float32)


@pytest.mark.parametrize(
    "text",
    [
        "I,aVF,V5\n" + ROWS,
        '"I","AVF","v5"\n' + ROWS,
        "\ufeffI,aVF,V5\r\n" + ROWS.replace("\n", "\r\n"),
        ("I,aVF,V5\n" + ROWS).replace(",", ";"),
        ("I,aVF,V5\n" + ROWS).replace(",", "\t"),
    ],
)
def test_csv_with_names(tmp_path, text):
    path = tmp_path / "ecg.csv"
    path.write_text(text, encoding="utf-8", newline="")
    study = lamae.read(path, rate_hz=100, units="mV")
    assert list(study.views) == LEADS
    np.testing.assert_array_equal(np.stack([view.values for view in study.views.values()]), EXPECTED)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", " "])
@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize(
    ("num_leads", "sample"), [(12, "7"), (12, "0.25"), (4, "-7"), (3, "0.25"), (2, "0.001"), (1, "0.5")]
)
def test_numbers_of_columns_are_no_sample(tmp_path, delimiter, quote, num_leads, sample):
    """As ``DataFrame(array).to_csv(index=False)`` writes them."""
    header = delimiter.join(f"{quote}{position}{quote}" for position in range(num_leads))
    line = delimiter.join([sample] * num_leads)
    (tmp_path / "ecg.csv").write_text(f"{header}\n" + f"{line}\n" * 13)
    study = lamae.read(tmp_path / "ecg.csv", leads=TWELVE[:num_leads], rate_hz=100, units="mV")
    for view in study.views.values():
        np.testing.assert_array_equal(view.values, np.full(13, float(sample), np.float32))


@pytest.mark.parametrize("first", ["1,2,3,4", "0,1,2,4", "0.0,1.0,2.0,3.0", "0,1,2,3.5", "3,2,1,0"])
def test_other_lines_of_numbers_are_samples(tmp_path, first):
    (tmp_path / "ecg.csv").write_text(f"{first}\n" + "5,6,7,8\n" * 13)
    study = lamae.read(tmp_path / "ecg.csv", leads=TWELVE[:4], rate_hz=100, units="mV")
    assert [view.values[0] for view in study.views.values()] == [float(field) for field in first.split(",")]
    assert study.views["I"].num_samples == 14


@pytest.mark.parametrize(("first", "second"), [("0", "3"), ("0,1", "-1,5"), ("0,1,2", "4,5,6")])
def test_numbers_that_may_be_a_header_or_a_sample_are_refused(tmp_path, first, second):
    (tmp_path / "ecg.csv").write_text(f"{first}\n" + f"{second}\n" * 13)
    with pytest.raises(DataError, match="may number the columns, as pandas does, or be a sample") as caught:
        lamae.read(tmp_path / "ecg.csv", leads=TWELVE[: len(first.split(","))], rate_hz=100, units="mV")
    assert caught.value.reason == "ambiguous-header"


def test_csv_columns_are_chosen_by_name(tmp_path):
    path = tmp_path / "ecg.csv"
    path.write_text("time_s,V5,I\n0,1,2\n0.01,3,4\n")
    with pytest.raises(DataError, match="unknown ECG lead 'time_s'"):
        lamae.read(path, rate_hz=100, units="mV")
    assert list(lamae.read(path, rate_hz=100, units="mV", extra_channels="ignore").views) == ["V5", "I"]
    study = lamae.read(path, rate_hz=100, units="mV", leads=["I", "V5"])
    np.testing.assert_array_equal(study.views["I"].values, [2, 4])
    with pytest.raises(DataError, match="has 0 columns 'II': expected one; its columns are time_s, V5, I") as caught:
        lamae.read(path, rate_hz=100, units="mV", leads=["I", "II"])
    assert caught.value.reason == "missing-column"


@pytest.mark.parametrize(
    ("text", "reason", "match"),
    [
        ("I,aVF,V5\n1,2,3\n4,5\n", "malformed-file", "the CSV file is malformed"),
        ("I,aVF,V5\n1,2,3\n4,five,6\n", "malformed-file", "the CSV file is malformed"),
        ("1,2\n3,4\n", "wrong-shape", "3 leads are given for 2 columns"),
    ],
)
def test_bad_csv(tmp_path, text, reason, match):
    path = tmp_path / "ecg.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=match) as caught:
        lamae.read(path, **TOLD)
    assert caught.value.reason == reason


def test_csv_that_is_no_utf8(tmp_path):
    path = tmp_path / "ecg.csv"
    path.write_bytes("Ä,I\n1,2\n3,4\n".encode("latin-1"))
    with pytest.raises(FormatError, match="no UTF-8 text"):
        lamae.read(path, rate_hz=10, units="mV")


def test_containers_that_promise_more_than_memory_holds(tmp_path: Path) -> None:
    header = io.BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": (12, 10**11)}
    np.lib.format.write_array_header_1_0(header, shape)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as container:
        container.writestr("x.npy", header.getvalue() + bytes(1009))
    with pytest.raises(
        DataError, match=r"a\.npz: an array of shape \[12, 100000000000\] .* is promised, and 1009 bytes are left"
    ):
        lamae.read(tmp_path / "a.npz", **TOLD)
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", shape=(12, 10**11), dtype="f4", chunks=(12, 997))
    with pytest.raises(DataError, match="the HDF5 file unpacks to 4800000000000 bytes, more than the") as caught:
        lamae.read(tmp_path / "a.h5", **TOLD)
    assert caught.value.reason == "array-too-large"


def test_an_archive_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "a.npz", ecg=np.zeros((3, 997), np.float32))
    monkeypatch.setattr("lamae.ecg.readers.limits.MAX_UNPACKED_BYTES", 997)
    with pytest.raises(DataError, match=r"the \.npz file unpacks to 11964 bytes, more than the \d+ allowed"):
        lamae.read(tmp_path / "a.npz", **TOLD)


@pytest.mark.parametrize("way", ["external storage", "virtual dataset"])
def test_hdf5_never_reads_another_file(tmp_path, way):
    """Values that lie in another file of the machine are refused, not returned."""
    h5py = pytest.importorskip("h5py")
    secret = tmp_path / "secret"
    secret.write_bytes(np.arange(3 * 500, dtype=np.float32).tobytes())
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["values"] = np.zeros((3, 500), np.float32)
    with h5py.File(tmp_path / "ecg.h5", "w") as file:
        if way == "external storage":
            file.create_dataset("ecg", (3, 500), np.float32, external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
        else:
            layout = h5py.VirtualLayout(shape=(3, 500), dtype=np.float32)
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "values", shape=(3, 500))
            file.create_virtual_dataset("ecg", layout)
    with pytest.raises(FormatError, match="'/ecg' keeps its values outside of this file") as caught:
        lamae.read(tmp_path / "ecg.h5", leads=["I", "II", "V1"], rate_hz=250.0, units="mV")
    assert caught.value.reason == "outside-file"


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (None, "outside-file"),
        ("ecg", "outside-file"),
        ("folder/values", "outside-file"),
        ("soft", "outside-file"),
        ("pipe", "outside-file"),
        ("circle", "malformed-file"),
    ],
)
def test_hdf5_links_to_another_file_are_not_followed(tmp_path, key, reason):
    """Another file is not even opened: a pipe would be waited for without end."""
    h5py = pytest.importorskip("h5py")
    other = str(tmp_path / "other.h5")
    with h5py.File(other, "w") as file:
        file["values"] = np.zeros((3, 500), np.float32)
    os.mkfifo(tmp_path / "pipe")
    with h5py.File(tmp_path / "ecg.h5", "w") as file:
        file["ecg"], file["folder"] = h5py.ExternalLink(other, "values"), h5py.ExternalLink(other, "/")
        file["soft"], file["circle"] = h5py.SoftLink("/folder/values"), h5py.SoftLink("/circle")
        file["pipe"] = h5py.ExternalLink(str(tmp_path / "pipe"), "/")
    with pytest.raises(DataError) as caught:
        lamae.read(tmp_path / "ecg.h5", leads=["I", "II", "V1"], rate_hz=250.0, units="mV", key=key)
    assert caught.value.reason == reason


def test_an_hdf5_dataset_behind_a_soft_link_is_read_by_its_key(tmp_path: Path, signal: np.ndarray) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["study/ecg"], file["units"] = signal, "mV"
        file["here"] = h5py.SoftLink("study/ecg")
    read = lamae.read(tmp_path / "a.h5", leads=LEADS, rate_hz=250.0, key="here")
    np.testing.assert_array_equal(read.views["I"].values, signal[0])


@pytest.mark.parametrize(("name", "reason"), [("region", "wrong-type"), ("leads", "malformed-sidecar")])
def test_references_in_an_hdf5_file_are_not_followed(
    tmp_path: Path, signal: np.ndarray, name: str, reason: str
) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["ecg"] = signal
        to = file["ecg"].regionref[:2] if name == "region" else file["ecg"].ref
        file.create_dataset(name, data=[to] * 3, dtype=h5py.regionref_dtype if name == "region" else h5py.ref_dtype)
    told = {"key": "region", "leads": LEADS} if name == "region" else {}
    with pytest.raises(DataError) as caught:
        lamae.read(tmp_path / "a.h5", rate_hz=250.0, units="mV", **told)
    assert caught.value.reason == reason


def test_what_is_no_array_stands_beside_a_signal_in_npz(tmp_path: Path, signal: np.ndarray) -> None:
    write_npz(tmp_path / "a.npz", signal)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as container:
        container.writestr("README.txt", "made by hand, " * 100)
    read = lamae.read(tmp_path / "a.npz", leads=LEADS, rate_hz=250.0, units="mV")
    np.testing.assert_array_equal(read.views["I"].values, signal[0])


def test_an_empty_dataset_stands_beside_a_signal_in_hdf5(tmp_path: Path, signal: np.ndarray) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["ecg"], file["note"] = signal, h5py.Empty("f4")
    read = lamae.read(tmp_path / "a.h5", leads=LEADS, rate_hz=250.0, units="mV")
    np.testing.assert_array_equal(read.views["I"].values, signal[0])


def test_hdf5_without_readable_values_is_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file["ecg"] = h5py.Empty("f4")
    with h5py.File(tmp_path / "time.h5", "w") as file:
        space = h5py.h5s.create_simple((3, 11))
        h5py.h5d.create(file.id, b"ecg", h5py.h5t.UNIX_D32LE, space)
    for name in ("empty.h5", "time.h5"):
        with pytest.raises(DataError):
            lamae.read(tmp_path / name, leads=LEADS, rate_hz=250.0, units="mV")
