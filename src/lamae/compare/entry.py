"""One result as the comparison sees it: its system, protocol, amount of labels and seed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamae.provenance import taught
from lamae.results import Evaluation, caveats, read_result, task_of

AS_RECORDED = "as recorded"

_PROTOCOL_OF_KIND = {"probe": "linear", "finetune": "fine-tune", "handmade": "hand-made"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """A result with its folder. Everything comes from ``result.json``; what an older one lacks is inferred from it."""

    folder: Path
    evaluation: Evaluation

    @property
    def info(self) -> Mapping[str, Any]:
        """Content of ``result.json``."""
        return self.evaluation.info

    @property
    def system(self) -> str:
        """Display name, the same over seeds and label fractions."""
        return self.evaluation.system

    @property
    def run(self) -> Mapping[str, Any]:
        """Description of the encoder in the result; empty without one."""
        return self.info.get("run") or {}

    @property
    def card(self) -> Mapping[str, Any]:
        """The run's card: the encoder and its pretraining; empty without one."""
        return self.run.get("card") or {}

    @property
    def protocol(self) -> str:
        """Identity of the protocol, such as ``"linear"``."""
        kind = str(self.info["kind"])
        return str(self.info.get("protocol_id") or _PROTOCOL_OF_KIND.get(kind, kind))

    @property
    def initialisation(self) -> str:
        """``"pretrained"``, ``"scratch"`` (supervised only), ``"random"`` (frozen), or ``"none"`` without encoder."""
        if named := self.info.get("initialisation"):
            return str(named)
        if not self.run:
            return "none"
        if self.run.get("weights") == "pretrained":
            return "pretrained"
        return "scratch" if self.protocol == "fine-tune" else "random"

    @property
    def joins_every_table(self) -> bool:
        """True if its protocol cannot be that of a frozen encoder, since it learns from labels what others pretrained.

        Hand-crafted features, training from scratch, and latent attention that was added after pretraining.
        """
        added = self.system.endswith(" + LA") and self.protocol == "fine-tune"
        return added or self.initialisation in ("scratch", "none")

    @property
    def readout(self) -> str | None:
        """Read-out of the features, None where there is none."""
        return self.info.get("readout")

    @property
    def history(self) -> str:
        """Labels that the encoder learned before, and whether its pretraining stopped early, in words."""
        stopped = ", not finished" if self.run.get("finished") is False else ""
        return taught(self.run.get("trained_on") or ()) + stopped

    @property
    def has_study_token(self) -> bool:
        """True if the model has a CLS token of the study: without latent attention there is none."""
        depth = self.run.get("latent_depth")
        bypassed = str(self.readout or "").startswith("encoder-")
        return depth is None or (depth > 0 and not bypassed)

    @property
    def condition(self) -> str:
        """Condition of the test signals: ``"as recorded"``, ``"leads:I,II"``, ``"noise:muscle@10dB"``..."""
        condition = self.info.get("condition")
        return AS_RECORDED if not condition else str(condition["name"])

    @property
    def label_amount(self) -> tuple[str, float]:
        """Amount of labels: ``("fraction", 0.05)`` of the training patients, or ``("count", 100)`` studies."""
        split = self.info["split"]
        if (number := split.get("label_count")) is not None:
            return "count", float(number)
        return "fraction", float(split.get("label_fraction") or 1.0)

    @property
    def label_draw(self) -> int:
        """Seed of the draw of the labelled patients; 0 where all are used."""
        if self.label_amount == ("fraction", 1.0):
            return 0
        return int(self.info["split"].get("label_draw", self.info.get("seed", 0)))

    @property
    def seed(self) -> int | None:
        """Seed of pretraining, or of the random weights; None where nothing is random."""
        if self.initialisation == "none":
            return None
        if self.initialisation == "pretrained":
            seed = self.card.get("seed")
            return self.run.get("seed") if seed is None else seed
        return self.info.get("seed")

    @property
    def task(self) -> tuple[str, ...]:
        """Identity of the task, which the results of one table share."""
        transfer = self.info.get("transfer")
        trained = (
            () if not transfer else (str(transfer["train"].get("cohort")), str(transfer["train"].get("pack_hash")))
        )
        return (*task_of(self.info), *trained)

    @property
    def simulated(self) -> bool:
        """True if the tested studies are simulated."""
        return bool(self.info["data"]["simulated"])


def read_entries(folders: list[Path]) -> list[Entry]:
    """Read RESULT folders.

    Raises:
        FormatError: A folder holds no result, or a damaged one.
    """
    return [Entry(folder=Path(folder), evaluation=read_result(folder)) for folder in folders]


def amount_words(amount: tuple[str, float]) -> str:
    """Return ``"5 % of the labels"`` or ``"labels of 100 studies"``."""
    kind, number = amount
    if kind == "count":
        return f"labels of {number:,.0f} studies"
    return "all labels" if number == 1 else f"{100 * number:g} % of the labels"


def caveats_of(entries: Iterable[Entry]) -> dict[str, str]:
    """Return for each system what must stand beside its figures; systems without any are left out."""
    found: dict[str, dict[str, None]] = {}
    for entry in entries:
        found.setdefault(entry.system, {}).update(dict.fromkeys(caveats(entry.info)))
    return {system: "; ".join(words) for system, words in found.items() if words}


def foreword(entries: Sequence[Entry]) -> str:
    """Return what a caption begins with: that the tested studies are simulated, and the caveats of each system."""
    simulated = "SIMULATED DATA: no patient was tested. " if any(entry.simulated for entry in entries) else ""
    return simulated + "".join(f"{system} {words}. " for system, words in caveats_of(entries).items())


def systems_of(entries: Iterable[Entry]) -> list[str]:
    """Return the names of the systems, each once."""
    return list(dict.fromkeys(entry.system for entry in entries))


def listed(groups: Mapping[Any, Sequence[Entry]]) -> str:
    """Return ``"linear: LAMAE, Ind_P; fine-tune: Scratch"``."""
    return "; ".join(f"{key}: {', '.join(systems_of(entries))}" for key, entries in groups.items())
