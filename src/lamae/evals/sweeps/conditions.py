"""Conditions under which test studies are seen: fewer leads, leads in another order, leads with noise."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from lamae.ecg.leads import LEADS, canonical_lead
from lamae.ecg.noise.perturb import Noise, NoiseKind
from lamae.ecg.same_time import EIGHT_LEADS
from lamae.errors import ConfigError, refuse_twice

LEAD_SUBSETS: Mapping[int, tuple[str, ...]] = {
    12: LEADS,
    8: EIGHT_LEADS,
    6: ("I", "II", "III", "aVR", "aVL", "aVF"),
    3: ("I", "II", "V2"),
    2: ("I", "II"),
    1: ("I",),
}
"""The leads of ``leads:8`` and so on: all, those that are no copies, limb, 3 and 2 as in Challenge 2021, a watch."""

STANDARD: Mapping[str, tuple[str, ...]] = {
    "leads": ("leads:8", "leads:6", "leads:3", "leads:2", "leads:1", "leads:II"),
    "order": ("order:reversed", "order:shuffled"),
    "noise": tuple(
        f"noise:{kind}@{snr_db}dB" for kind in ("muscle", "mains-60", "wander", "motion") for snr_db in (10, 0)
    ),
}
"""Conditions by group; the name of a group stands for all of them."""

_NOISE = re.compile(r"(?P<kind>[^@]+)@(?P<snr_db>[-+]?[0-9]+(\.[0-9]+)?)(dB)?")
_EXPECTED = "expected leads:2 or leads:I,II,V2; order:reversed, order:shuffled or order:V6,V5,...; noise:muscle@10dB"


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One change to studies as they stand in a pack; at most one of the three is not None.

    Attributes:
        name: As `parse_condition` writes it: ``"leads:I,II"``, ``"order:reversed"``, ``"noise:muscle@10dB"``.
        leads: Leads that are left; the others are absent, as in a recording that never had them.
        order: Leads in their new order; ``"reversed"``; or ``"shuffled"``, drawn anew for each study.
        noise: Noise on every lead.
        seed: Seed of the shuffling.
    """

    name: str
    leads: tuple[str, ...] | None = None
    order: str | tuple[str, ...] | None = None
    noise: Noise | None = None
    seed: int = 0

    def describe(self) -> dict[str, Any]:
        """Return the entry ``condition`` of ``result.json``."""
        if self.leads is not None:
            return {"name": self.name, "leads": list(self.leads)}
        if self.order is not None:
            seed = {"seed": self.seed} if self.order == "shuffled" else {}
            return {"name": self.name, "order": self.order if isinstance(self.order, str) else list(self.order)} | seed
        assert self.noise is not None
        return {"name": self.name, "noise": self.noise.kind, "snr_db": self.noise.snr_db, "seed": self.noise.seed}


def parse_conditions(texts: Sequence[str], *, seed: int = 0) -> tuple[Condition, ...]:
    """Return the conditions of texts, in order; a group of ``STANDARD`` or ``"all"`` stands for its conditions.

    Raises:
        ConfigError: A text is no condition, or two are the same.
        DataError: There is no such lead; the message names the nearest.
    """
    groups = [group for text in texts for group in (STANDARD if text == "all" else (text,))]
    single = [text for group in groups for text in STANDARD.get(group, (group,))]
    if not single:
        raise ConfigError(f"no condition was given: {_EXPECTED}, or a group: {', '.join(STANDARD)}, all")
    conditions = tuple(parse_condition(text, seed=seed) for text in single)
    refuse_twice("conditions", [condition.name for condition in conditions])
    return conditions


def parse_condition(text: str, *, seed: int = 0) -> Condition:
    """Return the condition of a text such as ``"leads:3"``, ``"order:reversed"`` or ``"noise:wander@-6dB"``.

    Raises:
        ConfigError: It is none.
        DataError: There is no such lead.
    """
    what, _, rest = text.partition(":")
    if what == "leads" and rest:
        leads = _subset(text, rest)
        return Condition(name=f"leads:{','.join(leads)}", leads=leads)
    if what == "order" and rest:
        order = rest if rest in ("reversed", "shuffled") else _leads(text, rest)
        return Condition(name=f"order:{rest if isinstance(order, str) else ','.join(order)}", order=order, seed=seed)
    found = _NOISE.fullmatch(rest) if what == "noise" else None
    if found is None:
        raise ConfigError(f"unknown condition {text!r}: {_EXPECTED}, or a group: {', '.join(STANDARD)}, all")
    noise = Noise(kind=cast(NoiseKind, found["kind"]), snr_db=float(found["snr_db"]), seed=seed)
    return Condition(name=f"noise:{noise.kind}@{noise.snr_db:g}dB", noise=noise)


def _subset(text: str, rest: str) -> tuple[str, ...]:
    if not rest.isdigit():
        return _leads(text, rest)
    if int(rest) not in LEAD_SUBSETS:
        raise ConfigError(
            f"{text!r}: subsets are known for {', '.join(map(str, LEAD_SUBSETS))} leads; name the leads, as in "
            "leads:I,II,V2"
        )
    return LEAD_SUBSETS[int(rest)]


def _leads(text: str, rest: str) -> tuple[str, ...]:
    leads = tuple(canonical_lead(name) for name in rest.split(","))
    if len(set(leads)) < len(leads):
        raise ConfigError(f"{text!r} names a lead twice")
    return leads
