"""Small good files of each format that is read, to be damaged: written by code, and real ones where there are any."""

import io
import json
import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

NUM_SAMPLES = 211
THREE = ("I", "II", "V1")
TOLD = {"leads": list(THREE), "rate_hz": 500.0, "units": "uV"}


@dataclass(frozen=True)
class Seed:
    """A good file with its companions.

    Attributes:
        name: Reader and variant, such as ``"wfdb-212"``.
        files: Content by file name.
        target: The file that is read.
        exam_id: Exam to read, of a CODE-15 part.
        pack: Makes the files on disk from ``files``, so that what is compressed can be damaged before it is.
    """

    name: str
    files: dict[str, bytes]
    target: str
    exam_id: int | None = None
    pack: Callable[[dict[str, bytes]], dict[str, bytes]] | None = None

    @property
    def on_disk(self) -> dict[str, bytes]:
        """Return the files as they are written to disk."""
        return self.files if self.pack is None else self.pack(self.files)

    @property
    def reader(self) -> str:
        """Return the name of the reader: ``wfdb``, ``dicom``, ``aecg``, …"""
        return self.name.partition("-")[0]


def all_seeds() -> list[Seed]:
    """Return all seeds in a fixed order; the real ones last."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas, which wfdb imports
        found = [*_wfdb(), *_dicom(), _aecg(), *_arrays(), *_matlab(), *_hdf5(), *_csv(), *_real()]
    assert len({seed.name for seed in found}) == len(found)
    return found


def _signals(num_leads: int = len(THREE)) -> np.ndarray:
    """Return ``[leads, samples]`` int16 in uV."""
    time = np.arange(NUM_SAMPLES) / 500
    phases = np.arange(num_leads)[:, None]
    noise = np.random.default_rng(5).normal(0, 5, (num_leads, NUM_SAMPLES))
    return (400 * np.sin(2 * np.pi * 7 * time + phases) + noise).astype(np.int16)


def _zipped(parts: dict[str, bytes]) -> dict[str, bytes]:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as container:
        for name, content in parts.items():
            container.writestr(name, content)
    return {"ecg.npz": buffer.getvalue()}


def _deflated(parts: dict[str, bytes]) -> dict[str, bytes]:
    """Deflate the body of a DICOM file, behind its file meta information."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = packer.compress(parts.get("body", b"")) + packer.flush()
    return {"ecg.dcm": parts.get("meta", b"") + body}


def _compressed(parts: dict[str, bytes]) -> dict[str, bytes]:
    """Compress each element of a MATLAB file behind its head, as version 7 does."""
    packed = (zlib.compress(content) for name, content in parts.items() if name != "head")
    elements = b"".join(struct.pack("<II", 15, len(content)) + content for content in packed)
    return {"ecg.mat": parts.get("head", b"") + elements}


def _wfdb() -> Iterator[Seed]:
    import wfdb

    signals = _signals().T / 1000
    comments = ["Age: 74", "Sex: Female", "Dx: 59118001,164889003", "<subject_id>: 7"]
    shared = {"fs": 500, "sig_name": list(THREE), "units": ["mV"] * 3}
    for code in ("16", "24", "32", "80", "212", "508", "516", "524"):
        scale = {"adc_gain": [50.0 if code in ("80", "508") else 400.0] * 3, "baseline": [0] * 3, "fmt": [code] * 3}
        with TemporaryDirectory() as folder:
            try:
                wfdb.wrsamp("rec", p_signal=signals, comments=comments, write_dir=folder, **shared, **scale)
            except ImportError:  # FLAC needs soundfile
                continue
            yield Seed(f"wfdb-{code}", _files(folder), "rec.hea")
    for code, num_bytes in (("8", 1), ("61", 2), ("160", 2), ("310", 4 / 3), ("311", 4 / 3)):  # not written by wfdb
        header = f"rec 3 500 {NUM_SAMPLES}\n" + "".join(f"rec.dat {code} 400/mV 16 0 0 0 0 {lead}\n" for lead in THREE)
        content = np.random.default_rng(2).bytes(int(num_bytes * 3 * NUM_SAMPLES))
        yield Seed(f"wfdb-{code}", {"rec.hea": header.encode(), "rec.dat": content}, "rec.hea")
    samples = _signals().T.astype("<i2")
    lines = [f"rec.dat 16x{frames} 1000/mV 16 0 0 0 0 {lead}" for frames, lead in zip((1, 2, 1), THREE, strict=True)]
    frames = np.concatenate([samples, samples[:, 1:2]], axis=1)
    header = f"rec 3 250 {NUM_SAMPLES} 10:11:12 01/02/2003\n" + "\n".join(lines) + "\n"
    yield Seed("wfdb-frames", {"rec.hea": header.encode(), "rec.dat": frames.tobytes()}, "rec.hea")
    lines = [
        f"rec.dat 16:{2 * (skew == 2)}+24 1000(5)/mV 16 0 {samples[0, 0]} 0 0 {lead}" for skew, lead in enumerate(THREE)
    ]
    header = f"# a comment before\nrec 3 500/1000(0) {NUM_SAMPLES}\n" + "\n".join(lines) + "\n# <age>: 61\n"
    yield Seed(
        "wfdb-skew", {"rec.hea": header.encode(), "rec.dat": bytes(24) + samples.tobytes() + bytes(12)}, "rec.hea"
    )
    lines = "\n".join(f"{{0}}.dat 16 1000/mV 16 0 0 0 0 {lead}" for lead in THREE)
    files = {"rec.hea": f"rec/2 3 500 {2 * NUM_SAMPLES}\na {NUM_SAMPLES}\nb {NUM_SAMPLES}\n".encode()}
    for part in "ab":
        files[f"{part}.hea"] = f"{part} 3 500 {NUM_SAMPLES}\n{lines.format(part)}\n".encode()
        files[f"{part}.dat"] = samples.tobytes()
    yield Seed("wfdb-segments", files, "rec.hea")
    layout = "lay 3 500 0\n" + "\n".join(f"~ 0 1000/mV 16 0 0 0 0 {lead}" for lead in THREE) + "\n"
    parts = "".join(f"{part} {NUM_SAMPLES}\n" for part in "a~b")
    header = f"rec/4 3 500 {3 * NUM_SAMPLES}\nlay 0\n{parts}"
    variable = files | {"lay.hea": layout.encode(), "rec.hea": header.encode()}
    yield Seed("wfdb-layout", variable, "rec.hea")


def _dicom() -> Iterator[Seed]:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.sequence import Sequence
    from pydicom.uid import (
        DeflatedExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
    )

    def code(value: str) -> Sequence:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "MDC", value
        return Sequence([item])

    def channel(number: int) -> Dataset:
        made = Dataset()
        made.ChannelSourceSequence, made.ChannelSensitivityUnitsSequence = code(f"2:{number}"), code("uV")
        made.ChannelSensitivity, made.ChannelSensitivityCorrectionFactor, made.ChannelBaseline = 1, 1, 0
        made.WaveformBitsStored, made.ChannelSampleSkew = 16, 0
        return made

    for name, syntax, order in (
        ("explicit", ExplicitVRLittleEndian, "<i2"),
        ("implicit", ImplicitVRLittleEndian, "<i2"),
        ("big", ExplicitVRBigEndian, ">i2"),
        ("deflated", DeflatedExplicitVRLittleEndian, "<i2"),
    ):
        groups = []
        for numbers, start in (((1, 2), 0), ((3, 4), 422)):
            group = Dataset()
            group.WaveformOriginality, group.MultiplexGroupLabel = "ORIGINAL", "RHYTHM"
            group.NumberOfWaveformSamples, group.NumberOfWaveformChannels = NUM_SAMPLES, 2
            group.SamplingFrequency, group.MultiplexGroupTimeOffset = 500, start
            group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
            group.WaveformData = _signals(2).T.astype(order).tobytes()
            group.ChannelDefinitionSequence = Sequence([channel(number) for number in numbers])
            groups.append(group)
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.9.1.1", "1.2.3.4"
        dataset.PatientID, dataset.PatientAge, dataset.PatientSex = "patient-7", "061Y", "F"
        dataset.AcquisitionDateTime = "20030201101112"
        dataset.WaveformSequence = Sequence(groups)
        buffer = io.BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        content = buffer.getvalue()
        yield Seed(f"dicom-{name}", {"ecg.dcm": content}, "ecg.dcm")
        if name == "deflated":
            start = 144 + int.from_bytes(content[140:144], "little")  # (0002,0000) File Meta Information Group Length
            parts = {"meta": content[:start], "body": zlib.decompress(content[start:], -zlib.MAX_WBITS)}
            yield Seed("dicom-inflated", parts, "ecg.dcm", pack=_deflated)
    from pydicom.data import get_testdata_file

    shipped = Path(str(get_testdata_file("waveform_ecg.dcm"))).read_bytes()
    yield Seed("dicom-shipped", {"ecg.dcm": shipped}, "ecg.dcm")


def _aecg() -> Seed:
    leads = "".join(
        f'<component><sequence><code code="MDC_ECG_LEAD_{lead}"/><value xsi:type="SLIST_PQ"><origin value="0" '
        f'unit="uV"/><scale value="2.5" unit="uV"/><digits>{" ".join(map(str, row))}</digits></value></sequence>'
        "</component>"
        for lead, row in zip(THREE, _signals().tolist(), strict=True)
    )
    text = (
        '<?xml version="1.0" encoding="utf-8"?>\n<AnnotatedECG xmlns="urn:hl7-org:v3" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><id root="1.2.3" extension="ecg-5"/>'
        '<effectiveTime><low value="20021122091000"/></effectiveTime><componentOf><trialSubject><id root="9.9" '
        'extension="S-1"/><subjectDemographicPerson><administrativeGenderCode code="F"/><birthTime value="19530508"/>'
        "</subjectDemographicPerson></trialSubject></componentOf><controlVariable><relatedObservation><code "
        'code="21612-7"/><value xsi:type="PQ" value="46" unit="a"/></relatedObservation></controlVariable>'
        '<component><series><code code="RHYTHM"/><component><sequenceSet><component><sequence><code '
        'code="TIME_ABSOLUTE"/><value xsi:type="GLIST_TS"><head value="20021122091000.000"/><increment value="0.002" '
        f'unit="s"/></value></sequence></component>{leads}</sequenceSet></component></series></component></AnnotatedECG>'
    )
    return Seed("aecg-one", {"ecg.xml": text.encode()}, "ecg.xml")


def _sidecar(**more: Any) -> bytes:
    return json.dumps(TOLD | more).encode()


def _arrays() -> Iterator[Seed]:
    for name, array in (("i2", _signals()), ("f8", _signals().T.astype(np.float64))):
        buffer = io.BytesIO()
        np.save(buffer, array)
        yield Seed(f"npy-{name}", {"ecg.npy": buffer.getvalue(), "ecg.npy.json": _sidecar()}, "ecg.npy")
    for name, save in (("stored", np.savez), ("deflated", np.savez_compressed)):
        buffer = io.BytesIO()
        save(buffer, ecg=_signals(), leads=np.array(THREE), rate_hz=500, units="uV", others=np.arange(1))
        yield Seed(f"npz-{name}", {"ecg.npz": buffer.getvalue()}, "ecg.npz")
    with zipfile.ZipFile(buffer) as container:
        yield Seed(
            "npz-members", {name: container.read(name) for name in container.namelist()}, "ecg.npz", pack=_zipped
        )


def _matlab() -> Iterator[Seed]:
    from scipy.io import savemat

    cells = np.empty(3, object)
    cells[:] = THREE
    rows = np.array([lead.ljust(3) for lead in THREE])
    for name, leads, options in (
        ("4", rows, {"format": "4"}),
        ("5", cells, {"format": "5"}),
        ("6", rows, {"format": "5"}),
        ("7", cells, {"format": "5", "do_compression": True}),
    ):
        buffer = io.BytesIO()
        variables = {"val": _signals(), "leads": leads, "units": "uV", "rate_hz": 500.0}
        savemat(buffer, variables if name == "4" else variables | {"info": {"age": 5}}, **options)
        content = buffer.getvalue()
        yield Seed(f"matlab-{name}", {"ecg.mat": content}, "ecg.mat")
        if name == "5":
            parts, start = {"head": content[:128]}, 128
            while start < len(content):
                stop = start + 8 + int.from_bytes(content[start + 4 : start + 8], "little")
                parts[str(start)], start = content[start:stop], stop
            yield Seed("matlab-elements", parts, "ecg.mat", pack=_compressed)
    buffer = io.BytesIO()
    savemat(buffer, {"val": _signals()}, format="4")
    header = f"rec 3 500 {NUM_SAMPLES}\n" + "".join(f"rec.mat 16+24 1000/mV 16 0 0 0 0 {lead}\n" for lead in THREE)
    yield Seed("wfdb-mat", {"rec.hea": header.encode(), "rec.mat": buffer.getvalue()}, "rec.mat")


def _hdf5() -> Iterator[Seed]:
    import h5py

    def written(name: str, fill: Any, *, userblock: bytes = b"", **options: Any) -> bytes:
        with TemporaryDirectory() as folder:
            path = Path(folder) / name
            with h5py.File(path, "w", userblock_size=len(userblock), **options) as file:
                fill(file)
            content = path.read_bytes()
        return userblock + content[len(userblock) :]

    def plain(file: Any) -> None:
        file["ecg"] = _signals().astype(np.float32)
        file.attrs["leads"], file.attrs["rate_hz"], file["ecg"].attrs["units"] = list(THREE), 500.0, "uV"

    def chunked(file: Any) -> None:
        group = file.create_group("study").create_group("signals")
        values = group.create_dataset("ecg", data=_signals(), chunks=(1, 53), compression="gzip", shuffle=True)
        file["leads"] = np.array([lead.encode() for lead in THREE])
        file["rate_hz"], file["units"] = 500, "uV"
        values.attrs["note"] = "of no use"
        file["again"] = h5py.SoftLink("/study/signals/ecg")

    def part(file: Any) -> None:
        tracings = np.zeros((4, 64, 12), np.float32)
        tracings[:3, 5:61] = np.random.default_rng(3).normal(size=(3, 56, 12))
        file["exam_id"], file["tracings"] = [11, 12, 13, 0], tracings

    def part_chunked(file: Any) -> None:
        part(file)
        kept = file["tracings"][()]
        del file["tracings"]
        file.create_dataset("tracings", data=kept, chunks=(1, 64, 12), compression="gzip")

    sidecar = {"ecg.h5.json": _sidecar(units="mV")}
    yield Seed("hdf5-plain", {"ecg.h5": written("a", plain)}, "ecg.h5")
    yield Seed("hdf5-chunked", {"ecg.h5": written("a", chunked)}, "ecg.h5")
    yield Seed("hdf5-latest", {"ecg.h5": written("a", chunked, libver="latest")}, "ecg.h5")
    told = "MATLAB 7.3 MAT-file".ljust(512).encode()
    bare = written("a", lambda file: file.create_dataset("ecg", data=_signals()), userblock=told)
    yield Seed("hdf5-matlab", {"ecg.h5": bare, **sidecar}, "ecg.h5")
    yield Seed("code15-plain", {"exams.hdf5": written("a", part)}, "exams.hdf5", exam_id=12)
    yield Seed("code15-gzip", {"exams.hdf5": written("a", part_chunked)}, "exams.hdf5", exam_id=12)


def _csv() -> Iterator[Seed]:
    rows = _signals().T.tolist()
    lines = [",".join(map(str, row)) for row in rows]
    with_names = "\n".join([",".join(THREE), *lines]).encode()
    told = json.dumps({"rate_hz": 500, "units": ["uV", "uV", "mV"]}).encode()
    yield Seed("csv-names", {"ecg.csv": with_names, "ecg.csv.json": told}, "ecg.csv")
    bare = "\n".join(line.replace(",", ";") for line in lines).encode()
    yield Seed("csv-bare", {"ecg.csv": bare, "ecg.csv.json": _sidecar(layout="samples-first")}, "ecg.csv")


def _real() -> Iterator[Seed]:
    """Yield real files from the folder that ``LAMAE_REAL_DATA`` names; three of each kind, of at most 300 kB."""
    root = Path(os.environ.get("LAMAE_REAL_DATA") or "/nowhere")
    for kind, pattern in (("wfdb", "*.hea"), ("aecg", "*.xml"), ("dicom", "*.dcm"), ("matlab", "*.mat")):
        files = [path for path in sorted(root.rglob(pattern)) if path.stat().st_size < 300_000]
        for number, path in enumerate(files[:: max(1, len(files) // 3)][:3]):
            beside = [other for other in path.parent.glob(f"{path.stem}.*") if other.stat().st_size < 300_000]
            yield Seed(f"{kind}-real{number}", {other.name: other.read_bytes() for other in beside}, path.name)


def _files(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
