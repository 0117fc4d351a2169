"""Foundation models for structured cardiac examinations."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lamae._version import __version__

if TYPE_CHECKING:
    from lamae.ecg.readers import read
    from lamae.embedder import load
    from lamae.study_encoder import StudyEncoder

__all__ = ["StudyEncoder", "__version__", "load", "read"]

_HOME_OF = {"StudyEncoder": "lamae.study_encoder", "load": "lamae.embedder", "read": "lamae.ecg.readers"}
"""The module of each name that is imported on first use, so that ``import lamae`` stays quick."""


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
