"""Reader of arrays (NumPy, MATLAB, HDF5, CSV), whose leads, rate and unit are given by the user or a sidecar."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lamae.ecg.readers.array_description import (
    DESCRIPTION_KEYS,
    ArrayDescription,
    Layout,
    combine,
    describe_array,
    list_of,
    orient,
    read_sidecar,
)
from lamae.ecg.readers.csv_table import load_csv
from lamae.ecg.readers.hdf5 import (
    HDF5_ERRORS,
    datasets_in,
    find_inside,
    has_values,
    import_h5py,
    read_attributes,
    read_dataset,
)
from lamae.ecg.readers.leads import (
    ExtraChannels,
    as_float32,
    choose_leads,
    make_ecg_study,
    millivolts_in,
    naming,
    raise_fault_of_the_system,
    study_id_of,
)
from lamae.ecg.readers.limits import MAX_CHANNELS, Budget
from lamae.ecg.readers.matlab import read_matlab
from lamae.ecg.readers.numpy_files import load_npy, load_npz
from lamae.errors import DataError, FormatError
from lamae.studies import Study

TOLD_KEYS = ("leads", "rate_hz", "units", "layout")
"""Arrays of a file that describe its signal."""

Loaded = tuple[np.ndarray, ArrayDescription]
"""An array as stored in the file, and its description in the file."""


def read_array(
    path: str | os.PathLike[str],
    *,
    file_format: str,
    leads: Sequence[str] | None = None,
    rate_hz: float | None = None,
    units: str | Sequence[str] | None = None,
    layout: Layout | None = None,
    key: str | None = None,
    lead_names: Mapping[str, str] | None = None,
    extra_channels: ExtraChannels = "error",
) -> Study:
    """Read an array file into mV.

    The description of the array comes from the arguments, from a sidecar ``<file>.json`` with the same keys, and from
    arrays, datasets or attributes of those names in an npz, MATLAB or HDF5 file. Sources must not contradict each
    other, and there is no default for leads, rate or unit.

    Args:
        path: The file.
        file_format: ``"npy"``, ``"npz"``, ``"matlab"``, ``"hdf5"`` or ``"csv"``.
        leads: Lead names in the order of the array; in a CSV file with a header line, the columns to read.
        rate_hz: Sampling rate.
        units: One unit, or one per lead.
        layout: ``"leads-first"`` or ``"samples-first"``, if the shape is ambiguous.
        key: Name of the array in a file with several.
        lead_names: Maps names in ``leads`` or the header line to leads.
        extra_channels: ``"error"`` rejects a channel that is not an ECG lead; ``"ignore"`` skips it.

    Returns:
        A study named after its file; NaN stays NaN.

    Raises:
        FormatError: The file is damaged (``malformed-file``) or its sidecar is (``malformed-sidecar``).
        DataError: With the reasons ``missing-leads``, ``missing-rate``, ``missing-units``, ``missing-array``,
            ``missing-column``, ``ambiguous-array``, ``ambiguous-layout``, ``wrong-layout``, ``wrong-shape``,
            ``wrong-type``, ``infinite-values``, ``contradiction``, ``wrong-rate``, ``unknown-unit``, ``unknown-lead``,
            ``duplicated-lead``, ``no-leads``, ``no-samples``, ``array-too-large``, ``missing-file`` or
            ``unreadable-file``.
        MissingExtraError: The file is HDF5 and h5py is not installed.
    """
    with naming(path):
        asked = describe_array(
            {"leads": leads, "rate_hz": rate_hz, "units": units, "layout": layout, "key": key}, origin="arguments"
        )
        asked = combine(asked, read_sidecar(os.fspath(path)), names=("the arguments", "the sidecar"))
        array, told = _LOADERS[file_format](os.fspath(path), asked)
        known = combine(asked, told, names=("the arguments or the sidecar", "the file"))
        return _make_study(study_id_of(path), array, known, file_format, lead_names, extra_channels)


def _make_study(
    study_id: str,
    array: np.ndarray,
    known: ArrayDescription,
    file_format: str,
    lead_names: Mapping[str, str] | None,
    extra_channels: ExtraChannels,
) -> Study:
    if known.leads is None:
        raise DataError(_missing("leads", "its leads in order"), reason="missing-leads")
    if known.rate_hz is None:
        raise DataError(_missing("rate_hz", "its sampling rate"), reason="missing-rate")
    if known.units is None:
        raise DataError(_missing("units", "its unit"), reason="missing-units")
    if array.dtype.kind not in "iuf":
        raise DataError(f"the array holds {array.dtype}, expected real numbers", reason="wrong-type")
    rows = orient(array, len(known.leads), known.layout)
    chosen, names = choose_leads(known.leads, lead_names, extra_channels)
    with np.errstate(invalid="ignore", over="ignore"):  # what overflows is found below
        values = rows[list(chosen)] * _factors(known, chosen)
    return make_ecg_study(
        study_id=study_id,
        leads=names,
        values=as_float32(values),
        rate_hz=known.rate_hz,
        source_format=file_format,
    )


def _missing(argument: str, what: str) -> str:
    return f"an array does not say {what}: give {argument}=… or a sidecar <file>.json with the key {argument!r}"


def _factors(known: ArrayDescription, chosen: Sequence[int]) -> np.ndarray:
    """Return the factor from the unit of each chosen lead to mV, as a column."""
    units = (known.units,) * len(known.leads or ()) if isinstance(known.units, str) else known.units or ()
    if len(units) != len(known.leads or ()):
        raise DataError(f"{len(units)} units are given for {len(known.leads or ())} leads", reason="contradiction")
    return np.array([[millivolts_in(units[position])] for position in chosen])


def _load_npy(path: str, asked: ArrayDescription) -> Loaded:
    return load_npy(path), ArrayDescription()


def _load_npz(path: str, asked: ArrayDescription) -> Loaded:
    arrays, name = load_npz(path, lambda members: _name_of_signal(members, asked.key), TOLD_KEYS)
    return _pick(arrays, name)


def _load_matlab(path: str, asked: ArrayDescription) -> Loaded:
    with open(path, "rb") as file:
        return _pick(read_matlab(file.read()), asked.key)


def _load_hdf5(path: str, asked: ArrayDescription) -> Loaded:
    """Load a dataset; ``leads``, ``rate_hz`` and ``units`` may be attributes of it or of the file, or datasets."""
    h5py = import_h5py()
    budget = Budget("the HDF5 file", os.path.getsize(path))
    try:
        with h5py.File(path, "r") as file:
            wanted = () if asked.key is None else (asked.key, *TOLD_KEYS)
            named = {name: item for name in wanted if has_values(item := find_inside(file, name))}
            datasets = named if asked.key in named else datasets_in(file)
            name = _name_of_signal(datasets, asked.key)
            signal = read_dataset(datasets[name], file, budget)
            told = read_attributes(file, file, DESCRIPTION_KEYS)
            told |= read_attributes(datasets[name], file, DESCRIPTION_KEYS)
            members = [key for key in TOLD_KEYS if key in datasets and key != name]
            told |= {key: read_dataset(datasets[key], file, budget) for key in members}
            return signal, _describe_members(told)
    except DataError:
        raise
    except HDF5_ERRORS as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise_fault_of_the_system(error)
        message = f"the HDF5 file is damaged, or of a type that numpy lacks: {error}"
        raise FormatError(message, reason="malformed-file") from error


def _pick(members: Mapping[str, np.ndarray], key: str | None) -> Loaded:
    """Return the signal among the arrays of a container, and its description from the other arrays."""
    name = _name_of_signal(members, key)
    told = {key: members[key] for key in TOLD_KEYS if key in members and key != name}
    return members[name], _describe_members(told)


def _describe_members(told: Mapping[str, Any]) -> ArrayDescription:
    for key, value in told.items():
        if np.size(value) > MAX_CHANNELS:
            raise FormatError(f"{key!r} has {np.size(value)} values", reason="malformed-sidecar")
    plain = {
        key: value.decode() if isinstance(value, bytes) else np.ravel(value).tolist() for key, value in told.items()
    }
    return describe_array(plain, origin="the file")


def _name_of_signal(members: Mapping[str, Any], key: str | None) -> str:
    """Return the requested name, or that of the only numeric array with the shape of signals."""
    if key is not None and key not in members:
        raise DataError(f"the file has no array {key!r}; it has {list_of(list(members))}", reason="missing-array")
    if key is not None:
        return key
    signals = [
        name
        for name, array in members.items()
        if name not in DESCRIPTION_KEYS and array.dtype.kind in "iuf" and array.ndim <= 2 and array.size > 1
    ]
    if len(signals) != 1:
        raise DataError(
            f"the file holds {len(signals)} arrays that may be the signal ({list_of(signals)}): name one with key=…",
            reason="ambiguous-array" if signals else "missing-array",
        )
    return signals[0]


def _load_csv(path: str, asked: ArrayDescription) -> Loaded:
    array, names = load_csv(path, asked.leads)
    return array, ArrayDescription(leads=names, layout="samples-first")


_LOADERS: dict[str, Callable[[str, ArrayDescription], Loaded]] = {
    "npy": _load_npy,
    "npz": _load_npz,
    "matlab": _load_matlab,
    "hdf5": _load_hdf5,
    "csv": _load_csv,
}
