"""ECGs as a modality: the parts that the spine asks for, imported when they are asked for."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from lamae.studies import PreparedStudy, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lamae.ecg.preprocess import EcgPreprocessing


class Ecg:
    """ECGs, as `lamae.modality.Modality` asks for them."""

    name = "ecg"
    unit = "mV"

    @property
    def preprocessing(self) -> type["EcgPreprocessing"]:
        """The dataclass of all parameters of the preprocessing."""
        from lamae.ecg.preprocess import EcgPreprocessing

        return EcgPreprocessing

    def read(self, path: str | os.PathLike[str]) -> Study:
        """Read an ECG, see `lamae.ecg.readers.read`."""
        from lamae.ecg.readers import read

        return read(path)

    def preprocess(self, study: Study, config: "EcgPreprocessing") -> PreparedStudy:
        """Prepare an ECG, see `lamae.ecg.preprocess.preprocess`."""
        from lamae.ecg.preprocess import preprocess

        return preprocess(study, config)

    def view_names(self, config: "EcgPreprocessing") -> tuple[str, ...]:
        """Return the leads that are prepared."""
        return config.leads

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the measurements."""
        from lamae.ecg.measure import FEATURES

        return FEATURES

    def measure(self, study: PreparedStudy) -> Mapping[str, float]:
        """Measure an ECG, see `lamae.ecg.measure.measure`."""
        from lamae.ecg.measure import measure

        return measure(study)

    def draw(self, example: Mapping[str, np.ndarray]) -> Mapping[str, "Figure"]:
        """Draw a reconstructed ECG on paper, see `lamae.ecg.paper.plot_reconstruction`."""
        from lamae.ecg.paper import plot_reconstruction

        return plot_reconstruction(example)
