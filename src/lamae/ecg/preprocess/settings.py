"""All parameters of ECG preprocessing in one frozen dataclass, stored in packs and checkpoints."""

from dataclasses import dataclass
from typing import Literal

from lamae.ecg.leads import LEADS, OTHER_LEADS
from lamae.ecg.plausible import HIGHEST_RATE_HZ
from lamae.errors import ConfigError

LONGEST_S = 86_400.0
"""Longest duration of a prepared lead: one day."""

Policy = Literal["flag", "drop-lead", "reject"]
"""Policy for a lead with a fault: keep it with a flag, drop the lead, or reject the whole study."""


@dataclass(frozen=True, kw_only=True)
class EcgPreprocessing:
    """Parameters of ECG preprocessing; ``docs/signals.md`` gives the reasons for the defaults.

    Attributes:
        rate_hz: Sampling rate after resampling.
        duration_s: Duration of every lead; longer leads are cropped, shorter ones padded with the missing-sample code.
        crop: Part of a longer recording to keep: ``"start"`` (padding at the end) or ``"centre"`` (padding at both
            ends).
        leads: Leads to keep, in this order; leads absent from a study stay absent.
        bandpass_hz: Lower and upper cutoff of the zero-phase Butterworth band-pass; None for no filter.
        bandpass_order: Order of the Butterworth design (the two passes double it).
        notch_hz: Powerline frequency to remove; None for no filter.
        min_duration_s: Minimum duration; shorter leads are dropped, and a study with only such leads is rejected.
        nan: Policy for missing samples: ``"interpolate-short"`` interpolates gaps up to ``max_gap_s`` and keeps longer
            ones as missing, ``"mask"`` keeps all gaps as missing, ``"drop-lead"`` drops the lead, ``"reject"`` rejects
            the study.
        max_gap_s: Longest gap that is interpolated linearly.
        max_missing: Maximum fraction of missing samples in a lead; leads above it are dropped.
        flat: Policy for leads that are flat in at least half of their one-second windows.
        flat_mv: Maximum peak-to-peak range of a flat window.
        saturated: Policy for leads that stay at their largest or smallest value.
        saturated_fraction: Minimum fraction of samples that repeat their predecessor at that value.
        out_of_range: Policy for leads that exceed the range.
        out_of_range_mv: Maximum distance from the mean of the lead.
        min_leads: Minimum number of usable leads; studies with fewer are rejected.
        lead_identity: ``"report"`` checks the limb leads against Einthoven's and Goldberger's equations, ``"repair"``
            also corrects known faults, ``"off"`` skips the check.
        resolution_mv: Integer step of the stored values; a lead that does not fit takes a coarser step.
    """

    rate_hz: float = 100.0
    duration_s: float = 10.0
    crop: Literal["start", "centre"] = "start"
    leads: tuple[str, ...] = LEADS
    bandpass_hz: tuple[float, float] | None = (0.5, 40.0)
    bandpass_order: int = 3
    notch_hz: float | None = None
    min_duration_s: float = 2.0
    nan: Literal["interpolate-short", "mask", "drop-lead", "reject"] = "interpolate-short"
    max_gap_s: float = 0.04
    max_missing: float = 0.5
    flat: Policy = "drop-lead"
    flat_mv: float = 0.005
    saturated: Policy = "flag"
    saturated_fraction: float = 0.01
    out_of_range: Policy = "flag"
    out_of_range_mv: float = 10.0
    min_leads: int = 1
    lead_identity: Literal["report", "repair", "off"] = "report"
    resolution_mv: float = 0.001

    def __post_init__(self) -> None:
        positive = ("rate_hz", "duration_s", "min_duration_s", "saturated_fraction", "out_of_range_mv", "resolution_mv")
        for name in positive:
            _check(getattr(self, name) > 0, f"{name} must be above 0, found {getattr(self, name)}")
        _check(self.rate_hz <= HIGHEST_RATE_HZ, f"rate_hz must be at most {HIGHEST_RATE_HZ:g}, found {self.rate_hz:g}")
        _check(self.duration_s <= LONGEST_S, f"duration_s must be at most {LONGEST_S:g}, found {self.duration_s:g}")
        _check(self.num_samples > 0, f"{self.duration_s} s at {self.rate_hz} Hz are no samples")
        _check(self.min_duration_s <= self.duration_s, "min_duration_s must not exceed duration_s")
        _check(self.max_gap_s >= 0 and self.flat_mv >= 0, "max_gap_s and flat_mv must not be negative")
        _check(0 <= self.max_missing < 1, f"max_missing must be at least 0 and below 1, found {self.max_missing}")
        self._check_leads()
        self._check_filters()

    @property
    def num_samples(self) -> int:
        """Number of samples of every prepared lead."""
        return round(self.duration_s * self.rate_hz)

    def _check_leads(self) -> None:
        unknown = [name for name in self.leads if name not in LEADS + OTHER_LEADS]
        _check(not unknown, f"leads: {', '.join(map(repr, unknown))} unknown; write them as in {', '.join(LEADS)}")
        _check(len(set(self.leads)) == len(self.leads) > 0, "leads: each lead once, at least one")
        _check(
            1 <= self.min_leads <= len(self.leads),
            f"min_leads must lie between 1 and the {len(self.leads)} leads, found {self.min_leads}",
        )

    def _check_filters(self) -> None:
        nyquist_hz = self.rate_hz / 2
        if self.bandpass_hz is not None:
            low_hz, high_hz = self.bandpass_hz
            _check(
                0 < low_hz < high_hz < nyquist_hz,
                f"bandpass_hz: the edges must rise between 0 and half of rate_hz ({nyquist_hz:g} Hz), "
                f"found {low_hz:g} and {high_hz:g}",
            )
            _check(1 <= self.bandpass_order <= 8, f"bandpass_order must be 1 to 8, found {self.bandpass_order}")
        if self.notch_hz is not None:
            _check(
                0 < self.notch_hz < nyquist_hz,
                f"notch_hz must lie between 0 and half of rate_hz ({nyquist_hz:g} Hz; resampling removes what is "
                f"above), found {self.notch_hz:g}",
            )


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise ConfigError(f"preprocessing: {message}")
