import numpy as np
import pytest

from lamae.data import batch_of
from lamae.errors import ConfigError, DataError
from lamae.studies import PreparedStudy


def study(names: tuple[str, ...], samples: int = 7) -> PreparedStudy:
    values, scale = np.ones((len(names), samples), np.int16), np.ones(len(names), np.float32)
    return PreparedStudy.of_waveforms(view_names=names, values=values, scale=scale, rate_hz=20.0, has_missing=False)


def test_studies_that_fit_no_batch_are_refused():
    with pytest.raises(ConfigError, match="the model does not know the views V1, V2; it knows I, II"):
        batch_of([study(("I",)), study(("V2", "II", "V1"))], view_names=("I", "II"))
    with pytest.raises(DataError, match=r"the same number of samples, found \[7, 11\]"):
        batch_of([study(("I",)), study(("I",), 11)], view_names=("I",))


def test_studies_of_several_sizes_are_a_batch():
    batch = batch_of([study(("II",)), study(("I", "II"))], view_names=("I", "II"))
    assert batch.streams["ecg"].study_of.tolist() == [0, 1, 1]
    assert batch.streams["ecg"].view_of.tolist() == [1, 0, 1]
    assert (batch.num_studies, batch.global_size, batch.index.tolist()) == (2, 2, [0, 1])
