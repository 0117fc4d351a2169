"""The table of matched controls: parameters, tokens, masks, operations, steps, data, seeds and hardware."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lamae.compare.entry import Entry, foreword, systems_of
from lamae.compare.table import Cell, Row, Table
from lamae.progress import format_seconds
from lamae.report.wording import NOTHING, count
from lamae.run_files import hardware_words

_PARAMETERS, _FLOPS = 0.02, 0.10
"""Tolerances: relative differences up to which two systems count as matched."""


@dataclass(frozen=True, kw_only=True)
class _Fact:
    """A row of the table.

    Attributes:
        name: Its heading.
        value: Reads it from a card; None where the card says nothing.
        words: Writes it.
        tolerance: Relative difference up to which two systems count as matched; None where the row is shown only.
    """

    name: str
    value: Callable[[Mapping[str, Any]], Any]
    words: Callable[[Any], str]
    tolerance: float | None = None


def matched_control_table(entries: Sequence[Entry]) -> Table:
    """Return the table of each system's pretraining and its cost, with a warning for each thing that differs.

    A system without pretraining (random, from scratch) has the figures of its encoder only, hand-crafted features none.
    """
    cards, systems = _cards(entries), systems_of(entries)
    seeds = {(entry.system, entry.seed) for entry in entries if entry.seed is not None}
    rows = []
    for fact in _facts(cards):
        words = [_words(fact, cards.get(system, [])) for system in systems]
        if fact.name == "seeds":
            words = [
                ", ".join(str(seed) for own, seed in sorted(seeds) if own == system) or NOTHING for system in systems
            ]
        if set(words) != {NOTHING}:
            rows.append(Row(name=fact.name, cells=[Cell(text=text) for text in words]))
    return Table(
        key="matched-controls",
        title="Matched controls",
        caption=f"{foreword(entries)}What pretraining was and cost, from each run's own card. Operations are "
        "those of PyTorch's counter for forward and backward of a whole batch; wall time depends on the machine. "
        "Systems without pretraining have the figures of their encoder only.",
        corner="",
        columns=systems,
        rows=rows,
        records=[
            {"quantity": row.name, "system": system, "value": cell.text}
            for row in rows
            for system, cell in zip(systems, row.cells, strict=True)
        ],
        notes=matching_warnings(entries),
    )


def matching_warnings(entries: Sequence[Entry]) -> list[str]:
    """Return warnings of what is not matched among the pretrained systems, and of those without a card to tell."""
    pretrained = [entry for entry in entries if entry.initialisation == "pretrained"]
    cards = _cards(pretrained)
    without = [name for name in systems_of(pretrained) if name not in cards]
    found = [f"{', '.join(without)}: no card in the run, so nobody can tell whether it is matched."] if without else []
    for system, own in cards.items():
        if differing := _unlike(own):
            found.append(f"The runs of {system} differ among themselves in {'; '.join(differing)}.")
    for fact in _facts(cards):
        values = {system: fact.value(own[0]) for system, own in cards.items() if fact.value(own[0]) is not None}
        if fact.tolerance is not None and not _within(list(values.values()), fact.tolerance):
            words = ", ".join(f"{system} {fact.words(value)}" for system, value in values.items())
            found.append(f"NOT MATCHED in {fact.name}{_spread(list(values.values()))}: {words}.")
    seeds = {system: ", ".join(sorted(str(card.get("seed")) for card in own)) for system, own in cards.items()}
    if len(set(seeds.values())) > 1:
        words = ", ".join(f"{system} {numbers}" for system, numbers in seeds.items())
        found.append(f"NOT MATCHED in seeds: {words}.")
    return found


def _cards(entries: Sequence[Entry]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the different cards of each system, one a run."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        if entry.card and entry.card not in found.setdefault(entry.system, []):
            found[entry.system].append(entry.card)
    return found


def _facts(cards: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[_Fact]:
    parts, of_flops = (
        dict.fromkeys(part for own in cards.values() for part in _at(*path)(own[0]) or () if part != "total")
        for path in (("parameters",), ("flops", "by_part"))
    )
    return [
        *(
            _Fact(name=f"parameters, {part.replace('_', ' ')}", value=_at("parameters", part), words=count)
            for part in parts
        ),
        _Fact(name="parameters in total", value=_at("parameters", "total"), words=count, tolerance=_PARAMETERS),
        _Fact(name="tokens a view", value=_at("tokens", "per_view"), words=count, tolerance=0),
        _Fact(name="views", value=_at("tokens", "views"), words=count, tolerance=0),
        _Fact(name="visible tokens", value=_at("tokens", "visible"), words=count),
        _Fact(name="mask", value=_mask, words=str, tolerance=0),
        _Fact(name="target", value=_at("target"), words=str, tolerance=0),
        _Fact(name="decoder sees", value=_at("decoder_context"), words=str, tolerance=0),
        _Fact(name="encoder weights", value=_at("encoder_weights"), words=str),
        _Fact(name="alignment", value=_at("alignment"), words=str),
        *(
            _Fact(
                name=f"operations a study, {part.replace('_', ' ')}", value=_at("flops", "by_part", part), words=_flops
            )
            for part in of_flops
        ),
        _Fact(name="operations a step", value=_at("flops", "step"), words=_flops, tolerance=_FLOPS),
        _Fact(name="operations in total", value=_at("flops", "total"), words=_flops, tolerance=_FLOPS),
        _Fact(name="steps", value=_at("steps"), words=count, tolerance=0),
        _Fact(name="studies a step", value=_at("batch_size"), words=count, tolerance=0),
        _Fact(name="training studies", value=_at("studies"), words=count, tolerance=0),
        _Fact(name="optimiser", value=_at("optimiser"), words=str, tolerance=0),
        _Fact(name="learning rate", value=_at("lr"), words=lambda value: f"{value:g}", tolerance=0),
        _Fact(name="schedule", value=_at("schedule"), words=str, tolerance=0),
        _Fact(name="weight decay", value=_at("weight_decay"), words=lambda value: f"{value:g}", tolerance=0),
        _Fact(name="precision", value=_at("precision"), words=str, tolerance=0),
        _Fact(name="wall time", value=_at("seconds"), words=format_seconds),
        _Fact(name="hardware", value=_hardware, words=str),
        _Fact(name="seeds", value=_at("seed"), words=str),
    ]


def _words(fact: _Fact, cards: Sequence[Mapping[str, Any]]) -> str:
    """Return what the runs of a system say, each value once; wall times as their mean."""
    values = [value for card in cards if (value := fact.value(card)) is not None]
    if not values:
        return NOTHING
    if fact.name == "wall time":
        values = [sum(values) / len(values)]
    return ", ".join(dict.fromkeys(fact.words(value) for value in values))


def _unlike(cards: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the runs of one system differ in, other than seed, wall time and hardware."""
    found = []
    for fact in (fact for fact in _facts({"": cards}) if fact.tolerance is not None):
        values = dict.fromkeys(value for card in cards if (value := fact.value(card)) is not None)
        if len(values) > 1:
            found.append(f"{fact.name} ({', '.join(map(fact.words, values))})")
    return found


def _within(values: Sequence[Any], tolerance: float) -> bool:
    if len(values) < 2:
        return True
    if tolerance == 0 or not all(isinstance(value, int | float) for value in values):
        return len(set(map(str, values))) == 1
    return max(values) <= min(values) * (1 + tolerance)


def _spread(values: Sequence[Any]) -> str:
    if not all(isinstance(value, int | float) and value > 0 for value in values):
        return ""
    return f" (up to {100 * (max(values) / min(values) - 1):.1f} %)"


def _at(*path: str) -> Callable[[Mapping[str, Any]], Any]:
    def find(card: Mapping[str, Any]) -> Any:
        value: Any = card
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    return find


def _mask(card: Mapping[str, Any]) -> str | None:
    """Return strategy and ratios of the mask in words."""
    mask = card.get("mask")
    if not mask:
        return None
    ratios = {"ratio": mask.get("ratio"), "latent": mask.get("latent_ratio")}
    words = [f"{name} {value:g}" for name, value in ratios.items() if value is not None]
    views = [f"{mask['hidden_views']} views whole"] if mask.get("hidden_views") else []
    several = [f"{mask['num_masks']} masks a study"] if (mask.get("num_masks") or 1) > 1 else []
    return ", ".join([str(mask.get("strategy")), *words, *views, *several])


def _hardware(card: Mapping[str, Any]) -> str | None:
    hardware = card.get("hardware")
    return hardware_words(hardware) if hardware else None


def _flops(value: float) -> str:
    """Return ``3.21 G``, ``1.05 T``..."""
    if value <= 0:
        return "0"
    power = min(6, int(math.log10(value)) // 3)
    return f"{value / 10 ** (3 * power):.3g} {('', 'k', 'M', 'G', 'T', 'P', 'E')[power]}".strip()
