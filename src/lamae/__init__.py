"""Foundation models for structured cardiac examinations."""

from lamae._version import __version__

__all__ = ["__version__"]
