"""How ECGs are prepared: one frozen record of every parameter, stored in packs and checkpoints."""

from dataclasses import dataclass
from typing import Literal

from lamae.ecg.leads import LEADS, OTHER_LEADS
from lamae.errors import ConfigError

HIGHEST_RATE_HZ = 50_000.0
"""No ECG has more samples a second, and none is resampled to more."""

LONGEST_S = 86_400.0
"""Longest duration of a prepared lead: a day."""

Policy = Literal["flag", "drop-lead", "reject"]
"""What happens to a lead with a fault: kept with a flag, left out, or the whole study refused."""


@dataclass(frozen=True, kw_only=True)
class EcgPreprocessing:
    """Every parameter of the preparation of an ECG. The reasons for the defaults stand in ``docs/signals.md``.

    Attributes:
        rate_hz: Samples a second after resampling.
        duration_s: Length of every lead; longer ones are cropped, shorter ones padded with the missing-sample code.
        crop: Which part of a longer recording is kept: its ``"start"`` (padding at the end), or its ``"centre"``
            (padding at both ends).
        leads: Leads to keep, in this order; those that a study lacks are absent.
        bandpass_hz: Lower and upper edge of the Butterworth band-pass, forwards and backwards; None for no filter.
        bandpass_order: Order of the Butterworth design (the two passes double it).
        notch_hz: Powerline frequency to remove; None for no filter.
        min_duration_s: Shorter leads are left out; a study that has only such leads is refused.
        nan: What happens where samples were not recorded. ``"interpolate-short"`` bridges gaps up to ``max_gap_s`` and
            keeps longer ones as missing, ``"mask"`` keeps all of them as missing, ``"drop-lead"`` leaves out the lead,
            ``"reject"`` refuses the study.
        max_gap_s: Longest gap that is bridged by a straight line.
        max_missing: Largest share of samples not recorded with which a lead is still used.
        flat: Policy for leads without a signal in at least half of their one-second windows.
        flat_mv: Largest range of a window without a signal.
        saturated: Policy for leads that rest at their largest or smallest value.
        saturated_fraction: Smallest share of samples that equal the one before them at such a value.
        out_of_range: Policy for leads that leave the range.
        out_of_range_mv: Largest distance from the lead's mean that is in range.
        min_leads: Studies with fewer usable leads are refused.
        lead_identity: Whether the limb leads are checked against Einthoven's and Goldberger's equations
            (``"report"``), also repaired where the fault is known (``"repair"``), or not looked at (``"off"``).
        resolution_mv: Integer step of the stored values; a lead that would not fit takes a coarser one.
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
        """Samples of every prepared lead."""
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
