"""Numbers and names as the page prints them."""

import math
from collections.abc import Callable, Mapping
from typing import Any

_METRICS = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "f1": "F1",
    "brier": "Brier score",
    "ece": "ECE",
    "mae": "MAE",
    "r2": "R²",
}
_WORDS = {"l2": "L2", "lr": "learning rate", "cls": "CLS", "mlp": "MLP"}
_UNITS = {"s": "s", "hz": "Hz", "mv": "mV"}
NOTHING = "–"


def number(value: float | None, digits: int = 3, *, sign: str = "") -> str:
    """Return ``0.842``, with a sign of ``"+"`` ``+0.842``; a dash for what is not known."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:{sign}.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 3) -> str:
    """Return ``+0.063`` or ``−0.012``; a dash for what is not known."""
    return number(value, digits, sign="+")


def with_interval(interval: Mapping[str, float | None] | None, words: Callable[[float | None], str]) -> str:
    """Return ``0.842 (0.815 to 0.866)`` with ``number`` or ``signed`` for the words."""
    if interval is None:
        return NOTHING
    value, low, high = (words(interval.get(key)) for key in ("value", "low", "high"))
    return value if NOTHING in (low, high) else f"{value} ({low} to {high})"


def count(value: int | float | None) -> str:
    """Return ``1,204``, with separators of thousands; a dash for what is not known."""
    return NOTHING if value is None else f"{value:,.0f}"


def metric_name(name: str) -> str:
    """Return ``macro AUROC`` for ``macro_auroc``."""
    return " ".join(_METRICS.get(word, word) for word in name.split("_"))


def heading(words: str) -> str:
    """Return words with a capital first letter, the rest as it is."""
    return words[:1].upper() + words[1:]


def key_name(key: str) -> str:
    """Return a setting's key as words: ``warmup_steps`` -> ``warmup steps``, ``max_gap_s`` -> ``max gap, s``."""
    return " › ".join(_WORDS.get(part) or _with_unit(part) for part in key.split("."))


def _with_unit(key: str) -> str:
    name, _, last = key.rpartition("_")
    return f"{name.replace('_', ' ')}, {_UNITS[last]}" if name and last in _UNITS else key.replace("_", " ")


def value_words(value: Any) -> str:
    """Return a setting's value as one line."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int):
        return count(value) if abs(value) >= 10_000 else str(value)
    if isinstance(value, list | tuple):
        return ", ".join(value_words(item) for item in value) or "none"
    return str(value)


def flat_rows(mapping: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as rows of name and value; an inner mapping's keys carry the outer one's name."""
    rows: list[tuple[str, str]] = []
    for key, value in mapping.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            rows += flat_rows(value, f"{path}.") if value else [(key_name(path), "none")]
        else:
            rows.append((key_name(path), value_words(value)))
    return rows
