"""The sections of runs: examples, parameters, resolved recipe, environment, and a card for each pack."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lamae.report.curves import names_of
from lamae.report.examples import AttentionCharts, Example, draw_attention, draw_reconstruction
from lamae.report.folders import Run
from lamae.report.wording import count, flat_rows

_SPLITS = ("train", "validation", "test")
_PERSONAL = ("host", "user", "path", "cwd", "argv", "command", "home", "dir")
"""Keys that say more about the person than about the machine never reach the page."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One row of a list with bars: a name, a count, and the bar's length in percent of the longest."""

    name: str
    count: str
    percent: float


@dataclass(frozen=True, kw_only=True)
class DataCard:
    """The content of one pack, as aggregate counts and settings: never a patient."""

    cohort: str
    version: str
    simulated: bool
    rows: Sequence[tuple[str, str]]
    by_split: Sequence[Bar]
    preprocessing: Sequence[tuple[str, str]]
    rejected: Sequence[Bar]
    flags: Sequence[Bar]
    num_rejected: int


@dataclass(frozen=True, kw_only=True)
class RunSection:
    """One run as the page shows it."""

    name: str
    info: Mapping[str, Any]
    last_step: int | None
    total_parameters: int
    parameters: Sequence[Bar]
    config: Sequence[tuple[str, list[tuple[str, str]]]]
    environment: Sequence[tuple[str, str]]
    data: Sequence[DataCard]
    examples: Sequence[Example]
    attention: AttentionCharts | None
    normalised_target: bool

    @property
    def num_studies(self) -> int:
        """Number of studies that the model was trained on."""
        return int(self.info["training"]["studies"])


def make_sections(runs: Sequence[Run]) -> list[RunSection]:
    """Return a section for each run; runs of one recipe are numbered."""
    return [
        _make_section(run, name, f"run-{i}") for i, (run, name) in enumerate(zip(runs, names_of(runs), strict=True), 1)
    ]


def cards_of(sections: Sequence[RunSection]) -> list[tuple[DataCard, list[str]]]:
    """Return each data card once, with the names of the runs that it belongs to."""
    every = [(card, section.name) for section in sections for card in section.data]
    cards = [card for index, (card, _) in enumerate(every) if card not in [one for one, _ in every[:index]]]
    return [(card, [name for own, name in every if own == card]) for card in cards]


def _make_section(run: Run, name: str, anchor: str) -> RunSection:
    parameters, environment = run.info["parameters"], run.info.get("environment", {})
    shown = {key: environment[key] for key in environment if not any(word in key.casefold() for word in _PERSONAL)}
    return RunSection(
        name=name,
        info=run.info,
        last_step=run.info.get("step", max((int(row["step"]) for row in run.metrics), default=None)),
        total_parameters=int(parameters.get("total", sum(parameters.values()))),
        parameters=_bars({part: number for part, number in parameters.items() if part != "total"}),
        config=list(_groups(run.config, "general")),
        environment=flat_rows(shown),
        data=[_data_card(data) for data in run.info["packs"]],
        examples=[draw_reconstruction(one, f"{anchor}-example-{i}") for i, one in enumerate(run.reconstructions, 1)],
        attention=draw_attention(run.attention, anchor),
        normalised_target="patch-normalised" in str(run.config),
    )


def _groups(settings: Mapping[str, Any], name: str, prefix: str = "") -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Return each section of a recipe, however deep it lies, with its own settings."""
    if single := {key: value for key, value in settings.items() if not isinstance(value, Mapping)}:
        yield name, flat_rows(single)
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _groups(value, f"{prefix}{key}", f"{prefix}{key}.")


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
        by_split=_bars({split: by_split[split] for split in splits}, in_order=True),
        preprocessing=flat_rows(data["preprocessing"]),
        rejected=_bars(rejected),
        flags=_bars(data.get("flags", {})),
        num_rejected=sum(rejected.values()),
    )


def _bars(counts: Mapping[str, int], *, in_order: bool = False) -> list[Bar]:
    """Return counts with bars, the greatest first unless their order has a meaning."""
    items = list(counts.items()) if in_order else sorted(counts.items(), key=lambda item: -item[1])
    longest = max(counts.values(), default=0) or 1
    return [Bar(name=str(name), count=count(value), percent=round(100 * value / longest, 2)) for name, value in items]
