"""The drawing of an ECG: true to scale, every lead at its place, hidden parts marked."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from report_fakes import LEADS, fake_ecg

from lamae.ecg.paper import COARSE_GRID, RECONSTRUCTION, SHADE, TRACE, plot_ecg
from lamae.errors import DataError


def lines(figure, colour):
    return [line for line in figure.axes[0].lines if to_hex(line.get_color()) == colour]


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def traces(figure):
    """Return the traces of leads, without calibration pulses (6 points) and ticks between columns (2 points)."""
    return [line for line in lines(figure, TRACE) if len(line.get_xdata()) > 6]


def test_one_figure_inch_is_one_inch_of_paper():
    figure = plot_ecg(fake_ecg(), LEADS, 100)
    axes = figure.axes[0]
    assert axes.get_position().bounds == (0, 0, 1, 1)
    np.testing.assert_allclose(figure.get_size_inches() * 25.4, [axes.get_xlim()[1], axes.get_ylim()[1]])


def test_coarse_grid_lines_are_5_mm_apart_in_both_directions():
    upright, level = lines(plot_ecg(fake_ecg(), LEADS, 100), COARSE_GRID)
    for positions in (upright.get_xdata()[::3], level.get_ydata()[::3]):
        np.testing.assert_allclose(np.diff(positions), 5)


def test_by_hand_one_millivolt_and_one_second():
    values = np.zeros((1, 401))
    values[0, 100:150] = 1.0
    figure = plot_ecg(values, ["V1"], 100, layout="rows")
    (trace,) = traces(figure)
    x, y = trace.get_xdata(), trace.get_ydata()
    assert y[100] - y[0] == pytest.approx(10)
    assert x[100] - x[0] == pytest.approx(25)


def test_three_by_four_puts_each_lead_in_its_quarter_of_time():
    figure = plot_ecg(fake_ecg(), LEADS, 100)
    shown = traces(figure)
    assert len(shown) == 13
    assert texts(figure)[:13] == ["I", "aVR", "V1", "V4", "II", "aVL", "V2", "V5", "III", "aVF", "V3", "V6", "II"]
    v4 = shown[3]
    height = np.asarray(v4.get_ydata())
    expected = fake_ecg()[LEADS.index("V4"), 750:1000] * 10
    np.testing.assert_allclose(height - height[0], expected - expected[0], atol=1e-4)
    assert v4.get_xdata()[0] == pytest.approx(shown[0].get_xdata()[0] + 7.5 * 25)


def test_leads_are_found_by_name_and_absent_ones_are_named():
    order = [7, 0, 4]
    names = [LEADS[index] for index in order]
    figure = plot_ecg(fake_ecg()[order], names, 100, rhythm_lead=None)
    assert len(traces(figure)) == 3
    assert "V3  not recorded" in texts(figure)
    shown = {LEADS[index] for index in order} & set(texts(figure))
    assert shown == set(names)


def test_other_leads_are_drawn_in_rows():
    figure = plot_ecg(np.zeros((2, 97)), ["V7", "X"], 97, layout="rows")
    assert texts(figure)[:2] == ["V7", "X"]


def test_hidden_parts_are_shaded_and_only_they_are_reconstructed():
    values = np.zeros((1, 101))
    masked = np.zeros((1, 101), dtype=bool)
    masked[0, 20:40] = True
    figure = plot_ecg(values, ["II"], 100, reconstructed_mv=values + 0.3, masked=masked, layout="rows")
    (rebuilt,) = lines(figure, RECONSTRUCTION)
    assert np.flatnonzero(np.isfinite(rebuilt.get_ydata())).tolist() == list(range(20, 40))
    (shade,) = figure.axes[0].collections
    assert to_hex(shade.get_facecolor()[0]) == SHADE
    spans = [path.get_extents() for path in shade.get_paths()]
    assert [round(span.width, 6) for span in spans] == [5.0]


def test_missing_samples_leave_a_gap_and_an_empty_lead_is_no_error():
    values = fake_ecg()[:2, :211].copy()
    values[0, 5:9] = np.nan
    values[1] = np.nan
    trace = traces(plot_ecg(values, ["I", "II"], 100, layout="rows"))[0]
    assert np.isnan(trace.get_ydata()).sum() == 4


def test_at_most_ten_seconds_are_drawn():
    figure = plot_ecg(np.zeros((1, 1300)), ["II"], 100, layout="rows")
    assert traces(figure)[0].get_xdata()[-1] - traces(figure)[0].get_xdata()[0] == pytest.approx(250)


def test_caption_stands_beside_speed_gain_and_rate():
    assert "25 mm/s · 10 mm/mV · 100 Hz · simulated" in texts(plot_ecg(fake_ecg(), LEADS, 100, caption="simulated"))


def test_shape_without_a_name_for_each_lead_is_refused():
    with pytest.raises(DataError, match=r"shape \(12, 1000\) and 11 names"):
        plot_ecg(fake_ecg(), LEADS[:11], 100)


def test_rate_must_be_above_zero():
    with pytest.raises(DataError, match="above 0 Hz, found 0"):
        plot_ecg(fake_ecg(), LEADS, 0)


def test_reconstruction_of_another_shape_is_refused():
    with pytest.raises(DataError, match=r"reconstructed_mv must have the shape of the ECG, \(12, 1000\)"):
        plot_ecg(fake_ecg(), LEADS, 100, reconstructed_mv=np.zeros((12, 997)))


def test_three_by_four_without_a_standard_lead_is_refused():
    with pytest.raises(DataError, match="use the layout 'rows'"):
        plot_ecg(np.zeros((1, 101)), ["V7"], 100)
