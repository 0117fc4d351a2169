"""HL7 aECG: small documents written here, as different makers spell them."""

from pathlib import Path

import numpy as np
import pytest

import lamae
from lamae.ecg.readers.aecg import read_aecg
from lamae.errors import DataError, FormatError

CLOCK = '<value xsi:type="GLIST_TS"><head value="20021122091000.000"/><increment value="0.002" unit="s"/></value>'


def lead(name: str, digits: str, *, scale: str = 'value="2.5" unit="uV"', origin: str = 'value="0" unit="uV"') -> str:
    return (
        f'<component><sequence><code code="{name}"/><value xsi:type="SLIST_PQ"><origin {origin}/><scale {scale}/>'
        f"<digits>{digits}</digits></value></sequence></component>"
    )


def sequence_set(*leads: str, times: str = CLOCK, kind: str = "TIME_ABSOLUTE") -> str:
    clock = f'<component><sequence><code code="{kind}"/>{times}</sequence></component>' if times else ""
    return f"<component><sequenceSet>{clock}{''.join(leads)}</sequenceSet></component>"


def series(*inner: str, code: str = "RHYTHM") -> str:
    return f'<component><series><code code="{code}"/>{"".join(inner)}</series></component>'


def derived(*inner: str) -> str:
    return f'<derivation><derivedSeries><code code="REPRESENTATIVE_BEAT"/>{"".join(inner)}</derivedSeries></derivation>'


def document(*inner: str) -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<AnnotatedECG xmlns="urn:hl7-org:v3" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><id root="1.2.3" extension="ecg-5"/>'
        '<effectiveTime><low value="20021122091000"/><high value="20021122091010"/></effectiveTime>'
        + "".join(inner)
        + "</AnnotatedECG>"
    )


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "ecg.xml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


RHYTHM = sequence_set(lead("MDC_ECG_LEAD_I", "1 2 -3 4 5"), lead("MDC_ECG_LEAD_AVF", "0 0 1 0 0"))
BEAT = sequence_set(lead("MDC_ECG_LEAD_I", "9 9 9"), lead("MDC_ECG_LEAD_V1", "9 9 9"), lead("MDC_ECG_LEAD_V2", "9 9 9"))
MV = np.array([1, 2, -3, 4, 5]) * 2.5e-3


def check(path: Path) -> None:
    study = lamae.read(path)
    assert list(study.views) == ["I", "aVF"]
    np.testing.assert_allclose(study.views["I"].values, MV, rtol=1e-6)
    assert study.views["I"].rate_hz == 500.0


def test_a_document_worked_by_hand(tmp_path):
    person = (
        '<componentOf><trialSubject><id root="9.9" extension="SBJ-123"/><subjectDemographicPerson>'
        '<administrativeGenderCode code="F"/><birthTime value="19530508"/></subjectDemographicPerson></trialSubject>'
        "</componentOf>"
    )
    path = write(tmp_path, document(person, series(RHYTHM)))
    check(path)
    study = read_aecg(path)
    assert (study.study_id, study.patient_id) == ("ecg-5", "SBJ-123")
    assert str(study.acquired_at) == "2002-11-22 09:10:00"
    assert study.metadata == {"source_format": "hl7-aecg", "sex": "female", "age_years": 49.0}


def test_a_stated_age_goes_before_the_date_of_birth(tmp_path):
    age = (
        '<controlVariable><relatedObservation><code code="21612-7"/><value xsi:type="PQ" value="46" unit="a"/>'
        "</relatedObservation></controlVariable>"
    )
    study = read_aecg(write(tmp_path, document('<birthTime value="19530508"/>', age, series(RHYTHM))))
    assert study.metadata["age_years"] == 46.0


@pytest.mark.parametrize(("age", "expected"), [("120", 120.0), ("300", None), ("-1", None)])
def test_a_stated_age_that_is_none(tmp_path, age, expected):
    stated = (
        '<controlVariable><relatedObservation><code code="21612-7"/>'
        f'<value xsi:type="PQ" value="{age}" unit="a"/></relatedObservation></controlVariable>'
    )
    assert read_aecg(write(tmp_path, document(stated, series(RHYTHM)))).metadata.get("age_years") == expected


def test_a_birth_too_long_ago_gives_no_age(tmp_path):
    study = read_aecg(write(tmp_path, document('<birthTime value="18000101"/>', series(RHYTHM))))
    assert "age_years" not in study.metadata


def test_a_zone_leaves_the_clock_time_as_in_all_readers(tmp_path):
    text = document(series(RHYTHM)).replace('"20021122091000"', '"20021122091000+0900"')
    assert "+0900" in text
    assert str(read_aecg(write(tmp_path, text)).acquired_at) == "2002-11-22 09:10:00"


@pytest.mark.parametrize(
    "inner",
    [
        series(RHYTHM, derived(BEAT)),
        series(derived(BEAT), RHYTHM),
        series(BEAT, code="REPRESENTATIVE_BEAT") + series(RHYTHM),
        series(RHYTHM) + series(BEAT, code="MEDIAN_BEAT"),
        series(RHYTHM, BEAT.replace("<sequenceSet>", '<sequenceSet><code code="REPRESENTATIVE_BEAT"/>')),
        series(RHYTHM, f"<component>{derived(BEAT)}</component>"),
        series(RHYTHM, series(BEAT, code="REPRESENTATIVE_BEAT")),
        series(RHYTHM) + f"<component>{derived(series(BEAT))}</component>",
    ],
)
def test_the_rhythm_is_read_wherever_the_beat_stands(tmp_path, inner):
    check(write(tmp_path, document(inner)))


def test_of_several_series_the_one_with_most_leads_then_the_longest(tmp_path):
    long = sequence_set(lead("MDC_ECG_LEAD_I", "7 " * 13))
    short = sequence_set(lead("MDC_ECG_LEAD_I", "7 7 7"), lead("MDC_ECG_LEAD_AVF", "7 7 7"))
    check(write(tmp_path, document(series(long), series(short), series(RHYTHM), series(short))))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(' xmlns="urn:hl7-org:v3"', ""),
        lambda text: (
            text.replace("<", "<hl7:")
            .replace("<hl7:/", "</hl7:")
            .replace("<hl7:?xml", "<?xml")
            .replace("xmlns=", "xmlns:hl7=")
        ),
        lambda text: text.replace('xsi:type="SLIST_PQ"', 'xsi:type="hl7:SLIST_PQ"'),
        lambda text: text.replace(' xsi:type="SLIST_PQ"', "").replace(' xsi:type="GLIST_TS"', ""),
        lambda text: text.replace('code="RHYTHM"', 'code="rhythm"'),
        lambda text: text.replace('<code code="RHYTHM"/>', ""),
        lambda text: text.replace("1 2 -3 4 5", "\n\t1\r\n 2   -3\u00a04\t5\n"),
        lambda text: text.replace("1 2 -3 4 5", "1.0 2e0 -3 4 5"),
        lambda text: text.replace('value="0.002" unit="s"', 'value="2" unit="ms"'),
        lambda text: text.replace('value="0.002" unit="s"', 'value="2000" unit="us"'),
        lambda text: (
            text.replace("TIME_ABSOLUTE", "TIME_RELATIVE")
            .replace("GLIST_TS", "GLIST_PQ")
            .replace('<head value="20021122091000.000"/>', '<head value="0" unit="s"/>')
        ),
        lambda text: text.replace('value="2.5" unit="uV"', 'value="0.0025" unit="mV"'),
        lambda text: text.replace('value="2.5" unit="uV"', 'value="2500" unit="nV"'),
        lambda text: text.replace('<origin value="0" unit="uV"/>', ""),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("utf-8", "utf-16").encode("utf-16"),
        lambda text: text.replace("<AnnotatedECG", "<!-- a comment --><AnnotatedECG"),
    ],
)
def test_spellings_of_makers(tmp_path, change):
    check(write(tmp_path, change(document(series(RHYTHM)))))


def test_the_origin_is_added_in_its_own_unit(tmp_path):
    shifted = lead("MDC_ECG_LEAD_II", "0 2", scale='value="500" unit="uV"', origin='value="-1" unit="mV"')
    study = read_aecg(write(tmp_path, document(series(sequence_set(shifted)))))
    assert study.views["II"].values.tolist() == [-1.0, 0.0]


def test_sets_recorded_in_turn_stand_at_their_own_time(tmp_path):
    later = CLOCK.replace("091000.000", "091000.006")
    inner = series(
        sequence_set(lead("MDC_ECG_LEAD_I", "1 1 1", scale='value="1" unit="mV"')),
        sequence_set(lead("MDC_ECG_LEAD_V1", "2 2", scale='value="1" unit="mV"'), times=later),
    )
    study = read_aecg(write(tmp_path, document(inner)))
    np.testing.assert_array_equal(study.views["I"].values, [1, 1, 1, np.nan, np.nan])
    np.testing.assert_array_equal(study.views["V1"].values, [np.nan, np.nan, np.nan, 2, 2])


def test_lead_names_and_extra_channels(tmp_path):
    path = write(tmp_path, document(series(RHYTHM.replace("MDC_ECG_LEAD_AVF", "MDC_ECG_LEAD_C"))))
    with pytest.raises(DataError, match="unknown ECG lead 'MDC_ECG_LEAD_C'"):
        read_aecg(path)
    assert list(read_aecg(path, extra_channels="ignore").views) == ["I"]
    assert list(read_aecg(path, lead_names={"mdc_ecg_lead_c": "V3"}).views) == ["I", "V3"]


@pytest.mark.parametrize(
    ("text", "reason", "match"),
    [
        (document(), "no-rhythm", "holds no rhythm waveform"),
        (document(series()), "no-rhythm", "holds no rhythm waveform"),
        (document(series(BEAT, code="REPRESENTATIVE_BEAT")), "no-rhythm", "holds no rhythm waveform"),
        (document(series(RHYTHM)).replace("AVF", "I"), "duplicated-lead", "both lead I"),
        (document(series(RHYTHM)).replace("0 0 1 0 0", "0 0 1"), "length-mismatch", r"differ in length: \[3, 5\]"),
        (document(series(RHYTHM)).replace("0 0 1 0 0", " "), "no-samples", "lead aVF has no digits"),
        (document(series(RHYTHM)).replace("0 0 1 0 0", "0 zero"), "malformed-aecg", "digits of lead aVF are malformed"),
        (document(series(RHYTHM)).replace("0 0 1 0 0", "0 inf 0 0 0"), "infinite-values", "infinite voltages"),
        (document(series(RHYTHM)).replace('"2.5" unit="uV"', '"2.5"'), "missing-units", "lead I has no scale, or"),
        (document(series(RHYTHM)).replace('"2.5" unit="uV"', '"2.5" unit="m"'), "unknown-unit", "unknown unit 'm'"),
        (document(series(RHYTHM)).replace('"2.5"', '"two"'), "malformed-aecg", "the scale 'two' is no number"),
        (document(series(RHYTHM)).replace('"2.5"', '"0"'), "zero-gain", "lead I has a scale of 0"),
        (document(series(RHYTHM)).replace('"2.5"', '"2.5e9"'), "implausible-values", "mV are no ECG"),
        (document(series(RHYTHM)).replace('"0.002"', '"0.2"'), "wrong-rate", "5 samples a second are not an ECG"),
        (document(series(RHYTHM)).replace('"0.002"', '"0"'), "wrong-rate", "time increment must be above 0 s"),
        (document(series(RHYTHM)).replace('unit="s"', 'unit="h"'), "unknown-unit", "unknown unit of time 'h'"),
        (document(series(RHYTHM.replace(CLOCK, "<value/>"))), "missing-rate", "time sequence has no increment"),
        (document(series(sequence_set(lead("MDC_ECG_LEAD_I", "1"), times=""))), "missing-rate", "no time sequence"),
        ("<html><body/></html>", "not-an-aecg", "its root is <html>, expected <AnnotatedECG>"),
        ("<AnnotatedECG><component>", "malformed-xml", "malformed XML: no element found"),
        ("<AnnotatedECG>&nothing;</AnnotatedECG>", "malformed-xml", "malformed XML: undefined entity"),
        ("<?xml version='1.0' encoding='martian'?><a/>", "malformed-xml", "malformed XML: unknown encoding"),
    ],
)
def test_bad_documents(tmp_path, text, reason, match):
    path = write(tmp_path, text)
    with pytest.raises(DataError, match=match) as caught:
        lamae.read(path)
    assert caught.value.reason == reason
    assert str(caught.value).startswith(str(path))


BOMB = '<!DOCTYPE a [<!ENTITY b "boom"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><AnnotatedECG>&c;</AnnotatedECG>'
FETCHING = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><AnnotatedECG>&b;</AnnotatedECG>'


@pytest.mark.parametrize("text", [BOMB, FETCHING])
def test_entities_are_refused(tmp_path, text):
    with pytest.raises(FormatError, match="declares entities, which is refused") as caught:
        lamae.read(write(tmp_path, text))
    assert caught.value.reason == "xml-entities"


def test_what_is_too_large_is_refused(tmp_path):
    path = write(tmp_path, document(series(RHYTHM)))
    with pytest.raises(FormatError, match="more than the 100 allowed") as caught:
        read_aecg(path, max_bytes=100)
    assert caught.value.reason == "xml-too-large"
    with pytest.raises(FormatError, match="nested deeper than 128") as caught:
        read_aecg(write(tmp_path, "<a>" * 200 + "</a>" * 200))
    assert caught.value.reason == "xml-too-large"
