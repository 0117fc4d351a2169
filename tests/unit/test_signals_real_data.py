"""Lead identity on real recordings."""

import os
from pathlib import Path

import pytest

from lamae.readers import read
from lamae.signals import check_leads

ROOT = Path(os.environ.get("LAMAE_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not ROOT.is_dir(), reason=f"real data not found in {ROOT} (LAMAE_REAL_DATA)"),
]


def flags(folder: str, count: int) -> list[tuple[str, ...]]:
    headers = sorted((ROOT / folder).glob("*.hea"))[:count]
    return [check_leads(read(header)).study_flags for header in headers]


def test_ptb_xl_has_the_leads_that_it_names():
    assert flags("ptb-xl/records100/00000", 31) == [()] * 31


def test_challenge_2011_has_avf_and_avl_under_each_others_names():
    found = flags("challenge-2011/set-a", 31)
    assert found.count(("avf-avl-swapped",)) >= 25
