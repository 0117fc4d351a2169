"""Ages and dates of recordings: one rule for all readers."""

from datetime import datetime

import pytest

from lamae.ages_and_dates import known_time, parse_time, with_known_age


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20021122", datetime(2002, 11, 22)),
        ("2002112209", datetime(2002, 11, 22, 9)),
        ("200211220910", datetime(2002, 11, 22, 9, 10)),
        ("20021122091011", datetime(2002, 11, 22, 9, 10, 11)),
        ("20021122091011.5", datetime(2002, 11, 22, 9, 10, 11, 500_000)),
        ("20021122091011.123456789", datetime(2002, 11, 22, 9, 10, 11, 123_456)),
        ("20021122091011.000+0100", datetime(2002, 11, 22, 9, 10, 11)),
        ("20021122091011-05", datetime(2002, 11, 22, 9, 10, 11)),
        ("20021122091011+0000 ", datetime(2002, 11, 22, 9, 10, 11)),
        ("20021322", None),
        ("2002", None),
        ("2002-11-22", None),
        ("", None),
        (None, None),
    ],
)
def test_times_of_dicom_and_hl7(text, expected):
    assert parse_time(text) == expected


@pytest.mark.parametrize(("year", "is_known"), [(1, False), (1899, False), (1900, True), (2299, True), (2300, False)])
def test_years_of_recordings(year, is_known):
    assert (known_time(datetime(year, 1, 1)) is not None) == is_known


@pytest.mark.parametrize(
    ("age", "is_known"), [(0, True), (120, True), (121, False), (300, False), (-1, False), (float("nan"), False)]
)
def test_ages(age, is_known):
    assert with_known_age({"sex": "male", "age_years": age}) == (
        {"sex": "male"} | ({"age_years": age} if is_known else {})
    )


def test_no_age_stays_none():
    assert with_known_age({"sex": "male"}) == {"sex": "male"}
