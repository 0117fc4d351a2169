"""Plot of an ECG on standard ECG paper: 25 mm/s, 10 mm/mV, square grid of 1 mm and 5 mm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lamae.ecg.leads import LEADS
from lamae.errors import DataError

MM_PER_S = 25.0
MM_PER_MV = 10.0
MAX_DURATION_S = 10.0
"""Longest duration shown on a sheet, as on printers of 12-lead ECGs."""

Layout = Literal["3x4", "rows"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
_CAPTIONS: Mapping[Layout, str] = {
    "3x4": "Columns follow each other in time, as on a printed 12-lead ECG.",
    "rows": "Every lead over the whole time",
}

PAPER, FINE_GRID, COARSE_GRID = "#fffafa", "#f9d9d9", "#eea9a9"
TRACE, RECONSTRUCTION, SHADE, LETTERING = "#141414", "#0056c7", "#5b8fd6", "#333333"

_MARGIN_MM, _PULSE_MM, _HEADER_MM, _FOOTER_MM = 5.0, 10.0, 5.0, 10.0
_MM_PER_INCH = 25.4


@dataclass(frozen=True, kw_only=True)
class _Segment:
    """Time segment of a lead and its position on the sheet, in mm from the lower left corner."""

    lead: str
    start_s: float
    duration_s: float
    left_mm: float
    baseline_mm: float
    row_mm: float


@dataclass(frozen=True, kw_only=True)
class _Recording:
    leads: tuple[str, ...]
    values_mv: np.ndarray
    reconstructed_mv: np.ndarray | None
    masked: np.ndarray | None
    rate_hz: float

    @property
    def duration_s(self) -> float:
        return min(MAX_DURATION_S, self.values_mv.shape[1] / self.rate_hz)


def plot_ecg(
    values_mv: np.ndarray,
    leads: Sequence[str],
    rate_hz: float,
    *,
    reconstructed_mv: np.ndarray | None = None,
    masked: np.ndarray | None = None,
    layout: Layout = "3x4",
    rhythm_lead: str | None = "II",
    caption: str = "",
) -> Figure:
    """Draw an ECG on ECG paper, true to scale (one figure inch is one inch of paper).

    Each lead is shifted so that its median lies on its baseline; samples are otherwise unchanged.

    Args:
        values_mv: ``[leads, samples]`` in mV; NaN gives a gap. At most the first 10 s are drawn.
        leads: Names of the rows of ``values_mv``.
        rate_hz: Sampling rate.
        reconstructed_mv: ``[leads, samples]`` in mV, drawn in colour where ``masked`` is true.
        masked: ``[leads, samples]`` bool, the samples hidden from the model; they are shaded.
        layout: ``"3x4"`` prints the 12 standard leads in four columns of equal time with a rhythm strip below;
            ``"rows"`` prints every lead over the whole time.
        rhythm_lead: The lead of the rhythm strip in ``"3x4"``, None for none.
        caption: Further text for the lower edge.

    Raises:
        DataError: The shapes do not agree, the rate is not above 0, or there is no lead to draw.
    """
    recording = _checked(values_mv, leads, rate_hz, reconstructed_mv, masked)
    rows = _rows(recording, layout, rhythm_lead)
    row_mm = _row_height_mm(recording)
    segments, absent = _placed(recording, rows, row_mm)
    width_mm = 2 * _MARGIN_MM + _PULSE_MM + _up_to_5(recording.duration_s * MM_PER_S)
    height_mm = _HEADER_MM + len(rows) * row_mm + _FOOTER_MM
    figure, axes = _sheet(width_mm, height_mm)
    for row in range(len(rows)):
        _draw_pulse(axes, height_mm - _HEADER_MM - (row + 0.5) * row_mm)
    for segment in segments:
        _draw_segment(axes, recording, segment)
    for segment in absent:
        _letter(axes, segment, f"{segment.lead}  not recorded")
    words = [f"{MM_PER_S:g} mm/s", f"{MM_PER_MV:g} mm/mV", f"{rate_hz:g} Hz", caption]
    axes.text(_MARGIN_MM, 3, " · ".join(word for word in words if word), size=8, color=LETTERING, va="bottom")
    return figure


def plot_reconstruction(arrays: Mapping[str, np.ndarray]) -> dict[str, Figure]:
    """Draw a reconstructed ECG in every layout, the one to show first in front.

    Args:
        arrays: ``leads`` ``[leads]``, ``rate_hz``, ``original`` and ``reconstructed`` ``[leads, samples]`` in mV,
            ``masked`` ``[leads, samples]`` bool, ``simulated``: the content of a run's ``reconstruction.npz``.

    Returns:
        Figures by their captions.

    Raises:
        DataError: As in `plot_ecg`.
    """
    return {
        caption: plot_ecg(
            arrays["original"],
            tuple(map(str, arrays["leads"])),
            float(arrays["rate_hz"]),
            reconstructed_mv=arrays["reconstructed"],
            masked=arrays["masked"],
            layout=layout,
            caption="simulated" if arrays["simulated"] else "",
        )
        for layout, caption in _CAPTIONS.items()
    }


def _checked(
    values_mv: np.ndarray,
    leads: Sequence[str],
    rate_hz: float,
    reconstructed_mv: np.ndarray | None,
    masked: np.ndarray | None,
) -> _Recording:
    values_mv = np.asarray(values_mv, dtype=np.float64)
    if values_mv.ndim != 2 or len(values_mv) != len(leads) or values_mv.size == 0:
        raise DataError(
            f"an ECG to draw must be [leads, samples] with a name for each lead: found an array of shape "
            f"{values_mv.shape} and {len(leads)} names",
            reason="wrong-shape",
        )
    if not rate_hz > 0:
        raise DataError(f"the rate of an ECG must be above 0 Hz, found {rate_hz}", reason="wrong-rate")
    for name, other in (("reconstructed_mv", reconstructed_mv), ("masked", masked)):
        if other is not None and other.shape != values_mv.shape:
            raise DataError(
                f"{name} must have the shape of the ECG, {values_mv.shape}: found {other.shape}", reason="wrong-shape"
            )
    return _Recording(
        leads=tuple(leads), values_mv=values_mv, reconstructed_mv=reconstructed_mv, masked=masked, rate_hz=rate_hz
    )


def _rows(recording: _Recording, layout: Layout, rhythm_lead: str | None) -> list[tuple[str, ...]]:
    """Return the leads of each printed row; the leads of a row divide its time equally."""
    if layout == "rows":
        return [(lead,) for lead in recording.leads]
    if not set(recording.leads) & set(LEADS):
        raise DataError(
            f"the layout 3x4 prints the 12 standard leads, and this recording has none of them ("
            f"{', '.join(recording.leads)}): use the layout 'rows'",
            reason="unknown-lead",
        )
    rows: list[tuple[str, ...]] = [tuple(LEADS[row::3]) for row in range(3)]
    if rhythm_lead is not None and rhythm_lead in recording.leads:
        rows.append((rhythm_lead,))
    return rows


def _row_height_mm(recording: _Recording) -> float:
    """Return the row height that fits nearly all samples, between 20 and 35 mm."""
    finite = recording.values_mv[np.isfinite(recording.values_mv).any(axis=1)]
    if len(finite) == 0:
        return 20.0
    reach_mv = np.nanpercentile(np.abs(finite - np.nanmedian(finite, axis=1, keepdims=True)), 99.7)
    return float(np.clip(_up_to_5(2 * reach_mv * MM_PER_MV), 20, 35))


def _placed(recording: _Recording, rows: list[tuple[str, ...]], row_mm: float) -> tuple[list[_Segment], list[_Segment]]:
    """Return the segments to draw, and those whose lead was not recorded."""
    drawn, absent = [], []
    for row, names in enumerate(rows):
        share_s = recording.duration_s / len(names)
        for column, lead in enumerate(names):
            segment = _Segment(
                lead=lead,
                start_s=column * share_s,
                duration_s=share_s,
                left_mm=_MARGIN_MM + _PULSE_MM + column * share_s * MM_PER_S,
                baseline_mm=_FOOTER_MM + (len(rows) - row - 0.5) * row_mm,
                row_mm=row_mm,
            )
            (drawn if lead in recording.leads else absent).append(segment)
    return drawn, absent


def _sheet(width_mm: float, height_mm: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width_mm / _MM_PER_INCH, height_mm / _MM_PER_INCH), facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width_mm), ylim=(0, height_mm), aspect="equal")
    axes.set_axis_off()
    for step_mm, colour, width in ((1, FINE_GRID, 0.35), (5, COARSE_GRID, 0.6)):
        x, y = np.arange(0, width_mm + 0.5, step_mm), np.arange(0, height_mm + 0.5, step_mm)
        axes.plot(*_ruled(x, 0, height_mm), color=colour, linewidth=width, zorder=0)
        axes.plot(*_ruled(y, 0, width_mm)[::-1], color=colour, linewidth=width, zorder=0)
    return figure, axes


def _ruled(at: np.ndarray, start: float, stop: float) -> tuple[np.ndarray, np.ndarray]:
    """Return parallel lines as one polyline with NaN gaps."""
    along = np.tile([start, stop, np.nan], len(at))
    return np.repeat(at, 3), along


def _draw_pulse(axes: Axes, baseline_mm: float) -> None:
    """Draw the calibration pulse: 1 mV high, 0.2 s wide."""
    x = _MARGIN_MM + np.array([0, 2, 2, 7, 7, 9])
    y = baseline_mm + np.array([0, 0, MM_PER_MV, MM_PER_MV, 0, 0])
    axes.plot(x, y, color=TRACE, linewidth=0.8, solid_joinstyle="miter")


def _draw_segment(axes: Axes, recording: _Recording, segment: _Segment) -> None:
    row = recording.leads.index(segment.lead)
    first = round(segment.start_s * recording.rate_hz)
    last = round((segment.start_s + segment.duration_s) * recording.rate_hz)
    part = slice(first, min(last + 1, recording.values_mv.shape[1]))
    x = segment.left_mm + (np.arange(part.start, part.stop) / recording.rate_hz - segment.start_s) * MM_PER_S
    values = recording.values_mv[row]
    centre = float(np.nanmedian(values)) if np.isfinite(values).any() else 0.0
    axes.plot(x, segment.baseline_mm + (values[part] - centre) * MM_PER_MV, color=TRACE, linewidth=0.8)
    if recording.masked is not None:
        masked = np.asarray(recording.masked[row, part], dtype=bool)
        _shade(axes, x, masked, segment)
        if recording.reconstructed_mv is not None:
            shown = np.where(masked, recording.reconstructed_mv[row, part], np.nan)
            y = segment.baseline_mm + (shown - centre) * MM_PER_MV
            axes.plot(x, y, color=RECONSTRUCTION, linewidth=1.0)
    if segment.start_s > 0:
        tick = segment.baseline_mm + np.array([-3, 3])
        axes.plot([segment.left_mm] * 2, tick, color=TRACE, linewidth=0.6)
    _letter(axes, segment, segment.lead)


def _shade(axes: Axes, x: np.ndarray, masked: np.ndarray, segment: _Segment) -> None:
    """Shade each run of masked samples over the height of the row."""
    step = x[1] - x[0] if len(x) > 1 else 1.0
    edges = np.flatnonzero(np.diff(np.concatenate(([False], masked, [False])).astype(np.int8)))
    below, height = segment.baseline_mm - segment.row_mm / 2, segment.row_mm
    spans = [(float(x[start]), float((stop - start) * step)) for start, stop in edges.reshape(-1, 2)]
    limit = segment.left_mm + segment.duration_s * MM_PER_S
    spans = [(left, min(width, limit - left)) for left, width in spans if left < limit]
    axes.broken_barh(spans, (below + 0.5, height - 1), facecolor=SHADE, alpha=0.2, linewidth=0)


def _letter(axes: Axes, segment: _Segment, text: str) -> None:
    x, y = segment.left_mm + 1, segment.baseline_mm + segment.row_mm / 2 - 1
    plate = {"facecolor": PAPER, "alpha": 0.7, "linewidth": 0, "pad": 0.6}
    axes.text(x, y, text, size=9, weight="bold", color=LETTERING, va="top", bbox=plate, zorder=1.5)


def _up_to_5(value: float) -> float:
    return float(np.ceil(round(value, 6) / 5) * 5)
