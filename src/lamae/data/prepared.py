"""Batches from studies in memory, the same as those from a pack that holds them."""

from collections.abc import Sequence

import torch

from lamae.batch import ClipConfig, StudyBatch
from lamae.data.clips import cut_clips
from lamae.data.dataset import to_instances
from lamae.errors import ConfigError, DataError
from lamae.pack import gather_studies, whole_studies
from lamae.studies import PreparedStudy


def batch_of(
    studies: Sequence[PreparedStudy],
    *,
    view_names: Sequence[str],
    modality: str = "ecg",
    clip: ClipConfig | None = None,
) -> StudyBatch:
    """Make a batch of prepared studies.

    Args:
        studies: At least one; all of the same length.
        view_names: View names that the model knows.
        modality: Name of the stream.
        clip: How instances are cut from videos, from the middle of each; None takes recordings whole.

    Raises:
        ConfigError: A study has a view that the model does not know.
        DataError: The studies differ in their number of samples.
    """
    unknown = {name for study in studies for name in study.view_names} - set(view_names)
    if unknown:
        raise ConfigError(
            f"the model does not know the views {', '.join(sorted(unknown))}; it knows {', '.join(view_names)}"
        )
    selection, lengths = whole_studies(studies)
    if clip is not None:
        selection = cut_clips(selection, lengths, clip, selection.studies, None)
    elif len(set(lengths.tolist())) != 1:
        found = sorted(set(lengths.tolist()))
        raise DataError(f"studies of one batch need the same number of samples, found {found}", reason="wrong-length")
    gathered = gather_studies(studies, view_names, selection)
    return StudyBatch(
        streams={modality: to_instances(gathered, tuple(view_names))},
        num_studies=len(studies),
        positions=torch.arange(len(studies)),
        global_size=len(studies),
        index=torch.arange(len(studies)),
    )
