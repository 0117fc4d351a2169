"""Bad files of every kind that ended a run once, each with the reason for which it is refused."""

import io
import os
import socket
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from lamae.ecg.leads import LEADS

GOOD = ("good0.npz", "good1.npz")
NOT_UTF_8 = os.fsdecode(b"M\xfcller.npz")


def write_good(folder: Path) -> None:
    """Write two recordings of 10 s."""
    for number, name in enumerate(GOOD):
        values = np.cumsum(np.random.default_rng(number).normal(scale=0.05, size=(1009, 12)), axis=0)
        told = {"leads": np.array(LEADS), "rate_hz": 101.0, "units": "mV"}
        np.savez(folder / name, signal=values.astype(np.float32), **told)


def write_bad(folder: Path) -> dict[str, str]:
    """Write the bad files; return the reason by name."""
    os.mkfifo(folder / "pipe.csv")
    os.mkfifo(folder / "pipe.hea")
    (folder / "device.xml").symlink_to("/dev/zero")
    (folder / "nowhere.dcm").symlink_to(folder / "absent")
    (folder / "loop.dcm").symlink_to("loop.dcm")
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        os.chdir(folder)  # the path of a socket is short
        server.bind("socket.dcm")
        os.chdir(before)
    (folder / NOT_UTF_8).write_bytes((folder / GOOD[0]).read_bytes())
    (folder / "deflated.dcm").write_bytes(_deflated_dicom(b"\0" * 997))
    (folder / "bomb.dcm").write_bytes(_deflated_dicom(zlib.compress(bytes(2**31), 9, -zlib.MAX_WBITS)))
    (folder / "bomb.npz").write_bytes(_npz_bomb())
    (folder / "promise.hea").write_text(f"promise 1 500 {10**11}\npromise.dat 16 200/mV 16 0 0 0 0 I\n")
    (folder / "promise.dat").write_bytes(bytes(997))
    (folder / "deep.npz").write_bytes((folder / GOOD[0]).read_bytes())
    (folder / "deep.npz.json").write_text("[" * 100_000)
    (folder / "wide.csv").write_text(",".join(map(str, range(1_000_003))) + "\n" + "1," * 1_000_002 + "1\n")
    return {
        "pipe.csv": "not-a-file",
        "pipe.hea": "not-a-file",
        "device.xml": "not-a-file",
        "nowhere.dcm": "missing-file",
        "loop.dcm": "unreadable-file",
        "socket.dcm": "unreadable-file",
        NOT_UTF_8: "name-not-utf-8",
        "deflated.dcm": "malformed-dicom",
        "bomb.dcm": "array-too-large",
        "bomb.npz": "array-too-large",
        "promise.hea": "truncated-file",
        "deep.npz": "malformed-sidecar",
        "wide.csv": "too-many-channels",
    }


def _deflated_dicom(rest: bytes) -> bytes:
    """Return a DICOM file of the deflated transfer syntax (PS3.5 A.5) with this behind its file meta information."""
    syntax = b"1.2.840.10008.1.2.1.99"
    meta = struct.pack("<HH2sH", 0x0002, 0x0010, b"UI", len(syntax)) + syntax
    length = struct.pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, len(meta))
    return bytes(128) + b"DICM" + length + meta + rest


def _npz_bomb() -> bytes:
    """Return an archive of arrays that each fit into memory, but not together."""
    content = io.BytesIO()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (12, 2**24)})
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            with archive.open(f"array{number}.npy", "w") as member:
                member.write(header.getvalue())
                for _ in range(12):
                    member.write(bytes(2**26))
    return content.getvalue()
