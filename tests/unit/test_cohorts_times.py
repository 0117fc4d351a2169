"""Times and ages in tables, however they are written."""

from datetime import UTC, date, datetime, timedelta, timezone

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lamae.cohorts import notes, open_cohort
from lamae.cohorts.tables import TIME, read_csv, studies_table
from lamae.cohorts.times import times
from lamae.errors import DataError

NOON = datetime(2022, 2, 10, 12, 34, 56)
EPOCH = datetime(1970, 1, 1)
SECONDS = int((NOON - EPOCH).total_seconds())


def read(values, kind=None):
    return times(pa.array(values, kind), "labels.csv").to_pylist()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (44602, datetime(2022, 2, 10)),
        (44602.5, datetime(2022, 2, 10, 12)),
        (44602.604166667, datetime(2022, 2, 10, 14, 30)),
        (20220210, datetime(2022, 2, 10)),
        (20220210.0, datetime(2022, 2, 10)),
        (202202101234, datetime(2022, 2, 10, 12, 34)),
        (20220210123456, NOON),
        (21740210123456, NOON.replace(year=2174)),
        (SECONDS, NOON),
        (SECONDS + 0.25, NOON.replace(microsecond=250_000)),
        (SECONDS * 10**3, NOON),
        (SECONDS * 10**6, NOON),
        (SECONDS * 10**9, NOON),
        ("2022-02-10 12:34:56", NOON),
        ("2022-02-10T12:34:56.000000000", NOON),
        ("2022-02-10T12:34:56+01:00", NOON),
        ("2022-02-10 12:34:56.0 -0530", NOON),
        ("2022-02-10T12:34:56Z", NOON),
        (" 2022-02-10 ", datetime(2022, 2, 10)),
        ("2022-02-10 12:34", datetime(2022, 2, 10, 12, 34)),
        ("44602", datetime(2022, 2, 10)),
        ("20220210", datetime(2022, 2, 10)),
        (date(2022, 2, 10), datetime(2022, 2, 10)),
        (NOON, NOON),
        (NOON.replace(tzinfo=UTC), NOON),
    ],
)
def test_times_that_are_certain(value, expected):
    assert read([value, None]) == [expected, None]


def test_a_zone_of_a_column_leaves_the_clock_time():
    zone = pa.array([NOON.replace(tzinfo=timezone(timedelta(hours=1)))], pa.timestamp("ms", tz="+01:00"))
    assert times(zone, "a").to_pylist() == [NOON]
    fine = pa.array([SECONDS * 10**9 + 1], pa.timestamp("ns"))
    assert times(fine, "a").to_pylist() == [NOON]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([2019], "ambiguous-date"),  # a year, or days: 1905
        ([0], "ambiguous-date"),
        ([-1], "ambiguous-date"),
        ([738562], "ambiguous-date"),  # days as MATLAB counts them
        ([2022021014], "ambiguous-date"),  # the hour of a day, or seconds: 2034
        ([20221301], "ambiguous-date"),
        ([44602, SECONDS], "ambiguous-date"),
        ([44602, 3], "ambiguous-date"),
        (["10.02.2022"], "unreadable-date"),
        (["03/04/2022 12:00"], "unreadable-date"),
        (["2021-03-04", "44602"], "unreadable-date"),
        (["Mrs Smith"], "unreadable-date"),
        ([True], "wrong-column-type"),
    ],
)
def test_times_that_are_not_certain_are_refused_without_being_quoted(values, reason):
    with pytest.raises(DataError, match="labels") as caught:
        read(values)
    assert caught.value.reason == reason
    assert not any(str(value) in str(caught.value) for value in values if value not in (0, -1, 3))


@pytest.mark.parametrize("kind", [pa.null(), pa.int64(), pa.float64(), pa.string(), TIME])
def test_nothing_known_is_no_error(kind):
    assert read([None, None], kind) == [None, None]


def test_unix_seconds_that_happen_to_look_like_an_hour():
    seconds = [1_999_123_123, 1_999_999_999]  # the second has no month 99
    assert read(seconds) == [EPOCH + timedelta(seconds=second) for second in seconds]


def folder_table(tmp_path, text):
    (tmp_path / "ecgs").mkdir()
    for name in "abcd":
        (tmp_path / "ecgs" / f"{name}.npy").touch()
    (tmp_path / "labels.csv").write_text(text)
    return open_cohort("folder", tmp_path / "ecgs", labels=tmp_path / "labels.csv").table()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("44602", "44603"),
        ("20220210", "20220211"),
        (
            str(int((datetime(2022, 2, 10) - EPOCH).total_seconds())),
            str(int((datetime(2022, 2, 11) - EPOCH).total_seconds())),
        ),
        ("2022-02-10T00:00:00+09:00", "2022-02-11T00:00:00Z"),
    ],
)
def test_times_of_a_folder_s_table(tmp_path, first, second):
    table = folder_table(tmp_path, f"study_id,MI,acquired_at\na,0,{first}\nb,1,{second}\nc,0,\n")
    assert table["acquired_at"].to_pylist() == [datetime(2022, 2, 10), datetime(2022, 2, 11), None, None]


def test_a_folder_s_table_of_parquet(tmp_path):
    (tmp_path / "ecgs").mkdir()
    (tmp_path / "ecgs" / "a.npy").touch()
    moment = pa.array([NOON.replace(tzinfo=UTC)], pa.timestamp("ns", tz="Asia/Tokyo"))
    pq.write_table(pa.table({"study_id": ["a"], "acquired_at": moment}), tmp_path / "labels.parquet")
    table = open_cohort("folder", tmp_path / "ecgs", labels=tmp_path / "labels.parquet").table()
    assert table["acquired_at"].to_pylist() == [NOON + timedelta(hours=9)]


def test_a_listed_time_is_no_number_of_microseconds(tmp_path):
    columns = {"study_id": ["a"], "patient_key": ["a:1"], "path": ["a"], "acquired_at": [44602]}
    assert studies_table(columns, where=tmp_path)["acquired_at"].to_pylist() == [datetime(2022, 2, 10)]


def test_tables_of_every_cohort_read_times_alike(tmp_path):
    (tmp_path / "record_list.csv").write_text("study_id,ecg_time\n1,44602\n2,44603.5\n3,\n")
    table = read_csv(tmp_path / "record_list.csv", {"study_id": pa.string()}, {"ecg_time": TIME})
    assert table["ecg_time"].to_pylist() == [datetime(2022, 2, 10), datetime(2022, 2, 11, 12), None]


def test_ages_and_years_that_are_none_are_unknown_and_counted(tmp_path):
    table = folder_table(
        tmp_path,
        "study_id,MI,age_years,acquired_at\n"
        "a,0,300,2020-01-01\nb,1,-1,0001-01-01\nc,0,120,1900-01-01\nd,1,0,2299-12-31 23:59:59\n",
    )
    assert table["age_years"].to_pylist() == [None, None, 120, 0]
    assert [moment is None for moment in table["acquired_at"].to_pylist()] == [False, True, False, False]
    counted = notes(table)
    assert (counted["num_implausible_ages"], counted["num_implausible_dates"]) == (2, 1)


def test_unknown_ages_are_not_counted_as_implausible(tmp_path):
    columns = {"study_id": ["a", "b"], "patient_key": ["a:1", "a:2"], "path": ["a", "b"]}
    ages = pa.array([float("nan"), None], pa.float32())
    table = studies_table(columns | {"age_years": ages}, where=tmp_path)
    assert table["age_years"].to_pylist() == [None, None]
    assert notes(table) == {}
