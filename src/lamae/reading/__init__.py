"""Files read and prepared one after another, in a process of their own that a bad file may hang or bring down."""

from lamae.reading.files import FILE_TIMEOUT_S, read_files
from lamae.reading.study import ReadStudy, Source

__all__ = ["FILE_TIMEOUT_S", "ReadStudy", "Source", "read_files"]
