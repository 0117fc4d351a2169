"""The drawings of a comparison: forests of paired differences, label efficiency, robustness."""

import io
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, zip_longest
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from lamae.compare.estimates import OverSeeds
from lamae.report.style import NUM_SERIES, colour, inline_svg, new_chart
from lamae.report.wording import NOTHING, number, signed

WRAP_AT = 46
"""Longer names of rows go over several lines."""

_ROW_IN, _LINE_IN, _AXIS_IN = 0.24, 0.14, 0.75
_ASIDE = 1.025
_SHAPES = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "h", "p", "d")
_LINES = ("-", "--", ":", "-.")


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawing: ``svg`` for pages, shut there if folded; ``svg_file`` and ``png`` are the bytes of its files."""

    key: str
    title: str
    caption: str
    svg: str
    svg_file: bytes
    png: bytes
    folded: bool = False


@dataclass(frozen=True)
class SystemStyle:
    """Colour, marker and line of a system."""

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


def _marker(style: SystemStyle, *, size: float = 5.0) -> dict[str, Any]:
    """Return the options of matplotlib's markers for a style."""
    return {
        "marker": style.shape,
        "markersize": size,
        "color": style.colour,
        "markerfacecolor": style.colour if style.filled else colour("surface"),
        "markeredgecolor": style.colour,
        "markeredgewidth": 1.2,
    }


@dataclass(frozen=True, kw_only=True)
class ForestRow:
    """A row of a forest: its name, the difference, and stars."""

    name: str
    found: OverSeeds
    stars: str = ""
    bold: bool = False


def forest(rows: Sequence[ForestRow], *, x_label: str) -> Figure:
    """Draw differences with their intervals around nothing, one a row, the figures at the right."""
    names = ["\n".join(textwrap.wrap(row.name, WRAP_AT)) or row.name for row in rows]
    heights = [_ROW_IN + _LINE_IN * name.count("\n") for name in names]
    figure, axes = new_chart(width_in=8.2, height_in=sum(heights) + _AXIS_IN)
    places = _places(heights)
    axes.axvline(0, color=colour("muted"), linewidth=1, linestyle=(0, (3, 3)))
    for place, row in zip(places, rows, strict=True):
        found, accent = row.found, colour("accent")
        if math.isnan(found.value):
            continue
        if not math.isnan(found.low):
            axes.plot([found.low, found.high], [place, place], color=accent, linewidth=1.8, solid_capstyle="round")
        axes.plot([found.value], [place], linestyle="", marker="D", color=accent, markersize=5)
    _name_rows(axes, places, names, bold=[row.bold for row in rows])
    right = axes.secondary_yaxis("right")
    right.set_yticks(places, [_forest_words(row) for row in rows], fontsize=8.5)
    right.tick_params(length=0, colors=colour("muted"), labelcolor=colour("ink"))
    right.spines["right"].set_visible(False)
    axes.set_xlabel(x_label)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: signed(value, _digits(axes)) if value else "0"))
    return figure


def efficiency(
    curves: Mapping[str, Sequence[tuple[float, OverSeeds]]], styles: Mapping[str, SystemStyle], *, y_label: str
) -> Figure:
    """Draw each system over the number of labelled studies on a logarithmic axis, with its intervals as whiskers."""
    figure, axes = new_chart(width_in=8.2, height_in=max(4.4, _legend_in(curves)))
    for index, (system, points) in enumerate(curves.items()):
        style, known = styles[system], [(x, one) for x, one in points if not math.isnan(one.value)]
        aside = _ASIDE ** (index - (len(curves) - 1) / 2)  # so that whiskers of one place stand beside each other
        places, found = [x * aside for x, _ in known], [one for _, one in known]
        line = {"linestyle": style.line, "linewidth": 1.5, "label": system}
        axes.plot(places, [one.value for one in found], **line, **_marker(style))
        axes.vlines(places, [one.low for one in found], [one.high for one in found], color=style.colour, alpha=0.7)
    axes.set_xscale("log")
    ticks = sorted({x for points in curves.values() for x, _ in points})
    axes.set_xticks(_apart(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel="labelled training studies (logarithmic)", ylabel=y_label)
    _legend_outside(figure, axes)
    return figure


def robustness(
    rows: Mapping[str, Mapping[str, OverSeeds]], styles: Mapping[str, SystemStyle], *, x_label: str
) -> Figure:
    """Draw each system's score under each condition; systems of one condition stand below each other."""
    systems = list(dict.fromkeys(system for found in rows.values() for system in found))
    names = ["\n".join(textwrap.wrap(name, WRAP_AT)) for name in rows]
    heights = [max(0.13 * len(systems) + 0.16, _ROW_IN + _LINE_IN * name.count("\n")) for name in names]
    figure, axes = new_chart(width_in=8.2, height_in=max(sum(heights) + _AXIS_IN + 0.1, _legend_in(systems)))
    places = _places(heights)
    for place, height, found in zip(places, heights, rows.values(), strict=True):
        step = (height - 0.16) / max(len(systems), 1)
        axes.axhline(place + height / 2, color=colour("line"), linewidth=0.7)
        for index, system in enumerate(systems):
            if (one := found.get(system)) is None or math.isnan(one.value):
                continue
            style, y = styles[system], place + (index - (len(systems) - 1) / 2) * step
            axes.plot([one.low, one.high], [y, y], color=style.colour, linewidth=1.2, alpha=0.8)
            axes.plot([one.value], [y], linestyle="", **_marker(style, size=3.8))
    for system in systems:
        axes.plot([], [], linestyle="", label=system, **_marker(styles[system]))
    _name_rows(axes, places, names)
    axes.set_xlabel(x_label)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, _digits(axes))))
    _legend_outside(figure, axes)
    return figure


def as_chart(figure: Figure, *, key: str, title: str, caption: str) -> Chart:
    """Return a figure as an inline drawing and as the bytes of its files, on white."""
    svg = inline_svg(figure, name=key, description=f"{title}. {caption}")
    figure.patch.set(facecolor="white", alpha=1)
    files = {}
    for kind in ("svg", "png"):
        stream = io.BytesIO()
        metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
        with matplotlib.rc_context({"svg.hashsalt": key}):
            figure.savefig(stream, format=kind, dpi=160, metadata=metadata)
        files[kind] = stream.getvalue()
    return Chart(key=key, title=title, caption=caption, svg=svg, svg_file=files["svg"], png=files["png"])


def _places(heights: Sequence[float]) -> list[float]:
    """Return the middle of each row, from the top down in inches."""
    tops = accumulate(heights, initial=0.0)
    return [top + height / 2 for top, height in zip(tops, heights, strict=False)]


def _name_rows(axes: Axes, places: Sequence[float], names: Sequence[str], *, bold: Sequence[bool] = ()) -> None:
    axes.set_yticks(places, names, fontsize=8.5)
    for label, is_bold in zip_longest(axes.get_yticklabels(), bold):
        label.set(color=colour("ink"), fontweight="bold" if is_bold else "normal")
    half = (places[1] - places[0]) / 2 if len(places) > 1 else 0.15
    axes.set_ylim(places[-1] + half, places[0] - half)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.grid(axis="x", color=colour("line"), linewidth=0.7)
    axes.spines["left"].set_visible(False)


def _forest_words(row: ForestRow) -> str:
    found = row.found
    if math.isnan(found.value):
        return NOTHING
    return " ".join(part for part in (signed(found.value), found.interval(signed), row.stars) if part)


def _digits(axes: Axes) -> int:
    """Return the number of digits that write the ticks without rounding, two at least."""
    ticks = axes.get_xticks()
    step = float(ticks[1] - ticks[0]) if len(ticks) > 1 else 0.0
    return next((digits for digits in range(2, 6) if abs(round(step, digits) - step) < 1e-9), 6)


def _apart(ticks: Sequence[float]) -> list[float]:
    """Leave out ticks whose numbers would touch on a logarithmic axis."""
    kept: list[float] = []
    reach = math.log10(max(ticks) / min(ticks)) if len(ticks) > 1 and min(ticks) > 0 else 1
    for tick in ticks:
        if not kept or math.log10(tick / kept[-1]) > 0.07 * reach:
            kept.append(tick)
    return kept


def _legend_in(systems: Iterable[str]) -> float:
    """Return the height that the names of the systems need in inches."""
    return 0.4 + sum(0.13 * _legend_name(system).count("\n") + 0.21 for system in systems)


def _legend_name(system: str) -> str:
    return "\n".join(textwrap.wrap(system, 26)) or system


def _legend_outside(figure: Figure, axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        [_legend_name(name) for name in names],
        loc="outside right upper",
        frameon=False,
        fontsize=8.5,
        labelcolor=colour("ink"),
        handlelength=2.4,
    )
