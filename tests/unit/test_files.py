"""Files that are written whole, and never over others unasked."""

from pathlib import Path

import pytest

from lamae.errors import ConfigError
from lamae.files import refuse_existing


def test_what_is_there_is_replaced_only_when_asked(tmp_path: Path):
    file = tmp_path / "result.json"
    refuse_existing(file, overwrite=False, what="another result")
    file.write_text("{}")
    with pytest.raises(
        ConfigError, match=r"result\.json: another result is there already.*--overwrite.*overwrite=True"
    ):
        refuse_existing(file, overwrite=False, what="another result")
    refuse_existing(file, overwrite=True, what="another result")
    assert file.read_text() == "{}"


def test_a_link_to_nowhere_is_something_too(tmp_path: Path):
    link = tmp_path / "report.html"
    link.symlink_to(tmp_path / "elsewhere.html")
    with pytest.raises(ConfigError, match="another page is there already"):
        refuse_existing(link, overwrite=False, what="another page")
