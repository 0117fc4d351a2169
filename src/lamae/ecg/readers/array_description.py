"""Description of a bare array (leads, rate, unit, layout), from arguments, a sidecar or the container."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np

from lamae.ecg.readers.limits import read_limited
from lamae.errors import DataError, FormatError, did_you_mean
from lamae.files import read_json_object, unchanged

Layout = Literal["leads-first", "samples-first"]
"""Axis order of an array: ``[leads, samples]`` or ``[samples, leads]``."""

_MAX_SIDECAR_BYTES = 1024**2

_LAYOUTS: tuple[Layout, ...] = get_args(Layout)


@dataclass(frozen=True, kw_only=True)
class ArrayDescription:
    """Description of an array; the fields are also the keys of a sidecar ``<file>.json``.

    Attributes:
        leads: Lead names in the order of the array.
        rate_hz: Sampling rate.
        units: One unit for all leads, or one per lead: V, mV, uV or nV.
        layout: ``"leads-first"`` or ``"samples-first"``; not needed if the shape is unambiguous.
        key: Name of the array in a file with several (npz, HDF5, MATLAB).
    """

    leads: tuple[str, ...] | None = None
    rate_hz: float | None = None
    units: str | tuple[str, ...] | None = None
    layout: Layout | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if self.layout not in (None, *_LAYOUTS):
            raise DataError(f"unknown layout {self.layout!r}: expected {' or '.join(_LAYOUTS)}", reason="wrong-layout")


DESCRIPTION_KEYS = tuple(field.name for field in fields(ArrayDescription))


def describe_array(mapping: Mapping[str, Any], *, origin: str) -> ArrayDescription:
    """Build a description from plain values of a sidecar, container attributes or a call.

    Raises:
        FormatError: A key is unknown (named with the nearest right one) or a value has the wrong type
            (``malformed-sidecar``).
    """
    for key in mapping:
        if key not in DESCRIPTION_KEYS:
            hint = did_you_mean(key, DESCRIPTION_KEYS, " Did you mean {!r}?")
            raise FormatError(
                f"{origin}: unknown key {key!r}, expected {', '.join(DESCRIPTION_KEYS)}.{hint}",
                reason="malformed-sidecar",
            )
    known = {key: value for key, value in mapping.items() if value is not None}
    try:
        return ArrayDescription(
            leads=_strings(known["leads"]) if "leads" in known else None,
            rate_hz=float(np.asarray(known["rate_hz"]).item()) if "rate_hz" in known else None,
            units=_unit(known["units"]) if "units" in known else None,
            layout=cast(Layout, _strings(known["layout"])[0]) if "layout" in known else None,
            key=_strings(known["key"])[0] if "key" in known else None,
        )
    except (TypeError, ValueError, OverflowError, IndexError) as error:
        if isinstance(error, DataError):
            raise
        raise FormatError(f"{origin}: malformed value: {error}", reason="malformed-sidecar") from error


def _strings(values: Any) -> tuple[str, ...]:
    """Convert lists and arrays of text or bytes (HDF5, MATLAB) to names, without MATLAB's padding blanks."""
    if isinstance(values, str):
        return tuple(name.strip() for name in values.split(","))
    texts = [value.decode() if isinstance(value, bytes) else value for value in np.ravel(values).tolist()]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(f"expected names, found {texts[:3]}")
    return tuple(text.strip() for text in texts)


def _unit(value: Any) -> str | tuple[str, ...]:
    units = _strings(value)
    return units[0] if len(units) == 1 else units


def read_sidecar(path: str) -> ArrayDescription:
    """Read ``<path>.json`` if it exists.

    Raises:
        FormatError: It is not a JSON object, or has an unknown key (``malformed-sidecar``).
    """
    sidecar = f"{path}.json"
    if not os.path.exists(sidecar):
        return ArrayDescription()
    read_limited(sidecar, "the sidecar", _MAX_SIDECAR_BYTES)  # refuses a pipe, or what is too large
    try:
        with unchanged(sidecar):
            content = read_json_object(Path(sidecar))
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        message = f"the sidecar {sidecar} must hold a JSON object: {error}"
        raise FormatError(message, reason="malformed-sidecar") from error
    return describe_array(content, origin=os.path.basename(sidecar))


def combine(first: ArrayDescription, second: ArrayDescription, *, names: tuple[str, str]) -> ArrayDescription:
    """Merge two descriptions.

    Raises:
        DataError: They give different values for a field (``contradiction``).
    """
    merged = {}
    for key in DESCRIPTION_KEYS:
        one, other = getattr(first, key), getattr(second, key)
        if one is not None and other is not None and one != other:
            raise DataError(
                f"{names[0]} and {names[1]} contradict each other: {key} is {one!r} and {other!r}",
                reason="contradiction",
            )
        merged[key] = one if one is not None else other
    return replace(first, **merged)


def orient(array: np.ndarray, num_leads: int, layout: Layout | None) -> np.ndarray:
    """Return the array as ``[leads, samples]``.

    Args:
        array: One- or two-dimensional.
        num_leads: Expected number of leads.
        layout: Axis order as stated by the user or the sidecar, or ``None`` to infer it from the shape.

    Raises:
        DataError: The shape does not fit the leads (``wrong-shape``) or fits both ways (``ambiguous-layout``).
    """
    array = array[None, :] if array.ndim == 1 and num_leads == 1 else array
    if array.ndim != 2 or num_leads not in array.shape:
        raise DataError(
            f"an array of shape {list(array.shape)} does not hold {num_leads} leads: expected "
            f"[{num_leads}, samples] or [samples, {num_leads}]",
            reason="wrong-shape",
        )
    if layout is None:
        if array.shape[0] == array.shape[1]:
            raise DataError(
                f"an array of shape {list(array.shape)} may be leads-first or samples-first: give its layout",
                reason="ambiguous-layout",
            )
        layout = "leads-first" if array.shape[0] == num_leads else "samples-first"
    oriented = array if layout == "leads-first" else array.T
    if oriented.shape[0] != num_leads:
        raise DataError(
            f"an array of shape {list(array.shape)} is not {layout} with {num_leads} leads", reason="wrong-shape"
        )
    return oriented


def list_of(values: Sequence[str]) -> str:
    """Return at most twelve names for a message."""
    shown = ", ".join(values[:12])
    return f"{shown}, … ({len(values)})" if len(values) > 12 else shown or "none"
