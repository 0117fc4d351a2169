"""Files that are written whole, and never over others unasked."""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lamae.errors import ConfigError
from lamae.files import parquet_table, refuse_existing


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


def test_a_table_is_read_without_a_thread_that_outlives_the_reading():
    """A thread that gives Python's bytes back while the process ends would abort it, with exit status 134."""
    written, sink = pa.table({"a": list(range(1000)), "b": [str(i) for i in range(1000)]}), pa.BufferOutputStream()
    pq.write_table(written, sink)
    content = sink.getvalue().to_pybytes()
    before = sys.getrefcount(content)
    for _ in range(100):
        assert parquet_table(content).equals(written)
        assert sys.getrefcount(content) == before
