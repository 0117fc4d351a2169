"""Cards of a run: what was trained, on what data, on what machine, and which files were refused or flagged."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lamae.report.folders import Run
from lamae.report.wording import count, flat_rows

_SPLITS = ("train", "validation", "test")
_ENVIRONMENT_HIDDEN = ("host", "user", "path", "cwd", "argv", "command", "home", "dir")
"""What says more about the person than about the machine never reaches the page."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One row of a list with bars: a name, a count, and the bar's length in percent of the longest."""

    name: str
    count: str
    share: float


@dataclass(frozen=True, kw_only=True)
class DataCard:
    """What one pack holds, as far as it may be told: counts and settings, never a patient."""

    cohort: str
    version: str
    simulated: bool
    rows: Sequence[tuple[str, str]]
    by_split: Sequence[Bar]
    preprocessing: Sequence[tuple[str, str]]
    rejected: Sequence[Bar]
    flags: Sequence[Bar]
    num_rejected: int


def config_groups(run: Run) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the resolved recipe in groups: each section, however deep it lies, with its own settings."""
    return list(_groups(run.config, "general"))


def _groups(settings: Mapping[str, Any], name: str, prefix: str = "") -> Iterator[tuple[str, list[tuple[str, str]]]]:
    if single := {key: value for key, value in settings.items() if not isinstance(value, Mapping)}:
        yield name, flat_rows(single)
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _groups(value, f"{prefix}{key}", f"{prefix}{key}.")


def parameters(run: Run) -> list[Bar]:
    """Return the number of parameters by part."""
    return bars({part: number for part, number in run.info["parameters"].items() if part != "total"})


def total_parameters(run: Run) -> int:
    """Return the number of parameters of all parts."""
    by_part = run.info["parameters"]
    return int(by_part.get("total", sum(by_part.values())))


def environment(run: Run) -> list[tuple[str, str]]:
    """Return what the run says about software and machine."""
    shown = {
        key: value
        for key, value in run.info.get("environment", {}).items()
        if not any(word in key.casefold() for word in _ENVIRONMENT_HIDDEN)
    }
    return flat_rows(shown)


def data_cards(run: Run) -> list[DataCard]:
    """Return a card for each pack that the run was trained on."""
    return [_data_card(data) for data in run.info["packs"]]


def _data_card(data: Mapping[str, Any]) -> DataCard:
    by_split = data["studies_by_split"]
    rejected = data["rejected_by_reason"]
    rows = {key: data[key] for key in ("studies", "patients", "modality") if key in data}
    rows |= {"content hash": str(data.get("content_hash", ""))[:16]}
    splits = [split for split in _SPLITS if split in by_split] + [split for split in by_split if split not in _SPLITS]
    return DataCard(
        cohort=str(data["cohort"]),
        version=str(data["version"]),
        simulated=bool(data["simulated"]),
        rows=flat_rows(rows),
        by_split=bars({split: by_split[split] for split in splits}, in_order=True),
        preprocessing=flat_rows(data["preprocessing"]),
        rejected=bars(rejected),
        flags=bars(data.get("flags", {})),
        num_rejected=sum(rejected.values()),
    )


def bars(counts: Mapping[str, int], *, in_order: bool = False) -> list[Bar]:
    """Return counts with bars, the greatest first unless their order has a meaning."""
    items = list(counts.items()) if in_order else sorted(counts.items(), key=lambda item: -item[1])
    longest = max(counts.values(), default=0) or 1
    return [Bar(name=str(name), count=count(value), share=round(100 * value / longest, 2)) for name, value in items]
