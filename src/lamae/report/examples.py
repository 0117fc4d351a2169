"""The examples that a run left: studies with hidden parts and their reconstruction, and latent attention; drawn."""

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lamae.errors import FormatError
from lamae.modality import find_modality
from lamae.report.style import colour, inline_svg, new_chart
from lamae.report.wording import number

Arrays = Mapping[str, np.ndarray]

_RECONSTRUCTION = ("leads", "rate_hz", "original", "reconstructed", "masked", "simulated")
_ATTENTION = ("leads", "weights", "cls")
_DARKEST_AT_LEAST = 2
"""The colour scale reaches at least this multiple of even attention, which else would look like strong attention."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A reconstructed study: its drawings by caption, the one shown first in front, and how far off it is."""

    drawings: Mapping[str, str]
    hidden_percent: str
    error: str
    signal: str
    unit: str
    simulated: bool
    title: str


@dataclass(frozen=True, kw_only=True)
class AttentionCharts:
    """Latent attention: the mean over layers, the bars of CLS, each layer by name (none if there is only one)."""

    mean: str
    cls: str
    layers: Mapping[str, str]
    even_percent: str


def read_reconstruction(path: Path) -> Arrays:
    """Read ``examples/reconstruction*.npz``: one study with its hidden parts and what the model made of them.

    Returns:
        ``leads`` ``[instances]``, ``rate_hz``, ``original`` and ``reconstructed`` ``[instances, *grid]`` in the unit of
        the modality, ``masked`` ``[instances, *grid]`` bool, ``simulated``, and ``title`` where the file gives one.

    Raises:
        FormatError: It is damaged, an array is missing, or shapes disagree.
    """
    arrays = _read_arrays(path, _RECONSTRUCTION, optional=("title", "modality"))
    shape = (len(arrays["leads"]), *arrays["original"].shape[1:])
    _check_shapes(path, arrays, dict.fromkeys(("original", "reconstructed", "masked"), shape))
    return arrays | {"masked": arrays["masked"].astype(bool)}


def read_attention(path: Path) -> Arrays | None:
    """Read ``examples/attention.npz``, None where there is no such file.

    Returns:
        ``leads`` ``[views]``; ``weights`` ``[layers, views, views]``, the fraction of its attention that the view of a
        row gives to each view; ``cls`` ``[views]``, the fraction that the CLS token gives to each view.

    Raises:
        FormatError: It is damaged, an array is missing, or shapes disagree.
    """
    if not path.is_file():
        return None
    arrays = _read_arrays(path, _ATTENTION)
    num_views = len(arrays["leads"])
    _check_shapes(path, arrays, {"weights": (len(arrays["weights"]), num_views, num_views), "cls": (num_views,)})
    return arrays


def draw_reconstruction(arrays: Arrays, anchor: str) -> Example:
    """Draw a reconstructed study as its modality is printed; ``anchor`` is unique within the page."""
    modality = find_modality(str(arrays.get("modality", "ecg")))
    original, masked = arrays["original"], arrays["masked"]
    hidden = masked & np.isfinite(original)
    description = f"{modality.name}, {', '.join(arrays['leads'])}: recorded, hidden parts shaded, reconstruction."
    drawings = {
        caption: inline_svg(figure, name=f"{anchor}-{index}", description=description, themed=False)
        for index, (caption, figure) in enumerate(modality.draw(arrays).items())
    }
    return Example(
        drawings=drawings,
        hidden_percent=f"{100 * masked.mean():.0f}",
        error=number(_rms((arrays["reconstructed"] - original)[hidden]), 3),
        signal=number(_rms(original[hidden]), 3),
        unit=modality.unit,
        simulated=bool(arrays["simulated"]),
        title=str(arrays.get("title", "")) or "A study of the run's own data",
    )


def draw_attention(arrays: Arrays | None, anchor: str) -> AttentionCharts | None:
    """Draw latent attention; None where a run left none. ``anchor`` is unique within the page."""
    if arrays is None or len(arrays["weights"]) == 0:
        return None
    names, weights = list(map(str, arrays["leads"])), arrays["weights"]
    layers = {
        f"Layer {layer}": inline_svg(
            _attention_map(of_layer, names, numbers=False),
            name=f"{anchor}-layer-{layer}",
            description=f"Attention between leads in latent layer {layer}.",
        )
        for layer, of_layer in enumerate(weights, start=1)
    }
    return AttentionCharts(
        mean=inline_svg(
            _attention_map(weights.mean(axis=0), names, numbers=True),
            name=f"{anchor}-mean",
            description="Attention between leads in percent, mean over the latent layers.",
        ),
        cls=inline_svg(
            _cls_bars(arrays["cls"], names), name=f"{anchor}-cls", description="Attention of CLS to each lead."
        ),
        layers=layers if len(layers) > 1 else {},
        even_percent=number(100 / len(names), 1),
    )


def _attention_map(weights: np.ndarray, names: Sequence[str], *, numbers: bool) -> Figure:
    """Draw ``[views, views]`` attention in percent: the view of a row looks at the view of a column."""
    size_in = 4.6 if numbers else 2.9
    figure, axes = new_chart(width_in=size_in, height_in=size_in)
    percents = 100 * np.asarray(weights, dtype=np.float64)
    darkest = max(percents.max(), _DARKEST_AT_LEAST * 100 / len(names))
    axes.pcolormesh(percents, cmap="Blues", vmin=0, vmax=darkest, edgecolors=colour("surface"), linewidth=1)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    places = np.arange(len(names)) + 0.5
    text_size = 8 if numbers else 6.5
    axes.set_xticks(places, names, fontsize=text_size)
    axes.set_yticks(places, names, fontsize=text_size)
    axes.tick_params(length=0, labeltop=True, labelbottom=False, pad=1.5)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    if numbers:
        for (row, column), percent in np.ndenumerate(percents):
            shade = "#ffffff" if percent > 0.55 * darkest else "#1b2733"
            axes.text(column + 0.5, row + 0.5, f"{percent:.0f}", size=7, color=shade, ha="center", va="center")
    return figure


def _cls_bars(cls: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw the percentage of the CLS token's attention on each view, with that of even attention as a line."""
    figure, axes = new_chart(width_in=3.4, height_in=4.6)
    percents = 100 * np.asarray(cls, dtype=np.float64)
    places = np.arange(len(percents))
    longest = max(percents.max(), _DARKEST_AT_LEAST * 100 / len(percents))
    axes.barh(places, percents, color=colour("series-0"), height=0.62)
    for place, percent in enumerate(percents.tolist()):
        plate = {"facecolor": colour("surface"), "linewidth": 0, "pad": 0.8}
        x = percent + 0.02 * longest
        axes.text(x, place, f"{percent:.1f}", size=8, color=colour("muted"), va="center", bbox=plate)
    axes.axvline(100 / len(percents), color=colour("ink"), linewidth=1, linestyle=(0, (4, 3)))
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 1.15 * longest)
    axes.set_xlabel("share of attention, %  (dashed: even share)")
    return figure


def _rms(values: np.ndarray) -> float | None:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if values.size else None


def _read_arrays(path: Path, names: tuple[str, ...], *, optional: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(path):
        raise FormatError(f"{path}: this is not a readable .npz file", reason="damaged-npz")
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise FormatError(f"{path}: this is not a readable .npz file: {error}", reason="damaged-npz") from error
    if absent := [name for name in names if name not in arrays]:
        raise FormatError(f"{path}: the array {', '.join(absent)} is missing", reason="missing-key")
    if unknown := arrays.keys() - {*names, *optional}:
        raise FormatError(f"{path}: {len(unknown)} arrays have names that are not known", reason="damaged-npz")
    return arrays


def _check_shapes(path: Path, arrays: Mapping[str, np.ndarray], expected: Mapping[str, tuple[int, ...]]) -> None:
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise FormatError(
                f"{path}: {name} must have the shape {shape}, found {arrays[name].shape}", reason="wrong-shape"
            )
