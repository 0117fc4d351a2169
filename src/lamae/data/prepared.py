"""Batches from studies in memory, the same as those from a pack that holds them."""

from collections.abc import Sequence

import numpy as np
import torch

from lamae.batch import StudyBatch
from lamae.data.dataset import to_instances
from lamae.errors import ConfigError, DataError
from lamae.pack import Gathered
from lamae.studies import PreparedStudy


def batch_of(studies: Sequence[PreparedStudy], *, view_names: Sequence[str], modality: str = "ecg") -> StudyBatch:
    """Make a batch of prepared studies.

    Args:
        studies: At least one; all of the same length.
        view_names: View names that the model knows.
        modality: Name of the stream.

    Raises:
        ConfigError: A study has a view that the model does not know.
        DataError: The studies differ in their number of samples.
    """
    unknown = {name for study in studies for name in study.view_names} - set(view_names)
    if unknown:
        raise ConfigError(
            f"the model does not know the views {', '.join(sorted(unknown))}; it knows {', '.join(view_names)}"
        )
    lengths = sorted({study.values.shape[1] for study in studies})
    if len(lengths) != 1:
        raise DataError(f"studies of one batch need the same number of samples, found {lengths}", reason="wrong-length")
    gathered = Gathered(
        values=np.concatenate([study.values for study in studies]),
        scale=np.concatenate([study.scale for study in studies]),
        study_of=np.repeat(np.arange(len(studies)), [len(study.view_names) for study in studies]),
        view_of=np.array([list(view_names).index(name) for study in studies for name in study.view_names]),
        has_missing=any(study.has_missing for study in studies),
    )
    return StudyBatch(
        streams={modality: to_instances(gathered, tuple(view_names))},
        num_studies=len(studies),
        positions=torch.arange(len(studies)),
        global_size=len(studies),
        index=torch.arange(len(studies)),
    )
