"""The curves of a report: losses, learning rate and signs of collapse over the steps of training."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from lamae.report.folders import Run
from lamae.report.style import NUM_SERIES, colour, inline_svg, new_chart

CURVES = (
    ("loss", "Loss", "Training loss, and dashed the validation loss where it was measured."),
    ("lr", "Learning rate", "Warm-up, then cosine decay."),
    ("feature_std", "Spread of features", "Standard deviation of the features over studies. Towards 0: collapse."),
    ("effective_rank", "Effective rank", "Number of directions that the features use. Towards 1: collapse."),
)
VALIDATION_LOSS = "validation_loss"
_SMOOTH_ABOVE = 60
"""Noisy curves of more points than this are drawn faintly, with their moving mean on top."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawing with its title and its words."""

    title: str
    svg: str
    words: str


def make_curves(runs: Sequence[Run]) -> list[Chart]:
    """Return the charts over the steps of training, all runs in each; validation is dashed."""
    charts = []
    for key, title, words in CURVES:
        figure, axes = new_chart()
        for index, (run, name) in enumerate(zip(runs, names_of(runs), strict=True)):
            in_colour = colour(f"series-{index % NUM_SERIES}")
            _draw(axes, *_logged(run, key), color=in_colour, label=name, smooth=key != "lr")
            steps, values = _logged(run, VALIDATION_LOSS)
            if key == "loss" and len(steps):
                style = {"color": in_colour, "linewidth": 1.3, "markersize": 3.5}
                axes.plot(steps, values, "--o", label=f"{name}, validation", **style)
        names = axes.get_legend_handles_labels()[1]
        if not names:
            continue
        axes.set(xlabel="step", ylabel=title.lower())
        axes.set_xlim(left=0)
        axes.margins(x=0.02)
        if len(names) > 1:
            axes.legend(frameon=False, fontsize=8.5, labelcolor=colour("ink"), borderaxespad=0.2)
        description = f"{title} over the steps of training: {', '.join(names)}."
        charts.append(Chart(title=title, svg=inline_svg(figure, name=key, description=description), words=words))
    return charts


def names_of(runs: Sequence[Run]) -> list[str]:
    """Return the recipes' names; runs of one recipe are numbered."""
    recipes = [str(run.info["recipe"]) for run in runs]
    total, seen, names = Counter(recipes), Counter(), []
    for recipe in recipes:
        seen[recipe] += 1
        names.append(f"{recipe} ({seen[recipe]})" if total[recipe] > 1 else recipe)
    return names


def _logged(run: Run, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return ``[points]`` steps and values of one logged quantity; a step that was run again counts once."""
    logged = {int(row["step"]): float(row[key]) for row in run.metrics if row.get(key) is not None}
    steps = sorted(logged)
    return np.array(steps), np.array([logged[step] for step in steps])


def _draw(axes: Axes, steps: np.ndarray, values: np.ndarray, *, color: str, label: str, smooth: bool) -> None:
    if smooth and len(steps) > _SMOOTH_ABOVE:
        axes.plot(steps, values, color=color, linewidth=0.6, alpha=0.35)
        values = _moving_mean(values)
    if len(steps):
        axes.plot(steps, values, color=color, linewidth=1.7, label=label)


def _moving_mean(values: np.ndarray) -> np.ndarray:
    """Return the centred mean over a thirtieth of the points; NaN are left out of it."""
    width = max(3, len(values) // 30) | 1
    known = np.isfinite(values)
    kernel = np.ones(width)
    total = np.convolve(np.where(known, values, 0), kernel, mode="same")
    return total / np.maximum(np.convolve(known, kernel, mode="same"), 1)
