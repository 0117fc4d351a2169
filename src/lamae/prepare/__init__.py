"""Files of a cohort to a pack: in parallel, going on where it was stopped, refused files listed with their reasons."""

from lamae.prepare.run import prepare
from lamae.prepare.summary import PrepareSummary

__all__ = ["PrepareSummary", "prepare"]
