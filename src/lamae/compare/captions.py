"""What a reader must know to read a table, in its caption."""

from lamae.compare.checks import simulated_words
from lamae.compare.entry import AS_RECORDED, share_words
from lamae.compare.groups import Group
from lamae.compare.judged import Judged


def caption_of(judged: Judged, what: str, *, correction: bool) -> str:
    """Return a caption: what is shown, on whom, how judged, what intervals and stars are, what was selected where."""
    group, first = judged.group, judged.group.first
    data, split = first.info["data"], first.info["split"]
    test = split.get("test") or {}
    parts = [
        f"{simulated_words(group.entries)}{what} on {data['cohort']} {data['cohort_version']}, label set "
        f"{group.task[3]} ({len(judged.labels)} labels), {test.get('studies', '?'):,} test studies of "
        f"{judged.num_patients:,} patients.",
        f"Protocol {group.protocol}"
        + (f", read-out {group.readout}" if group.readout else "")
        + f", {share_words(group.share)} of the training set"
        + (f", test signals: {group.condition}" if group.condition != AS_RECORDED else "")
        + (
            f", cross-validated over {split['cross_validated_folds']} folds"
            if split.get("cross_validated_folds")
            else ""
        )
        + ".",
        f"{100 * judged.level:g} % intervals over {judged.draws:,} draws of patients{_seeds_words(judged)}.",
        _stars_words(judged) if correction else "",
        f"Labels without positives or negatives in the test set: policy “{first.info.get('absent_policy', 'skip')}”.",
        _selection_words(group),
    ]
    return " ".join(part for part in parts if part)


def _seeds_words(judged: Judged) -> str:
    counts = {system: len(seeds) for system, seeds in judged.by_seed.items()}
    if max(counts.values()) < 2:
        return ", one seed of pretraining each: other seeds are not in them"
    words = ", ".join(f"{system} {count}" for system, count in counts.items())
    words = f"{max(counts.values())} seeds each" if len(set(counts.values())) == 1 else f"seeds: {words}"
    return f" and over the seeds where there are several (± standard deviation between seeds; {words})"


def _stars_words(judged: Judged) -> str:
    several = any(len(seeds) > 1 for seeds in judged.by_seed.values())
    over = "patients and seeds" if several else "patients"
    smallest = f", smallest p {1 / (1 + judged.settings.permutations):.2g}" if judged.settings.permutations else ""
    tests = (
        f"the larger p of the paired permutation test over patients ({judged.settings.permutations:,} permutations"
        f"{smallest}) and of the paired difference over its standard error ({over})"
        if judged.settings.permutations
        else f"p of the paired difference over its standard error ({over})"
    )
    return (
        f"Stars: the difference to {judged.reference}, {tests}, after Holm's correction over {len(judged.labels)} "
        "labels below .05 (*), .01 (**), .001 (***); macro is one test."
    )


def _selection_words(group: Group) -> str:
    """Say what the results themselves say about selection and the use of the test set."""
    on = {str((entry.info.get("selection") or {}).get("on", "validation")) for entry in group.entries}
    uses = {entry.info["split"].get("test_uses") for entry in group.entries}
    selected = f"Settings were selected on {' and '.join(sorted(on))} studies"
    if uses == {1}:
        return f"{selected}; every result touched the test set once."
    return f"{selected}; not every result says how often its test set was touched."
