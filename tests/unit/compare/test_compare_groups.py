"""What stands in one table, and what is refused with the difference named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from compare_fakes import fake_evaluation, write_fake

from lamae.compare import Settings, make_comparison
from lamae.compare.checks import check_group, evaluations_alike
from lamae.compare.entry import Entry
from lamae.compare.groups import make_groups
from lamae.compare.judged import judge_group
from lamae.errors import ConfigError, DataError
from lamae.results import restricted

SMALL = {"studies": 61, "num_labels": 3, "draws": 7}
QUICK = Settings(permutations=0)


def entry(system="LAMAE", **options) -> Entry:
    evaluation = fake_evaluation(system, **SMALL | options)
    return Entry(folder=Path(f"{system}-{options.get('seed', 0)}"), evaluation=evaluation)


def changed(one: Entry, **parts) -> Entry:
    """Return the entry with entries of parts of its ``result.json`` replaced."""
    info = {**one.info, **{part: {**(one.info.get(part) or {}), **values} for part, values in parts.items()}}
    return Entry(folder=one.folder, evaluation=replace(one.evaluation, info=info))


def judged(*entries, **options):
    return judge_group(make_groups(entries)[0], replace(QUICK, **options))


def test_seeds_and_draws_of_a_system_stand_in_one_table():
    entries = [entry(system, seed=seed) for system in ("LAMAE", "Ind_P") for seed in (0, 1, 2)]
    entries += [entry(s, seed=0, fraction=0.25, draw=draw) for s in ("LAMAE", "Ind_P") for draw in (0, 1)]
    groups = make_groups(entries)
    assert [len(group.entries) for group in groups] == [6, 4]
    assert groups[1].name == "icd10-chapter-ix, linear, view-concat, 25 % of the labels"


def test_system_from_scratch_joins_the_probes_and_the_fine_tuned():
    tuned = [entry(s, protocol_id="fine-tune", kind="finetune") for s in ("LAMAE", "Ind_P")]
    groups = make_groups([entry(), entry("Ind_P"), *tuned, entry("Scratch")])
    assert [(group.protocol, list(group.systems)) for group in groups] == [
        ("linear", ["LAMAE", "Ind_P", "Scratch"]),
        ("fine-tune", ["LAMAE", "Ind_P", "Scratch"]),
    ]
    assert groups[0].warnings == ["Scratch: protocol fine-tune, since no frozen pretrained encoder is judged there."]
    assert groups[1].warnings == []


def test_latent_attention_added_downstream_joins_the_probes():
    added = entry("Ind + LA", protocol_id="fine-tune", kind="finetune")
    groups = make_groups([entry(), entry("Ind_P"), added])
    assert [list(group.systems) for group in groups] == [["LAMAE", "Ind_P", "Ind + LA"]]
    assert "Ind + LA: protocol fine-tune" in groups[0].warnings[0]
    tuned = entry("Ind_P", protocol_id="fine-tune", kind="finetune")
    with pytest.raises(DataError, match=r"'Ind_P' was judged in several ways for one table: linear, view-concat \(.*"):
        make_groups([entry(), entry("Ind_P"), tuned, added], mixed=True)


def test_one_system_is_nothing_to_compare():
    with pytest.raises(DataError, match=r"at least two systems, found only 'LAMAE' \(2 results\): give"):
        make_groups([entry(seed=0), entry(seed=1)])
    with pytest.raises(DataError, match="at least two systems, found no result"):
        make_groups([])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            lambda: changed(entry("Ind_P"), labels={"set": "superclass"}),
            "label set: 'superclass' and 'icd10-chapter-ix'",
        ),
        (lambda: changed(entry("Ind_P"), data={"pack_hash": "another"}), r"pack \(test set\): 'another' and '9f2c"),
        (lambda: changed(entry("Ind_P"), data={"cohort": "ptb-xl"}), "cohort: 'ptb-xl' and 'mimic-iv-ecg'"),
        (lambda: entry("Ind_P", protocol_id="knn"), "protocol: 'knn' and 'linear'"),
        (lambda: entry("Ind_P", readout="mean"), "read-out: 'mean' and 'view-concat'"),
        (lambda: entry("Ind_P", fraction=0.25), "labels: '25 % of the labels' and 'all labels'"),
        (lambda: entry("Ind_P", condition="leads:I"), "condition: 'leads:I' and 'as recorded'"),
    ],
)
def test_what_differs_is_named(other, message):
    with pytest.raises(DataError, match="has nothing to be compared with") as error:
        make_groups([other(), entry()])
    assert error.match(message)


def test_protocols_can_be_mixed_loudly():
    groups = make_groups([entry(), entry("Ind_P", protocol_id="knn")], mixed=True)
    assert groups[0].protocol == "linear / knn"
    assert "THE PROTOCOLS DIFFER (linear: LAMAE; knn: Ind_P)" in groups[0].warnings[0]


def test_readouts_that_must_differ_are_warned_of():
    groups = make_groups([entry(readout="cls"), entry("Ind_P", readout="mean")])
    assert len(groups) == 1
    assert "THE READ-OUTS DIFFER (cls: LAMAE; mean: Ind_P)" in groups[0].warnings[0]


def test_the_encoder_read_out_alike_is_no_other_read_out():
    groups = make_groups([entry(), entry("LAMAE_E"), entry("Ind_P")])
    assert [list(group.systems) for group in groups] == [["LAMAE", "LAMAE_E", "Ind_P"]]
    assert groups[0].warnings == []


def test_duplicates_are_refused():
    with pytest.raises(
        DataError, match=r"LAMAE-0 and LAMAE-0 are the same entry of a table: system 'LAMAE', all labels"
    ):
        make_groups([entry(), entry(), entry("Ind_P")])


def test_other_studies_are_refused():
    group = make_groups([entry(), entry("Ind_P", studies=59)])[0]
    with pytest.raises(DataError, match="tested on different studies"):
        evaluations_alike(group)


def test_other_labels_of_one_set_are_refused():
    group = make_groups([entry(), entry("Ind_P", num_labels=2)])[0]
    with pytest.raises(DataError, match="have different labels: I21 in one only; evaluate both with the same"):
        evaluations_alike(group)


def test_draws_that_cannot_teach_a_label_leave_those_of_all():
    taught = {0: ("IX", "I20-I25", "I21"), 1: ("I20-I25", "IX")}
    drawn = [entry(s, draw=d, fraction=0.05) for s in ("LAMAE", "Ind_P") for d in taught]
    entries = [Entry(folder=o.folder, evaluation=restricted(o.evaluation, taught[o.label_draw])) for o in drawn]
    labels, alike = evaluations_alike(make_groups(entries)[0])
    assert labels == ("IX", "I20-I25")
    assert {one.scores.shape for one in alike.values()} == {(61, 2)}


def test_other_policies_are_refused():
    group = make_groups([entry(), entry("Ind_P", absent_policy="0.5")])[0]
    with pytest.raises(DataError, match=r"differ in the policy for absent labels: 'skip' and '0\.5'"):
        check_group(group)


def test_other_folds_are_refused():
    group = make_groups([entry(), changed(entry("Ind_P"), split={"cross_validated_folds": 9})])[0]
    with pytest.raises(DataError, match="differ in the number of cross-validated folds: None and 9"):
        check_group(group)


def test_another_vocabulary_is_refused():
    other = changed(entry("Ind_P"), labels={"vocabulary": "all (leak)"})
    with pytest.raises(DataError, match=r"decide what labels there are: 'train' and 'all \(leak\)'"):
        check_group(make_groups([entry(), other])[0])


def test_other_thresholds_are_warned_of():
    other = changed(entry("Ind_P"), thresholds={"policy": "0.5"})
    assert check_group(make_groups([entry(), other])[0]) == [
        "The thresholds of F1 were chosen in different ways (validation: LAMAE; 0.5: Ind_P)."
    ]


def test_a_leak_of_one_is_refused_and_one_of_all_is_said():
    leak = {"patients_pretrained_on": 7, "records_pretrained_on": 9, "allowed": True}
    one = [changed(entry(), leak=leak), entry("Ind_P"), entry("Random")]
    with pytest.raises(DataError, match=r"LAMAE\) was trained on 7 tested patients and 9 tested records"):
        check_group(make_groups(one)[0])
    both = [changed(entry(), leak=leak), changed(entry("Ind_P"), leak=leak), entry("Random")]
    assert check_group(make_groups(both)[0]) == [
        "Every pretrained encoder here was trained on 7 tested patients and 9 tested records: the figures flatter, "
        "all alike. No difference to what was not (Random) is tested: no stars."
    ]
    other = [one[0], changed(entry("Ind_P"), leak=leak | {"patients_pretrained_on": 8})]
    with pytest.raises(DataError, match="saw different numbers of tested patients"):
        check_group(make_groups(other)[0])


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ({"trained_on": [{"verb": "finetune", "labels": "rhythm"}]}, "linear, view-concat, fine-tuned on rhythm"),
        ({"finished": False, "step": 120}, "linear, view-concat, not finished"),
    ],
)
def test_weights_of_another_history_are_no_seed_of_a_system_whatever_they_are_called(run, words):
    other = changed(entry("LAMAE", seed=1), run=run)
    with pytest.raises(DataError, match=f"'LAMAE' was judged in several ways for one table.*{words}"):
        make_groups([entry("LAMAE", seed=0), other, entry("Ind_P")])


def test_nothing_is_tested_against_a_control_that_did_not_see_the_patients():
    leak = {"patients_pretrained_on": 7, "records_pretrained_on": 9, "allowed": True}
    good = {"skill": 3.0, "studies": 397}
    leaking = [changed(entry(name, **good), leak=leak) for name in ("LAMAE", "Joint")]
    random = entry("Random", skill=0.1, studies=397)
    ours, clean = judged(*leaking, random), judged(entry("LAMAE", **good), random)
    assert clean.differences["LAMAE"].stars("macro") == "***"
    for reference, system in (("Random", "LAMAE"), ("LAMAE", "Random")):
        found = ours.difference(system, reference)
        assert not any(found.stars(row) for row in found.rows)
        for part in (found.p_value, found.p_holm, found.p_permutation):
            assert all(np.isnan(one) for one in part.values())
        assert np.isnan(found.rows["macro"].p_value)
        assert found.rows["macro"].value == pytest.approx(clean.difference(system, reference).rows["macro"].value)
    assert np.isfinite(ours.difference("LAMAE", "Joint").p_holm["macro"])


def test_other_training_sets_are_warned_of():
    other = changed(entry("Ind_P"), split={"train": {"studies": 5, "patients": 3}})
    assert check_group(make_groups([entry(), other])[0]) == [
        "The train sets of the labels differ (1249 studies of 811 patients: LAMAE; 5 studies of 3 patients: Ind_P)."
    ]


@pytest.mark.parametrize(
    ("systems", "expected"),
    [(("LAMAE", "Random", "Ind_P"), "Ind_P"), (("LAMAE", "Random"), "Random"), (("LAMAE", "Joint"), "LAMAE")],
)
def test_reference_is_independent_leads_else_random_else_the_first(systems, expected):
    assert judged(*map(entry, systems)).reference == expected


def test_unknown_reference_is_refused():
    with pytest.raises(ConfigError, match="no system 'Nobody' to hold others against: 'LAMAE', 'Ind_P'"):
        make_comparison([entry(), entry("Ind_P")], Settings(reference="Nobody"))
    with pytest.raises(ConfigError, match="permutations must not be negative"):
        Settings(permutations=-1)
    with pytest.raises(ConfigError, match="draws must be at least 2"):
        Settings(draws=1)


def test_older_results_are_understood(tmp_path):
    from report_fakes import write_result

    folders = [write_result(tmp_path / name, system=name, studies=53) for name in ("LAMAE", "Random init (frozen)")]
    from lamae.compare.entry import read_entries

    entries = read_entries([*folders, write_fake(tmp_path / "new", **SMALL)])
    assert [one.protocol for one in entries] == ["linear"] * 3
    assert [one.initialisation for one in entries] == ["pretrained", "random", "pretrained"]
    assert entries[0].seed is None
    assert entries[1].seed == 1
    comparison = make_comparison(entries[:2], QUICK)
    assert "no card in the run, so nobody can tell" in comparison.warnings[0]
