"""What a study is before it is packed: physical units, views found by name, no torch."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from lamae.errors import DataError

MISSING_CODE = -32768
"""The int16 value that stands for a sample that was not recorded (WFDB format 16, signal(5))."""


@dataclass(frozen=True, kw_only=True)
class View:
    """One acquisition of the heart: an ECG lead, or an echo video.

    Attributes:
        name: Canonical name of the lead or view.
        values: ``[samples]`` float32 in mV with NaN where nothing was recorded, or ``[frames, height, width]`` uint8.
        rate_hz: Samples or frames a second.
    """

    name: str
    values: np.ndarray
    rate_hz: float

    def __post_init__(self) -> None:
        if self.values.dtype not in (np.float32, np.uint8):
            raise DataError(
                f"view {self.name!r}: values must be float32 (mV) or uint8 (grey), found {self.values.dtype}",
                reason="wrong-dtype",
            )
        if not 0 < self.rate_hz < math.inf:
            raise DataError(
                f"view {self.name!r}: the rate must be above 0 Hz, found {self.rate_hz}", reason="wrong-rate"
            )

    @property
    def num_samples(self) -> int:
        """Number of samples (ECG) or frames (echo)."""
        return len(self.values)

    @property
    def duration_s(self) -> float:
        """Length of the view in seconds."""
        return len(self.values) / self.rate_hz


class Views(Mapping[str, View]):
    """The views of a study by name, case-insensitively, in the order in which the file holds them."""

    def __init__(self, views: Iterable[View]) -> None:
        self._by_folded: dict[str, View] = {}
        for view in views:
            folded = view.name.casefold()
            if folded in self._by_folded:
                raise DataError(
                    f"two views are named {view.name!r}: names must be unique within a study", reason="duplicated-lead"
                )
            self._by_folded[folded] = view

    def __getitem__(self, name: str) -> View:
        try:
            return self._by_folded[name.casefold()]
        except KeyError:
            raise KeyError(f"no view {name!r}; this study has {', '.join(self)}") from None

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.casefold() in self._by_folded

    def __iter__(self) -> Iterator[str]:
        return (view.name for view in self._by_folded.values())

    def __len__(self) -> int:
        return len(self._by_folded)


@dataclass(frozen=True, kw_only=True)
class Study:
    """One examination of one patient, in physical units.

    Attributes:
        study_id: Identifier within its source.
        views: Views by name.
        modality: ``"ecg"`` or ``"echo"``.
        patient_id: Identifier of the patient within its source, where the file tells it.
        acquired_at: Start of the acquisition, where the file tells it.
        metadata: What else the file tells in fixed keys: ``source_format``, ``age_years``, ``sex`` (``"female" |
            "male"``), ``codes`` (a mapping from code system to a tuple of codes).
    """

    study_id: str
    views: Mapping[str, View]
    modality: Literal["ecg", "echo"] = "ecg"
    patient_id: str | None = None
    acquired_at: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, kw_only=True)
class PreparedStudy:
    """A study after preprocessing, exactly as a pack stores it: integers with a scale.

    Attributes:
        view_names: Names of the views that are present, ``num_views`` of them.
        values: ``[views, samples]`` int16; ``MISSING_CODE`` where nothing was recorded, and in the padding.
        scale: ``[views]`` float32, mV for one integer step.
        rate_hz: Samples a second.
        has_missing: Whether any value is ``MISSING_CODE``.
        flags: Quality flags by view name, each a tuple of slugs such as ``("flat",)``; views without a flag are absent.
        study_flags: Flags of the whole study such as ``"limb-leads-reversed-ra-la"``.
    """

    view_names: tuple[str, ...]
    values: np.ndarray
    scale: np.ndarray
    rate_hz: float
    has_missing: bool
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    study_flags: tuple[str, ...] = ()
