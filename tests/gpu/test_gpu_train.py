import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from train_fakes import fake_config, write_fake_pack

import lamae
from lamae.evals import embed, extract
from lamae.pack import Pack
from lamae.run_files import read_metrics
from lamae.train import pretrain

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU"),
]


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return write_fake_pack(tmp_path_factory.mktemp("pack") / "pack", whole=False).path


def losses(path, pack, **overrides):
    pretrain(fake_config(**overrides), [pack], path, progress=False)
    return [line["loss"] for line in read_metrics(path / "metrics.jsonl")]


def test_a_gpu_follows_the_cpu(pack, tmp_path):
    on_cpu = losses(tmp_path / "cpu", pack)
    assert losses(tmp_path / "gpu", pack, device="cuda") == pytest.approx(on_cpu, rel=1e-3)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own compiler says so
@pytest.mark.parametrize("compiled", [False, True])
def test_bf16(pack, tmp_path, compiled):
    on_cpu = losses(tmp_path / "cpu", pack)
    found = losses(tmp_path / "gpu", pack, device="cuda", precision="bf16", compile=compiled)
    assert found == pytest.approx(on_cpu, rel=0.03)


def test_features_of_a_gpu_follow_those_of_the_cpu(pack, tmp_path):
    losses(tmp_path / "run", pack)
    for precision, near in (("fp32", 1e-3), ("bf16", 0.03)):
        on_cpu = extract(tmp_path / "run", Pack.open(pack), device="cpu", precision="fp32").values
        found = extract(tmp_path / "run", Pack.open(pack), device="cuda", precision=precision)
        assert found.description["device"] == "cuda"
        assert np.abs(found.values - on_cpu).max() < near * np.abs(on_cpu).max()
        out = embed(tmp_path / "run", [pack], tmp_path / f"{precision}.parquet", precision=precision).out  # auto
        np.testing.assert_allclose(np.stack(pq.read_table(out)["embedding"].to_numpy()), found.values, atol=1e-5)


def test_a_run_of_a_gpu_loads_on_a_cpu(pack, tmp_path):
    losses(tmp_path / "gpu", pack, device="cuda")
    opened = Pack.open(pack)
    on_gpu = lamae.load(tmp_path / "gpu", device="cuda").embed(opened)
    np.testing.assert_allclose(lamae.load(tmp_path / "gpu", device="cpu").embed(opened), on_gpu, atol=1e-3)
