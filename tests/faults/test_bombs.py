"""Small files that promise or unpack to far more than memory or patience holds."""

import io
import os
import re
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz import Worker
from reader_seeds import Seed

from lamae.ecg.readers.any_format import _find_in, read
from lamae.errors import DataError

LIMIT_S = 5.0
"""Processor time for one file; what is not linear takes minutes."""


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as started:
        yield started


def check(worker: Worker, bomb: Seed, reason: str, limit_s: float = LIMIT_S) -> None:
    kind, detail, seconds = worker.ask(bomb, 60)
    assert (kind, detail) == ("refused", reason)
    assert seconds < limit_s


LEAD = "rec.dat {} 1000/mV 16 0 0 0 0 {}\n"
HUGE = 10**11


def wfdb(header: str, **files: str) -> Seed:
    parts = {f"{name}.hea": text.encode() for name, text in files.items()}
    return Seed("wfdb-bomb", {"rec.hea": header.encode(), "rec.dat": bytes(997), **parts}, "rec.hea")


@pytest.mark.parametrize(
    ("bomb", "reason"),
    [
        (wfdb(f"rec 1 500 {HUGE}\n" + LEAD.format(16, "I")), "truncated-file"),
        (wfdb(f"rec 1 500 {HUGE}\n" + LEAD.format(80, "I")), "truncated-file"),
        (wfdb(f"rec 1 500 {HUGE}\n" + LEAD.format(516, "I")), "array-too-large"),
        (wfdb("rec 1 500 7\n" + LEAD.format(f"80:{HUGE}", "I")), "malformed-header"),
        (wfdb("rec 1 500\n" + LEAD.format(f"80:{HUGE}", "I")), "malformed-header"),
        (wfdb("rec 1 500 997\n" + LEAD.format(f"516:{HUGE}", "I")), "malformed-header"),
        (wfdb("rec 1 500\n" + LEAD.format(516, "I")), "malformed-header"),
        (wfdb("rec/1 1 500 7\npart 7\n", part=f"part 1 500 {HUGE}\n{LEAD.format(516, 'I')}"), "array-too-large"),
        (wfdb("rec 1 500 7\n" + LEAD.format("80x100000000", "I")), "truncated-file"),
        (wfdb("rec 1 500 7\n" + LEAD.format(f"16+{HUGE}", "I")), "truncated-file"),
        (wfdb(f"rec {HUGE} 500 7\n" + LEAD.format(16, "I")), "header-signal-count"),
        (wfdb("rec 5003 500 7\n" + LEAD.format(80, "I") * 5003), "too-many-channels"),
        (wfdb("rec 5003 500 7\n" + LEAD.format(16, "I") * 5003), "too-many-channels"),
        (wfdb(f"rec/{HUGE} 1 500 7\nrec 7\n"), "array-too-large"),
        (wfdb(f"rec/1 1 500 {HUGE}\n~ {HUGE}\n"), "array-too-large"),
        (wfdb(f"rec/9001 1 500 {9001 * 10**6}\n" + "~ 1000000\n" * 9001), "array-too-large"),
        (wfdb("rec/1 1 500 7\nrec 7\n"), "malformed-header"),
        (wfdb("rec/1 1 500 7\npart 7\n", part="part/1 1 500 7\nrec 7\n"), "malformed-header"),
        (
            wfdb(f"rec/1 1 500 {HUGE}\npart {HUGE}\n", part=f"part 1 500 {HUGE}\n{LEAD.format(16, 'I')}"),
            "truncated-file",
        ),
        (wfdb("rec/1 1 500 7\n/etc/hostname 7\n"), "foreign-path"),
        (wfdb("rec/1 1 500 7\ns3://bucket/rec 7\n"), "foreign-path"),
        (wfdb("rec 1 500 7\n" + LEAD.format(80, "I").replace("rec.dat", "/dev/zero")), "foreign-path"),
        (wfdb("rec 1 500 7\n" + LEAD.format(16, "I") + "#" * (17 * 1024**2)), "file-too-large"),
    ],
)
def test_wfdb_headers_that_promise_too_much(worker: Worker, bomb: Seed, reason: str) -> None:
    check(worker, bomb, reason)


def test_many_short_segments_and_comments_are_read_in_linear_time(worker: Worker) -> None:
    part = f"part 1 500 7\n{LEAD.format(16, 'I')}"
    empty = wfdb(f"rec/9973 1 500 {9973 * 7}\npart 7\n" + "~ 7\n" * 9972, part=part)
    kind, _, seconds = worker.ask(empty, 60)
    assert kind != "hang"
    assert seconds < LIMIT_S
    commented = wfdb("rec 1 500 7\n" + "# note: 1\n" * 1_000_003 + LEAD.format("16", "I"))
    kind, _, seconds = worker.ask(commented, 60)
    assert kind == "refused"  # the file is longer than its seven samples
    assert seconds < LIMIT_S


def inflating(num_bytes: int) -> bytes:
    """Return a raw deflate stream of so many zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)  # blocks can then be repeated
    return block * (num_bytes // 2**24) + packer.flush()


def dicom_file(body: bytes, syntax: bytes) -> Seed:
    element = b"\x02\x00\x10\x00UI" + len(syntax).to_bytes(2, "little") + syntax
    group = b"\x02\x00\x00\x00UL\x04\x00" + len(element).to_bytes(4, "little")
    return Seed("dicom-bomb", {"ecg.dcm": bytes(128) + b"DICM" + group + element + body}, "ecg.dcm")


def test_a_deflated_dicom_that_inflates_to_too_much(worker: Worker) -> None:
    check(worker, dicom_file(inflating(2**31), b"1.2.840.10008.1.2.1.99"), "array-too-large", limit_s=15)


def test_a_dicom_element_that_promises_four_gigabytes(worker: Worker) -> None:
    body = b"\x00\x54\x10\x10OW\x00\x00\xf0\xff\xff\xff" + bytes(997)
    check(worker, dicom_file(body, b"1.2.840.10008.1.2.1\0"), "malformed-dicom")


@pytest.mark.parametrize("depth", [101, 1009, 30011])
def test_dicom_sequences_within_sequences(worker: Worker, depth: int) -> None:
    nested = b"\x00\x54\x00\x01SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * depth
    check(worker, dicom_file(nested, b"1.2.840.10008.1.2.1\0"), "malformed-dicom")


TOLD = b'{"leads": ["I"], "rate_hz": 500, "units": "mV"}'


def npy_head(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def array_file(name: str, content: bytes, sidecar: bytes = TOLD) -> Seed:
    return Seed(f"{name.partition('.')[2]}-bomb", {name: content, f"{name}.json": sidecar}, name)


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as container:
        for name, content in members.items():
            container.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        npy_head((1, HUGE)),
        npy_head((2**62, 2**62)),
        npy_head((1, 1), "<U1000000000"),
        npy_head((1, 7))[:10] + b"(" * 9000,
    ],
)
def test_npy_heads_that_promise_too_much(worker: Worker, content: bytes) -> None:
    check(worker, array_file("ecg.npy", content + bytes(997)), "malformed-file")
    check(worker, array_file("ecg.npz", zipped({"ecg.npy": content + bytes(997)})), "malformed-file")


def test_npz_members_that_unpack_to_too_much_together(worker: Worker) -> None:
    block = zlib.compress(bytes(997))  # the sizes in the directory are checked before anything is unpacked
    content = npy_head((1, 300 * 1024**2 // 4)) + block
    members = {f"{name}.npy": content for name in ("ecg", "leads", "units", "rate_hz")}
    packed = bytearray(zipped(members))
    for at in [match.start() for match in re.finditer(b"PK\x01\x02", packed)]:
        packed[at + 24 : at + 28] = (400 * 1024**2).to_bytes(4, "little")
    check(worker, array_file("ecg.npz", bytes(packed)), "array-too-large")


def test_npz_members_of_a_kind_that_unpacks_without_limit(worker: Worker) -> None:
    check(worker, array_file("ecg.npz", zipped({"ecg.npy": npy_head((1, 7))}, zipfile.ZIP_BZIP2)), "missing-array")


def test_many_npz_members_are_read_in_linear_time(worker: Worker) -> None:
    content = zipped({f"{number}.npy": npy_head((7,)) + bytes(28) for number in range(10_007)})
    check(worker, array_file("ecg.npz", content), "ambiguous-array")


def hdf5(fill: Callable[[Any], object], tmp_path: Path) -> Seed:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        fill(file)
    return array_file("ecg.h5", (tmp_path / "a.h5").read_bytes())


def test_hdf5_datasets_that_promise_too_much(worker: Worker, tmp_path: Path) -> None:
    too_large = [
        lambda file: file.create_dataset("ecg", (1, HUGE), "f4"),
        lambda file: file.create_dataset("ecg", (1, HUGE), "f4", chunks=(1, 997), compression="gzip"),
    ]
    for fill in too_large:
        check(worker, hdf5(fill, tmp_path), "array-too-large")
    never_stored = [
        lambda file: file.create_dataset("ecg", (1, 10**8), "f4"),
        lambda file: file.create_dataset("ecg", (1, 10**8), "f4", chunks=(1, 1)),
        lambda file: file.create_dataset("ecg", (1, 7), "f4", chunks=(1, 10**8), maxshape=(1, None)),
    ]
    for fill in never_stored:
        check(worker, hdf5(fill, tmp_path), "malformed-file")


def test_hdf5_chunks_that_inflate_to_too_much(worker: Worker, tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        values = file.create_dataset("ecg", (1, 2**28 + 2**20), "f4", chunks=(1, 2**20), compression="gzip")
        packed = zlib.compress(bytes(2**22), 9)
        for start in range(0, values.shape[1], 2**20):
            values.id.write_direct_chunk((0, start), packed)

    check(worker, hdf5(fill, tmp_path), "array-too-large")


def test_hdf5_groups_within_groups(worker: Worker, tmp_path: Path) -> None:
    def nested(file: Any) -> None:
        group = file
        for _ in range(3001):
            group = group.create_group("g")
        group["ecg"] = np.zeros((1, 7), np.float32)

    check(worker, hdf5(nested, tmp_path), "malformed-file")


def test_hdf5_links_in_circles_are_visited_once(worker: Worker, tmp_path: Path) -> None:
    def circle(file: Any) -> None:
        import h5py

        groups = [file.create_group(f"g{number}") for number in range(31)]
        for group in groups:
            for other in groups:
                group[f"to{other.name[1:]}"] = other
            group["up"], group["soft"] = file, h5py.SoftLink("/")
        file["ecg"] = np.ones((1, 7), np.float32)

    kind, _, seconds = worker.ask(hdf5(circle, tmp_path), 60)
    assert kind == "read"
    assert seconds < LIMIT_S


def test_an_hdf5_heap_without_end(worker: Worker, tmp_path: Path) -> None:
    """The library walks through a heap by the sizes of its objects, and stays for ever at one of size 0."""

    def told(file: Any) -> None:
        file["ecg"] = np.ones((1, 7), np.float32)
        file.attrs["leads"] = ["I"]

    bomb = hdf5(told, tmp_path)
    content = bytearray(bomb.files["ecg.h5"])
    heap = content.index(b"GCOL") + 16
    content[heap : heap + 16] = bytes(16)
    check(worker, array_file("ecg.h5", bytes(content)), "malformed-file")


def test_hdf5_with_too_many_objects(worker: Worker, tmp_path: Path) -> None:
    def many(file: Any) -> None:
        for number in range(10_007):
            file.create_group(f"g{number}")

    check(worker, hdf5(many, tmp_path), "ambiguous-array")


MATLAB_HEAD = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"


def element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def matrix(kind: int, shape: tuple[int, ...], content: bytes, name: bytes = b"val") -> bytes:
    head = element(6, struct.pack("<II", kind, 0)) + element(5, np.array(shape, "<i4").tobytes()) + element(1, name)
    return element(14, head + content)


def compressed(content: bytes) -> bytes:
    packed = zlib.compress(content, 9)
    return struct.pack("<II", 15, len(packed)) + packed


def test_matlab_variables_that_promise_or_unpack_to_too_much(worker: Worker) -> None:
    promising = MATLAB_HEAD + matrix(6, (2**31 - 1, 2**31 - 1), element(9, bytes(997)))
    check(worker, array_file("ecg.mat", promising), "malformed-file")
    together = MATLAB_HEAD + compressed(bytes(3 * 10**8)) * 4
    check(worker, array_file("ecg.mat", together), "array-too-large", limit_s=15)
    widened = MATLAB_HEAD + compressed(matrix(6, (1, 15 * 10**7), element(2, bytes(15 * 10**7))))  # bytes meant as f8
    check(worker, array_file("ecg.mat", widened), "array-too-large", limit_s=15)
    good = struct.pack("<5I", 0, 1, 7, 0, 4) + b"one\0" + bytes(56)
    for rows, columns, meaning in ((2**31, 2**31, 0), (2**31, 0, 1), (0, 2**31, 1)):
        version_4 = struct.pack("<5I", meaning, rows, columns, 0, 4) + b"val\0" + bytes(997)
        check(worker, array_file("ecg.mat", good + version_4), "malformed-file")
    for shape in ((2**31 - 1, 0), (0, 2**31 - 1)):
        text = MATLAB_HEAD + matrix(4, shape, element(16, b"I"))
        check(worker, array_file("ecg.mat", text), "malformed-file")


def test_matlab_cells_within_cells_and_without_end(worker: Worker) -> None:
    nested = matrix(1, (1, 1), element(16, b"I"))
    for _ in range(3001):
        nested = matrix(1, (1, 1), nested)
    signal = matrix(6, (1, 7), element(9, bytes(56)))
    for cells in (nested, matrix(1, (1, 10**6), (struct.pack("<II", 14, 0)) * 10**6)):
        kind, _, seconds = worker.ask(array_file("ecg.mat", MATLAB_HEAD + signal + cells), 60)
        assert kind == "read"
        assert seconds < LIMIT_S
    check(worker, array_file("ecg.mat", MATLAB_HEAD + signal + bytes(10**7)), "ambiguous-array")


def test_csv_of_a_million_columns_and_of_one_endless_line(worker: Worker) -> None:
    wide = b",".join([b"1"] * 1_000_003) + b"\n"
    check(worker, array_file("ecg.csv", wide * 2), "too-many-channels")
    check(worker, array_file("ecg.csv", b"I\n1\n" + b"7" * (33 * 1024**2)), "malformed-file")


def document(inner: str) -> Seed:
    return Seed("aecg-bomb", {"ecg.xml": f"<AnnotatedECG>{inner}</AnnotatedECG>".encode()}, "ecg.xml")


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        ("<a/>" * 300_007, "no-rhythm"),
        ("<a/>" * 1_000_003, "xml-too-large"),
        ("<a>" * 1_000_003, "xml-too-large"),
        ('<birthTime value="1"/>' * 100_003 + "<effectiveTime/>", "no-rhythm"),
        (f"<!--{'a' * 30_000_001}-->", "no-rhythm"),
        (f'<a b="{"a" * 30_000_001}"/>', "no-rhythm"),
        ("<component><series/></component>" * 100_003, "no-rhythm"),
        (
            "<component><series><component><sequenceSet>"
            + "<component><sequence/></component>" * 100_003
            + "</sequenceSet></component></series></component>",
            "missing-rate",
        ),
    ],
)
def test_xml_is_parsed_in_linear_time(worker: Worker, inner: str, reason: str) -> None:
    check(worker, document(inner), reason)


@pytest.mark.parametrize(
    "sidecar",
    [
        b"[" * 100_003,
        b'{"leads": ' + b"[" * 501 + b"]" * 501 + b"}",
        b'{"leads": "' + b"I," * 10**6 + b'"}',
        b'{"rate_hz": 1' + b"0" * 999 + b"}",
    ],
)
def test_sidecars(worker: Worker, sidecar: bytes) -> None:
    kind, detail, seconds = worker.ask(array_file("ecg.npy", npy_head((1, 7)) + bytes(28), sidecar), 60)
    assert (kind, detail) in (("refused", "malformed-sidecar"), ("refused", "file-too-large"))
    assert seconds < LIMIT_S


@pytest.mark.parametrize(
    "head", [b"x\n" + b"1" * 2000 + b"x", b"a 1\n" + b"a" * 2040, b"a/1 1\n" + b"a1_" * 680, b" " * 2048, b'"' * 2048]
)
def test_the_format_is_found_without_backtracking(head: bytes) -> None:
    began = time.perf_counter()
    _find_in(head)
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("companion", ["rec.dat", "ecg.npy.json"])
def test_a_pipe_beside_a_file_is_refused_and_not_waited_for(tmp_path: Path, companion: str) -> None:
    (tmp_path / "rec.hea").write_text("rec 1 500 7\n" + LEAD.format(16, "I"))
    (tmp_path / "ecg.npy").write_bytes(npy_head((1, 7)) + bytes(28))
    os.mkfifo(tmp_path / companion)
    with pytest.raises(DataError, match="expected a regular file") as caught:
        read(tmp_path / ("rec.hea" if companion == "rec.dat" else "ecg.npy"))
    assert caught.value.reason == "not-a-file"
