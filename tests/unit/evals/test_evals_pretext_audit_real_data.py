"""The audit on real recordings: Einthoven's equations hold to the rounding of the files, or the labels are wrong."""

import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pytest

from lamae import recipes
from lamae.ecg.preprocess import EcgPreprocessing, preprocess
from lamae.ecg.readers import read
from lamae.errors import DataError
from lamae.evals.audits.einthoven import EINTHOVEN, LINEAR, PUT_RIGHT
from lamae.evals.audits.pretext import AuditData, audit
from lamae.pack import Pack, write_pack

ROOT = Path(os.environ.get("LAMAE_REAL_DATA", Path(__file__).parents[4] / "shared" / "data"))

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not ROOT.is_dir(), reason=f"real data not found in {ROOT} (LAMAE_REAL_DATA)"),
]


def pack_of(folder: str, path: Path, count: int = 41) -> Pack:
    config = EcgPreprocessing()
    studies = []
    for header in sorted((ROOT / folder).glob("*.hea"))[:count]:
        with suppress(DataError):  # a record without any signal
            studies.append(preprocess(read(header), config))
    splits = [("train", "validation")[number % 2] for number in range(len(studies))]
    table = pa.table({"study_id": [str(number) for number in range(len(studies))], "split": splits})
    return write_pack(path, studies, table, preprocessing=asdict(config))


def explained(pack: Pack) -> tuple[dict, dict]:
    found = audit(recipes.get("ecg-lamae-tiny").model, AuditData(pack=pack), masks=[], lead_sets=[])
    return found["rows"][0], found["data"]


def test_ptb_xl_follows_einthoven(tmp_path):
    row, data = explained(pack_of("ptb-xl/records100/00000", tmp_path / "pack"))
    assert data["broken_leads"] == {}
    assert row["explained_where_it_follows"] > 0.98
    assert row["explained"][EINTHOVEN] == pytest.approx(row["drawn"], abs=0.01)
    assert 0.4 < row["explained"][LINEAR] < 0.65
    assert row["unexplained_leads"] == {}


def test_challenge_2011_follows_it_only_with_its_labels_put_right(tmp_path):
    row, data = explained(pack_of("challenge-2011/set-a", tmp_path / "pack"))
    assert set(data["broken_leads"]) == {"aVF", "aVL"}
    assert data["labels_exchanged"] >= 15
    assert row["explained"][EINTHOVEN] < 0
    assert row["explained"][PUT_RIGHT] > 0.16
