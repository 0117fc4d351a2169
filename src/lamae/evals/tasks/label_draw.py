"""The draw of labelled patients: which training studies may show their labels."""

import numpy as np

from lamae.errors import DataError
from lamae.evals.settings import EvalSettings


def labelled(train: np.ndarray, patient_hash: np.ndarray, settings: EvalSettings) -> np.ndarray:
    """Return the training studies whose labels may be used.

    The draw puts the patients in an order, and each patient's studies in the order of the pack. A fraction takes the
    first of these patients with all of their studies, a count the first studies of the same sequence: whole
    patients, but of the last one only as many studies as are wanted, so that the number is exact. All fractions and
    counts of one draw are therefore parts of each other, and of a patient who is cut the other studies stay unused.

    Args:
        train: ``[train studies]`` positions in ascending order.
        patient_hash: ``[studies]`` hash of each study's patient.
        settings: Share or number, and the seed of the draw.

    Raises:
        DataError: There are fewer training studies than were asked for.
    """
    if settings.label_count is not None and settings.label_count > len(train):
        raise DataError(
            f"label_count is {settings.label_count}, but there are only {len(train)} labelled training studies: ask "
            "for fewer, or prepare more studies",
            reason="too-few-studies",
        )
    if settings.label_count is None and settings.label_fraction == 1:
        return train
    patients, patient = np.unique(patient_hash[train], return_inverse=True)
    order = np.random.default_rng(settings.label_draw).permutation(len(patients))
    place = np.empty(len(patients), dtype=np.int64)
    place[order] = np.arange(len(patients))
    if settings.label_count is None:
        wanted = max(1, round(settings.label_fraction * len(patients)))
        return train[place[patient] < wanted]
    sequence = np.argsort(place[patient], kind="stable")
    return np.sort(train[sequence[: settings.label_count]])
