"""The matched-control lines of `lamae describe`: facts and cost of a pretraining, so that another can be matched."""

from collections.abc import Callable, Mapping
from typing import Any

from lamae.progress import format_seconds
from lamae.run_files import hardware_words

_PREFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def card_lines(card: Mapping[str, Any]) -> str:
    """Return one line a fact: parameters, tokens, masks, operations, steps, seed, time.

    Args:
        card: ``run.json["card"]`` of a run (``docs/training.md``); a fact that it lacks has no line.
    """
    facts: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "system": lambda card: str(card.get("system") or ""),
        "parameters": _parameters,
        "tokens": _tokens,
        "mask": _mask,
        "target": _target,
        "operations": _operations,
        "training": _training,
        "optimiser": _optimiser,
        "seed": lambda card: "" if card.get("seed") is None else str(card["seed"]),
        "wall time": _time,
    }
    told = {name: words(card) for name, words in facts.items()}
    width = max(map(len, facts))
    return "\n".join(f"{name.ljust(width)}  {words}" for name, words in told.items() if words)


def with_prefix(number: float, unit: str = "") -> str:
    """Return a number with three significant digits: ``"0.806 M"``, ``"1.2 GFLOP"``, ``"96"``."""
    for size, prefix in _PREFIXES:
        if abs(number) >= 0.5 * size:
            return f"{_digits(number / size)} {prefix}{unit}"
    return f"{_digits(number)} {unit}".rstrip()


def _digits(number: float) -> str:
    return f"{number:.3g}" if abs(number) < 999.5 else f"{number:,.0f}"


def _parameters(card: Mapping[str, Any]) -> str:
    parameters = dict(card.get("parameters") or {})
    total = parameters.pop("total", None)
    parts = ", ".join(f"{_spaced(part)} {with_prefix(number)}" for part, number in parameters.items() if number)
    return "" if total is None else f"{with_prefix(total)}" + (f": {parts}" if parts else "")


def _tokens(card: Mapping[str, Any]) -> str:
    tokens = card.get("tokens") or {}
    if "total" not in tokens:
        return ""
    of_views = f" ({tokens['views']} leads x {tokens['per_view']})" if {"views", "per_view"} <= set(tokens) else ""
    seen = f", {tokens['visible']:,} visible" if "visible" in tokens else ""
    return f"{tokens['total']:,} a study{of_views}{seen}"


def _mask(card: Mapping[str, Any]) -> str:
    mask = card.get("mask") or {}
    if "strategy" not in mask:
        return ""
    words = [f"{mask['strategy']}, {100 * mask.get('ratio', 0):g} % hidden"]
    if mask.get("hidden_views"):
        words.append(f"{mask['hidden_views']} whole leads hidden")
    if mask.get("latent_ratio"):
        words.append(f"{100 * mask['latent_ratio']:g} % of the visible tokens hidden from latent attention")
    if mask.get("num_masks", 1) > 1:
        words.append(f"{mask['num_masks']} masks a study")
    return ", ".join(words)


def _target(card: Mapping[str, Any]) -> str:
    if not card.get("target"):
        return ""
    context = card.get("decoder_context")
    sees = {
        None: "",
        "none": "; a lead is decoded from its own tokens",
        "cls": "; the decoder sees the study's CLS token",
    }
    return str(card["target"]) + sees.get(context, f"; the decoder sees {context}")


def _operations(card: Mapping[str, Any]) -> str:
    flops = card.get("flops") or {}
    parts = {part: number for part, number in (flops.get("by_part") or {}).items() if part != "total"}
    words = []
    if parts:
        listed = ", ".join(f"{_spaced(part)} {with_prefix(number, 'FLOP')}" for part, number in parts.items() if number)
        words.append(f"{with_prefix(sum(parts.values()), 'FLOP')} a study, forward and backward ({listed})")
    words += [f"{with_prefix(flops['step'], 'FLOP')} a step"] if "step" in flops else []
    words += [f"{with_prefix(flops['total'], 'FLOP')} in total"] if "total" in flops else []
    return "; ".join(words)


def _training(card: Mapping[str, Any]) -> str:
    if "steps" not in card or "batch_size" not in card:
        return ""
    words = f"{card['steps']:,} steps of {card['batch_size']:,} studies"
    if studies := card.get("studies"):
        words += f"; {studies:,} studies, {_digits(card['steps'] * card['batch_size'] / studies)} epochs"
    return words + (f"; {card['precision']}" if card.get("precision") else "")


def _optimiser(card: Mapping[str, Any]) -> str:
    if "optimiser" not in card:
        return ""
    words = [f"{card['optimiser']}, learning rate {card['lr']:g}" if "lr" in card else str(card["optimiser"])]
    words += [str(card["schedule"])] if card.get("schedule") else []
    words += [f"weight decay {card['weight_decay']:g}"] if card.get("weight_decay") is not None else []
    return "; ".join(words)


def _time(card: Mapping[str, Any]) -> str:
    if card.get("seconds") is None:
        return ""
    where = hardware_words(card.get("hardware") or {})
    return format_seconds(card["seconds"]) + (f" on {where}" if where else "")


def _spaced(part: str) -> str:
    return part.replace("_", " ")
