"""What the page shows of pretraining: curves over the steps, and for each run its examples and cards."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamae.ecg.paper import LAYOUTS, plot_ecg
from lamae.report import cards
from lamae.report.charts import Curve, attention_map, cls_bars, curve_chart
from lamae.report.folders import Reconstruction, Run
from lamae.report.style import inline_svg
from lamae.report.wording import number

CURVES = (
    ("loss", "Loss", "Training loss, and dashed the validation loss where it was measured."),
    ("lr", "Learning rate", "Warm-up, then cosine decay."),
    ("feature_std", "Spread of features", "Standard deviation of the features over studies. Towards 0: collapse."),
    ("effective_rank", "Effective rank", "Number of directions that the features use. Towards 1: collapse."),
)
VALIDATION_LOSS = "validation_loss"


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawing with its title and its words."""

    title: str
    svg: str
    words: str = ""


@dataclass(frozen=True, kw_only=True)
class Waveform:
    """The reconstructed example: as a 12-lead print, over the whole time, and how far off it is."""

    sheet: str
    rows: str
    hidden_percent: str
    error_mv: str
    signal_mv: str
    simulated: bool
    title: str


@dataclass(frozen=True, kw_only=True)
class AttentionCharts:
    """Latent attention: the mean over layers, the bars of CLS, each layer (empty if there is one only)."""

    mean: str
    cls: str
    layers: Sequence[Chart]
    even_percent: str


@dataclass(frozen=True, kw_only=True)
class RunSection:
    """One run as the page shows it."""

    name: str
    anchor: str
    info: Mapping[str, Any]
    last_step: int | None
    total_parameters: int
    parameters: Sequence[cards.Bar]
    config: Sequence[tuple[str, list[tuple[str, str]]]]
    environment: Sequence[tuple[str, str]]
    data: Sequence[cards.DataCard]
    waveforms: Sequence[Waveform]
    attention: AttentionCharts | None
    normalised_target: bool

    @property
    def num_studies(self) -> int:
        """Number of studies that the model was trained on."""
        return int(self.info["training"]["studies"])


def make_sections(runs: Sequence[Run]) -> list[RunSection]:
    """Return a section for each run; runs of one recipe are numbered."""
    return [_make_section(run, name, index) for index, (run, name) in enumerate(zip(runs, _names(runs), strict=True))]


def cards_of(sections: Sequence[RunSection]) -> list[tuple[cards.DataCard, list[str]]]:
    """Return each data card once, with the names of the runs that it belongs to."""
    found: list[tuple[cards.DataCard, list[str]]] = []
    for section in sections:
        for card in section.data:
            users = next((users for known, users in found if known == card), None)
            if users is None:
                found.append((card, [section.name]))
            else:
                users.append(section.name)
    return found


def make_curves(runs: Sequence[Run]) -> list[Chart]:
    """Return the charts over the steps of training, all runs in each."""
    charts = []
    for key, title, words in CURVES:
        curves = []
        for index, (run, name) in enumerate(zip(runs, _names(runs), strict=True)):
            curves += _curves(run, key, name, index)
            if key == "loss":
                curves += _curves(run, VALIDATION_LOSS, f"{name}, validation", index, is_validation=True)
        if curves:
            figure = curve_chart(curves, y_label=title.lower())
            description = f"{title} over the steps of training: {', '.join(curve.name for curve in curves)}."
            charts.append(Chart(title=title, svg=inline_svg(figure, name=key, description=description), words=words))
    return charts


def _names(runs: Sequence[Run]) -> list[str]:
    recipes = [str(run.info["recipe"]) for run in runs]
    total, seen, names = Counter(recipes), Counter(), []
    for recipe in recipes:
        seen[recipe] += 1
        names.append(f"{recipe} ({seen[recipe]})" if total[recipe] > 1 else recipe)
    return names


def _curves(run: Run, key: str, name: str, series: int, *, is_validation: bool = False) -> list[Curve]:
    """Return the curve of one logged value, none if it was never logged; a step that was run again counts once."""
    logged = {int(row["step"]): float(row[key]) for row in run.metrics if row.get(key) is not None}
    if not logged:
        return []
    steps = sorted(logged)
    values = np.array([logged[step] for step in steps])
    return [
        Curve(
            name=name,
            x=np.array(steps),
            y=values,
            series=series,
            is_validation=is_validation,
            is_noisy=key != "lr",
        )
    ]


def _make_section(run: Run, name: str, index: int) -> RunSection:
    anchor = f"run-{index + 1}"
    return RunSection(
        name=name,
        anchor=anchor,
        info=run.info,
        last_step=run.info.get("step", max((int(row["step"]) for row in run.metrics), default=None)),
        total_parameters=cards.total_parameters(run),
        parameters=cards.parameters(run),
        config=cards.config_groups(run),
        environment=cards.environment(run),
        data=cards.data_cards(run),
        waveforms=[_waveform(example, f"{anchor}-ecg-{i}") for i, example in enumerate(run.reconstructions, 1)],
        attention=_attention(run, anchor),
        normalised_target="patch-normalised" in str(run.config),
    )


def _waveform(example: Reconstruction, anchor: str) -> Waveform:
    hidden = example.masked & np.isfinite(example.original)
    error = (example.reconstructed - example.original)[hidden]
    drawings = {
        layout: inline_svg(
            plot_ecg(
                example.original,
                example.leads,
                example.rate_hz,
                reconstructed_mv=example.reconstructed,
                masked=example.masked,
                layout=layout,
                caption="simulated" if example.simulated else "",
            ),
            name=f"{anchor}-{layout}",
            description=f"ECG on paper, {', '.join(example.leads)}: recorded, hidden parts shaded, reconstruction.",
            themed=False,
        )
        for layout in LAYOUTS
    }
    return Waveform(
        sheet=drawings["3x4"],
        rows=drawings["rows"],
        hidden_percent=f"{100 * example.masked.mean():.0f}",
        error_mv=number(_rms(error), 3),
        signal_mv=number(_rms(example.original[hidden]), 3),
        simulated=example.simulated,
        title=example.title or "A study of the run's own data",
    )


def _rms(values: np.ndarray) -> float | None:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if values.size else None


def _attention(run: Run, anchor: str) -> AttentionCharts | None:
    example = run.attention
    if example is None or len(example.weights) == 0:
        return None
    names = [f"{anchor}-layer-{layer + 1}" for layer in range(len(example.weights))]
    layers = [
        Chart(
            title=f"Layer {layer + 1}",
            svg=inline_svg(
                attention_map(weights, example.leads, numbers=False),
                name=names[layer],
                description=f"Attention between leads in latent layer {layer + 1}.",
            ),
        )
        for layer, weights in enumerate(example.weights)
    ]
    return AttentionCharts(
        mean=inline_svg(
            attention_map(example.weights.mean(axis=0), example.leads, numbers=True),
            name=f"{anchor}-mean",
            description="Attention between leads in percent, mean over the latent layers.",
        ),
        cls=inline_svg(cls_bars(example), name=f"{anchor}-cls", description="Attention of CLS to each lead."),
        layers=layers if len(layers) > 1 else [],
        even_percent=number(100 / len(example.leads), 1),
    )
