"""What `lamae prepare` takes from the command line."""

import numpy as np
import pytest

from lamae.cli.main import main
from lamae.pack import Pack


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "ecgs"
    folder.mkdir()
    np.random.default_rng(0).integers(-199, 199, (1009, 2)).astype("<i2").tofile(folder / "rec.dat")
    lines = "".join(f"rec.dat 16 200/mV 16 0 0 0 0 {lead}\n" for lead in ("I", "V2"))
    (folder / "rec.hea").write_text(f"rec 2 100 1009\n{lines}")
    return folder


def test_salt_and_signal_settings_reach_the_pack(root, tmp_path):
    words = ["--workers", "0", "--salt", "ours", "--signal", "bandpass_hz=null", "--duration-s", "7"]
    assert main(["prepare", "folder", str(root), str(tmp_path / "pack"), *words]) == 0
    info = Pack.open(tmp_path / "pack").info
    assert (info.salt, info.preprocessing["bandpass_hz"], info.preprocessing["duration_s"]) == ("ours", None, 7.0)


@pytest.mark.parametrize("option", ["--option", "--signal"])
def test_a_pair_without_a_value_is_told(root, tmp_path, capsys, option):
    assert main(["prepare", "folder", str(root), str(tmp_path / "pack"), option, "split_seed"]) == 2
    assert "expected NAME=VALUE, found 'split_seed'" in capsys.readouterr().err
