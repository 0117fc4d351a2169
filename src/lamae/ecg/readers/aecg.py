"""Reader of HL7 annotated ECG (aECG): schema PORT_MT020001 of HL7 v3, implementation guide of 21 March 2005."""

import os
import re
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

import numpy as np

from lamae.ages_and_dates import known_time, parse_time, with_known_age
from lamae.ecg.readers.leads import (
    ExtraChannels,
    as_float32,
    choose_leads,
    make_ecg_study,
    millivolts_in,
    naming,
    study_id_of,
)
from lamae.ecg.readers.limits import open_regular
from lamae.ecg.readers.segments import BEAT_WORDS, Segment, merge_segments
from lamae.errors import DataError, FormatError
from lamae.studies import Study

MAX_BYTES = 256 * 1024 * 1024
"""Default size limit; a day of 12 leads at 500 Hz is about ten times as large."""

_PIECE_BYTES = 65_536
_BLANK = re.compile(r"\s")
_MAX_DEPTH = 128
_MAX_ELEMENTS = 1_000_000
_SECONDS_IN = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "msec": 1e-3, "us": 1e-6, "usec": 1e-6, "μs": 1e-6}
_TIME_SEQUENCES = ("TIME_ABSOLUTE", "TIME_RELATIVE")
_AGE_CODE = "21612-7"
_DAYS_IN_YEAR = 365.2425


def read_aecg(
    path: str | os.PathLike[str],
    *,
    lead_names: Mapping[str, str] | None = None,
    extra_channels: ExtraChannels = "error",
    max_bytes: int = MAX_BYTES,
) -> Study:
    """Read the rhythm of an HL7 annotated ECG into mV.

    Vendors differ: namespaces may have prefixes or be absent, a derived beat may be in a series of its own or inside
    the rhythm's series, and leads may be spread over sequence sets recorded one after the other. Of several rhythm
    series, the one with most leads is read; ties go to the longest, then the first.

    Args:
        path: The XML file. Entities are not expanded and nothing is fetched.
        lead_names: Maps sequence codes to leads.
        extra_channels: ``"error"`` rejects a sequence that is not an ECG lead; ``"ignore"`` skips it.
        max_bytes: Maximum file size.

    Returns:
        A study; ``study_id`` is the document's id.

    Raises:
        FormatError: Not XML (``malformed-xml``), not an aECG (``not-an-aecg``), entities declared (``xml-entities``),
            file too large or nested too deeply (``xml-too-large``), or a malformed value (``malformed-aecg``).
        DataError: With the reasons ``no-rhythm``, ``missing-rate``, ``wrong-rate``, ``missing-units``,
            ``unknown-unit``, ``zero-gain``, ``length-mismatch``, ``no-samples``, ``unknown-lead``, ``duplicated-lead``,
            ``no-leads``, ``infinite-values``, ``mixed-rates``, ``not-simultaneous``,
            ``missing-file`` or ``unreadable-file``.
    """
    with naming(path):
        root = _parse(path, max_bytes)
        if _name(root) != "AnnotatedECG":
            raise FormatError(
                f"this XML is no HL7 annotated ECG: its root is <{_name(root)}>, expected <AnnotatedECG>",
                reason="not-an-aecg",
            )
        candidates = [
            merge_segments([_read_set(found, lead_names, extra_channels) for found in _sequence_sets(series)])
            for series in _rhythm_series(root)
        ]
        subject = next((it for it in _descendants(root, "trialSubject") if _children(it, "id")), None)
        leads, values, rate_hz = max(candidates, key=lambda found: (len(found[0]), found[1].shape[1] / found[2]))
        return make_ecg_study(
            study_id=_identifier(root) or study_id_of(path),
            leads=leads,
            values=values,
            rate_hz=rate_hz,
            source_format="hl7-aecg",
            patient_id=_identifier(subject),
            acquired_at=_acquired_at(root),
            metadata=_describe_patient(root),
        )


def _parse(path: str | os.PathLike[str], max_bytes: int) -> Element:
    """Parse untrusted XML: limited in bytes, depth and elements, without entities."""
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import DefusedXMLParser

    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise FormatError(
                f"the XML file has {size} bytes, more than the {max_bytes} allowed: give a larger max_bytes if it is "
                "to be trusted",
                reason="xml-too-large",
            )
        parser = DefusedXMLParser(target=_LimitedBuilder())
        piece_bytes = _PIECE_BYTES
        try:
            while piece := file.read(piece_bytes):
                parser.feed(piece)
                piece_bytes *= 2  # older expat begins a long comment or attribute anew with each piece
            root = parser.close()
        except DefusedXmlException as error:
            raise FormatError(f"the XML declares entities, which is refused: {error}", reason="xml-entities") from error
        except (ParseError, LookupError, UnicodeError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise FormatError(f"malformed XML: {error}", reason="malformed-xml") from error
    if root is None:
        raise FormatError("malformed XML: no element found", reason="malformed-xml")
    return root


class _LimitedBuilder(TreeBuilder):
    """Builds a tree of limited depth and number of elements."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = self._num_elements = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        self._depth += 1
        self._num_elements += 1
        if self._depth > _MAX_DEPTH or self._num_elements > _MAX_ELEMENTS:
            raise FormatError(
                f"the XML has more than {_MAX_ELEMENTS} elements or is nested deeper than {_MAX_DEPTH}",
                reason="xml-too-large",
            )
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        self._depth -= 1
        return super().end(tag)


def _rhythm_series(root: Element) -> list[Element]:
    """Return the series with a rhythm: not derived, and without a code that names a beat."""
    found: list[Element] = []
    pending = deque([root])
    while pending:
        for child in pending.popleft():
            if _name(child) in ("derivation", "derivedSeries"):
                continue
            if _name(child) == "series" and not _is_beat(child):
                found.append(child)
            pending.append(child)
    with_leads = [series for series in found if any(True for _ in _sequence_sets(series))]
    if not with_leads:
        raise DataError("the annotated ECG holds no rhythm waveform", reason="no-rhythm")
    return with_leads


def _is_beat(element: Element) -> bool:
    code = _code(element).upper()
    return "RHYTHM" not in code and any(word in code for word in BEAT_WORDS)


def _sequence_sets(series: Element) -> Iterator[Element]:
    for component in _children(series, "component"):
        for sequence_set in _children(component, "sequenceSet"):
            if not _is_beat(sequence_set):
                yield sequence_set


def _read_set(sequence_set: Element, lead_names: Mapping[str, str] | None, extra_channels: ExtraChannels) -> Segment:
    """Read a set of simultaneous sequences: one of times, the others of voltages."""
    times: Element | None = None
    codes: list[str] = []
    sequences: list[Element] = []
    for component in _children(sequence_set, "component"):
        for sequence in _children(component, "sequence"):
            code = _code(sequence)
            if code.upper() in _TIME_SEQUENCES:
                times = sequence
            else:
                codes.append(code)
                sequences.append(sequence)
    if times is None:
        raise DataError("a set of sequences has no time sequence, so its rate is unknown", reason="missing-rate")
    chosen, leads = choose_leads(codes, lead_names, extra_channels)
    rows = {lead: _read_values(sequences[position], lead) for position, lead in zip(chosen, leads, strict=True)}
    lengths = {len(row) for row in rows.values()}
    if len(lengths) > 1:
        raise DataError(f"leads of one sequence set differ in length: {sorted(lengths)}", reason="length-mismatch")
    start_s, rate_hz = _read_times(times)
    return Segment(start_s=start_s, rate_hz=rate_hz, leads=rows)


def _read_times(sequence: Element) -> tuple[float, float]:
    """Read start (s) and rate (Hz) of a ``GLIST_TS`` (clock time) or ``GLIST_PQ`` (relative time)."""
    value = _child(sequence, "value")
    increment = _child(value, "increment")
    if increment is None:
        raise DataError("the time sequence has no increment, so the rate is unknown", reason="missing-rate")
    step_s = _number(increment, "increment") * _seconds_in(increment.get("unit"))
    if not 0 < step_s < np.inf:
        raise DataError(f"the time increment must be above 0 s, found {step_s}", reason="wrong-rate")
    head = _child(value, "head")
    start_s = 0.0
    if head is not None and head.get("unit") is not None:
        start_s = _number(head, "head") * _seconds_in(head.get("unit"))
    elif head is not None:
        moment = parse_time(head.get("value"))
        start_s = (moment - datetime(1970, 1, 1)).total_seconds() if moment else 0.0
    return start_s, float(f"{1 / step_s:.10g}")  # ten digits, so that steps of 3.90625 ms are 256 Hz and no more


def _seconds_in(unit: str | None) -> float:
    try:
        return _SECONDS_IN[(unit or "").strip().casefold()]
    except KeyError:
        raise DataError(f"unknown unit of time {unit!r}: expected s, ms or us", reason="unknown-unit") from None


def _read_values(sequence: Element, lead: str) -> np.ndarray:
    """Read an ``SLIST_PQ``: ``origin + scale x digit`` in mV."""
    value = _child(sequence, "value")
    origin, scale, digits = (_child(value, name) for name in ("origin", "scale", "digits"))
    if digits is None or not (digits.text or "").strip():
        raise DataError(f"lead {lead} has no digits", reason="no-samples")
    if scale is None or not scale.get("unit") or (origin is not None and not origin.get("unit")):
        raise DataError(f"lead {lead} has no scale, or a scale or origin without unit", reason="missing-units")
    scale_mv = _number(scale, "scale") * millivolts_in(scale.get("unit", ""))
    if scale_mv == 0:
        raise DataError(f"lead {lead} has a scale of 0", reason="zero-gain")
    origin_mv = 0.0 if origin is None else _number(origin, "origin") * millivolts_in(origin.get("unit", ""))
    try:
        steps = _digits(digits.text or "")
    except ValueError as error:
        raise FormatError(f"the digits of lead {lead} are malformed: {error}", reason="malformed-aecg") from error
    return as_float32(origin_mv + scale_mv * steps)


def _digits(text: str) -> np.ndarray:
    """Return the numbers of a text; in pieces, since a list of all words takes twenty times the memory of the text."""
    pieces: list[np.ndarray] = []
    start = 0
    while start < len(text):
        end = _BLANK.search(text, start + _PIECE_BYTES)
        stop = len(text) if end is None else end.start()
        pieces.append(np.array(text[start:stop].split(), dtype=np.float64))
        start = stop
    return np.concatenate(pieces)


def _number(element: Element, what: str) -> float:
    try:
        number = float(element.get("value", ""))
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise FormatError(f"the {what} {element.get('value')!r} is no number", reason="malformed-aecg")
    return number


def _identifier(element: Element | None) -> str | None:
    identifier = _child(element, "id")
    return None if identifier is None else identifier.get("extension") or identifier.get("root") or None


def _acquired_at(root: Element) -> datetime | None:
    """Return the document's effective time: its centre, otherwise the start of its interval."""
    effective = _child(root, "effectiveTime")
    for moment in (_child(effective, "center"), _child(effective, "low"), effective):
        if moment is not None and moment.get("value"):
            return known_time(parse_time(moment.get("value")))
    return None


def _describe_patient(root: Element) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for gender in _descendants(root, "administrativeGenderCode"):
        if gender.get("code", "").upper() in ("F", "M"):
            metadata["sex"] = "female" if gender.get("code", "").upper() == "F" else "male"
    acquired_at = _acquired_at(root)
    for birth in _descendants(root, "birthTime"):
        born = parse_time(birth.get("value"))
        if born and acquired_at and acquired_at > born:
            metadata["age_years"] = (acquired_at - born).days // _DAYS_IN_YEAR
    for observation in _descendants(root, "relatedObservation"):
        stated = _child(observation, "value")
        if _code(observation) == _AGE_CODE and stated is not None and stated.get("unit") == "a":
            metadata["age_years"] = _number(stated, "age")
    return with_known_age(metadata)


def _name(element: Element) -> str:
    """Return the name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]


def _children(element: Element | None, name: str) -> list[Element]:
    return [] if element is None else [child for child in element if _name(child) == name]


def _child(element: Element | None, name: str) -> Element | None:
    return next(iter(_children(element, name)), None)


def _descendants(element: Element, name: str) -> Iterator[Element]:
    return (child for child in element.iter() if _name(child) == name)


def _code(element: Element) -> str:
    code = _child(element, "code")
    return "" if code is None else code.get("code", "").strip()
