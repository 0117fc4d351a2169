"""The verbs one after another on a small simulated cohort, as a user would type them, and the errors users meet."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydicom.data import get_testdata_file

from lamae.cli.arguments import dotted, number_list
from lamae.cli.main import main
from lamae.errors import ConfigError

SMALL = ["--optim.steps", "3", "--optim.warmup_steps", "1", "--optim.batch_size", "5", "--precision", "fp32"]
TINY = ["--model.encoder.depth=1", "--model.latent.depth=1", "--model.decoder.depth=1", "--save_every", "2"]
JUDGED = ["--labels", "icd10-3char", "--min-count", "3", "--draws", "23"]

Lamae = Callable[..., str]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cohort, its pack and a pretrained run, made by the command line."""
    folder = tmp_path_factory.mktemp("cli")
    assert main(["simulate", "ecg", str(folder / "cohort"), "--studies", "97", "--seed", "3", "--workers", "1"]) == 0
    folds = ["--option", "num_test_folds=7", "--option", "num_validation_folds=4"]
    prepare = ["prepare", "mimic-iv-ecg", str(folder / "cohort"), str(folder / "pack"), "--workers", "0", *folds]
    assert main([*prepare, "--shard-size", "31"]) == 0
    pretrain = ["pretrain", "ecg-lamae-tiny", "--data", str(folder / "pack"), "--out", str(folder / "run")]
    assert main([*pretrain, *SMALL, *TINY]) == 0
    return folder


@pytest.fixture
def lamae(capsys: pytest.CaptureFixture[str]) -> Lamae:
    """Call the command line and return what it printed; the exit status must be as expected."""

    def call(*words: object, status: int = 0) -> str:
        assert main([str(word) for word in words]) == status
        captured = capsys.readouterr()
        return captured.err if status else captured.out

    return call


def test_pack_is_verified_and_described(work: Path, lamae: Lamae) -> None:
    assert "every file is as it was written" in lamae("verify", work / "pack")
    told = lamae("describe", work / "pack")
    assert "studies: 97" in told
    assert "(simulated data)" in told


def test_a_flipped_byte_is_named(work: Path, lamae: Lamae, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(work / "pack", tmp_path / "pack")
    shard = sorted((tmp_path / "pack" / "views").iterdir())[0]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    assert main(["verify", str(tmp_path / "pack")]) == 1


def test_a_run_is_described_and_resumed(work: Path, lamae: Lamae) -> None:
    assert "ecg-lamae-tiny" in lamae("describe", work / "run")
    told = lamae("pretrain", "ecg-lamae-tiny", "--data", work / "pack", "--out", work / "run", *SMALL, *TINY)
    assert "finished at step 3 of 3" in told


def test_another_configuration_is_refused_with_the_difference(work: Path, lamae: Lamae) -> None:
    words = ["pretrain", "ecg-lamae-tiny", "--data", work / "pack", "--out", work / "run", *SMALL, *TINY]
    assert "optim.lr" in lamae(*words, "--optim.lr", "3e-4", status=2)


def test_a_written_configuration_is_taken_back(work: Path, lamae: Lamae, tmp_path: Path) -> None:
    words = ["pretrain", "ecg-lamae-tiny", "--data", work / "pack", "--out", tmp_path / "run"]
    lamae(*words, "--config", work / "run" / "config.yaml")
    assert (tmp_path / "run" / "config.yaml").read_text() == (work / "run" / "config.yaml").read_text()


def test_probe_controls_finetune_and_report(work: Path, lamae: Lamae, tmp_path: Path) -> None:
    data = ["--data", work / "pack", *JUDGED]
    assert "macro_auroc" in lamae("probe", work / "run", *data, "--out", tmp_path / "lamae", "--readout", "mean")
    random_init = ["--control", "random-init", "--readout", "mean"]
    lamae("probe", work / "run", *data, "--out", tmp_path / "random", *random_init)
    lamae("probe", "hand-made", *data, "--out", tmp_path / "handmade")
    lamae("finetune", work / "run", *data, "--out", tmp_path / "scratch", "--control", "scratch", "--epochs", "1")
    results = [tmp_path / name for name in ("lamae", "random", "handmade", "scratch")]
    systems = {json.loads((result / "result.json").read_text())["system"] for result in results}
    assert len(systems) == 4
    lamae("report", work / "run", *results, "--out", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(system in page for system in systems)
    assert "simulated" in page


@pytest.mark.parametrize("protocol", ["attention-pool", "mlp", "knn"])
def test_every_protocol_has_its_name_in_the_result(work: Path, lamae: Lamae, tmp_path: Path, protocol: str) -> None:
    words = ["probe", work / "run", "--data", work / "pack", *JUDGED, "--out", tmp_path, "--protocol", protocol]
    lamae(*words, *([] if protocol == "attention-pool" else ["--readout", "encoder-mean"]), "--system", "Ours")
    info = json.loads((tmp_path / "result.json").read_text())
    assert (info["protocol_id"], info["system"]) == (protocol, "Ours")
    refused = lamae("probe", "hand-made", *words[2:], status=2)
    assert "hand-made features have no encoder and are judged by a linear probe" in refused


def test_added_latent_attention_is_learned_described_and_embedded(work: Path, lamae: Lamae, tmp_path: Path) -> None:
    pretrain = ["pretrain", "ecg-independent-tiny", "--data", work / "pack", "--out", tmp_path / "run"]
    lamae(*pretrain, *SMALL, "--model.encoder.depth=1", "--model.decoder.depth=1")
    words = ["finetune", tmp_path / "run", "--data", work / "pack", *JUDGED, "--epochs", "1", "--added-latent", "1"]
    lamae(*words, "--out", tmp_path / "result", "--train", "head", "--head", "attentive")
    info = json.loads((tmp_path / "result" / "result.json").read_text())
    assert (info["system"], info["readout"], info["protocol_id"]) == ("Ind + LA", "tokens", "fine-tune")
    lamae("embed", tmp_path / "result", work / "pack", "--out", tmp_path / "e.parquet", "--readout", "cls")
    assert pq.read_metadata(tmp_path / "e.parquet").num_rows == 97
    assert "added_latent is for a run without latent" in lamae(
        *["finetune", work / "run", *words[2:], "--out", tmp_path / "other"], status=2
    )


def test_results_hold_no_identifier(work: Path, lamae: Lamae, tmp_path: Path) -> None:
    lamae("probe", work / "run", "--data", work / "pack", *JUDGED, "--out", tmp_path / "result", "--readout", "mean")
    studies = pq.read_table(work / "pack" / "studies.parquet")
    identifiers = {*studies["study_id"].to_pylist(), *(k.split(":")[-1] for k in studies["patient_key"].to_pylist())}
    for folder in (tmp_path / "result", work / "run"):
        for file in folder.rglob("*"):
            if file.suffix in {".json", ".jsonl", ".yaml"}:
                text = file.read_text(encoding="utf-8")
                assert not [name for name in identifiers if name in text], file.name
    predictions = pq.read_table(tmp_path / "result" / "predictions.parquet")
    assert not identifiers & set(map(str, predictions["study_hash"].to_pylist()))


def test_embed_takes_packs_and_files_and_lists_the_bad_one(work: Path, lamae: Lamae, tmp_path: Path) -> None:
    (tmp_path / "bad.dcm").write_bytes(b"no ECG at all")
    real = get_testdata_file("waveform_ecg.dcm", download=False)
    lamae("embed", work / "run", work / "pack", real, tmp_path / "bad.dcm", "--out", tmp_path / "e.parquet")
    assert pq.read_metadata(tmp_path / "e.parquet").num_rows == 98


def test_a_recipe_is_described(lamae: Lamae) -> None:
    told = lamae("describe", "ecg-independent-tiny")
    assert "parameters" in told
    assert "a study, forward and backward" in told
    assert "500 steps of 16 studies" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pretrain", "ecg-lamae-tony", "--data", "x", "--out", "y"], "did you mean 'ecg-lamae-tiny'"),
        (["pretrain", "ecg-lamae-tiny", "--data", "x", "--out", "y", "--optim.lrr", "1"], "did you mean 'optim.lr'"),
        (["pretrain", "ecg-lamae-tiny", "--data", "x", "--out", "y", "--optim.lr"], "has no value"),
        (["prepare", "ptb-xll", ".", "y"], "did you mean 'ptb-xl'"),
        (["prepare", "folder", "absent", "y"], "absent: no such folder"),
        (["describe", "."], "neither a pack"),
        (["verify", "."], "pack"),
    ],
)
def test_errors_name_what_to_do(
    words: list[str], message: str, lamae: Lamae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in lamae(*words, status=2)


def test_settings_are_words_with_values() -> None:
    assert dotted(["--a.b", "1", "--c=x=y"]) == {"a.b": "1", "c": "x=y"}
    with pytest.raises(ConfigError, match="unexpected argument 'b'"):
        dotted(["b", "1"])


def test_lists_of_numbers() -> None:
    assert number_list("1-3,7") == (1, 2, 3, 7)


def test_a_verb_without_settings_refuses_them(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["verify", "pack", "--optim.lr", "1"])
    assert "unrecognized arguments" in capsys.readouterr().err


def test_damaged_and_unfinished_folders_are_described_as_such(lamae: Lamae, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{")
    assert "run.json: this is not valid JSON" in lamae("describe", tmp_path / "run", status=2)
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "prepare.json").write_text("{}")
    assert "this pack is not finished; run the same `prepare` again" in lamae("describe", tmp_path / "pack", status=2)


def test_probing_a_run_that_is_not_there(work: Path, lamae: Lamae, tmp_path: Path) -> None:
    words = ["--data", work / "pack", *JUDGED, "--out", tmp_path / "result"]
    assert "absent: no such folder; give the folder of a run" in lamae("probe", tmp_path / "absent", *words, status=2)


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"'{sys.executable}' -m lamae describe ecg-lamae-tiny | true; exit ${{PIPESTATUS[0]}}"
    told = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert told.returncode in (0, 141)
    assert told.stderr == ""
