"""Reader of arrays (NumPy, MATLAB, HDF5, CSV), whose leads, rate and unit are given by the user or a sidecar."""

import os
import tokenize
import zipfile
import zlib
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
from lamae.ecg.readers.matlab import read_matlab
from lamae.errors import DataError, FormatError, MissingExtraError
from lamae.studies import Study

Loaded = tuple[np.ndarray, ArrayDescription]
"""An array as stored in the file, and its description in the file."""

MAX_BYTES = 12 * 86_400 * 1000 * 4
"""Maximum unpacked size of an array: a day of 12 leads at 1000 Hz in float32."""

_NUMPY_ERRORS = (ValueError, OSError, EOFError, SyntaxError, TypeError, OverflowError, MemoryError, tokenize.TokenError)
_ZIP_ERRORS = (KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


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
    with open(path, "rb") as file:
        try:
            return np.load(file, allow_pickle=False), ArrayDescription()
        except _NUMPY_ERRORS as error:
            raise _damaged("the .npy file is damaged, or holds objects", error) from error


def _load_npz(path: str, asked: ArrayDescription) -> Loaded:
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as container:
                for member in container.zip.infolist():
                    _check_size(member.filename, member.file_size)
                found = {name: container[name] for name in container.files}
        except (*_NUMPY_ERRORS, *_ZIP_ERRORS) as error:
            raise _damaged("the .npz file is damaged, or holds objects", error) from error
    arrays = {name: array for name, array in found.items() if isinstance(array, np.ndarray)}  # others are bytes
    return _pick(arrays, asked.key)


def _damaged(what: str, error: Exception) -> FormatError:
    raise_fault_of_the_system(error)
    return FormatError(f"{what}: {error}", reason="malformed-file")


def _load_matlab(path: str, asked: ArrayDescription) -> Loaded:
    with open(path, "rb") as file:
        return _pick(read_matlab(file.read()), asked.key)


def _load_hdf5(path: str, asked: ArrayDescription) -> Loaded:
    """Load a dataset; ``leads``, ``rate_hz`` and ``units`` may be attributes of it or of the file, or datasets."""
    h5py = import_h5py()
    try:
        with h5py.File(path, "r") as file:
            datasets: dict[str, Any] = {}
            file.visititems(lambda name, item: datasets.update({name: item} if _has_values(item) else {}))
            name = _name_of_signal(datasets, asked.key)
            told = {
                key: value
                for attributes in (file.attrs, datasets[name].attrs)
                for key, value in attributes.items()
                if key in DESCRIPTION_KEYS
            }
            members = [key for key in ("leads", "rate_hz", "units", "layout") if key in datasets]
            told |= {key: check_inside(datasets[key], file)[()] for key in members}
            _check_size(name, datasets[name].nbytes)
            return np.asarray(check_inside(datasets[name], file)[()]), _describe_members(told)
    except (OSError, KeyError, RuntimeError, TypeError) as error:  # h5py: TypeError for types that numpy lacks
        if isinstance(error, FileNotFoundError):
            raise
        raise _damaged("the HDF5 file is damaged, or of a type that numpy lacks", error) from error


def _has_values(item: Any) -> bool:
    """Return whether an HDF5 object is a dataset, and not an empty one."""
    return getattr(item, "shape", None) is not None


def _check_size(name: str, num_bytes: int) -> None:
    if num_bytes > MAX_BYTES:
        raise DataError(
            f"the array {name!r} unpacks to {num_bytes} bytes, more than the {MAX_BYTES} allowed: damaged, or to be "
            "split into recordings of at most a day",
            reason="array-too-large",
        )


def check_inside(dataset: Any, file: Any) -> Any:
    """Return an HDF5 dataset; one that would read another file of this machine is refused.

    Raises:
        FormatError: Its values lie in external storage, in other files (a virtual dataset), or behind an external link;
            or it is a group, or empty.
    """
    if getattr(dataset, "shape", None) is None:
        raise FormatError(f"{dataset.name!r} is a group or empty, expected a dataset", reason="malformed-file")
    if dataset.file.filename != file.filename or dataset.external or dataset.is_virtual:
        raise FormatError(
            f"the dataset {dataset.name!r} keeps its values outside of this file, which is not followed: "
            "copy them into it",
            reason="outside-file",
        )
    return dataset


def import_h5py() -> Any:
    """Import h5py, or raise an error that names the extra which installs it."""
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError("h5py", extra="hdf5", purpose="Reading HDF5 files") from error
    return h5py


def _pick(members: Mapping[str, np.ndarray], key: str | None) -> Loaded:
    """Return the signal among the arrays of a container, and its description from the other arrays."""
    name = _name_of_signal(members, key)
    told = {key: members[key] for key in ("leads", "rate_hz", "units", "layout") if key in members and key != name}
    return members[name], _describe_members(told)


def _describe_members(told: Mapping[str, Any]) -> ArrayDescription:
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
