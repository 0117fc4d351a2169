"""Names of ECG leads: the standard twelve, additional ones, and spellings used by archives."""

from difflib import get_close_matches

from lamae.errors import DataError

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""The standard 12 leads in printing order."""

OTHER_LEADS = (
    *("-aVR", "V7", "V8", "V9", "V3R", "V4R", "V5R", "V6R", "V7R"),
    *("X", "Y", "Z", "A", "ES", "AI", "MV1", "MCL1"),
)
"""Additional leads found in archives: posterior, right-sided, Frank, Nehb and EASI, modified chest leads."""

_BY_FOLDED_NAME = {name.casefold(): name for name in LEADS + OTHER_LEADS} | {"vx": "X", "vy": "Y", "vz": "Z"}


def canonical_lead(name: str) -> str:
    """Return the standard spelling of an ECG lead name (``"AVR"``, ``"lead ii"``, ``"MDC_ECG_LEAD_V1"``).

    Raises:
        DataError: The name is neither in ``LEADS`` nor in ``OTHER_LEADS`` (``unknown-lead``).
    """
    folded = name.strip().casefold()
    for prefix in ("mdc_ecg_lead_", "ecg lead ", "lead_", "lead "):
        folded = folded.removeprefix(prefix)
    if folded in _BY_FOLDED_NAME:
        return _BY_FOLDED_NAME[folded]
    near = get_close_matches(folded, list(_BY_FOLDED_NAME), n=1)
    hint = f" Did you mean {_BY_FOLDED_NAME[near[0]]!r}?" if near else ""
    raise DataError(
        f"unknown ECG lead {name!r}: expected one of {', '.join(LEADS)} (or {', '.join(OTHER_LEADS)}).{hint} "
        "Give a mapping of names, or choose the channels to read.",
        reason="unknown-lead",
    )
