"""Building the table of a large cohort: 200,000 records of MIMIC-IV-ECG with Ext-ICD codes and measurements.

Run with ``python benchmarks/cohort_tables.py``. One thread, CPU time, variants in turn. Bar: parsing the lists of codes
at least 3x as fast as ``ast.literal_eval`` on each row. The time of the whole table is printed as well.
"""

import sys
import tempfile
from ast import literal_eval
from pathlib import Path

from harness import check_ratio, describe_environment, interleave, use_one_thread

use_one_thread()

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402

from lamae.cohorts import open_cohort  # noqa: E402
from lamae.cohorts.tables import parse_code_lists  # noqa: E402

NUM_RECORDS, NUM_PATIENTS, NUM_CODES = 200_000, 40_000, 2_000
SHARE_WITHOUT_CODES, CODES_A_RECORD = 0.4, 12
ROUNDS = 5
BAR = 3.0

RECORDS = "subject_id,study_id,file_name,ecg_time,path"
LABELS = "file_name,study_id,subject_id,ecg_time,ed_diag_ed,all_diag_all,gender,age,fold,strat_fold"
MEASUREMENTS = "subject_id,study_id,report_0,rr_interval,p_onset,p_end,qrs_onset,qrs_end,t_end,p_axis,qrs_axis,t_axis"


def write_tables(folder: Path) -> list[str]:
    """Write the three tables and return the lists of codes as texts."""
    rng = np.random.default_rng(0)
    codes = [f"{letter}{number}" for letter in "ABCDEFGIJK" for number in range(100, 100 + NUM_CODES // 10)]
    texts = []
    with (
        open(folder / "record_list.csv", "w", encoding="ascii") as records,
        open(folder / "records_w_diag_icd10.csv", "w", encoding="ascii") as labels,
        open(folder / "machine_measurements.csv", "w", encoding="ascii") as measurements,
    ):
        for file, header in ((records, RECORDS), (labels, LABELS), (measurements, MEASUREMENTS)):
            file.write(f"{header}\n")
        for study, patient in enumerate(rng.integers(0, NUM_PATIENTS, NUM_RECORDS) + 10_000_000, start=40_000_000):
            linked = rng.random() > SHARE_WITHOUT_CODES
            text = str([codes[i] for i in rng.integers(0, NUM_CODES, CODES_A_RECORD)]) if linked else "[]"
            texts.append(text)
            path, time = f"files/p{patient // 10_000}/p{patient}/s{study}/{study}", "2180-05-06 23:10:00"
            records.write(f"{patient},{study},{study},{time},{path}\n")
            labels.write(f'{path},{study},{patient},{time},[],"{text}",F,65,{patient % 20},{patient % 20}\n')
            measurements.write(f"{patient},{study},sinus rhythm,800,40,150,190,280,600,20,30,29999\n")
    return texts


def main() -> int:
    print(f"cohort_tables: {NUM_RECORDS} records of {NUM_PATIENTS} patients, {CODES_A_RECORD} codes each, one thread")
    print(" ", describe_environment(["numpy", "pyarrow"]))
    with tempfile.TemporaryDirectory() as folder:
        texts = write_tables(Path(folder))
        column = pa.array(texts)
        if parse_code_lists(column).to_pylist() != [literal_eval(text) for text in texts]:
            raise AssertionError("the two ways of parsing disagree")
        cohort = open_cohort("mimic-iv-ecg", folder, partial=False)
        timings = interleave(
            {
                "Arrow's string functions": lambda: parse_code_lists(column),
                "ast.literal_eval": lambda: [literal_eval(text) for text in texts],
                "the whole table": cohort.table,
            },
            rounds=ROUNDS,
        )
    print(f"  the whole table: median {timings['the whole table'].median:.2f} s CPU for {NUM_RECORDS} records")
    return check_ratio(
        timings,
        ours="Arrow's string functions",
        reference="ast.literal_eval",
        at_least=BAR,
        per=NUM_RECORDS,
        what="list",
    )


if __name__ == "__main__":
    sys.exit(main())
