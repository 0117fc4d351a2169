"""The figures: equal to those of the metrics, paired by seed and patient, corrected, and matched or not."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from compare_fakes import card, fake_evaluation
from scipy import stats

from lamae.compare import Settings
from lamae.compare.charts import _apart
from lamae.compare.differences import pair_seeds
from lamae.compare.entry import Entry
from lamae.compare.estimates import thresholds_of
from lamae.compare.groups import make_groups
from lamae.compare.judged import MACRO, judge_group, label_rows
from lamae.compare.matching import matched_control_table, matching_warnings
from lamae.compare.score_tables import label_table, macro_table, macro_values
from lamae.files import sha256, write_json
from lamae.metrics import combined_difference, holm, patient_bootstrap, permutation_test
from lamae.results import paired_difference, read_result, write_result

SMALL = {"studies": 97, "num_labels": 5, "draws": 53}


def entry(system="LAMAE", **options) -> Entry:
    evaluation = fake_evaluation(system, **SMALL | options)
    return Entry(folder=Path(f"{system}-{options.get('seed', 0)}"), evaluation=evaluation)


def judged(*entries, permutations=0, **options):
    return judge_group(make_groups(entries)[0], Settings(permutations=permutations, **options))


def test_one_seed_gives_the_figures_of_the_result_and_of_the_paired_bootstrap():
    ours, theirs = entry(), entry("Ind_P", skill=0.7)
    found = judged(ours, theirs)
    for name in ("auroc", "auprc", "f1", "brier"):
        value, recorded = found.values("LAMAE", name)[MACRO], ours.evaluation.metric(f"macro_{name}")
        assert (value.value, value.low, value.high) == pytest.approx(
            (recorded.value, recorded.low, recorded.high), abs=1e-6
        )
    difference, paired = found.differences["LAMAE"].rows[MACRO], paired_difference(ours.evaluation, theirs.evaluation)
    assert (difference.value, difference.low, difference.high) == pytest.approx(
        (paired.value, paired.low, paired.high), abs=1e-6
    )
    assert math.isnan(difference.sd)
    assert math.isnan(difference.p_seeds)


def test_several_seeds_give_the_combined_difference_and_the_paired_t_test():
    ours = [entry(seed=seed) for seed in (0, 1, 2)]
    theirs = [entry("Ind_P", seed=seed, skill=1.1) for seed in (0, 1, 2)]
    found = judged(*ours, *theirs, permutations=199).differences["LAMAE"]
    first = ours[0].evaluation
    scores = [[one.evaluation.scores for one in side] for side in (ours, theirs)]
    whole = combined_difference(first.targets, *scores, first.patient_hash, draws=53, seed=1)
    expected, difference = whole.macro["auroc"], found.rows[MACRO]
    assert (difference.value, difference.low, difference.high) == pytest.approx(
        (expected.value, expected.low, expected.high), abs=1e-6
    )
    assert difference.p_value == pytest.approx(expected.p_value, rel=1e-3)
    assert found.per_seed == pytest.approx(expected.per_seed)
    assert difference.p_seeds == pytest.approx(stats.ttest_1samp(expected.per_seed, 0).pvalue)
    assert difference.smallest_detectable > 2.8 * difference.standard_error
    swapped = permutation_test(first.targets, *scores, first.patient_hash, permutations=199)
    assert found.p_permutation[MACRO] == swapped.p_macro["auroc"]
    by_label = np.fmax([one.p_value for one in list(found.rows.values())[1:]], swapped.p_per_label["auroc"])
    assert list(found.p_holm.values())[1:] == pytest.approx(list(holm(by_label)))
    assert found.p_holm[MACRO] == found.p_value[MACRO]


def test_intervals_of_a_score_stay_between_0_and_1_and_unknown_ones_unknown():
    found = judged(entry(skill=4.0, seed=0), entry(skill=3.0, seed=1), entry("Ind_P"))
    values = found.values("LAMAE", "auroc")
    assert max(one.high for one in values.values()) <= 1
    absent = []
    for system in ("LAMAE", "Ind_P"):
        one = entry(system)
        targets = one.evaluation.targets.copy()
        targets[:, 0] = 0
        absent.append(replace(one, evaluation=replace(one.evaluation, targets=targets)))
    label = judged(*absent).values("LAMAE", "auroc")["IX"]
    assert math.isnan(label.value)
    assert math.isnan(label.low)
    assert math.isnan(label.high)
    table = label_table(judged(*absent, permutations=19), "labels")
    assert [cell.text for row in table.rows if row.name == "IX" for cell in row.cells[1:]] == ["–", "–"]


def test_draws_of_labels_are_averaged_within_a_seed():
    few = [entry(s, fraction=0.25, draw=draw) for s in ("LAMAE", "Ind_P") for draw in (0, 1, 2)]
    found = judged(*few)
    mean = np.mean([one.evaluation.metric("macro_auroc").value for one in few[:3]])
    value = found.values("LAMAE", "auroc")[MACRO]
    assert value.value == pytest.approx(mean, abs=1e-6)
    assert value.num_seeds == 1


def test_a_system_differs_from_itself_by_nothing_and_bears_no_star():
    one = entry()
    found = judged(one, replace(one, evaluation=replace(one.evaluation, info={**one.info, "system": "Twin"})))
    twin = found.differences["Twin"]
    assert (twin.rows[MACRO].value, twin.rows[MACRO].low, twin.rows[MACRO].high) == (0, 0, 0)
    assert {twin.stars(row) for row in found.rows} == {""}


def test_stars_need_the_corrected_p_value():
    found = judged(entry(skill=3.0), entry("Ind_P", skill=0.1), permutations=99).differences["LAMAE"]
    assert found.rows[MACRO].p_value < 1e-6
    assert found.p_permutation[MACRO] == 0.01  # the smallest that 99 permutations give
    assert found.stars(MACRO) == "*"
    assert found.p_holm["IX"] == pytest.approx(0.05)
    assert found.stars("IX") == ""


def test_the_main_difference_is_added_where_the_reference_is_another():
    entries = [entry(), entry("Ind_P"), entry("Random")]
    assert judged(*entries).main_difference is None
    main = judged(*entries, reference="Random").main_difference
    assert main is not None
    assert (main.system, main.reference) == ("LAMAE", "Ind_P")


def test_seeds_are_paired_without_looking_at_results():
    assert pair_seeds("a", [0, 1], "b", [1, 0]) == ([(0, 0), (1, 1)], [])
    assert pair_seeds("a", [0], "b", [7]) == ([(0, 7)], [])
    pairs, notes = pair_seeds("a", [0, 1], "b", [None])
    assert pairs == [(0, None), (1, None)]
    assert notes == ["b has one seed, held against each of a's: its own spread over seeds is unknown."]
    pairs, notes = pair_seeds("a", [0, 1, 2], "b", [2, 1])
    assert pairs == [(1, 1), (2, 2)]
    assert notes == ["a and b: seeds 0 are of one only and not in their difference."]
    pairs, notes = pair_seeds("a", [0, 1], "b", [10, 11])
    assert pairs == [(0, 10), (1, 11)]
    assert "share no seed" in notes[0]


def test_thresholds_are_those_of_the_division_that_tested_a_study():
    evaluation = entry().evaluation
    folds = np.arange(len(evaluation.fold)) % 3 + 4
    values = {name: [0.1 * k, 0.2 * k, 0.3 * k] for k, name in enumerate(evaluation.label_names)}
    info = {**evaluation.info, "thresholds": {"policy": "validation", "values": values}}
    info["split"] = {**info["split"], "folds": [5, 6, 4]}
    cuts = thresholds_of(replace(evaluation, info=info, fold=folds))
    assert cuts[0].tolist() == pytest.approx([0.3 * k for k in range(5)])  # fold 4 is the third division
    assert cuts[1].tolist() == pytest.approx([0.1 * k for k in range(5)])


def test_rows_follow_the_tree_and_without_one_the_positives():
    info = fake_evaluation(num_labels=12).info
    rows = label_rows(info["labels"]["names"], info)
    assert [(row.name, row.depth) for row in rows[:4]] == [("IX", 0), ("I10-I1A", 1), ("I10", 2), ("I20-I25", 1)]
    assert [row.depth for row in label_rows(["I10", "I48"], info)] == [0, 0]  # their ancestors are no labels here
    flat = {
        **info,
        "labels": {"names": ["IX", "I48"]},
        "per_label": [{"label": "I48", "positives": 5}, {"label": "IX"}],
    }
    assert [row.name for row in label_rows(["IX", "I48"], flat)] == ["I48", "IX"]


def test_best_and_second_are_marked_by_what_is_shown():
    found = judged(entry(skill=2), entry("Ind_P", skill=1), entry("Random", skill=0.1))
    table = label_table(found, "labels")
    assert [cell.mark for cell in table.rows[0].cells[1:]] == ["best", "second", ""]
    brier = [row.cells[table_column(found, "macro Brier score")] for row in macro_table(found, "macro").rows]
    assert [cell.mark for cell in brier] == ["best", "second", ""]
    assert float(brier[0].text) < float(brier[2].text)


def table_column(found, name):
    return list(macro_table(found, "macro").columns).index(name)


def test_macro_metrics_without_draws_are_read_from_the_results():
    found = macro_values(judged(entry(seed=0), entry(seed=1), entry("Ind_P")), "LAMAE")["macro_ece"]
    assert found.value == pytest.approx(0.1 / 1.3)
    assert found.num_seeds == 2
    assert math.isnan(found.low)


def test_matched_systems_bring_no_warning():
    entries = [entry(s, seed=seed) for s in ("LAMAE", "Ind_P", "Random") for seed in (0, 1)]
    assert matching_warnings(entries) == []
    table = matched_control_table(entries)
    rows = {row.name: [cell.text for cell in row.cells] for row in table.rows}
    assert rows["parameters in total"] == ["746,304", "746,304", "–"]
    assert rows["operations a step"] == ["3.21 T", "3.21 T", "–"]
    assert rows["seeds"] == ["0, 1", "0, 1", "0, 1"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"parameters": {"total": 800_000}},
            r"NOT MATCHED in parameters in total \(up to 7.2 %\): LAMAE 746,304, Ind_P",
        ),
        ({"flops": {"step": 4e12, "total": 2e15}}, r"NOT MATCHED in operations a step \(up to 24.6 %\)"),
        ({"steps": 700}, r"NOT MATCHED in steps \(up to 40.0 %\): LAMAE 500, Ind_P 700"),
        ({"batch_size": 32}, "NOT MATCHED in studies a step"),
        ({"studies": 99}, "NOT MATCHED in training studies"),
        ({"optimiser": "adamw"}, "NOT MATCHED in optimiser: LAMAE muon, Ind_P adamw"),
        ({"target": "raw"}, "NOT MATCHED in target"),
        ({"precision": "fp32"}, "NOT MATCHED in precision"),
        ({"decoder_context": "cls"}, "NOT MATCHED in decoder sees"),
        ({"mask": {"strategy": "tube", "ratio": 0.5}}, "NOT MATCHED in mask: .*, Ind_P tube, ratio 0.5"),
        ({"seed": 7}, "NOT MATCHED in seeds: LAMAE 0, Ind_P 7"),
    ],
)
def test_what_is_not_matched_is_warned_of(changes, message):
    warnings = matching_warnings([entry(), entry("Ind_P", card_changes=changes)])
    assert len([one for one in warnings if re.match(message, one)]) == 1


def test_small_differences_are_matched():
    changes = {"parameters": card("Ind_P", 0)["parameters"] | {"total": 750_000}, "seconds": 9000.0}
    assert matching_warnings([entry(), entry("Ind_P", card_changes=changes)]) == []


def test_runs_of_one_system_that_differ_are_named():
    entries = [
        entry(seed=0),
        entry(seed=1, card_changes={"steps": 700}),
        entry("Ind_P", seed=0),
        entry("Ind_P", seed=1),
    ]
    assert "The runs of LAMAE differ among themselves in steps (500, 700)." in matching_warnings(entries)


def test_ticks_of_a_logarithmic_axis_do_not_touch():
    assert _apart([10, 11, 100, 105, 1000]) == [10, 100, 1000]


def test_values_are_compared_by_r_squared():
    entries = []
    for system, error in (("LAMAE", 0.3), ("Ind_P", 0.6)):
        one = entry(system)
        generator = np.random.default_rng(5)
        targets = generator.normal(size=one.evaluation.targets.shape)
        scores = targets + error * generator.normal(size=targets.shape)
        interval = {"value": 0.5, "low": 0.4, "high": 0.6}
        changes = {"metrics": {"macro_mae": interval, "macro_r2": interval}, "thresholds": None}
        info = {**one.info, **changes, "labels": {**one.info["labels"], "kind": "regression"}}
        entries.append(replace(one, evaluation=replace(one.evaluation, info=info, targets=targets, scores=scores)))
    found = judged(*entries, permutations=99)
    assert (found.kind, found.metric) == ("regression", "r2")
    assert found.differences["LAMAE"].rows[MACRO].value > 0.1
    assert found.differences["LAMAE"].stars(MACRO) == "*"
    assert [cell.mark for cell in macro_table(found, "macro").rows[0].cells] == ["best", "best"]
    assert "R²" in label_table(found, "labels").caption


def test_saturated_scores_are_judged_as_their_result_was(tmp_path):
    """They differ by less than a float32 can hold near 1, so a shorter copy of them would tie and score otherwise."""
    folders = []
    for system in ("LAMAE", "Ind_P"):
        evaluation = fake_evaluation(system, studies=61, num_labels=3, draws=7)
        scores = 1 - 1e-9 * (1 - evaluation.scores.astype(np.float64))
        assert len(np.unique(scores.astype(np.float32))) == 1
        outcome = patient_bootstrap(
            evaluation.targets, scores, evaluation.patient_hash, kind="probabilities", thresholds=0.4, draws=7, seed=1
        )
        evaluation.info["metrics"] = {f"macro_{name}": vars(found) for name, found in outcome.macro.items()}
        folders.append(write_result(tmp_path / system, replace(evaluation, scores=scores)))
    read = read_result(folders[0])
    assert (read.scores.dtype, read.targets.dtype) == (np.float64, np.float64)
    entries = [Entry(folder=folder, evaluation=read_result(folder)) for folder in folders]
    table = judge_group(make_groups(entries)[0], Settings(permutations=0, draws=7))
    for entry in entries:
        found, told = table.values(entry.system, "auroc")["macro"], entry.evaluation.metric("macro_auroc")
        assert found.value == told.value != 0.5
        assert (found.low, found.high) == (pytest.approx(told.low, abs=1e-6), pytest.approx(told.high, abs=1e-6))


def test_results_of_older_versions_with_shorter_numbers_are_read(tmp_path):
    folder = write_result(tmp_path / "r", fake_evaluation("LAMAE", studies=61, num_labels=3, draws=7))
    table = pq.read_table(folder / "predictions.parquet")
    short = [pa.float32() if pa.types.is_floating(field.type) else field.type for field in table.schema]
    shorter = table.cast(pa.schema(list(zip(table.column_names, short, strict=True))))
    pq.write_table(shorter, folder / "predictions.parquet")
    info = json.loads((folder / "result.json").read_text())
    write_json(folder / "result.json", info | {"predictions_sha256": sha256(folder / "predictions.parquet")})
    assert read_result(folder).scores.dtype == np.float64
