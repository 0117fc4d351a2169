"""The interface of a cohort."""

from typing import Any, Protocol

import pyarrow as pa

from lamae.studies import Study


class Cohort(Protocol):
    """One data set in its own layout on disk: which studies, patients, codes and splits there are, and their signals.

    A cohort is small and can be sent to other processes: the table is made on demand and is no part of it.
    """

    @property
    def name(self) -> str:
        """Name by which ``open_cohort`` knows it."""
        ...

    @property
    def version(self) -> str:
        """Version of the data, ``"unknown"`` where nothing tells it."""
        ...

    @property
    def modality(self) -> str:
        """Name of the modality of its studies, see `lamae.modality`."""
        ...

    @property
    def simulated(self) -> bool:
        """True where a simulator made the data."""
        ...

    @property
    def options(self) -> dict[str, Any]:
        """Options as they were chosen, in plain JSON types and without any path."""
        ...

    def table(self) -> pa.Table:
        """Return one row a study: ``study_id``, ``patient_key``, ``path``, and what else the data set tells.

        ``path`` is relative to the root; ``record`` names the recording inside a file that holds several. Codes,
        measurements and labels are in columns ``codes_*``, ``measure_*`` and ``label_*``; ``lamae.cohorts.notes``
        tells what was counted on the way, such as absent files.
        """
        ...

    def read(self, path: str, record: str | None = None) -> Study:
        """Read one study's signals, given its ``path`` and ``record`` from the table."""
        ...
