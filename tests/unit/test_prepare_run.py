import contextlib
import errno
import fcntl
import json
import os
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lamae.cli.prepare import told
from lamae.cohorts.tables import studies_table
from lamae.ecg.leads import LEADS
from lamae.ecg.preprocess import EcgPreprocessing, preprocess
from lamae.errors import ConfigError, DataError, FormatError
from lamae.files import write_json
from lamae.pack import Pack, verify
from lamae.prepare import prepare
from lamae.splits import SPLITS, assign_splits
from lamae.studies import Study, View, Views

CONFIG = EcgPreprocessing(duration_s=3.0, rate_hz=50.0, bandpass_hz=None, min_duration_s=1.0)


def make_study(seed: int) -> Study:
    values = np.random.default_rng(seed).standard_normal((3, 389)).astype(np.float32)
    return Study(
        study_id="in the file",
        views=Views(View(name=name, values=row, rate_hz=100.0) for name, row in zip(LEADS[:3], values, strict=True)),
    )


@dataclass(frozen=True)
class Recipes:
    """A cohort whose paths say what reading them does: a seed makes a study, a word makes a fault."""

    paths: tuple[str, ...]
    columns: dict[str, list[Any]] = field(default_factory=dict)
    name: str = "recipes"
    version: str = "7"
    modality: str = "ecg"
    simulated: bool = True
    options: dict[str, Any] = field(default_factory=dict)

    def table(self) -> pa.Table:
        ids = [f"s{i}" for i in range(len(self.paths))]
        return pa.table({"study_id": ids, "path": list(self.paths), **self.columns})

    def read(self, path: str, record: str | None = None) -> Study:
        if path.isdecimal():
            return make_study(int(path))
        if path.startswith("file:"):
            study = make_study(0)
            known = {"age_years": 61.0, "sex": "female", "codes": {"snomed": ("426783006",)}}
            return replace(study, patient_id=path[5:], acquired_at=datetime(2011, 2, 3), metadata=known)
        raise {
            "broken": DataError("cut off", reason="truncated-file"),
            "absent": FileNotFoundError(2, "No such file", path),
            "forbidden": PermissionError(13, "Permission denied", path),
            "nonsense": KeyError("a field"),
            "no package": ImportError("wfdb"),
            "network": OSError(errno.ESTALE, "Stale file handle"),
        }[path]


def run(cohort: Recipes, path, **settings):
    return prepare(
        cohort, path, **{"preprocessing": CONFIG, "workers": 0, "shard_size": 3, "progress": False} | settings
    )


def test_every_study_is_prepared_as_preprocess_does_it(tmp_path):
    cohort = Recipes(tuple(str(seed) for seed in range(11)))
    summary = run(cohort, tmp_path / "pack")
    pack = Pack.open(tmp_path / "pack")
    assert summary.num_studies == len(pack) == 11
    assert summary.num_recordings == 33
    assert summary.num_rejected == summary.num_resumed == 0
    assert not summary.already_finished
    for index in range(11):
        expected = preprocess(make_study(index), CONFIG)
        np.testing.assert_array_equal(pack.study(index).values, expected.values)
        assert pack.study(index).view_names == expected.view_names
        assert pack.study_id(index) == f"s{index}"
    assert verify(pack.path) == []
    assert not (pack.path / "parts").exists()


def test_the_pack_says_what_it_was_made_from(tmp_path):
    run(Recipes(("1",)), tmp_path / "pack", salt="ours")
    info = Pack.open(tmp_path / "pack").info
    assert (info.cohort, info.cohort_version, info.simulated, info.modality) == ("recipes", "7", True, "ecg")
    assert info.preprocessing["rate_hz"] == info.rate_hz == 50.0
    assert info.preprocessing["leads"] == list(LEADS)
    assert info.salt == "ours"
    assert EcgPreprocessing(**info.preprocessing | {"leads": tuple(info.preprocessing["leads"])}) == CONFIG


def test_bad_files_are_listed_with_their_reasons_and_the_run_goes_on(tmp_path):
    paths = ("0", "broken", "absent", "forbidden", "nonsense", "no package", "1")
    summary = run(Recipes(paths), tmp_path / "pack")
    assert summary.num_studies == 2
    assert summary.rejected_by_reason == {
        "missing-file": 1,
        "missing-package": 1,
        "no-permission": 1,
        "truncated-file": 1,
        "unreadable-file": 1,
    }
    rejected = pq.read_table(tmp_path / "pack" / "rejected.parquet").to_pylist()
    assert [(row["study_id"], row["path"], row["reason"]) for row in rejected[:2]] == [
        ("s1", "broken", "truncated-file"),
        ("s2", "absent", "missing-file"),
    ]
    assert rejected[0]["message"] == "cut off"
    assert Pack.open(tmp_path / "pack").studies.column("study_id").to_pylist() == ["s0", "s6"]


def test_a_cohort_of_which_nothing_can_be_used(tmp_path):
    summary = run(Recipes(("broken",) * 5), tmp_path / "pack")
    assert (summary.num_studies, summary.num_rejected) == (0, 5)
    assert verify(tmp_path / "pack") == []


def test_a_fault_of_the_system_stops_the_run_instead_of_refusing_every_file(tmp_path):
    with pytest.raises(OSError, match="Stale file handle"):
        run(Recipes(("0", "network")), tmp_path / "pack")


def test_the_same_command_again_finds_the_finished_pack(tmp_path):
    cohort = Recipes(("1", "2", "broken"))
    first = run(cohort, tmp_path / "pack")
    again = run(cohort, tmp_path / "pack")
    assert again.already_finished
    assert not (tmp_path / "pack" / "parts").exists()
    assert (again.num_studies, again.rejected_by_reason) == (first.num_studies, first.rejected_by_reason)


def test_a_stopped_run_goes_on_without_redoing_finished_shards(tmp_path):
    paths = tuple(str(seed) for seed in range(11))
    whole = run(Recipes(paths), tmp_path / "whole")

    class Stopped(Recipes):
        def read(self, path, record=None):
            if path == "7":
                raise KeyboardInterrupt
            return super().read(path, record)

    class Counted(Recipes):
        def read(self, path, record=None):
            read.append(path)
            return super().read(path, record)

    read: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run(Stopped(paths), tmp_path / "pack", file_timeout_s=None)
    with pytest.raises(FormatError, match="not finished; run the same `prepare` again"):
        Pack.open(tmp_path / "pack")
    (tmp_path / "pack" / "views" / "00002.arrow.writing-123").write_bytes(b"half")
    summary = run(Counted(paths), tmp_path / "pack", file_timeout_s=None)
    assert summary.num_resumed == 6
    assert read == ["6", "7", "8", "9", "10"]
    assert list((tmp_path / "pack" / "views").glob("*writing*")) == []
    assert Pack.open(tmp_path / "pack").info.content_hash == Pack.open(whole.path).info.content_hash


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"preprocessing": replace(CONFIG, rate_hz=70.0)}, r"preprocessing\.rate_hz: 50\.0 != 70\.0"),
        ({"shard_size": 5}, "shard_size: 3 != 5"),
        ({"salt": "other"}, "salt: 'another one' != 'yours'"),
    ],
)
def test_going_on_with_other_settings_is_refused_with_the_difference(tmp_path, change, expected):
    cohort = Recipes(("1",))
    run(cohort, tmp_path / "pack")
    with pytest.raises(ConfigError, match=expected):
        run(cohort, tmp_path / "pack", **change)


def test_a_pack_goes_on_with_the_salt_that_it_was_begun_with(tmp_path, monkeypatch):
    cohort = Recipes(("1",))
    monkeypatch.setenv("LAMAE_SALT", "of the first user")
    run(cohort, tmp_path / "pack")
    (tmp_path / "pack" / "pack.json").unlink()
    monkeypatch.setenv("LAMAE_SALT", "of the second user")
    run(cohort, tmp_path / "pack")
    assert Pack.open(tmp_path / "pack").info.salt == "of the first user"
    assert run(cohort, tmp_path / "pack").already_finished
    with pytest.raises(ConfigError) as caught:
        run(cohort, tmp_path / "pack", salt="secret")
    assert not any(word in str(caught.value) for word in ("secret", "first user"))


def test_going_on_with_another_cohort_is_refused(tmp_path):
    run(Recipes(("1", "2")), tmp_path / "pack")
    with pytest.raises(ConfigError, match="studies_hash"):
        run(Recipes(("1", "3")), tmp_path / "pack")
    with pytest.raises(ConfigError, match=r"cohort\.version: '7' != '8'"):
        run(Recipes(("1", "2"), version="8"), tmp_path / "pack")


@pytest.mark.parametrize("stopped_early", [False, True])
def test_other_labels_are_not_taken_for_the_pack_that_is_there(tmp_path, stopped_early):
    class Stopped(Recipes):
        def read(self, path, record=None):
            raise KeyboardInterrupt

    if stopped_early:
        with pytest.raises(KeyboardInterrupt):
            run(Stopped(("1", "2"), {"label_x": [0.0, 1.0]}), tmp_path / "pack", file_timeout_s=None)
    else:
        run(Recipes(("1", "2"), {"label_x": [0.0, 1.0]}), tmp_path / "pack")
    with pytest.raises(ConfigError, match="that of the cohort's table: files, codes, labels, splits"):
        run(Recipes(("1", "2"), {"label_x": [1.0, 1.0]}), tmp_path / "pack")


def test_two_processes_do_not_prepare_one_pack(tmp_path):
    cohort = Recipes(("1", "2"))
    (tmp_path / "pack").mkdir()
    with (tmp_path / "pack" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another process is preparing this pack"):
            run(cohort, tmp_path / "pack")
    assert run(cohort, tmp_path / "pack").num_studies == 2


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ConfigError, match="is not empty and holds no pack"):
        run(Recipes(("1",)), tmp_path)
    with pytest.raises(ConfigError, match="expected a folder for the pack, found a file"):
        run(Recipes(("1",)), tmp_path / "thesis.txt")


def test_a_full_disk_is_told_and_nothing_half_written_counts(tmp_path, monkeypatch):
    cohort = Recipes(tuple(str(seed) for seed in range(7)))
    fill_the_disk(monkeypatch, "00001.arrow")
    with pytest.raises(OSError, match="the disk is full; nothing half-written is kept"):
        run(cohort, tmp_path / "pack")
    assert [file.name for file in (tmp_path / "pack" / "parts").iterdir()] == ["00000.json"]
    assert [file.name for file in (tmp_path / "pack" / "views").iterdir()] == ["00000.arrow"]
    monkeypatch.undo()
    assert run(cohort, tmp_path / "pack").num_resumed == 3
    assert verify(tmp_path / "pack") == []


def test_a_study_twice_in_the_table(tmp_path):
    cohort = Recipes(("1", "2"), columns={"study_id": ["same", "same"]})
    with pytest.raises(DataError, match="1 study ids occur more than once"):
        run(cohort, tmp_path / "pack")


def test_a_patient_in_two_splits_stops_before_the_work(tmp_path):
    columns = {"patient_key": ["a:1", "a:1"], "split": ["train", "test"]}
    with pytest.raises(DataError, match="several splits"):
        run(Recipes(("1", "2"), columns), tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


def test_columns_of_the_cohort_are_kept_and_paths_are_not(tmp_path):
    columns = {"label_x": [0.5, 1.5, 2.5], "patient_key": ["a:1", "a:2", "a:1"], "split": ["train", "test", "train"]}
    run(Recipes(("1", "broken", "2"), columns), tmp_path / "pack")
    studies = Pack.open(tmp_path / "pack").studies
    assert studies.column("label_x").to_pylist() == [0.5, 2.5]
    assert studies.column("split").to_pylist() == ["train", "train"]
    assert studies.column("views").to_pylist() == [["I", "II", "III"]] * 2
    assert "path" not in studies.column_names


def test_without_a_split_one_is_drawn_by_patient(tmp_path):
    columns = {"patient_key": [f"a:{i // 2}" for i in range(40)]}
    run(Recipes(tuple(map(str, range(40))), columns), tmp_path / "pack")
    splits = Pack.open(tmp_path / "pack").studies.column("split").to_pylist()
    assert splits[::2] == splits[1::2]
    assert len(set(splits)) > 1


def test_what_only_the_files_know_fills_the_table(tmp_path):
    columns = {"sex": [None, "male"], "split": ["train", "test"]}
    run(Recipes(("file:p1", "file:p2"), columns), tmp_path / "pack")
    studies = Pack.open(tmp_path / "pack").studies.to_pylist()
    assert [row["sex"] for row in studies] == ["female", "male"]
    assert studies[0]["age_years"] == 61.0
    assert studies[0]["acquired_at"] == datetime(2011, 2, 3)
    assert studies[0]["codes_snomed"] == ["426783006"]
    assert [row["patient_key"] for row in studies] == ["recipes:p1", "recipes:p2"]


TORN = Recipes(
    ("file:p", "file:p", "file:p", "1", "2", "file:q"),
    {
        "patient_key": [f"folder:study:s{i}" for i in range(6)],
        "split": ["train", "test", None, "test", "train", "validation"],
    },
)


def test_a_given_split_that_tears_a_patient_is_refused_with_the_list(tmp_path):
    with pytest.raises(DataError, match="1 patients have studies in several splits") as caught:
        run(TORN, tmp_path / "pack")
    assert caught.value.reason == "patient-in-two-splits"
    assert not any(word in str(caught.value) for word in ("s0", "s1", "folder:p"))
    assert pq.read_table(tmp_path / "pack" / "torn_patients.parquet").to_pylist() == [
        {"patient": 0, "study_id": "s0", "split": "train"},
        {"patient": 0, "study_id": "s1", "split": "test"},
    ]
    with pytest.raises(DataError, match=r"torn_patients\.parquet"):
        run(TORN, tmp_path / "pack")


def test_torn_patients_are_redrawn_only_when_asked_and_counted(tmp_path):
    with pytest.raises(DataError):
        run(TORN, tmp_path / "pack")
    summary = run(TORN, tmp_path / "pack", torn_patients="redraw")
    assert summary.num_resumed == 6
    assert summary.notes == {"num_torn_patients_redrawn": 1, "num_redrawn_splits": 2}
    assert "drawn again for 2 studies of 1 patients" in summary.warnings[-1]
    assert not (tmp_path / "pack" / "torn_patients.parquet").exists()
    studies = Pack.open(tmp_path / "pack").studies
    assert studies.column("patient_key").to_pylist() == ["folder:p"] * 3 + [
        "folder:study:s3",
        "folder:study:s4",
        "folder:q",
    ]
    splits = studies.column("split").to_pylist()
    assert splits[0] == splits[1]
    assert splits[2:] == [None, "test", "train", "validation"]
    assert run(TORN, tmp_path / "pack").warnings == summary.warnings


def test_an_unknown_policy_for_torn_patients_names_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'redraw'"):
        run(TORN, tmp_path / "pack", torn_patients="redrawn")


def test_a_split_that_was_drawn_is_drawn_again_with_its_seed(tmp_path):
    keys = [f"folder:study:s{i}" for i in range(11)]

    @dataclass(frozen=True)
    class Drawn(Recipes):
        def table(self) -> pa.Table:
            columns = Recipes.table(self).to_pydict()
            return studies_table(columns | {"patient_key": keys}, where=tmp_path, split_seed=5)

    paths = ("file:p",) * 4 + tuple(map(str, range(7)))
    summary = run(Drawn(paths), tmp_path / "pack")
    studies = Pack.open(tmp_path / "pack").studies
    expected = assign_splits(["folder:p"] * 4 + keys[4:], seed=5)
    assert studies.column("split").to_pylist() == expected.tolist()
    assert summary.studies_by_split == {split: (expected == split).sum() for split in SPLITS}
    assert list(studies.schema.metadata) == [b"lamae_notes"]


@pytest.mark.parametrize(
    ("keys", "splits", "words"),
    [
        (None, ["train", "validation", "test"], ["no patient is known"]),
        (["a:study:s0", "a:1", "a:2"], ["train", "validation", "test"], ["the patients of 1 of 3 studies are unknown"]),
        (["a:0", "a:1", "a:2"], ["train", "train", "test"], ["no validation split"]),
        (["a:0", "a:1", "a:2"], ["train", None, "validation"], ["no test split"]),
        (["a:0", "a:1", "a:2"], ["test"] * 3, ["no train split", "no validation split"]),
        (["a:0", "a:1", "a:2"], ["train", "validation", "test"], []),
    ],
)
def test_unknown_patients_and_absent_splits_are_said(tmp_path, keys, splits, words):
    columns = {"split": splits} | ({"patient_key": keys} if keys else {})
    summary = run(Recipes(("1", "2", "3"), columns), tmp_path / "pack")
    assert len(summary.warnings) == len(words)
    for word, warning in zip(words, summary.warnings, strict=True):
        assert word in warning
        assert f"  WARNING: {warning}" in told(summary).splitlines()
        assert f"  WARNING: {warning}" in told(run(Recipes(("1", "2", "3"), columns), tmp_path / "pack")).splitlines()


def test_progress_is_told_in_the_log_when_there_is_no_terminal(tmp_path, caplog):
    with caplog.at_level("INFO", logger="lamae.prepare"):
        run(Recipes(("1", "broken", "2", "3")), tmp_path / "pack", progress=True)
    assert "4 of 4 studies" in caplog.messages[-1]
    assert "1 refused" in caplog.messages[-1]


def test_settings_stand_in_the_pack(tmp_path):
    run(Recipes(("1",)), tmp_path / "pack")
    settings = json.loads((tmp_path / "pack" / "prepare.json").read_text())
    assert settings["cohort"] == {"name": "recipes", "version": "7", "simulated": True}
    assert settings["preprocessing"]["duration_s"] == 3.0


def test_on_a_terminal_a_bar_shows_rate_and_refusals(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    run(Recipes(("1", "broken", "2", "3")), tmp_path / "pack", progress=True)
    shown = capsys.readouterr().err
    assert "4/4" in shown
    assert "1 refused" in shown


def test_damaged_settings_of_a_begun_pack(tmp_path):
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "prepare.json").write_text("{")
    with pytest.raises(ConfigError, match=r"prepare\.json: not readable as JSON .*choose another folder"):
        run(Recipes(("1",)), tmp_path / "pack")


def damaged(note: str, text: str) -> str:
    return text if text != "half" else note[: len(note) // 2]


@pytest.mark.parametrize(
    "text",
    ["", "half", "[]", "{}", '{"shards": [], "rates_hz": [], "kept": [], "rejected": 3}',
     '{"shards": {}, "rates_hz": [], "kept": [], "rejected": []}', '{"shards": [], "kept": [], "rejected": []}',
     '{"shards": [], "rates_hz": [], "kept": [{"row": "x"}], "rejected": []}',
     '{"shards": [], "rates_hz": [], "kept": [], "rejected": []}',
     '{"shards": [], "rates_hz": [], "kept": [], "rejected": [{"reason": "r"}]}'],
)  # fmt: skip
def test_a_damaged_note_of_a_finished_shard_is_named_and_its_shard_made_again(tmp_path, monkeypatch, text):
    cohort = begun(tmp_path / "pack", monkeypatch)
    note = tmp_path / "pack" / "parts" / "00000.json"
    note.write_text(damaged(note.read_text(), text))
    with pytest.raises(FormatError, match=r"parts/00000\.json: this note of a finished shard is damaged .*Remove it"):
        run(cohort, tmp_path / "pack")
    note.unlink()
    assert run(cohort, tmp_path / "pack").num_studies == 7
    assert verify(tmp_path / "pack") == []


def test_what_a_kill_left_beside_a_finished_pack_is_removed(tmp_path, monkeypatch):
    cohort, pack = Recipes(("1", "2")), tmp_path / "pack"
    monkeypatch.setattr("lamae.prepare.finish.remove_leftovers", lambda pack, info: None)
    run(cohort, pack)
    (pack / "views" / "00000-1.arrow").write_bytes(b"of a task that was redone with fewer parts")
    assert (pack / "parts" / "00000.json").exists()
    monkeypatch.undo()
    assert run(cohort, pack).already_finished
    assert sorted(str(file.relative_to(pack)) for file in pack.rglob("*") if file.suffix != "") == [
        "pack.json", "prepare.json", "rejected.parquet", "studies.parquet", "views/00000.arrow",
    ]  # fmt: skip
    assert not (pack / "parts").exists()
    assert verify(pack) == []


def test_a_bit_of_the_settings_of_a_pack_is_refused_or_changes_nothing(tmp_path):
    cohort, pack = Recipes(("1",)), tmp_path / "pack"
    run(cohort, pack)
    whole = (pack / "prepare.json").read_bytes()
    for bit in range(0, 8 * len(whole), 61):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << (bit % 8)
        (pack / "prepare.json").write_bytes(changed)
        with contextlib.suppress(ConfigError):
            assert run(cohort, pack).already_finished


def test_a_note_of_more_studies_than_its_shard_holds(tmp_path, monkeypatch):
    cohort = begun(tmp_path / "pack", monkeypatch)
    note = tmp_path / "pack" / "parts" / "00000.json"
    content = json.loads(note.read_text())
    write_json(note, content | {"kept": content["kept"][:2]})
    with pytest.raises(FormatError, match=r"00000\.json: this note of a finished shard is damaged \(ValueError\)"):
        run(cohort, tmp_path / "pack")


@pytest.mark.parametrize("found", ["no such file", "13"])
def test_a_shard_that_is_not_as_its_note_says_is_made_again(tmp_path, monkeypatch, found):
    cohort = begun(tmp_path / "pack", monkeypatch)
    shard = tmp_path / "pack" / "views" / "00000.arrow"
    shard.unlink()
    if found == "13":
        shard.write_bytes(b"thirteen byte")
    message = rf"00000\.arrow: expected \d+ bytes, found {found}. Remove .*00000\.json, and the same `prepare`"
    with pytest.raises(FormatError, match=message):
        run(cohort, tmp_path / "pack")
    (tmp_path / "pack" / "parts" / "00000.json").unlink()
    assert run(cohort, tmp_path / "pack").num_studies == 7


def fill_the_disk(monkeypatch, name: str) -> None:
    """Let the disk be full when a file gets its name."""
    really = os.replace

    def replace_unless_full(source, target):
        if str(target).endswith(name):
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        really(source, target)

    monkeypatch.setattr("lamae.pack.shard_writer.os.replace", replace_unless_full)


def begun(pack, monkeypatch) -> Recipes:
    """Begin a pack of seven studies, of which the first shard of three is finished."""
    cohort = Recipes(tuple(map(str, range(7))))
    fill_the_disk(monkeypatch, "00001.arrow")
    with pytest.raises(OSError, match="the disk is full"):
        run(cohort, pack)
    monkeypatch.undo()
    return cohort


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), FileNotFoundError(2, "No such file")])
def test_faults_of_writing_refuse_no_study(tmp_path, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("lamae.pack.shard_writer._ShardFile", fail)
    with pytest.raises(type(error)):
        run(Recipes(("1", "2")), tmp_path / "pack")
    assert list((tmp_path / "pack" / "parts").iterdir()) == []


def test_a_recording_that_fails_while_it_is_written_is_a_refusal(tmp_path, monkeypatch):
    def late(study, config):
        prepared = preprocess(study, config)

        def recordings():
            yield next(iter(prepared.recordings))
            raise KeyError("a field of the second recording")

        return replace(prepared, recordings=recordings())

    monkeypatch.setattr("lamae.ecg.preprocess.preprocess", late)
    summary = run(Recipes(("1", "2")), tmp_path / "pack", file_timeout_s=None)
    assert summary.rejected_by_reason == {"unreadable-file": 2}
