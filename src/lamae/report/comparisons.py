"""Folders that `lamae compare` wrote, as the page shows them: their tables and charts are ready made."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamae.errors import FormatError

COMPARISON_FILE = "comparison.json"
COMPARISON_FORMAT, COMPARISON_FORMAT_VERSION = "lamae-comparison", 1

_KEYS = ("title", "simulated", "warnings", "sections")


@dataclass(frozen=True, kw_only=True)
class ComparisonFolder:
    """What ``comparison.json`` says."""

    info: Mapping[str, Any]

    @property
    def simulated(self) -> bool:
        """Whether any tested study is simulated."""
        return bool(self.info["simulated"])

    @property
    def title(self) -> str:
        """What was compared."""
        return str(self.info["title"])


def read_comparison(folder: Path) -> ComparisonFolder:
    """Read ``comparison.json``.

    Raises:
        FormatError: It is damaged, of another format or version, or lacks what it must say.
    """
    file = folder / COMPARISON_FILE
    try:
        info = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(f"{file}: this is not valid JSON: {error}", reason="damaged-json") from error
    found = (info.get("format"), info.get("format_version")) if isinstance(info, dict) else None
    if found != (COMPARISON_FORMAT, COMPARISON_FORMAT_VERSION):
        raise FormatError(
            f"{file}: expected the format {COMPARISON_FORMAT!r} of version {COMPARISON_FORMAT_VERSION}, found {found}: "
            "compare again with this release of lamae",
            reason="unknown-format",
        )
    if absent := [key for key in _KEYS if key not in info]:
        raise FormatError(f"{file}: {', '.join(absent)} is missing", reason="missing-key")
    return ComparisonFolder(info=info)
