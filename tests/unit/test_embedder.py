from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.base import clone
from train_fakes import PREPROCESSING, fake_config, write_fake_pack

import lamae
from lamae.checkpoint import save_checkpoint
from lamae.ecg.leads import LEADS
from lamae.ecg.preprocess import preprocess
from lamae.errors import CheckpointError, ConfigError, DataError
from lamae.models import MaskedAutoencoder
from lamae.pack import write_pack
from lamae.studies import Study, View


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("run")
    model = MaskedAutoencoder(fake_config().model, generator=torch.Generator().manual_seed(2))
    save_checkpoint(
        path / "checkpoint", model=model, modality="ecg", preprocessing=asdict(PREPROCESSING), readout="mean", step=17
    )
    return path


def write_wfdb(folder, name, *, leads=LEADS, seconds=7, rate_hz=80):
    rng = np.random.default_rng(len(name))
    time_s = np.arange(seconds * rate_hz) / rate_hz
    beat = np.exp(9 * (np.cos(2 * np.pi * 1.3 * time_s) - 1))
    values = np.round(200 * (beat[:, None] * rng.normal(size=len(leads)) + 0.1)).astype("<i2")
    values.tofile(folder / f"{name}.dat")
    lines = [f"{name} {len(leads)} {rate_hz} {len(values)}"]
    lines += [f"{name}.dat 16 200(0)/mV 16 0 {values[0, k]} 0 0 {lead}" for k, lead in enumerate(leads)]
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n")
    return folder / f"{name}.hea"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return [
        write_wfdb(folder, "a"),
        write_wfdb(folder, "bb", leads=("V2", "II", "aVF")),
        write_wfdb(folder, "ccc", seconds=3),
        write_wfdb(folder, "dddd", leads=LEADS[::-1]),
    ]


@pytest.fixture(scope="module")
def pack(tmp_path_factory, files):
    studies = [preprocess(lamae.read(file), PREPROCESSING) for file in files]
    table = pa.table({"study_id": [f"s{number}" for number in range(len(files))]})
    return write_pack(tmp_path_factory.mktemp("pack"), studies, table, preprocessing=asdict(PREPROCESSING))


@pytest.mark.parametrize("readout", ["cls", "mean", "view-concat"])
def test_the_way_of_a_file_equals_the_way_of_a_pack(run, files, pack, readout):
    embedder = lamae.load(run)
    by_pack = embedder.embed(pack, readout=readout)
    np.testing.assert_allclose(embedder.embed(files, readout=readout), by_pack, atol=1e-4, rtol=0)
    np.testing.assert_allclose(embedder.embed(files[1], readout=readout), by_pack[1], atol=1e-4, rtol=0)
    np.testing.assert_allclose(embedder.embed(lamae.read(files[2]), readout=readout), by_pack[2], atol=1e-4, rtol=0)
    np.testing.assert_allclose(embedder.embed([pack.study(3)], readout=readout)[0], by_pack[3], atol=1e-4, rtol=0)
    assert by_pack.shape == (4, 240 if readout == "view-concat" else 20)
    assert by_pack.dtype == np.float32
    assert np.ptp(by_pack, axis=0).max() > 0.01


def test_batches_make_no_difference(run, pack):
    embedder = lamae.load(run)
    np.testing.assert_allclose(embedder.embed(pack, batch_size=3), embedder.embed(pack), atol=1e-5, rtol=0)


def test_the_order_of_leads_makes_no_difference(run, files):
    embedder, study = lamae.load(run), lamae.read(files[0])
    turned = replace(study, views={name: study.views[name] for name in reversed(list(study.views))})
    np.testing.assert_allclose(embedder.embed(turned), embedder.embed(study), atol=1e-5, rtol=0)


def test_what_an_embedder_says_of_itself(run):
    embedder = lamae.load(run / "checkpoint" / "step-00000017")
    assert embedder.weights.startswith("trained weights after 17 steps, SHA-256 ")
    assert embedder.readout == "mean"
    assert embedder.preprocessing == PREPROCESSING
    assert embedder.view_names == LEADS


def test_a_pack_prepared_differently_is_refused(run, tmp_path, files):
    other = replace(PREPROCESSING, notch_hz=7.0)
    studies = [preprocess(lamae.read(files[0]), other)]
    pack = write_pack(tmp_path, studies, pa.table({"study_id": ["s"]}), preprocessing=asdict(other))
    with pytest.raises(ConfigError, match=r"prepared differently from the model's data .*: notch_hz: None != 7.0"):
        lamae.load(run).embed(pack)


def test_nothing_to_embed(run):
    with pytest.raises(ConfigError, match="no study was given to embed"):
        lamae.load(run).embed([])


def test_a_misspelt_read_out_is_no_other_one(run, pack):
    with pytest.raises(ConfigError, match="unknown read-out 'view_concat': did you mean 'view-concat'"):
        lamae.load(run).embed(pack, readout="view_concat")


def test_a_refused_study_raises(run):
    flat = View(name="II", values=np.zeros(800, np.float32), rate_hz=80.0)
    with pytest.raises(DataError):
        lamae.load(run).embed(Study(study_id="x", views={"II": flat}))


def renamed(study, *names):
    return replace(
        study, recordings=tuple(replace(one, name=name) for one, name in zip(study.recordings, names, strict=True))
    )


def test_leads_that_the_model_does_not_know_are_left_out(run, pack):
    embedder, study = lamae.load(run), pack.study(1)
    assert study.view_names == ("II", "aVF", "V2")
    other = renamed(study, "II", "V9", "V2")
    np.testing.assert_array_equal(embedder.embed(other), embedder.embed(study.keep([0, 2])))
    with pytest.raises(DataError, match=r"none of the study's leads \(V7, V8, V9\) is one that the model knows"):
        embedder.embed(renamed(study, "V7", "V8", "V9"))


def test_studies_of_different_lengths(run, pack):
    study = pack.study(0)
    short = replace(study, recordings=tuple(replace(one, values=one.values[:70]) for one in study.recordings))
    with pytest.raises(DataError, match=r"the same number of samples, found \[70, 110\]"):
        lamae.load(run).embed([study, short])


def test_a_model_of_another_modality(tmp_path):
    model = MaskedAutoencoder(fake_config().model)
    save_checkpoint(tmp_path, model=model, modality="echo", preprocessing={}, readout="mean", step=1)
    with pytest.raises(CheckpointError, match="holds a model of 'echo' studies"):
        lamae.load(tmp_path)


def test_a_step_of_a_pipeline(run, files, pack):
    encoder = clone(lamae.StudyEncoder(str(run), readout="cls"))
    np.testing.assert_array_equal(encoder.fit_transform(files), lamae.load(run).embed(files, readout="cls"))
    assert encoder.fit().transform(pack).shape == (4, 20)


def test_a_fake_pack_embeds(run, tmp_path):
    pack = write_fake_pack(tmp_path / "pack", num=7, whole=False)
    assert np.isfinite(lamae.load(run).embed(pack)).all()
