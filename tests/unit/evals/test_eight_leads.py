"""A model of eight leads, from pretraining to an embedding, on packs and files of twelve."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from train_fakes import fake_config, write_fake_pack

import lamae
from lamae.cli.main import main
from lamae.data import PackDataset, for_known_views, only_known_views
from lamae.ecg.leads import LEADS
from lamae.ecg.same_time import EIGHT_LEADS
from lamae.errors import ConfigError, DataError
from lamae.evals import EvalSettings, FinetuneConfig, extract, finetune, probe, reconstruct
from lamae.pack import Pack, write_pack
from lamae.recipes.ecg import eight_leads
from lamae.train import pretrain


def only_eight(pack: Pack, path: Path, leads: tuple[str, ...] = EIGHT_LEADS) -> Pack:
    """The same studies as files of eight leads would give them."""
    studies = [only_known_views(pack.study(row), leads) for row in range(len(pack))]
    table = pack.studies.drop_columns(["views", "view_flags", "study_flags"])
    return write_pack(
        path, studies, table, cohort="fake", cohort_version="1", preprocessing=dict(pack.info.preprocessing)
    )


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pack, Pack]:
    """A pack of twelve leads with a label, and the same studies with eight."""
    folder = tmp_path_factory.mktemp("eight")
    pack = write_fake_pack(folder / "plain", num=61)
    split = pack.studies.column("split").to_pylist()
    rows = range(len(pack))
    table = pa.table(
        {
            "study_id": pack.studies.column("study_id"),
            "patient_key": [f"fake:{row}" for row in rows],
            "split": split,
            "label_odd": pa.array([row % 2 for row in rows], pa.float32()),
        }
    )
    twelve = write_pack(
        folder / "twelve",
        [pack.study(row) for row in rows],
        table,
        cohort="fake",
        cohort_version="1",
        preprocessing=dict(pack.info.preprocessing),
    )
    return twelve, only_eight(twelve, folder / "eight")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, packs: tuple[Pack, Pack]) -> Path:
    path = tmp_path_factory.mktemp("run") / "run"
    pretrain(eight_leads(fake_config(optim__steps=3)), [packs[0].path], path)
    return path


def test_a_run_on_twelve_leads_equals_one_on_eight(run, packs, tmp_path):
    pretrain(eight_leads(fake_config(optim__steps=3)), [packs[1].path], tmp_path / "run")
    ours, theirs = lamae.load(run), lamae.load(tmp_path / "run")
    assert ours.view_names == EIGHT_LEADS
    assert ours.weights == theirs.weights


def test_packs_and_studies_of_twelve_leads_are_embedded_by_their_eight(run, packs):
    twelve, eight = packs
    embedder = lamae.load(run)
    wanted = embedder.embed(eight, readout="view-concat")
    assert wanted.shape == (61, 8 * 20)
    np.testing.assert_allclose(embedder.embed(twelve, readout="view-concat"), wanted, atol=1e-6)
    some = [twelve.study(row) for row in (3, 5)]
    np.testing.assert_allclose(embedder.embed(some, readout="view-concat"), wanted[[3, 5]], atol=1e-5)
    np.testing.assert_allclose(extract(run, twelve).values, extract(run, eight).values, atol=1e-6)


def test_probe_and_finetune_take_the_eight(run, packs, tmp_path):
    settings = EvalSettings(draws=11)
    scores = [probe(run, pack, "label_odd", settings=settings).scores for pack in packs]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-5)
    tuned = [
        finetune(run, pack, "label_odd", settings=settings, config=FinetuneConfig(epochs=1, precision="fp32")).scores
        for pack in packs
    ]
    np.testing.assert_allclose(tuned[0], tuned[1], atol=1e-4)


def test_a_reconstruction_and_the_table_of_embeddings_hold_eight_leads(run, packs, tmp_path):
    found = reconstruct(lamae.load(run), packs[0].study(2))
    assert tuple(found["leads"]) == EIGHT_LEADS
    assert found["original"].shape == (8, 110)
    assert main(["embed", str(run), str(packs[0].path), "--out", str(tmp_path / "e.parquet")]) == 0
    assert pq.read_metadata(tmp_path / "e.parquet").num_rows == 61


def test_studies_without_any_known_lead_are_counted(run, packs, tmp_path):
    limb = only_eight(packs[0], tmp_path / "limb", leads=("III", "aVF"))
    with pytest.raises(DataError, match="61 of 61 studies have none of the leads that the model knows"):
        lamae.load(run).embed(limb)
    with pytest.raises(DataError, match="61 of 61 studies have none"):
        extract(run, limb)
    mixed = [only_known_views(packs[0].study(row), ("III",) if row < 7 else LEADS) for row in range(61)]
    pack = write_pack(
        tmp_path / "mixed", mixed, pa.table({"study_id": [str(row) for row in range(61)]}), preprocessing={}
    )
    with pytest.raises(DataError, match="7 of 61 studies have none"):
        for_known_views(pack, view_names=EIGHT_LEADS)
    assert len(for_known_views(pack, view_names=EIGHT_LEADS, rows=np.arange(60, 10, -1))) == 50
    with pytest.raises(DataError, match="2 of 9 studies have none"):
        for_known_views(pack, view_names=EIGHT_LEADS, rows=np.arange(5, 14))


def test_rows_keep_their_order(packs):
    rows = np.array([40, 3, 3, 17])
    dataset = for_known_views(packs[0], view_names=EIGHT_LEADS, rows=rows)
    np.testing.assert_array_equal(dataset.rows, rows)
    assert dataset.batch(np.arange(4)).streams["ecg"].view_names == EIGHT_LEADS


def test_flags_of_leads_that_are_left_out_go_with_them(packs):
    study = replace(packs[0].study(0), flags={"aVF": ("flat",), "V1": ("missing-samples",)})
    assert only_known_views(study, EIGHT_LEADS).flags == {"V1": ("missing-samples",)}
    assert only_known_views(study, LEADS) is study


def test_training_leaves_no_lead_out_unasked(packs):
    """``view_names`` says what the model knows, ``data.views`` what training uses; neither is guessed."""
    with pytest.raises(ConfigError, match=r"does not know the views III, .*Choose the views to use with data.views"):
        PackDataset([packs[0]], view_names=EIGHT_LEADS)
