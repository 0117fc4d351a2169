from dataclasses import replace

import numpy as np
import pytest
from train_fakes import fake_config, write_fake_pack

from lamae.data import PackDataset, rows_by_pack, rows_of_some_patients
from lamae.ecg.leads import LEADS
from lamae.errors import ConfigError, DataError
from lamae.train import pretrain
from lamae.train.run_folder import RunFolder


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packs")
    return [write_fake_pack(folder / "a"), write_fake_pack(folder / "b", num=23, seed=5, cohort="other")]


def training(packs) -> PackDataset:
    return PackDataset(packs, view_names=LEADS, split="train")


def studies_of(packs, rows) -> set[tuple[str, str]]:
    dataset = PackDataset(packs, view_names=LEADS, rows=rows)
    return {
        (pack.info.cohort, study_id)
        for pack, inside in rows_by_pack(dataset)
        for study_id in pack.studies.take(inside).column("study_id").to_pylist()
    }


def patients_of(packs, rows) -> set[str]:
    dataset = PackDataset(packs, view_names=LEADS, rows=rows)
    return {key for pack, inside in rows_by_pack(dataset) for key in pack.patient_keys(inside)}


def test_so_many_patients_with_all_of_their_studies(packs):
    dataset = training(packs[:1])
    rows = rows_of_some_patients(dataset, 5, seed=0)
    chosen = patients_of(packs[:1], rows)
    assert len(chosen) == 5
    left = np.setdiff1d(dataset.rows, rows)
    assert not chosen & patients_of(packs[:1], left)
    assert set(rows) < set(dataset.rows)


def test_smaller_choices_are_parts_of_larger_ones(packs):
    dataset = training(packs)
    rows = [set(rows_of_some_patients(dataset, num, seed=3)) for num in (1, 4, 9)]
    assert rows[0] < rows[1] < rows[2]


def test_the_choice_depends_on_the_seed_and_not_on_the_order_of_packs(packs):
    there, back = packs, packs[::-1]
    one, other = (studies_of(p, rows_of_some_patients(training(p), 4, seed=0)) for p in (there, back))
    assert one == other
    again = studies_of(there, rows_of_some_patients(training(there), 4, seed=1))
    assert again != one


def test_all_patients_are_all_rows(packs):
    dataset = training(packs[:1])
    num = len(patients_of(packs[:1], dataset.rows))
    assert np.array_equal(rows_of_some_patients(dataset, num, seed=0), dataset.rows)
    with pytest.raises(ConfigError, match=rf"asks for {num + 1} patients, but the training splits hold {num}"):
        rows_of_some_patients(dataset, num + 1, seed=0)


def test_a_run_trains_on_these_patients_and_says_so(packs, tmp_path):
    config = fake_config(data__max_patients=4, optim__steps=3)
    pretrain(config, [packs[0].path], tmp_path / "run", progress=False)
    info = RunFolder(tmp_path / "run").info
    rows = rows_of_some_patients(training(packs[:1]), 4, seed=0)
    assert info["training"]["patients"] == 4
    assert info["training"]["studies"] == info["card"]["studies"] == len(rows)
    with pytest.raises(ConfigError, match=r"data.max_patients asks for 400 patients"):
        pretrain(fake_config(data__max_patients=400), [packs[0].path], tmp_path / "other", progress=False)
    assert not (tmp_path / "other").exists()


def test_the_runs_seed_does_not_choose_patients():
    config = fake_config(data__max_patients=4)
    assert replace(config, seed=99).data == config.data
    with pytest.raises(ConfigError, match=r"data.max_patients must be above 0, found 0"):
        fake_config(data__max_patients=0)
    with pytest.raises(ConfigError, match=r"data.patients_seed must not be negative"):
        fake_config(data__patients_seed=-1)


@pytest.mark.parametrize(
    ("patients", "counts"),
    [
        ("fake", "8 of 8 validation patients and 11 of 11 validation records"),
        ("other", "0 of 8 validation patients and 11 of 11"),
    ],
)
def test_nobody_trains_in_one_pack_and_validates_in_another(tmp_path, packs, patients, counts):
    """Whether the packs know them as the same patients, or as the same recordings only."""
    turned = ("validation", "train", "train", "train", "test")
    other = write_fake_pack(tmp_path / "b", cohort="other", patients=patients, splits=turned)
    for paths in ([packs[0].path, other.path], [other.path, packs[0].path]):
        with pytest.raises(DataError, match=f"{counts}.* trained on in .*prepare the packs") as caught:
            pretrain(fake_config(optim__steps=3), paths, tmp_path / "run", progress=False)
        assert caught.value.reason == "training-test-overlap"
    assert not (tmp_path / "run").exists()
    apart = write_fake_pack(tmp_path / "c", cohort="other")
    pretrain(fake_config(optim__steps=3), [packs[0].path, apart.path], tmp_path / "run", progress=False)
