"""A checkpoint says itself what it was trained on: nested, moved or copied, and over its whole ancestry."""

import csv
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from lamae.checkpoint import find_checkpoint, load_model, read_meta, read_provenance, save_checkpoint
from lamae.cli.main import main
from lamae.errors import DataError
from lamae.evals import EvalSettings, FinetuneConfig, finetune, probe
from lamae.evals.sweeps.label_efficiency import label_efficiency
from lamae.evals.sweeps.robustness import robustness
from lamae.models import MaskedAutoencoder
from lamae.pack import Pack
from lamae.provenance import num_patients
from lamae.splits import patient_hashes

from .conftest import toy_studies, write_run, write_toy

QUICK = EvalSettings(draws=3)
ALLOWED = EvalSettings(draws=3, allow_leak=True)
ONE_EPOCH = FinetuneConfig(epochs=1, batch_size=19)
CARD = {"system": "LAMAE", "seed": 23, "steps": 3}


def provenance(run: Path):
    checkpoint = find_checkpoint(run)
    return read_provenance(checkpoint, read_meta(checkpoint))


def patients_of(pack: Pack, *splits: str) -> set[str]:
    rows = zip(pack.patient_keys(), pack.splits(), strict=True)
    return set(patient_hashes(sorted({key for key, split in rows if split in splits})).tolist())


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """The toy pack with its training and test patients exchanged."""
    _, table = toy_studies()
    other = {"train": "test", "test": "train"}
    split = pa.array([other.get(one, one) for one in table["split"].to_pylist()])
    table = table.set_column(table.column_names.index("split"), "split", split)
    return write_toy(tmp_path_factory.mktemp("exchanged") / "pack", table)


@pytest.fixture
def nested(tmp_path: Path, exchanged: Pack) -> Path:
    """A fine-tuned result inside its run, which was pretrained on one patient that nobody tests."""
    run = write_run(tmp_path / "run", ["toy:0x"], card=CARD)
    finetune(run, exchanged, "inverted", run / "ft", config=ONE_EPOCH, settings=QUICK)
    return run / "ft"


def test_a_fine_tuned_result_inside_its_run_is_refused_where_its_labels_were_learned(nested: Path, toy_pack: Pack):
    tested = patients_of(toy_pack, "test")
    with pytest.raises(DataError, match=rf"fine-tuned on inverted\): {len(tested)} of {len(tested)} tested patients"):
        probe(nested, toy_pack, "inverted", settings=QUICK)
    with pytest.raises(DataError, match="pretraining or fine-tuning data"):
        probe(nested, toy_pack, "inverted", settings=QUICK, protocol="knn")
    with pytest.raises(DataError, match="pretraining or fine-tuning data"):
        finetune(nested, toy_pack, "inverted", config=ONE_EPOCH, settings=QUICK)
    with pytest.raises(DataError, match="pretraining or fine-tuning data"):
        label_efficiency(nested, toy_pack, "inverted", nested / "sweep", fractions=[1.0], settings=QUICK)
    with pytest.raises(DataError, match="pretraining or fine-tuning data"):
        robustness(nested, toy_pack, "inverted", nested / "sweep", conditions=["leads:2"], settings=QUICK)
    other = probe(nested.parent, toy_pack, "inverted", settings=QUICK)
    assert (other.system, other.info["leak"]["patients_pretrained_on"]) == ("LAMAE", 0)


def test_a_fine_tuned_encoder_has_a_name_and_a_history_of_its_own(nested: Path, toy_pack: Pack, exchanged: Pack):
    found = probe(nested, toy_pack, "inverted", settings=ALLOWED)
    assert found.system == "LAMAE, fine-tuned on inverted"
    assert found.info["leak"]["patients_pretrained_on"] == len(patients_of(toy_pack, "test"))
    assert [one["verb"] for one in found.info["run"]["trained_on"]] == ["pretrain", "finetune"]
    assert (found.info["run"]["recipe"], found.info["run"]["seed"]) == ("toy", 23)
    assert found.info["run"]["trained_on"][1]["packs"][0]["content_hash"] == exchanged.info.content_hash
    control = probe(nested, toy_pack, "inverted", settings=QUICK, weights="random")
    assert (control.system, control.info["leak"], control.info["run"]["trained_on"]) == ("Random", None, [])
    finetune(nested, exchanged, "luck", nested / "again", config=ONE_EPOCH, settings=QUICK)
    name = probe(nested / "again", exchanged, "inverted", settings=QUICK).system
    assert name == "LAMAE, fine-tuned on inverted, fine-tuned on luck"


def test_patients_are_the_union_over_the_whole_ancestry(nested: Path, toy_pack: Pack, exchanged: Pack):
    learned = patients_of(exchanged, "train", "validation")
    known = provenance(nested)
    assert known.seen is not None
    assert set(known.seen["patient_hash"].to_pylist()) == learned | set(patient_hashes(["toy:0x"]).tolist())
    assert known.trained_on[1]["patients"] == len(learned) == num_patients(known.seen) - 1
    finetune(nested, toy_pack, "inverted", nested / "again", config=ONE_EPOCH, settings=ALLOWED)
    last = provenance(nested / "again").seen
    assert last is not None
    everyone = patients_of(toy_pack, "train", "validation", "test")
    assert set(last["patient_hash"].to_pylist()) == everyone | set(patient_hashes(["toy:0x"]).tolist())
    assert len(set(last["record_hash"].to_pylist()) - {None}) == len(toy_pack) + 1


def test_a_checkpoint_keeps_its_truth_wherever_it_lies(nested: Path, toy_pack: Pack, tmp_path: Path):
    alone = shutil.copytree(find_checkpoint(nested), tmp_path / "alone")
    other = write_run(tmp_path / "other", ["toy:0x"])
    shutil.rmtree(other / "checkpoint")
    shutil.copytree(nested / "checkpoint", other / "checkpoint")
    for place in (alone, other, find_checkpoint(nested)):
        with pytest.raises(DataError, match="LAMAE, fine-tuned on inverted"):
            probe(place, toy_pack, "inverted", settings=QUICK)


def test_weights_from_scratch_inherit_nothing(tmp_path: Path, toy_pack: Pack):
    tested = sorted(patients_of(toy_pack, "test"))
    run = write_run(tmp_path / "run", toy_pack.patient_keys(), card=CARD)
    finetune(run, toy_pack, "inverted", tmp_path / "out", init="scratch", config=ONE_EPOCH, settings=QUICK)
    known = provenance(tmp_path / "out")
    assert known.seen is not None
    assert set(known.seen["patient_hash"].to_pylist()).isdisjoint(tested)
    assert [one["verb"] for one in known.trained_on] == ["finetune"]
    found = probe(tmp_path / "out", toy_pack, "luck", settings=QUICK)
    assert found.system == "Scratch, fine-tuned on inverted"
    assert (found.info["run"]["step"], found.info["run"]["seed"], found.info["run"]["card"]["steps"]) == (0, 0, 0)


def test_what_nobody_knows_stays_unknown_after_fine_tuning(tmp_path: Path, toy_pack: Pack):
    run = write_run(tmp_path / "run", None)
    finetune(run, toy_pack, "inverted", tmp_path / "out", config=ONE_EPOCH, settings=ALLOWED)
    assert provenance(tmp_path / "out").seen is None
    with pytest.raises(DataError, match="nobody can tell"):
        probe(tmp_path / "out", toy_pack, "inverted", settings=QUICK)


def test_added_latent_attention_stays_in_the_name(tmp_path: Path, toy_pack: Pack):
    run = write_run(tmp_path / "run", ["toy:0x"], latent_depth=0)
    config = FinetuneConfig(epochs=1, batch_size=19, added_latent=1)
    finetune(run, toy_pack, "inverted", tmp_path / "out", config=config, settings=QUICK)
    assert probe(tmp_path / "out", toy_pack, "luck", settings=QUICK).system == "Ind + LA, fine-tuned on inverted"
    scratch = finetune(tmp_path / "out", toy_pack, "luck", init="scratch", config=ONE_EPOCH, settings=QUICK)
    assert scratch.system == "Scratch"


def test_an_unfinished_run_says_so(tmp_path: Path, toy_pack: Pack):
    run = write_run(tmp_path / "run", ["toy:0x"], card=CARD | {"steps": 500})
    found = probe(run, toy_pack, "inverted", settings=QUICK)
    assert found.system == "LAMAE, step 3 of 500"
    assert (found.info["run"]["finished"], found.info["run"]["step"]) == (False, 3)
    assert probe(run, toy_pack, "inverted", settings=QUICK, weights="random").info["run"]["finished"] is True
    assert finetune(run, toy_pack, "inverted", init="scratch", config=ONE_EPOCH, settings=QUICK).system == "Scratch"
    finetune(run, toy_pack, "inverted", tmp_path / "out", config=ONE_EPOCH, settings=QUICK)
    name = probe(tmp_path / "out", toy_pack, "luck", settings=QUICK).system
    assert name == "LAMAE, step 3 of 500, fine-tuned on inverted"


def test_the_same_encoder_saved_twice_has_the_same_list(tmp_path: Path, nested: Path):
    model, meta = load_model(nested)
    assert isinstance(model, MaskedAutoencoder)
    known = provenance(nested)
    said = {"modality": meta.modality, "preprocessing": meta.preprocessing, "readout": meta.readout, "step": meta.step}
    copy = save_checkpoint(tmp_path, model=model, provenance=known, **said)
    assert read_meta(copy).files == {**meta.files}
    assert read_meta(copy).trained_on == meta.trained_on


def test_sweeps_and_prints_say_what_flatters(tmp_path: Path, toy_pack: Pack):
    run = write_run(tmp_path / "run", toy_pack.patient_keys(), card=CARD | {"steps": 500})
    tested = len(patients_of(toy_pack, "test"))
    words = f"LAMAE, step 3 of 500 was trained on {tested} tested patients and 0 tested records: the figures flatter"
    unfinished = "LAMAE, step 3 of 500 had pretrained for 3 of 500 steps only"
    printed = str(probe(run, toy_pack, "inverted", settings=ALLOWED))
    assert f"NOTE: {words}" in printed
    assert f"NOTE: {unfinished}" in printed
    amounts = label_efficiency(run, toy_pack, "inverted", tmp_path / "a", fractions=[1.0], settings=ALLOWED)
    conditions = robustness(run, toy_pack, "inverted", tmp_path / "b", conditions=["leads:2"], settings=ALLOWED)
    for summary, name in ((amounts, "label-efficiency"), (conditions, "robustness")):
        for text in (str(summary), (summary.out / f"{name}.md").read_text()):
            assert f"NOTE: {words}." in text
            assert f"NOTE: {unfinished}." in text
        rows = list(csv.DictReader((summary.out / f"{name}.csv").read_text().splitlines()))
        assert rows
        assert all("the figures flatter; had pretrained for 3 of 500 steps only" in row["caveats"] for row in rows)


def test_describe_names_the_encoder_that_a_fine_tuning_kept(nested: Path, capsys: pytest.CaptureFixture[str]):
    for place in (nested, find_checkpoint(nested)):
        assert main(["describe", str(place)]) == 0
        told = capsys.readouterr().out
        assert "system: LAMAE, fine-tuned on inverted" in told
        assert "labels: inverted" in told
