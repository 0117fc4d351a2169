"""One look for every chart: colours that follow the page's theme, plain axes, SVG that stands inline in HTML."""

import io
import re
from hashlib import sha256
from types import MappingProxyType

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

THEME = MappingProxyType(
    {
        "ink": ("#17202b", "#e6ebf1"),
        "muted": ("#556273", "#9fadbd"),
        "line": ("#d5dce4", "#34404d"),
        "surface": ("#ffffff", "#171d24"),
        "page": ("#f4f6f8", "#0f1419"),
        "accent": ("#0b62a8", "#6cb6f2"),
        "warn": ("#8a4b00", "#ffc670"),
        "warn-page": ("#fff3df", "#3a2a10"),
        "series-0": ("#0072b2", "#57b4ee"),
        "series-1": ("#d55e00", "#ff9450"),
        "series-2": ("#00835f", "#2fc79a"),
        "series-3": ("#a8467f", "#e594c2"),
        "series-4": ("#8a6a00", "#e3c04d"),
        "series-5": ("#4b55b8", "#a3abff"),
        "control": ("#727d8a", "#98a4b1"),
    }
)
"""Name of each colour to its value on a light and on a dark page. The series are Okabe and Ito's hues, safe for the
colour-blind, darkened or lightened to at least 3:1 against the surface."""

NUM_SERIES = 6
MARK_PATHS = MappingProxyType(
    {
        "circle": "M-4.2 0a4.2 4.2 0 1 0 8.4 0a4.2 4.2 0 1 0-8.4 0z",
        "square": "M-3.7-3.7h7.4v7.4h-7.4z",
        "diamond": "M0-5.2 5.2 0 0 5.2-5.2 0z",
        "triangle": "M0-4.8 4.8 3.6H-4.8z",
        "ring": "M-3.8 0a3.8 3.8 0 1 0 7.6 0a3.8 3.8 0 1 0-7.6 0z",
    }
)
"""Shapes that go with the series' colours, as SVG paths around the origin, so that colour is never the only cue."""


def colour(name: str) -> str:
    """Return the light value of a theme colour; ``inline_svg`` turns it into the page's CSS variable."""
    return THEME[name][0]


def css_variables(theme: str) -> str:
    """Return the CSS declarations of all theme colours for ``"light"`` or ``"dark"``."""
    which = ("light", "dark").index(theme)
    return " ".join(f"--{name}: {values[which]};" for name, values in THEME.items())


def new_chart(*, width_in: float = 4.6, height_in: float = 2.7) -> tuple[Figure, Axes]:
    """Return a figure with one pair of plain axes: two spines, a faint horizontal grid, no box."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(colour("line"))
    axes.tick_params(colors=colour("muted"), labelcolor=colour("muted"), labelsize=9, length=3)
    axes.xaxis.label.set(color=colour("muted"), fontsize=9.5)
    axes.yaxis.label.set(color=colour("muted"), fontsize=9.5)
    axes.grid(axis="y", color=colour("line"), linewidth=0.7)
    axes.set_axisbelow(True)
    axes.ticklabel_format(style="sci", scilimits=(-2, 5), useMathText=False)
    axes.yaxis.get_offset_text().set(color=colour("muted"), fontsize=9)
    return figure, axes


def inline_svg(figure: Figure, *, name: str, description: str, themed: bool = True) -> str:
    """Return a figure as an SVG element that can stand in an HTML page beside others.

    Args:
        figure: The figure to draw.
        name: Unique within the page: it keeps the identifiers of several drawings apart.
        description: Text alternative, for those who cannot see the drawing.
        themed: If true, the theme's colours become CSS variables (a drawing on paper keeps its own).
    """
    salt = sha256(name.encode()).hexdigest()
    stream = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt, "path.simplify_threshold": 0.15}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = stream.getvalue().decode()
    return _tidy(svg[svg.index("<svg") :], description=description, themed=themed)


def _tidy(svg: str, *, description: str, themed: bool) -> str:
    """Drop what a page does not need: ids of groups, comments, metadata, digits below a hundredth of a point."""
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    if themed:
        for key, (light, _) in THEME.items():
            svg = svg.replace(light, f"var(--{key})")
    label = description.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
