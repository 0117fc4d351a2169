"""The axis of the interval charts, by hand."""

import pytest

from lamae.report.results import make_mark, make_scale


def interval(value, low, high):
    return {"value": value, "low": low, "high": high}


def test_axis_ends_are_round_and_hold_every_interval():
    scale = make_scale([interval(0.81, 0.77, 0.86), None, interval(0.7, 0.66, 0.73)])
    assert scale is not None
    assert (scale.low, scale.high, scale.step) == (0.65, 0.9, 0.05)
    assert scale.ticks == [(0, "0.65"), (20, "0.70"), (40, "0.75"), (60, "0.80"), (80, "0.85"), (100, "0.90")]


def test_wide_range_takes_wider_steps_and_ends_at_one():
    scale = make_scale([interval(0.7, 0.43, 0.99)])
    assert scale is not None
    assert (scale.low, scale.high, scale.step) == (0.4, 1.0, 0.1)


def test_whole_range_has_few_ticks():
    scale = make_scale([interval(0.6, 0.0, 1.0)])
    assert scale is not None
    assert [words for _, words in scale.ticks] == ["0.00", "0.20", "0.40", "0.60", "0.80", "1.00"]


def test_single_value_at_one_has_an_axis():
    scale = make_scale([interval(1.0, None, None)])
    assert scale is not None
    assert scale.high > scale.low
    assert scale.percent(1.0) in (0, 100)


def test_nothing_known_has_no_axis():
    assert make_scale([None, interval(None, None, None), interval(float("nan"), 0.1, 0.2)]) is None


def test_mark_stands_where_the_value_is():
    scale = make_scale([interval(0.75, 0.7, 0.8)])
    mark = make_mark(interval(0.75, 0.7, 0.8), scale, ("series-0", "circle"), "A")
    assert mark is not None
    assert (mark.centre, mark.low, mark.high) == pytest.approx((50, 0, 100))
    assert mark.words == "A: 0.750 (0.700 to 0.800)"


def test_mark_without_an_interval_is_a_point():
    scale = make_scale([interval(0.75, 0.7, 0.8)])
    mark = make_mark(interval(0.75, None, None), scale, ("series-0", "circle"), "A")
    assert mark is not None
    assert mark.low == mark.centre == mark.high
    assert make_mark(None, scale, ("series-0", "circle"), "A") is None
