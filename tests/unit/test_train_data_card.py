import numpy as np
import pyarrow as pa

from lamae.pack import write_pack
from lamae.studies import PreparedStudy
from lamae.train.data_card import data_card


def test_the_card_of_a_pack_by_hand(tmp_path):
    study = PreparedStudy.of_waveforms(
        view_names=("I", "II"),
        values=np.ones((2, 7), np.int16),
        scale=np.ones(2, np.float32),
        rate_hz=20.0,
        has_missing=False,
    )
    columns = {
        "study_id": [f"s{number}" for number in range(7)],
        "patient_key": ["a", "a", "b", "c", "c", "c", "d"],
        "split": ["train", "train", "test", "train", "train", "train", None],
    }
    given = {"cohort": "hand", "cohort_version": "3", "preprocessing": {"rate_hz": 20.0, "duration_s": 0.35}}
    pack = write_pack(tmp_path / "pack", [study] * 7, pa.table(columns), **given)
    card = data_card(pack)
    wanted = {
        "cohort": "hand",
        "version": "3",
        "modality": "ecg",
        "studies": 7,
        "patients": 4,
        "studies_by_split": {"none": 1, "test": 1, "train": 5},
        "rejected": 0,
        "flags": {},
    }
    assert {name: card[name] for name in wanted} == wanted
    alone = write_pack(tmp_path / "alone", [study] * 7, pa.table({"study_id": columns["study_id"]}), **given)
    assert (data_card(alone)["patients"], data_card(alone)["studies_by_split"]) == (None, {"none": 7})
