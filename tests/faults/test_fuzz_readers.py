"""Damaged files of each format: read, or refused by an error of ours; see ``fuzz.py`` to run more of them."""

import pytest
from fuzz import MAX_MESSAGE, TIME_LIMIT_S, Worker, chosen_seeds, damaged, judge, run, summarise
from reader_seeds import all_seeds

pytest.importorskip("wfdb")
pytest.importorskip("h5py")

READERS = sorted({seed.reader for seed in all_seeds()})


def check(reader: str, num_files: int, seed: int) -> None:
    outcomes = list(run(range(num_files), seed, readers=[reader]))
    assert len(outcomes) == num_files
    assert all(outcome.is_clean for outcome in outcomes), summarise(outcomes)
    kinds = {outcome.kind for outcome in outcomes}
    assert kinds == {"read", "refused"}, "the damage is too weak or too strong to tell anything"


def test_every_reader_has_seeds() -> None:
    assert READERS == ["aecg", "code15", "csv", "dicom", "hdf5", "matlab", "npy", "npz", "wfdb"]


@pytest.mark.parametrize("reader", READERS)
def test_damaged_files_are_read_or_refused(reader: str) -> None:
    check(reader, 211, seed=31)


@pytest.mark.thorough
@pytest.mark.parametrize("reader", READERS)
def test_thousands_of_damaged_files_are_read_or_refused(reader: str) -> None:
    check(reader, 2503, seed=37)


def test_the_damage_depends_on_seed_and_number_alone() -> None:
    seed = chosen_seeds(["wfdb"])[0]
    assert damaged(seed, 7, 11) == damaged(seed, 7, 11)
    assert damaged(seed, 7, 11) != damaged(seed, 7, 12)
    assert damaged(seed, 7, 11) != damaged(seed, 8, 11)


@pytest.mark.parametrize(
    ("error", "kind"),
    [(MemoryError(), "memory"), (AttributeError("x"), "other"), (OSError("x"), "other"), (SystemError("x"), "other")],
)
def test_what_is_not_ours_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path, error: Exception, kind: str) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("fuzz.read", fail)
    assert judge(all_seeds()[0], tmp_path)[0] == kind


def test_a_message_that_is_too_long_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    from lamae.errors import DataError

    def fail(*_: object) -> None:
        raise DataError("x" * (MAX_MESSAGE + 1))

    monkeypatch.setattr("fuzz.read", fail)
    assert judge(all_seeds()[0], tmp_path)[0] == "other"


def test_a_process_that_hangs_is_replaced() -> None:
    seed = all_seeds()[0]
    with Worker() as worker:
        assert worker.ask(seed, 0.0)[0] == "hang"
        assert worker.ask(seed, TIME_LIMIT_S)[0] == "read"
