"""Facts and warnings beside a table of results: protocol, selection, labels left out, leaks."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lamae.report.folders import Result
from lamae.report.wording import key_name, metric_name, value_words
from lamae.results import grouped

_CHOSEN = ("l2", "k", "lr", "weight_decay", "balanced", "best_epoch")
"""Settings that the protocols choose on the validation studies."""


def shared_facts(info: Mapping[str, Any]) -> list[str]:
    """Return the facts of a whole table: split, unit of the bootstrap, policy for absent labels."""
    facts, split = [], info["split"]
    if folds := split.get("cross_validated_folds"):
        facts.append(
            f"Cross-validated over {folds} folds by patient: each study is scored by a model whose labelled studies "
            "do not include its patient."
        )
    if bootstrap := info.get("bootstrap"):
        facts.append(
            f"Intervals: {100 * bootstrap['level']:g} % percentile bootstrap, {bootstrap['draws']:,} draws of "
            f"{bootstrap['unit']}s with all their studies (seed {bootstrap['seed']})."
        )
    facts.append(f"A label without positives or without negatives: policy “{info.get('absent_policy', 'skip')}”.")
    return facts


def facts_by_system(results: Sequence[Result]) -> list[str]:
    """Return the facts that may differ between systems, each once with the systems that it holds for."""
    return [
        *_grouped(results, "Protocol", lambda info: str(info["protocol"])),
        *_grouped(results, "Selection", lambda info: selection_words(info.get("selection") or {})),
        *_grouped(results, "Labelled studies for training", _training_words),
    ]


def warnings(results: Sequence[Result]) -> list[str]:
    """Return the caveats of each result, and a probe at the edge of its grid or not converged."""
    found = []
    for result in results:
        selection = result.info.get("selection") or {}
        found += [f"{result.system} {caveat}." for caveat in result.caveats]
        if at_edge := selection.get("at_edge_of_grid"):
            chosen = "k" if "k" in selection else "L2"
            found.append(f"{result.system}: the chosen {chosen} lies at the edge of its grid ({at_edge} of the fits).")
        if selection.get("converged") is False:
            found.append(f"{result.system}: the probe did not converge everywhere.")
    return found


def skipped_labels(results: Sequence[Result]) -> list[str]:
    """Return the labels that were left out by reason: ``"no positives among the test studies: I27, I95"``."""
    reasons: dict[str, str] = {}
    for result in results:
        for skipped in result.info.get("skipped_labels", ()):
            reasons.setdefault(str(skipped["label"]), str(skipped["reason"]))
    return [f"{reason}: {', '.join(labels)}" for reason, labels in grouped(reasons, reasons.__getitem__).items()]


def selection_words(selection: Mapping[str, Any]) -> str:
    """Return the chosen settings, the metric that chose them, and the studies it was computed on."""
    if not selection:
        return ""
    on = f"on the {selection.get('on', 'validation')} studies"
    if stops := selection.get("early_stopping"):
        epochs = value_words([stop["best_epoch"] for stop in stops])
        return f"early stopping by {_spaced(stops[0]['metric'])} {on}, best epoch {epochs}"
    held = [f"{key_name(key)} {value_words(selection[key])}" for key in _CHOSEN if key in selection]
    chosen = ", ".join(held) or "settings"
    return f"{chosen} by {_spaced(selection.get('metric', 'loss'))} {on}"


def _spaced(metric: str) -> str:
    return metric_name(metric.replace("-", "_"))


def _training_words(info: Mapping[str, Any]) -> str:
    train = info["split"].get("train")
    if not train:
        return ""
    fraction = info["split"].get("label_fraction") or 1.0
    part = "" if math.isclose(fraction, 1) else f" ({100 * fraction:g} % of the training patients)"
    return f"{train['studies']:,} of {train['patients']:,} patients{part}"


def _grouped(results: Sequence[Result], title: str, words_of: Callable[[Mapping[str, Any]], str]) -> list[str]:
    groups = grouped(results, lambda result: words_of(result.info))
    if len(groups) == 1 and all(groups):
        return [f"{title}: {next(iter(groups))}."]
    names = {words: " and ".join(dict.fromkeys(result.system for result in own)) for words, own in groups.items()}
    return [f"{title}, {own}: {words}." for words, own in names.items() if words]
