"""A study before it is packed, in physical units, and as a pack stores it; no torch."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from lamae.errors import DataError

MISSING_CODE = -32768
"""The int16 value that stands for a sample that was not recorded (WFDB format 16, signal(5))."""

_DTYPES = (np.dtype(np.float32), np.dtype(np.uint8))

UNKNOWN_VIEW = "unknown"
"""The name under which a pack stores a recording whose view nobody knows."""


@dataclass(frozen=True, kw_only=True, init=False)
class View:
    """One recording of the heart: an ECG lead, or an echo video.

    Attributes:
        name: Canonical name of the lead or view; None where it is not known. Two recordings may have the same name.
        values: ``[samples]`` float32 in mV with NaN where nothing was recorded, or ``[frames, height, width]`` uint8.
        rate_hz: Samples or frames a second; None where the file does not tell.
        key: What tells this recording from the others of its study; by default its name.

    Raises:
        DataError: Type of the values or rate are wrong, or there is neither name nor key.
    """

    name: str | None
    values: np.ndarray
    rate_hz: float | None
    key: str = ""

    def __init__(self, *, name: str | None, values: np.ndarray, rate_hz: float | None, key: str = "") -> None:
        key = key or name or ""
        if not key:
            raise DataError("a recording without a name needs a key of its own", reason="no-recording-key")
        if values.dtype not in _DTYPES:
            raise DataError(
                f"view {key!r}: values must be float32 (mV) or uint8 (grey), found {values.dtype}",
                reason="wrong-dtype",
            )
        if rate_hz is not None and not 0 < rate_hz < math.inf:
            raise DataError(f"view {key!r}: the rate must be above 0 Hz, found {rate_hz}", reason="wrong-rate")
        # in one step: a frozen dataclass sets each attribute by a call of its own, which costs more than these checks
        self.__dict__.update(name=name, values=values, rate_hz=rate_hz, key=key)

    @property
    def num_samples(self) -> int:
        """Number of samples (ECG) or frames (echo)."""
        return len(self.values)

    @property
    def duration_s(self) -> float:
        """Length of the recording in seconds.

        Raises:
            DataError: Its rate is not known.
        """
        if self.rate_hz is None:
            raise DataError(f"view {self.key!r}: its rate is not known, so its duration is not", reason="unknown-rate")
        return len(self.values) / self.rate_hz


class Views(Mapping[str, View]):
    """The recordings of a study by key, case-insensitively, in the order in which the file holds them.

    The key of an ECG lead is its name. Where views repeat or are unknown, `named` finds recordings by the name.
    """

    def __init__(self, views: Iterable[View]) -> None:
        self._by_folded: dict[str, View] = {}
        for view in views:
            folded = view.key.casefold()
            if folded in self._by_folded:
                raise DataError(
                    f"two views are named {view.key!r}: names must be unique within a study", reason="duplicated-lead"
                )
            self._by_folded[folded] = view

    def named(self, name: str | None) -> tuple[View, ...]:
        """Return all recordings of a view name, case-insensitively; None for those without a name."""
        folded = None if name is None else name.casefold()
        return tuple(v for v in self._by_folded.values() if (v.name and v.name.casefold()) == folded)

    def __getitem__(self, key: str) -> View:
        try:
            return self._by_folded[key.casefold()]
        except KeyError:
            raise KeyError(f"no view {key!r}; this study has {', '.join(self)}") from None

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.casefold() in self._by_folded

    def __iter__(self) -> Iterator[str]:
        return (view.key for view in self._by_folded.values())

    def __len__(self) -> int:
        return len(self._by_folded)


@dataclass(frozen=True, kw_only=True)
class Study:
    """One examination of one patient, in physical units.

    Attributes:
        study_id: Identifier within its source.
        views: Recordings by key; the key of an ECG lead is its name.
        modality: Name of the modality, such as ``"ecg"``; see `lamae.modality`.
        patient_id: Identifier of the patient within its source, where the file tells it.
        acquired_at: Start of the acquisition, where the file tells it.
        metadata: What else the file tells in fixed keys: ``source_format``, ``age_years``, ``sex`` (``"female" |
            "male"``), ``codes`` (a mapping from code system to a tuple of codes).
    """

    study_id: str
    views: Mapping[str, View]
    modality: str = "ecg"
    patient_id: str | None = None
    acquired_at: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, kw_only=True)
class PreparedRecording:
    """One recording after preprocessing, exactly as a pack stores it.

    Attributes:
        name: Name of the view, `UNKNOWN_VIEW` where it is not known.
        values: ``[samples]`` int16 with ``MISSING_CODE`` where nothing was recorded, or ``[frames, height, width]``
            uint8.
        scale: Physical units (mV, grey level) for one integer step.
        rate_hz: Samples or frames a second; None where it is not known.
        key: What tells this recording from the others of its study; by default its name.
        has_missing: Whether any value is ``MISSING_CODE``.
        jpeg_quality: Store each frame as a JPEG of this quality (1 to 100); None stores frames as they are.
    """

    name: str
    values: np.ndarray
    scale: float
    rate_hz: float | None
    key: str = ""
    has_missing: bool = False
    jpeg_quality: int | None = None

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", self.name)


@dataclass(frozen=True, kw_only=True)
class PreparedStudy:
    """A study after preprocessing, exactly as a pack stores it: integers with a scale.

    Attributes:
        recordings: The recordings; a tuple, or for studies that do not fit into memory an iterator that prepares one
            recording at a time. Flags are read after the recordings.
        flags: Quality flags by view name, each a tuple of slugs such as ``("flat",)``; views without a flag are absent.
        study_flags: Flags of the whole study such as ``"limb-leads-reversed-ra-la"``.
    """

    recordings: Iterable[PreparedRecording]
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    study_flags: tuple[str, ...] = ()

    @classmethod
    def of_waveforms(
        cls,
        *,
        view_names: Sequence[str],
        values: np.ndarray,
        scale: np.ndarray,
        rate_hz: float,
        has_missing: bool,
        flags: Mapping[str, tuple[str, ...]] | None = None,
        study_flags: tuple[str, ...] = (),
    ) -> Self:
        """Make a study of waveforms of one length and rate.

        Args:
            view_names: Names of the ``views``, each once.
            values: ``[views, samples]`` int16.
            scale: ``[views]`` float32, physical units for one integer step.
            rate_hz: Samples a second.
            has_missing: Whether any value may be ``MISSING_CODE``.
            flags: As of the class.
            study_flags: As of the class.

        Raises:
            DataError: Names, values and scales differ in number, or their types are wrong.
        """
        if values.ndim != 2 or len(values) != len(view_names) or scale.shape != (len(view_names),):
            raise DataError(
                f"{len(view_names)} views need values [{len(view_names)}, samples] and scale [{len(view_names)}], "
                f"found {values.shape} and {scale.shape}",
                reason="wrong-shape",
            )
        if values.dtype != np.int16 or scale.dtype != np.float32:
            raise DataError(
                f"a pack holds int16 values with float32 scales, found {values.dtype} and {scale.dtype}",
                reason="wrong-dtype",
            )
        recordings = tuple(
            PreparedRecording(
                name=name,
                values=row,
                scale=step,
                rate_hz=rate_hz,
                has_missing=has_missing and bool((row == MISSING_CODE).any()),
            )
            for name, row, step in zip(view_names, values, scale.tolist(), strict=True)
        )
        return cls(recordings=recordings, flags=flags or {}, study_flags=study_flags)

    @property
    def view_names(self) -> tuple[str, ...]:
        """Name of the view of each recording."""
        return tuple(recording.name for recording in self.recordings)

    @property
    def values(self) -> np.ndarray:
        """All recordings in one array, ``[recordings, samples]`` or ``[recordings, frames, height, width]``.

        Raises:
            DataError: Their shapes differ.
        """
        rows = [recording.values for recording in self.recordings]
        if len({row.shape for row in rows}) > 1:
            raise DataError("the recordings of this study have different shapes", reason="wrong-shape")
        return np.stack(rows) if rows else np.zeros((0, 0), np.int16)

    @property
    def scale(self) -> np.ndarray:
        """``[recordings]`` float32, physical units for one integer step."""
        return np.array([recording.scale for recording in self.recordings], dtype=np.float32)

    @property
    def rate_hz(self) -> float | None:
        """The rate that all recordings share; None where they differ or one is unknown."""
        rates = {recording.rate_hz for recording in self.recordings}
        return rates.pop() if len(rates) == 1 else None

    @property
    def has_missing(self) -> bool:
        """True where any value is ``MISSING_CODE``."""
        return any(recording.has_missing for recording in self.recordings)

    def held(self) -> Self:
        """Return the study with all of its recordings in memory, where they come one at a time."""
        return replace(self, recordings=tuple(self.recordings))

    def keep(self, numbers: Iterable[int]) -> Self:
        """Return the study with some of its recordings, in the order of ``numbers``, and the flags of their views."""
        held = tuple(self.recordings)
        kept = tuple(held[number] for number in numbers)
        names = {recording.name for recording in kept}
        return replace(self, recordings=kept, flags={name: f for name, f in self.flags.items() if name in names})

    def with_waveforms(self, values: np.ndarray, scale: np.ndarray) -> Self:
        """Return the study with other values and scales of its recordings, shaped as in `of_waveforms`."""
        rows = zip(self.recordings, values, scale.tolist(), strict=True)
        changed = (
            replace(old, values=row, scale=step, has_missing=bool((row == MISSING_CODE).any()))
            for old, row, step in rows
        )
        return replace(self, recordings=tuple(changed))
