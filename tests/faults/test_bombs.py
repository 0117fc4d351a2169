"""Small files that promise or unpack to far more than memory or patience holds."""

import zlib
from collections.abc import Iterator

import pytest
from fuzz import Worker
from reader_seeds import Seed

LIMIT_S = 10.0


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as started:
        yield started


def check(worker: Worker, bomb: Seed, reason: str, limit_s: float = LIMIT_S / 2) -> None:
    kind, detail, seconds = worker.ask(bomb, 3 * limit_s)
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
    kind, _, seconds = worker.ask(empty, LIMIT_S)
    assert kind != "hang"
    assert seconds < LIMIT_S / 2
    commented = wfdb("rec 1 500 7\n" + "# note: 1\n" * 1_000_003 + LEAD.format("16", "I"))
    kind, _, seconds = worker.ask(commented, LIMIT_S)
    assert kind == "refused"  # the file is longer than its seven samples
    assert seconds < LIMIT_S / 2


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
    check(worker, dicom_file(inflating(2**31), b"1.2.840.10008.1.2.1.99"), "array-too-large", limit_s=30)


def test_a_dicom_element_that_promises_four_gigabytes(worker: Worker) -> None:
    body = b"\x00\x54\x10\x10OW\x00\x00\xf0\xff\xff\xff" + bytes(997)
    check(worker, dicom_file(body, b"1.2.840.10008.1.2.1\0"), "malformed-dicom")


@pytest.mark.parametrize("depth", [101, 1009, 30011])
def test_dicom_sequences_within_sequences(worker: Worker, depth: int) -> None:
    nested = b"\x00\x54\x00\x01SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * depth
    check(worker, dicom_file(nested, b"1.2.840.10008.1.2.1\0"), "malformed-dicom")
