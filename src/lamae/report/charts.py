"""The drawings of the report that are no ECG: curves over the steps of training, and attention between leads."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from lamae.report.folders import Attention
from lamae.report.style import NUM_SERIES, colour, new_chart

_SMOOTH_ABOVE = 60
"""Noisy curves of more points than this are drawn faintly, with their moving mean on top."""


_DARKEST_AT_LEAST = 2
"""Even attention must look even and not like much of it: the scale goes to at least this multiple of the even share."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a chart: ``x`` and ``y`` are ``[points]``; ``series`` chooses the colour."""

    name: str
    x: np.ndarray
    y: np.ndarray
    series: int
    is_validation: bool = False
    is_noisy: bool = True


def curve_chart(curves: Sequence[Curve], *, y_label: str) -> Figure:
    """Draw curves over the optimiser's steps. Validation is dashed, with a mark at each measurement."""
    figure, axes = new_chart()
    for curve in curves:
        line_colour = colour(f"series-{curve.series % NUM_SERIES}")
        if curve.is_validation:
            axes.plot(curve.x, curve.y, "--o", color=line_colour, linewidth=1.3, markersize=3.5, label=curve.name)
        elif curve.is_noisy and len(curve.x) > _SMOOTH_ABOVE:
            axes.plot(curve.x, curve.y, color=line_colour, linewidth=0.6, alpha=0.35)
            axes.plot(curve.x, _moving_mean(curve.y), color=line_colour, linewidth=1.7, label=curve.name)
        else:
            axes.plot(curve.x, curve.y, color=line_colour, linewidth=1.7, label=curve.name)
    axes.set(xlabel="step", ylabel=y_label)
    axes.set_xlim(left=0)
    axes.margins(x=0.02)
    if len(curves) > 1:
        axes.legend(frameon=False, fontsize=8.5, labelcolor=colour("ink"), borderaxespad=0.2)
    return figure


def attention_map(weights: np.ndarray, leads: Sequence[str], *, numbers: bool) -> Figure:
    """Draw ``[leads, leads]`` shares of attention in percent: the lead of a row looks at the lead of a column."""
    size_in = 4.6 if numbers else 2.9
    figure, axes = new_chart(width_in=size_in, height_in=size_in)
    shares = 100 * np.asarray(weights, dtype=np.float64)
    darkest = max(shares.max(), _DARKEST_AT_LEAST * 100 / len(leads))
    axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=darkest, edgecolors=colour("surface"), linewidth=1)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    places = np.arange(len(leads)) + 0.5
    text_size = 8 if numbers else 6.5
    axes.set_xticks(places, leads, fontsize=text_size)
    axes.set_yticks(places, leads, fontsize=text_size)
    axes.tick_params(length=0, labeltop=True, labelbottom=False, pad=1.5)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    if numbers:
        for (row, column), share in np.ndenumerate(shares):
            shade = "#ffffff" if share > 0.55 * darkest else "#1b2733"
            axes.text(column + 0.5, row + 0.5, f"{share:.0f}", size=7, color=shade, ha="center", va="center")
    return figure


def cls_bars(attention: Attention) -> Figure:
    """Draw the share of the CLS token's attention that goes to each lead, with the even share as a line."""
    figure, axes = new_chart(width_in=3.4, height_in=4.6)
    shares = 100 * np.asarray(attention.cls, dtype=np.float64)
    places = np.arange(len(shares))
    longest = max(shares.max(), _DARKEST_AT_LEAST * 100 / len(shares))
    axes.barh(places, shares, color=colour("series-0"), height=0.62)
    for place, share in enumerate(shares.tolist()):
        plate = {"facecolor": colour("surface"), "linewidth": 0, "pad": 0.8}
        x = share + 0.02 * longest
        axes.text(x, place, f"{share:.1f}", size=8, color=colour("muted"), va="center", bbox=plate)
    axes.axvline(100 / len(shares), color=colour("ink"), linewidth=1, linestyle=(0, (4, 3)))
    axes.set_yticks(places, attention.leads)
    axes.invert_yaxis()
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 1.15 * longest)
    axes.set_xlabel("share of attention, %  (dashed: even share)")
    return figure


def _moving_mean(values: np.ndarray) -> np.ndarray:
    """Return the centred mean over a thirtieth of the points; NaN are left out of it."""
    width = max(3, len(values) // 30) | 1
    known = np.isfinite(values)
    kernel = np.ones(width)
    total = np.convolve(np.where(known, values, 0), kernel, mode="same")
    return total / np.maximum(np.convolve(known, kernel, mode="same"), 1)
