"""WFDB headers: fields that may be absent, comments in both spellings, and what is refused."""

from datetime import datetime

import pytest

from lamae.ecg.readers.wfdb_header import decode_header, parse_comments, parse_header
from lamae.errors import DataError, FormatError


def test_a_full_header_worked_by_hand():
    header = parse_header(
        "45106466 1 500/999(0) 5000 12:04:00 22/09/2182\r\n"
        "45106466.dat 16x1:0+24 200.0(-7)/mV 16 3 4 14670 0 lead  II \r\n# <subject_id>: 10045929\r\n"
    )
    spec = header.specs[0]
    assert (header.rate_hz, header.num_samples, header.num_segments) == (500.0, 5000, 0)
    assert header.acquired_at == datetime(2182, 9, 22, 12, 4)
    assert (spec.format, spec.byte_offset, spec.steps_per_mv, spec.baseline) == (16, 24, 200.0, -7)
    assert header.names == ["lead  II"]
    assert header.checks == [["4", "14670"]]
    assert parse_comments(header.comments) == ("10045929", {})


@pytest.mark.parametrize(
    ("line", "steps_per_mv", "baseline"),
    [
        ("rec.dat 16", 200.0, 0),
        ("rec.dat 16 1000/mv", 1000.0, 0),
        ("rec.dat 16 500", 500.0, 0),
        ("rec.dat 16 500 12 1024", 500.0, 1024),  # without a baseline the ADC zero is the baseline
        ("rec.dat 16 500(3)/mV 12 1024", 500.0, 3),
        ("rec.dat 16 1e2/mV", 100.0, 0),
        ("rec.dat 16 0.5(0)/uV", 500.0, 0),
        ("rec.dat 16 -200/mV", -200.0, 0),
        ("rec.dat 16 5/nV", 5e6, 0),
    ],
)
def test_gain_baseline_and_unit(line, steps_per_mv, baseline):
    spec = parse_header(f"rec 1 250 7\n{line}\n").specs[0]
    assert (spec.steps_per_mv, spec.baseline) == (steps_per_mv, baseline)


def test_what_the_standard_takes_for_granted():
    header = parse_header("# a comment first\n\nrec 1\nrec.dat 16\n")
    assert (header.rate_hz, header.num_samples, header.acquired_at) == (250.0, None, None)
    assert header.names == ["signal 1"]
    assert parse_header("rec 1 250 0\nrec.dat 16\n").num_samples is None


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("12:04:00.25 22/09/2182", datetime(2182, 9, 22, 12, 4, 0, 250000)),
        ("05-Feb-2020 11:39:16", datetime(2020, 2, 5, 11, 39, 16)),
        ("11:39:16 31/02/2020", None),
        ("11:39:16 5-Foo-2020", None),
        ("11:39:16 01/01/0001", None),
        ("00:00:00 2006", None),
    ],
)
def test_start_of_the_recording(start, expected):
    assert parse_header(f"rec 1 250 7 {start}\nrec.dat 16\n").acquired_at == expected


@pytest.mark.parametrize(
    ("comments", "expected"),
    [
        (["Age: 74", "Sex: Male", "Dx: 59118001,164889003"], (74.0, "male", ("59118001", "164889003"))),
        ([" Age: 74", " Sex: F", " Dx: 59118001"], (74.0, "female", ("59118001",))),
        ([" age: 7.5", " sex: female"], (7.5, "female", None)),
        (["Age: NaN", "Sex: Unknown", "Dx: "], (None, None, None)),
        (["Age: -1", "Sex: NaN", "Dx: Unknown", "free text"], (None, None, None)),
        (["Age: 300"], (None, None, None)),
    ],
)
def test_comments(comments, expected):
    _, metadata = parse_comments(comments)
    codes = metadata.get("codes", {}).get("snomed")
    assert (metadata.get("age_years"), metadata.get("sex"), codes) == expected


@pytest.mark.parametrize(
    ("text", "reason", "match"),
    [
        ("", "malformed-header", "it has no record line"),
        ("# only a comment\n", "malformed-header", "it has no record line"),
        ("hello\n", "malformed-header", "should give a record name and a number of signals, found 'hello'"),
        ("rec twelve\n", "malformed-header", "number of signals"),
        ("rec/x 1\n", "malformed-header", "number of signals"),
        ("rec 1 fast 5\nrec.dat 16\n", "malformed-header", "sampling rate is malformed: 'fast'"),
        ("rec 1 0 5\nrec.dat 16\n", "wrong-rate", "must be above 0 Hz, found '0'"),
        ("rec 1 -500 5\nrec.dat 16\n", "wrong-rate", "must be above 0 Hz"),
        ("rec 1 nan 5\nrec.dat 16\n", "wrong-rate", "must be above 0 Hz"),
        ("rec 1 250 many\nrec.dat 16\n", "malformed-header", "number of samples is malformed: 'many'"),
        ("rec 3 250 5\nrec.dat 16\nrec.dat 16\n", "header-signal-count", "promises 3 signals and describes 2"),
        ("rec 1 250 5\nrec.dat 16\nrec.dat 16\n", "header-signal-count", "promises 1 signals and describes 2"),
        ("rec 0 250 5\n", "header-signal-count", "promises 0 signals"),
        ("rec 1 250 5\nrec.dat\n", "malformed-header", "signal line 1 is malformed"),
        ("rec 1 250 5\nrec.dat sixteen\n", "malformed-header", "signal line 1: malformed format 'sixteen'"),
        ("rec 1 250 5\nrec.dat 16 ten/mV\n", "malformed-header", "gain 'ten/mV'"),
        ("rec 1 250 5\nrec.dat 16x0\n", "malformed-header", "no samples in a frame"),
        (
            "rec/2 1 250 5\none 5\n",
            "malformed-header",
            "promises 2 segments, a name and a length each, and has 1 lines",
        ),
        ("rec/1 1 250 5\none five\n", "malformed-header", "the length of segment one is malformed"),
        ("rec/1 1 250 5\none 7\n", "malformed-header", "the segments hold 7 samples and the header promises 5"),
    ],
)
def test_bad_headers(text, reason, match):
    with pytest.raises(DataError, match=match) as caught:
        parse_header(text)
    assert caught.value.reason == reason
    assert isinstance(caught.value, FormatError) == (reason == "malformed-header")


def test_a_comment_in_another_encoding_does_not_end_a_line():
    """The second byte of a capital A with a ring in UTF-8 is a line end in latin-1."""
    text = "rec 1 250 3\r\nrec.dat 16 200 16 0 0 0 0 I\r\n# Hospital: \u00c5rhus\r\n#Dx: 426783006\r\n"
    header = parse_header(text.encode("utf-8").decode("latin-1"))
    assert header.names == ["I"]
    assert header.comments[1] == "Dx: 426783006"


@pytest.mark.parametrize(
    ("line", "reason", "match"),
    [
        ("rec.dat 16 0/mV", "zero-gain", "signal line 2: the gain is 0"),
        ("rec.dat 16 0.0(0)/mV", "zero-gain", "the gain is 0"),
        ("rec.dat 16 200/mmHg", "unknown-unit", "unknown unit 'mmHg': expected V, mV, uV or nV"),
    ],
)
def test_signals_without_a_voltage_matter_where_they_are_read(line, reason, match):
    header = parse_header(f"rec 2 250 5\nrec.dat 16\n{line}\n")
    header.check_scales([0])
    with pytest.raises(DataError, match=match) as caught:
        header.check_scales([0, 1])
    assert caught.value.reason == reason


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_units_with_a_micro_sign(encoding):
    header = parse_header(decode_header("rec 1 250 5\nrec.dat 16 2/\u00b5V\n".encode(encoding)))
    header.check_scales([0])
    assert header.specs[0].steps_per_mv == 2000.0
