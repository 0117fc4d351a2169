"""Colour, shape and line of each system, the same in every chart of a comparison."""

from collections.abc import Sequence
from dataclasses import dataclass

from lamae.report.style import NUM_SERIES, colour

_SHAPES = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "h", "p", "d")
_LINES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class SystemStyle:
    """How a system is drawn."""

    colour: str
    shape: str
    line: str
    filled: bool


def styles_of(systems: Sequence[str], *, controls: Sequence[str] = ()) -> dict[str, SystemStyle]:
    """Return a style for each system; random controls are grey and hollow."""
    styles, count = {}, 0
    for system in systems:
        if system in controls:
            styles[system] = SystemStyle(colour("control"), "o", ":", filled=False)
            continue
        shape, line = _SHAPES[count % len(_SHAPES)], _LINES[count // NUM_SERIES % len(_LINES)]
        styles[system] = SystemStyle(colour(f"series-{count % NUM_SERIES}"), shape, line, filled=count < NUM_SERIES)
        count += 1
    return styles


def marker_options(style: SystemStyle, *, size: float = 5.0) -> dict[str, object]:
    """Return the options of matplotlib's markers for a style."""
    return {
        "marker": style.shape,
        "markersize": size,
        "color": style.colour,
        "markerfacecolor": style.colour if style.filled else colour("surface"),
        "markeredgecolor": style.colour,
        "markeredgewidth": 1.2,
    }
