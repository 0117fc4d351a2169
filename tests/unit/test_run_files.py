"""Files of a RUN folder, each under a hash."""

from pathlib import Path

import pytest

from lamae.errors import ConfigError, FormatError
from lamae.run_files import read_all_metrics, read_metrics, read_run_config, write_metrics, write_run_info

LINES = [{"step": 7, "loss": 0.5}, {"step": 14, "loss": 0.25}]


def test_an_edited_configuration_is_refused_with_the_way_to_another_run(tmp_path: Path):
    (tmp_path / "config.yaml").write_text("seed: 11\n")
    assert read_run_config(tmp_path) == {"seed": 11}
    write_run_info(tmp_path, {"recipe": "toy"})
    assert read_run_config(tmp_path) == {"seed": 11}
    (tmp_path / "config.yaml").write_text("seed: 12\n")
    with pytest.raises(ConfigError, match=r"config\.yaml: was changed .* RECIPE --config .*config\.yaml"):
        read_run_config(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"0.25", b"0.26"),
        (b'"step": 14', b'"step": 15'),
        (b'{"step": 14', b"[" * 100_000 + b'{"step": 14'),
        (b'"loss": 0.25', b'"loss": "\xff"'),
        (b'{"step": 14', b'[{"step": 14'),
    ],
)
def test_lines_that_are_not_as_written_are_refused(tmp_path: Path, old: bytes, new: bytes):
    file = tmp_path / "metrics.jsonl"
    write_metrics(file, LINES)
    assert read_metrics(file) == LINES
    file.write_bytes(file.read_bytes().replace(old, new))
    with pytest.raises(FormatError, match=r"metrics\.jsonl: line 2 "):
        read_metrics(file)


def test_a_finished_run_that_lost_its_last_lines_is_refused(tmp_path: Path):
    file = tmp_path / "metrics.jsonl"
    write_metrics(file, LINES)
    assert read_all_metrics(tmp_path, {"status": "finished", "step": 14}) == LINES
    write_metrics(file, LINES[:1])
    assert read_all_metrics(tmp_path, {"status": "interrupted", "step": 14}) == LINES[:1]
    with pytest.raises(FormatError, match="ends at step 7, but the run finished at step 14"):
        read_all_metrics(tmp_path, {"status": "finished", "step": 14})
