"""Bad files of every kind that ended a run once, each with the reason for which it is refused."""

import os
import re
import socket
from pathlib import Path

import numpy as np
from test_bombs import TOLD, dicom_file, inflating, npy_head, zipped

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
    for name, content in (("deflated.dcm", bytes(997)), ("bomb.dcm", inflating(2**31))):
        (folder / name).write_bytes(dicom_file(content, b"1.2.840.10008.1.2.1.99").files["ecg.dcm"])
    archive = bytearray(
        zipped({f"{name}.npy": npy_head((1, 75 * 2**20)) + bytes(997) for name in ("ecg", "leads", "units", "rate_hz")})
    )
    for directory in re.finditer(b"PK\x01\x02", archive):  # promises of what the members unpack to
        archive[directory.start() + 24 : directory.start() + 28] = (400 * 2**20).to_bytes(4, "little")
    (folder / "bomb.npz.json").write_bytes(TOLD)
    (folder / "bomb.npz").write_bytes(archive)
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
        "socket.dcm": "not-a-file",
        NOT_UTF_8: "name-not-utf-8",
        "deflated.dcm": "malformed-dicom",
        "bomb.dcm": "array-too-large",
        "bomb.npz": "array-too-large",
        "promise.hea": "truncated-file",
        "deep.npz": "malformed-sidecar",
        "wide.csv": "too-many-channels",
    }
