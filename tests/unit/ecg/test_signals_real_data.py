"""Lead identity on real recordings."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lamae.ecg.preprocess import check_leads
from lamae.ecg.preprocess.lead_identity import CORRECTIONS, REVERSED_RA_LA, REVERSED_RA_LL
from lamae.ecg.readers import read

ROOT = Path(os.environ.get("LAMAE_REAL_DATA", Path(__file__).parents[4] / "shared" / "data"))

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


@pytest.mark.parametrize(("fault", "least"), [(REVERSED_RA_LA, 47), (REVERSED_RA_LL, 40)])
def test_electrodes_exchanged_on_paper_are_found_in_most_records_and_never_taken_for_another_fault(fault, least):
    found: Counter[tuple[str, ...]] = Counter()
    for header in sorted((ROOT / "ptb-xl/records100/00000").glob("*.hea"))[:61]:
        study = read(header)
        leads = {name: view.values.astype(np.float64) for name, view in study.views.items()}
        recorded = leads | {label: sign * leads[true] for true, (label, sign) in CORRECTIONS[fault].items()}
        found[check_leads(recorded, rate_hz=100.0).study_flags] += 1
    assert found[(fault,)] >= least
    assert set(found) == {(), (fault,)}
