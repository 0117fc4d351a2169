"""Results grouped into tables: one task, protocol, read-out, condition and amount of labels each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lamae.compare.entry import AS_RECORDED, Entry, amount_words, listed, systems_of
from lamae.errors import DataError
from lamae.results import grouped

_TASK_PARTS = ("cohort", "version of the cohort", "pack (test set)", "label set", "kind of labels", "training cohort")


@dataclass(frozen=True, kw_only=True)
class Group:
    """The results of one table.

    Attributes:
        task: Cohort, version, pack, label set and kind of labels, see `lamae.results.task_of`.
        protocol: Protocol of the systems that have an encoder to read out.
        readout: Their read-out; several are joined by `` / `` where they necessarily differ.
        condition: Condition of the test signals.
        amount: Amount of labels, see `Entry.label_amount`.
        systems: Results by system, in the order of the inputs; each list has the seeds and draws of labels.
        warnings: Reasons why the comparison is less than fair.
    """

    task: tuple[str, ...]
    protocol: str
    readout: str | None
    condition: str
    amount: tuple[str, float]
    systems: Mapping[str, Sequence[Entry]]
    warnings: Sequence[str] = field(default_factory=list)

    @property
    def entries(self) -> list[Entry]:
        """All results."""
        return [entry for entries in self.systems.values() for entry in entries]

    @property
    def first(self) -> Entry:
        """The first result."""
        return next(iter(self.systems.values()))[0]

    @property
    def name(self) -> str:
        """Name that tells this table from the others; versions and hashes stand in its caption."""
        labels, _, _, _, *rest = self.name_parts
        return ", ".join(part for part in (labels, *rest) if part)

    @property
    def name_parts(self) -> tuple[str, ...]:
        """Everything that tells this table from others; empty where there is nothing to say."""
        cohort, version, pack, labels, _, *trained = self.task
        condition = "" if self.condition == AS_RECORDED else self.condition
        transfer = f"trained on {trained[0]}" if trained else ""
        return (
            labels,
            cohort,
            version,
            pack[:8],
            transfer,
            self.protocol,
            self.readout or "",
            amount_words(self.amount),
            condition,
        )


def make_groups(entries: Sequence[Entry], *, mixed: bool = False) -> list[Group]:
    """Group results into tables.

    A system that learns from labels what others pretrained (from scratch, hand-crafted features, latent attention added
    downstream) joins every table of its task, condition and amount of labels, with a note, unless it was judged by the
    table's own protocol.

    Args:
        entries: The results.
        mixed: Let systems of different protocols and read-outs stand in one table, with a warning.

    Raises:
        DataError: Two results are the same one, or a table would hold one system alone.
    """
    _refuse_duplicates(entries)
    if len(systems_of(entries)) < 2:
        only = f"only {entries[0].system!r} ({len(entries)} results)" if entries else "no result"
        raise DataError(
            f"a comparison needs at least two systems, found {only}: give the results of another one; `lamae report` "
            "shows a single one",
            reason="one-system",
        )
    groups: list[Group] = []
    for members in grouped(entries, lambda entry: (entry.task, entry.condition, entry.label_amount)).values():
        groups += _tables(members, mixed=mixed)
    _refuse_lonely(groups)
    return sorted(groups, key=lambda g: (g.task, g.condition != AS_RECORDED))


def _tables(members: Sequence[Entry], *, mixed: bool) -> list[Group]:
    """Split the results of one task, condition and amount of labels by protocol and read-out."""
    floating = [entry for entry in members if entry.joins_every_table]
    fixed = [entry for entry in members if not entry.joins_every_table]
    if mixed or not fixed:
        protocols = {(" / ".join(grouped(fixed or floating, lambda e: e.protocol)), None): fixed or floating}
        floating = floating if fixed else []
    else:
        protocols = _join_readouts(grouped(fixed, lambda entry: (entry.protocol, entry.readout)))
    tables = []
    for (protocol, _), own in protocols.items():
        joining = [
            entry for entry in floating if entry.protocol == protocol or not _is_judged(entry, protocol, floating)
        ]
        together = [entry for entry in members if entry in own or entry in joining]
        readouts = grouped((entry for entry in own if entry.readout), lambda entry: str(entry.readout))
        _refuse_two_ways(together)
        tables.append(
            Group(
                task=members[0].task,
                condition=members[0].condition,
                amount=members[0].label_amount,
                protocol=protocol,
                readout=" / ".join(readouts) or None,
                systems=grouped(together, lambda entry: entry.system),
                warnings=[*_protocol_warnings(own, joining), *_readout_warnings(own)],
            )
        )
    return tables


def _is_judged(entry: Entry, protocol: str, entries: Sequence[Entry]) -> bool:
    """Return True if the entry's system has a result of this protocol."""
    return any(other.system == entry.system and other.protocol == protocol for other in entries)


def _refuse_two_ways(entries: Sequence[Entry]) -> None:
    """Refuse a system that was judged in two ways in one table: their mean would be no figure of either."""
    for system, own in grouped(entries, lambda entry: entry.system).items():
        ways = grouped(own, lambda entry: (entry.protocol, entry.readout, entry.history))
        if len(ways) > 1:
            words = " and ".join(
                f"{protocol}, {readout}{history} ({held[0].folder})"
                for (protocol, readout, history), held in ways.items()
            )
            raise DataError(
                f"{system!r} was judged in several ways for one table: {words}; leave all but one out, or name them "
                "otherwise when they are judged (--system NAME)",
                reason="duplicate-result",
            )


def _join_readouts(tables: dict[Any, list[Entry]]) -> dict[Any, list[Entry]]:
    """Put tables of one protocol together where one of two has a read-out that the systems of the other cannot have."""
    joined: dict[Any, list[Entry]] = {}
    for (protocol, readout), own in tables.items():
        for (other_protocol, other), theirs in joined.items():
            if protocol == other_protocol and _necessarily_differ(own, theirs):
                joined[(protocol, other)] = [*theirs, *own]
                break
        else:
            joined[(protocol, readout)] = own
    return joined


def _necessarily_differ(one: Sequence[Entry], other: Sequence[Entry]) -> bool:
    if {entry.system for entry in one} & {entry.system for entry in other}:
        return False
    readouts = {_pooling(entry) for entry in (*one, *other)}
    if len(readouts) == 1:
        return True
    without = [entries for entries in (one, other) if not any(entry.has_study_token for entry in entries)]
    return "cls" in readouts and len(without) == 1


def _pooling(entry: Entry) -> str:
    """Return the read-out without the word that says that latent attention was bypassed."""
    return str(entry.readout).removeprefix("encoder-")


def _readout_warnings(own: Sequence[Entry]) -> list[str]:
    poolings = grouped(own, _pooling)
    if len(poolings) < 2:
        return []
    return [
        f"THE READ-OUTS DIFFER ({listed(poolings)}): a difference between these systems may be one of read-outs. Judge "
        "all of them with one that each can have (mean or view-concat) before concluding anything."
    ]


def _protocol_warnings(own: Sequence[Entry], floating: Sequence[Entry]) -> list[str]:
    protocols = grouped(own, lambda entry: entry.protocol)
    found = []
    if len(protocols) > 1:
        found.append(
            f"THE PROTOCOLS DIFFER ({listed(protocols)}): figures of different protocols differ by 5 to 10 points of "
            "AUROC."
        )
    other = grouped([entry for entry in floating if entry.protocol not in protocols], lambda entry: entry.protocol)
    found += [
        f"{', '.join(systems_of(held))}: protocol {name}, since no frozen pretrained encoder is judged there."
        for name, held in other.items()
    ]
    return found


def _refuse_duplicates(entries: Sequence[Entry]) -> None:
    def identity(entry: Entry) -> tuple[Any, ...]:
        amount = (entry.label_amount, entry.label_draw)
        return (entry.system, entry.task, entry.protocol, entry.readout, entry.condition, *amount, entry.seed)

    for key, same in grouped(entries, identity).items():
        if len(same) > 1:
            raise DataError(
                f"{same[0].folder} and {same[1].folder} are the same entry of a table: system {key[0]!r}, "
                f"{amount_words(same[0].label_amount)}, draw {same[0].label_draw}, seed {key[-1]}; leave one out, or "
                "name it otherwise when it is judged (--system NAME)",
                reason="duplicate-result",
            )


def _refuse_lonely(groups: Sequence[Group]) -> None:
    for group in groups:
        if len(group.systems) > 1:
            continue
        others = [other for other in groups if other is not group]  # of two systems one is in another table
        nearest = min(others, key=lambda other: len(_differences(group, other)))
        raise DataError(
            f"{group.first.system!r} ({group.first.folder}) has nothing to be compared with. It differs from "
            f"{nearest.first.system!r} ({nearest.first.folder}) in {'; '.join(_differences(group, nearest))}. Judge "
            "the systems alike, leave this result out, or set mixed where only protocol or read-out differ",
            reason="not-comparable",
        )


def _differences(one: Group, other: Group) -> list[str]:
    """Return the differences of two tables in words."""
    tasks = zip(one.task, other.task, strict=False)
    found = [f"{_TASK_PARTS[min(i, 5)]}: {a!r} and {b!r}" for i, (a, b) in enumerate(tasks) if a != b]
    if len(one.task) != len(other.task):
        found.append("training cohort: one is a transfer from another cohort")
    pairs = {
        "protocol": (one.protocol, other.protocol),
        "read-out": (one.readout, other.readout),
        "condition": (one.condition, other.condition),
        "labels": (amount_words(one.amount), amount_words(other.amount)),
    }
    return found + [f"{name}: {a!r} and {b!r}" for name, (a, b) in pairs.items() if a != b]
