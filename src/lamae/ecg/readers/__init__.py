"""Readers of ECG files, one per format: from a file to a study in physical units.

``read`` detects the format from the content; the readers of single formats have more options. See ``docs/formats.md``.
"""

from lamae.ecg.readers.any_format import find_format, read
from lamae.ecg.readers.code15 import read_code15_row
from lamae.ecg.readers.wfdb import read_wfdb

__all__ = ["find_format", "read", "read_code15_row", "read_wfdb"]
