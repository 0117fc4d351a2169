"""Splits by patient, and the guards."""

import hashlib
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from lamae.errors import ConfigError, DataError
from lamae.splits import SALT_VARIABLE, SPLITS, _make_salt, assign_splits, check_disjoint, patient_hashes, user_salt

NUM_PATIENTS = 4999


def keys(num_patients=NUM_PATIENTS, num_each=1):
    return [f"here:{patient}" for patient in range(num_patients) for _ in range(num_each)]


def test_all_studies_of_a_patient_are_in_one_split():
    splits = assign_splits(keys(101, num_each=7), seed=3)
    assert all(len(set(splits[start : start + 7])) == 1 for start in range(0, 707, 7))


def test_fractions_are_met_on_average():
    splits = assign_splits(keys(), fractions=(0.6, 0.15, 0.25), seed=1)
    shares = [np.mean(splits == name) for name in SPLITS]
    np.testing.assert_allclose(shares, (0.6, 0.15, 0.25), atol=0.02)


def test_splits_stay_when_patients_are_added_or_reordered():
    before = dict(zip(keys(97), assign_splits(keys(97), seed=5), strict=True))
    more = keys(211)[::-1]
    after = dict(zip(more, assign_splits(more, seed=5), strict=True))
    assert all(after[key] == split for key, split in before.items())


def test_split_by_hand():
    # printf '0:here:0' | sha256sum: its first 8 bytes are 0.30576 of 2**64.
    assert assign_splits(["here:0"], fractions=(0.31, 0.01, 0.68), seed=0).tolist() == ["train"]
    assert assign_splits(["here:0"], fractions=(0.30, 0.01, 0.69), seed=0).tolist() == ["validation"]
    assert assign_splits(["here:0"], fractions=(0.20, 0.10, 0.70), seed=0).tolist() == ["test"]


def test_another_seed_draws_another_split():
    assert (assign_splits(keys(), seed=1) != assign_splits(keys(), seed=2)).mean() > 0.2


def test_a_split_without_test_patients():
    assert set(assign_splits(keys(503), fractions=(0.8, 0.2, 0.0))) == {"train", "validation"}


def test_fractions_must_add_up():
    with pytest.raises(ValueError, match="add up to 1"):
        assign_splits(keys(3), fractions=(0.7, 0.1, 0.1))


def test_missing_keys_are_refused():
    with pytest.raises(DataError, match="1 of 3 studies have no key"):
        assign_splits(pa.array(["a", None, "b"]))


def test_disjoint_splits_pass_and_studies_without_a_split_do_not_count():
    check_disjoint(pa.table({"patient_key": ["a", "a", "b", "b"], "split": ["train", None, "test", "test"]}))


def test_a_patient_in_two_splits_is_refused_without_being_named():
    table = pa.table(
        {"patient_key": ["x:secret", "x:secret", "x:b", "x:c"], "split": ["train", "test", "test", "train"]}
    )
    with pytest.raises(DataError, match=r"labels\.csv: 1 of 3 patients have studies in several splits") as caught:
        check_disjoint(table, where="labels.csv")
    assert "secret" not in str(caught.value)
    assert caught.value.reason == "patient-in-two-splits"


def test_hashes_are_salted_and_can_be_compared():
    hashes = patient_hashes(["a:1", "a:2", "a:1"])
    assert hashes[0] == hashes[2] != hashes[1]
    assert all(len(one) == 16 and int(one, 16) >= 0 for one in hashes)
    assert patient_hashes(pa.chunked_array([["a:1"], ["a:2"]])).tolist() == hashes[:2].tolist()
    assert patient_hashes(["a:1"], salt="ours")[0] != hashes[0]
    assert patient_hashes(["a:1"], salt=user_salt())[0] == hashes[0]


def test_hash_by_hand():
    # printf 'lamae-patient-hash-1\n\nptb-xl:7' | sha256sum | cut -c1-16
    assert patient_hashes(["ptb-xl:7"], salt="").tolist() == ["2a0b92467751e0eb"]


def test_a_salt_is_stretched_so_that_short_ones_are_not_guessed_by_the_million():
    # python -c "import hashlib; print(hashlib.scrypt(b'ours', salt=b'lamae-patient-hash-1', n=16384, r=8, p=1,
    #   dklen=16).hex())", then printf 'lamae-patient-hash-1\n<that>\nptb-xl:7' | sha256sum | cut -c1-16
    key = hashlib.scrypt(b"ours", salt=b"lamae-patient-hash-1", n=16384, r=8, p=1, dklen=16).hex()
    expected = hashlib.sha256(f"lamae-patient-hash-1\n{key}\nptb-xl:7".encode()).hexdigest()[:16]
    assert patient_hashes(["ptb-xl:7"], salt="ours").tolist() == [expected]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.delenv(SALT_VARIABLE)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "lamae" / "salt"


def test_the_users_salt_is_random_made_once_and_for_the_user_alone(home, monkeypatch):
    salt = user_salt()
    assert len(bytes.fromhex(salt)) == 16
    assert home.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in home.parent.iterdir()] == ["salt"]
    assert user_salt() == salt
    home.unlink()
    assert user_salt() != salt
    monkeypatch.setenv(SALT_VARIABLE, "given")
    assert user_salt() == "given"


def test_processes_that_start_together_end_with_one_salt(home):
    command = [sys.executable, "-c", "from lamae.splits import user_salt; print(user_salt())"]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(5)]
    assert {process.communicate()[0] for process in started} == {home.read_text()}


def test_a_salt_that_another_process_made_meanwhile_is_kept(home):
    first = user_salt()
    _make_salt(home)
    assert user_salt() == first


def test_a_home_that_cannot_be_written_names_the_ways_out(home):
    home.parent.write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match=r"lamae/salt: .*neither read nor made there .*--salt .*LAMAE_SALT"):
        user_salt()


@pytest.mark.parametrize("content", [b"", b"short", b"\xff\xfe"])
def test_a_damaged_salt_is_refused_and_not_replaced(home, content):
    home.parent.mkdir()
    home.write_bytes(content)
    with pytest.raises(ConfigError, match="salt of patient hashes"):
        user_salt()
    assert home.read_bytes() == content
