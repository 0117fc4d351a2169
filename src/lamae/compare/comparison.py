"""A whole comparison: every table and chart of it, in the order in which they are shown."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lamae.compare.charts import Chart, SystemStyle, styles_of
from lamae.compare.difference_tables import difference_table, label_forest, macro_forest, seed_table
from lamae.compare.differences import Difference
from lamae.compare.entry import AS_RECORDED, Entry, caveats_of, systems_of
from lamae.compare.groups import Group, make_groups
from lamae.compare.judged import LATENT_ATTENTION, Judged, Settings, judge_group
from lamae.compare.matching import matched_control_table
from lamae.compare.score_tables import label_table, macro_table
from lamae.compare.series import (
    condition_series,
    efficiency_chart,
    efficiency_series,
    judge_alike,
    num_labelled,
    robustness_chart,
)
from lamae.compare.table import Table
from lamae.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Section:
    """Tables and charts under one heading."""

    title: str
    parts: Sequence[Table | Chart]
    warnings: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A whole comparison.

    Attributes:
        title: Names of the systems.
        simulated: True if any tested study is simulated.
        sections: In the order in which they are shown; the first part of the first one is the main table.
        warnings: Differences between the pretrainings of the systems.
        caveats: What must stand beside the figures of a system, by its name.
    """

    title: str
    simulated: bool
    sections: Sequence[Section]
    warnings: Sequence[str]
    caveats: Mapping[str, str]

    @property
    def main_table(self) -> Table:
        """The macro metrics with all labels."""
        table = self.sections[0].parts[0]
        assert isinstance(table, Table)
        return table

    @property
    def contents(self) -> list[Table | Chart]:
        """Every table and chart."""
        return [part for section in self.sections for part in section.parts]


def make_comparison(entries: Sequence[Entry], settings: Settings) -> Comparison:
    """Make every table and chart of some results.

    Raises:
        DataError: Results cannot be compared; the message says in what they differ.
        ConfigError: No table has the reference.
    """
    groups = make_groups(entries, mixed=settings.mixed)
    systems = systems_of(entries)
    if settings.reference is not None and settings.reference not in systems:
        raise ConfigError(f"no system {settings.reference!r} to hold others against: {', '.join(map(repr, systems))}")
    controls = [entry.system for entry in entries if entry.initialisation == "random"]
    styles = styles_of(systems, controls=controls)
    recorded = sorted((g for g in groups if g.condition == AS_RECORDED), key=lambda g: -num_labelled(g))
    judged = {group.name_parts: judge_group(group, settings) for group in recorded or groups}
    matching = matched_control_table(entries)
    sections = [_table_section(one, prefix=_prefix(one.group, list(judged.values()))) for one in judged.values()]
    sections += _series_sections(groups, judged, settings, styles)
    sections.append(Section(title="Matched controls", parts=[matching], warnings=matching.notes))
    return Comparison(
        title=f"Comparison: {', '.join(systems)}",
        simulated=any(entry.simulated for entry in entries),
        sections=sections,
        warnings=matching.notes,
        caveats=caveats_of(entries),
    )


def _table_section(judged: Judged, *, prefix: str) -> Section:
    seeds = seed_table(judged, f"{prefix}seeds")
    parts = [
        macro_table(judged, f"{prefix}macro"),
        macro_forest(judged, f"{prefix}forest"),
        difference_table(judged, f"{prefix}differences"),
        *([seeds] if seeds else []),
        label_table(judged, f"{prefix}labels"),
    ]
    for index, one in enumerate(_main_first(judged)):
        chart = label_forest(judged, one, f"{prefix}forest-{slug(one.system)}-minus-{slug(one.reference)}")
        parts.append(replace(chart, folded=index > 0))
    return Section(title=judged.group.name, parts=parts, warnings=judged.warnings)


def _main_first(judged: Judged) -> list[Difference]:
    """Return the differences, that of latent attention to independent leads in front."""
    return sorted(
        judged.all_differences,
        key=lambda one: (one is not judged.main_difference, one.system != LATENT_ATTENTION),
    )


def _series_sections(
    groups: Sequence[Group],
    judged: Mapping[tuple[str, ...], Judged],
    settings: Settings,
    styles: Mapping[str, SystemStyle],
) -> list[Section]:
    found = []
    for make, chart, title, key in (
        (efficiency_series, efficiency_chart, "Label efficiency", "efficiency"),
        (condition_series, robustness_chart, "Robustness", "robustness"),
    ):
        for number, series in enumerate(make(groups)):
            alike = judge_alike(series, judged, settings)
            found.append(Section(title=title, parts=chart(alike, styles, f"{key}-{number + 1}" if number else key)))
    return found


def _prefix(group: Group, judged: Sequence[Judged]) -> str:
    """Return the beginning of a table's file names: none for the first one, else its differences from that one."""
    first = judged[0].group
    if first is group:
        return ""
    pairs = zip(group.name_parts, first.name_parts, strict=True)
    return f"{slug(' '.join(one for one, other in pairs if one != other))}-"


def slug(name: str) -> str:
    """Return a name as it may stand in a file's name."""
    return re.sub(r"[^a-z0-9.]+", "-", name.replace("%", "percent").casefold()).strip("-") or "x"
