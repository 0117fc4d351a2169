"""The interface of a modality, and the dictionary of all of them: the only door from the spine to the wings."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lamae.ecg.modality import Ecg
from lamae.errors import check_choice
from lamae.studies import PreparedStudy, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Modality(Protocol):
    """One kind of examination: its files, its preprocessing and its picture."""

    @property
    def name(self) -> str:
        """Name in packs, checkpoints and batches."""
        ...

    @property
    def preprocessing(self) -> type[Any]:
        """The dataclass of all parameters of the preprocessing; every field has a default."""
        ...

    def read(self, path: str | os.PathLike[str]) -> Study:
        """Read a file of any format that the modality knows.

        Raises:
            DataError: The file cannot be used.
        """
        ...

    def preprocess(self, study: Study, config: Any) -> PreparedStudy:
        """Prepare a study as a pack stores it.

        Raises:
            DataError: The study must be refused.
        """
        ...

    def view_names(self, config: Any) -> tuple[str, ...]:
        """Return the vocabulary of view names of a pack that is prepared with this configuration."""
        ...

    @property
    def unit(self) -> str:
        """Unit of the values of an example, for words beside its drawing; empty where they have none."""
        ...

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the hand-crafted features."""
        ...

    def measure(self, study: PreparedStudy) -> Mapping[str, float]:
        """Return the hand-crafted features of a prepared study, NaN where one cannot be measured."""
        ...

    def draw(self, example: Mapping[str, np.ndarray]) -> Mapping[str, "Figure"]:
        """Return drawings of a reconstructed study by their captions, the one to show first in front.

        Args:
            example: ``leads`` (names of the views of the instances), ``rate_hz``, ``original``, ``reconstructed`` and
                ``masked`` ``[instances, *grid]``, ``simulated``: the content of a run's ``reconstruction.npz``.

        Raises:
            DataError: The shapes do not agree, or there is nothing to draw.
        """
        ...


MODALITIES: dict[str, Modality] = {"ecg": Ecg()}


def find_modality(name: str) -> Modality:
    """Return a modality by its name.

    Raises:
        ConfigError: There is none of that name.
    """
    check_choice("modality", name, tuple(MODALITIES))
    return MODALITIES[name]
