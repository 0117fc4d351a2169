"""Audit of a pretext task: how much of it is solved by copying leads that are visible at the same time.

Of the twelve leads four are linear copies of two others. Where two limb leads are visible at a time, the hidden ones
follow by arithmetic, and a model that sees all leads can lower its loss there without knowing anything of hearts.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamae.batch import Instances, StudyBatch
from lamae.data import PackDataset, in_order, rows_by_pack
from lamae.ecg.same_time import EIGHT_LEADS, LIMB_ROWS
from lamae.errors import ConfigError
from lamae.evals.audits.einthoven import (
    EINTHOVEN,
    LINEAR,
    PUT_RIGHT,
    HiddenPatches,
    expected_solvable,
    fit_covariance,
    labels_of,
    leads_of,
    look_at,
    visible_cells,
)
from lamae.evals.settings import Progress, silent
from lamae.models import MaskedAutoencoder, MaskedAutoencoderConfig
from lamae.models.accounting import example_batch
from lamae.nn.masks import MaskConfig, draw_masks
from lamae.nn.precision import Precision, autocast
from lamae.pack import Pack
from lamae.provenance import NOT_KNOWN, Provenance
from lamae.splits import patient_hashes

FORMAT, FORMAT_VERSION = "lamae-pretext-audit", 1
LARGEST_UNEXPLAINED = 0.1
"""A lead of which Einthoven's solution leaves a larger fraction of the variance is named; rounding leaves far less."""

GROUPS = ("all", "follows", "limb, does not follow", "other leads")
"""Groups of hidden patches: all; those whose every recorded sample follows from other leads by Einthoven's law; the
other patches of limb leads; patches of all other leads."""

_HIDDEN_VIEWS = (1, 3, 6, 9)
_MOST_FITTED = 512
"""Training studies for the covariance of twelve leads: half a million samples."""


@dataclass(frozen=True, kw_only=True)
class AuditData:
    """The studies of an audit.

    Attributes:
        pack: Where they are.
        train_splits: Splits on which the linear guess is fitted.
        judged_splits: Splits of the studies that are judged; without any such study, those of ``train_splits``.
        num_studies: Maximum number of studies of either kind, the first of their splits; at most 512 are fitted on.
        provenance: What the model was trained on; judged patients among those are counted.
    """

    pack: Pack
    train_splits: tuple[str, ...] = ("train",)
    judged_splits: tuple[str, ...] = ("validation",)
    num_studies: int = 256
    provenance: Provenance = NOT_KNOWN


def audit(
    config: MaskedAutoencoderConfig,
    data: AuditData | None = None,
    *,
    model: MaskedAutoencoder | None = None,
    precision: Precision = "fp32",
    leads: Sequence[str] | None = None,
    lead_sets: Sequence[Sequence[str]] | None = None,
    masks: Sequence[MaskConfig] | None = None,
    num_studies: int = 256,
    batch_size: int = 32,
    seed: int = 0,
    stream: str = "ecg",
    progress: Progress = silent,
) -> dict[str, Any]:
    """Audit the masks of a model, and the loss of a pretrained one.

    Args:
        config: The model whose target, patches and leads are looked at; its own mask comes first.
        data: Real studies; None: only the number of hidden patches that follow.
        model: A pretrained model with this configuration, on any device; its loss is measured under its own mask.
        precision: Precision in which the model computes.
        leads: Leads that the model is given; None: all that it knows.
        lead_sets: Further sets of leads; None: the eight leads without copies, where the model has more.
        masks: Further masks; None: each strategy at the same ratio.
        num_studies: Studies to draw masks for without data.
        batch_size: Studies at once.
        seed: Seed of the masks: the same ones for any model.
        stream: The stream of the leads.
        progress: Called after each row.

    Returns:
        What the JSON file of an audit holds: ``leads``, ``target``, ``rows`` (one for each mask and set of leads),
        ``data`` (None without a pack), ``model`` (None without a run).

    Raises:
        ConfigError: The model has no such stream or lead, no study is left, or the data do not fit the model.
    """
    if stream not in config.streams:
        raise ConfigError(f"the audit is of ECG leads: the model has no stream {stream!r}, only {list(config.streams)}")
    sets = _lead_sets(config.streams[stream].view_names, leads, lead_sets)
    rows, content = [], {}
    others = standard_masks(config.mask) if masks is None else tuple(masks)
    todo = list(dict.fromkeys((names, mask) for names in sets for mask in (config.mask, *others)))
    for done, (names, mask) in enumerate(todo, start=1):
        own = mask == config.mask and names == sets[0]
        batches = _Batches(config, data, names, num_studies, batch_size, stream)
        tally = _judge(mask, batches, seed, model if own else None, precision)
        said = {name: getattr(mask, name) for name in ("strategy", "ratio", "latent_ratio", "hidden_views")}
        row = _row(mask, names, config.streams[stream].num_patches, tally, on_data=data is not None)
        rows.append({"mask": said, "own": own} | row)
        if own:
            content = {"data": batches.described(), "model": tally.losses() if model and data else None}
        progress("auditing masks", done, len(todo))
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "leads": list(sets[0]),
        "target": config.target,
        "normalise": config.streams[stream].normalise,
        "patches": config.streams[stream].num_patches,
        "leads_meet": config.latent.depth > 0,
        "seed": seed,
        "rows": rows,
        **content,
    }


def standard_masks(own: MaskConfig) -> tuple[MaskConfig, ...]:
    """Return each strategy at the ratios of a mask; whole leads: 1, 3, 6 and 9 of them."""
    plain = replace(own, hidden_views=0, num_masks=1, strategy="random")
    some = [replace(plain, strategy=strategy) for strategy in ("random", "tube", "block")]
    return (*some, *(replace(plain, strategy="view", hidden_views=number) for number in _HIDDEN_VIEWS))


@dataclass
class Tally:
    """Sums over studies, batch after batch.

    Attributes:
        patches: ``[groups, studies]`` hidden patches with anything recorded.
        elements: ``[groups, studies]`` their recorded elements.
        following_elements: ``[studies]`` elements that follow, whatever the rest of their patch does.
        errors: For each guess ``[groups, studies]`` squared errors.
        lead_errors: For each lead the squared error of Einthoven's solution, exchanged labels put right, and of 0
            where the lead follows.
    """

    patches: list[Tensor] = field(default_factory=list)
    elements: list[Tensor] = field(default_factory=list)
    following_elements: list[Tensor] = field(default_factory=list)
    errors: dict[str, list[Tensor]] = field(default_factory=dict)
    lead_errors: dict[str, list[float]] = field(default_factory=dict)

    def add(
        self, instances: Instances, num_studies: int, found: HiddenPatches, predicted: Mapping[str, Tensor]
    ) -> None:
        """Add one mask of a batch, with its guesses and what a model predicted."""
        limb = torch.tensor([name in LIMB_ROWS for name in instances.view_names])[instances.view_of][:, None]
        there = found.recorded.any(dim=2)
        follows = there & (found.follows == found.recorded).all(dim=2)
        members = torch.stack([there, follows, there & ~follows & limb, there & ~follows & ~limb])

        def by_study(numbers: Tensor) -> Tensor:
            summed = numbers.double().sum(dim=-1)
            total = torch.zeros(*summed.shape[:-1], num_studies, dtype=torch.float64)
            return total.index_add(-1, instances.study_of, summed)

        self.patches.append(by_study(members))
        self.elements.append(by_study(found.recorded.sum(dim=2) * members))
        self.following_elements.append(by_study(found.follows.sum(dim=2)))
        for name, guess in {**found.guesses, **predicted}.items():
            squared = torch.where(found.recorded, guess.float() - found.target, 0.0).double().square()
            self.errors.setdefault(name, []).append(by_study(squared.sum(dim=2) * members))
        for guess, place in ((PUT_RIGHT, 0), ("zero", 1)):
            squared = torch.where(found.follows, found.guesses[guess] - found.target, 0.0).double().square()
            by_view = torch.zeros(len(instances.view_names), dtype=torch.float64)
            by_view.index_add_(0, instances.view_of, squared.sum(dim=(1, 2)))
            for name, total in zip(instances.view_names, by_view.tolist(), strict=True):
                self.lead_errors.setdefault(name, [0.0, 0.0])[place] += total

    def fraction_of_patches(self, group: str) -> tuple[float, float]:
        """Return the fraction of all hidden patches that a group has, and its standard error over studies."""
        return _ratio(_of(self.patches, group), _of(self.patches))

    def fraction_of_elements(self) -> float:
        """Return the fraction of the hidden elements that follow."""
        return _ratio(torch.cat(self.following_elements), _of(self.elements))[0]

    def loss(self, guess: str, group: str = "all") -> float | None:
        """Return the mean squared error in each study's patches of a group, averaged over the studies that have any."""
        error, count = _of(self.errors[guess], group), _of(self.elements, group)
        some = count > 0
        return float((error[some] / count[some]).mean()) if bool(some.any()) else None

    def losses(self) -> list[dict[str, Any]]:
        """Return the loss of the model and of each guess by group of hidden patches."""
        return [
            {"group": group, "patches": self.fraction_of_patches(group)[0]}
            | {"loss": {guess: self.loss(guess, group) for guess in self.errors}}
            for group in GROUPS
        ]

    def explained(self, guess: str, group: str = "all") -> float | None:
        """Return the fraction of the target's variance (the loss of 0) that a guess explains."""
        total, left = self.loss("zero", group), self.loss(guess, group)
        return None if not total or left is None else 1 - left / total

    def unexplained_leads(self, limit: float) -> dict[str, float]:
        """Return the leads of which Einthoven's solution leaves more than a limit, with that fraction."""
        fractions = {name: error / total for name, (error, total) in self.lead_errors.items() if total > 0}
        return {name: fraction for name, fraction in fractions.items() if fraction > limit}


class _Batches:
    """The judged studies, batch by batch, with one set of leads, and the covariance of the training studies."""

    def __init__(
        self,
        config: MaskedAutoencoderConfig,
        data: AuditData | None,
        names: tuple[str, ...],
        num_studies: int,
        batch_size: int,
        stream: str,
    ) -> None:
        self.config, self.data, self.batch_size, self.stream = config, data, batch_size, stream
        self.covariance: np.ndarray | None = None
        if data is None:
            self.dataset, self.num = None, num_studies
            self.example = replace(config, streams={stream: replace(config.streams[stream], view_names=names)})
            return
        studies = data.pack.studies
        held = set(studies.column("split").to_pylist()) if "split" in studies.column_names else set()
        self.splits = data.judged_splits if held.intersection(data.judged_splits) else data.train_splits
        self.dataset = PackDataset([data.pack], view_names=names, split=self.splits, views=names)
        self.num = min(data.num_studies, len(self.dataset))
        found, grid = self.dataset.batch(np.arange(1)).streams[stream].grid, config.streams[stream].grid
        if found != grid:
            raise ConfigError(
                f"{data.pack.path}: {found[0]} samples a lead, but the model takes {grid[0]}: prepare the data with "
                "the rate and length of the recipe, or change the stream's grid"
            )
        training = PackDataset([data.pack], view_names=names, split=data.train_splits, views=names)
        rows = np.arange(min(data.num_studies, len(training), _MOST_FITTED))
        self.covariance = fit_covariance(leads_of(training.batch(rows), config, stream))

    def __iter__(self) -> Iterator[StudyBatch]:
        for rows in in_order(self.num, self.batch_size):
            if self.dataset is None:
                yield example_batch(self.example, num_studies=len(rows))
            else:
                yield self.dataset.batch(rows)

    def described(self) -> dict[str, Any] | None:
        """Return the entry ``data`` of an audit, lead faults included; None without data."""
        if self.dataset is None or self.data is None:
            return None
        flags, broken, exchanged = Counter[str](), Counter[str](), 0
        for batch in self:
            for true_names, found, leads in labels_of(batch.streams[self.stream], batch.num_studies):
                flags.update(found)
                broken.update(leads)
                exchanged += bool(true_names)
        info, (_, rows), seen = self.data.pack.info, rows_by_pack(self.dataset)[0], self.data.provenance.seen
        judged = np.unique(patient_hashes(self.data.pack.patient_keys(rows[: self.num]), info.salt))
        known = None if seen is None else int(np.isin(judged, seen["patient_hash"].to_pylist()).sum())
        return {
            "patients": len(judged),
            "patients_trained_on": known,
            "cohort": info.cohort,
            "simulated": info.simulated,
            "content_hash": info.content_hash,
            "splits": list(self.splits),
            "fitted_on": list(self.data.train_splits),
            "studies": self.num,
            "broken_leads": dict(sorted(broken.items())),
            "flags": dict(sorted(flags.items())),
            "labels_exchanged": exchanged,
        }


@torch.inference_mode()
def _judge(
    mask: MaskConfig, batches: _Batches, seed: int, model: MaskedAutoencoder | None, precision: Precision
) -> Tally:
    generator, tally, config, stream = torch.Generator().manual_seed(seed), Tally(), batches.config, batches.stream
    patch = config.streams[stream].patch
    for batch in batches:
        plan, leads = draw_masks(mask, batch, {stream: patch}, generator), leads_of(batch, config, stream)
        predicted: list[dict[str, Tensor]] = [{}] * plan.num_masks
        if model is not None:
            device = next(model.parameters()).device
            with autocast(precision, device):
                output = model(batch.to(device), plan.to(device))
            predicted = [{"model": one.predicted.float().cpu()} for one in output.predictions[stream]]
        for index in range(plan.num_masks):
            visible = visible_cells(batch, plan, index, patch=patch[0], stream=stream)
            found = look_at(leads, plan.streams[stream][index], visible, batches.covariance)
            tally.add(leads.instances, batch.num_studies, found, predicted[index])
    return tally


def _row(mask: MaskConfig, names: tuple[str, ...], num_patches: int, tally: Tally, *, on_data: bool) -> dict[str, Any]:
    by_lead = expected_solvable(mask, names, num_patches)
    drawn, error = tally.fraction_of_patches("follows")
    row: dict[str, Any] = {
        "leads": list(names),
        "hidden_patches": float(_of(tally.patches).mean()),
        "expected": float(np.mean(list(by_lead.values()))),
        "expected_by_lead": by_lead,
        "drawn": drawn,
        "drawn_standard_error": error,
        "drawn_elements": tally.fraction_of_elements(),
        "explained": None,
        "unexplained_leads": {},
    }
    if on_data:
        row["explained"] = {guess: tally.explained(guess) for guess in (EINTHOVEN, PUT_RIGHT, LINEAR)}
        row["explained_where_it_follows"] = tally.explained(EINTHOVEN, "follows")
        row["unexplained_leads"] = tally.unexplained_leads(LARGEST_UNEXPLAINED)
    return row


def _lead_sets(
    known: tuple[str, ...], own: Sequence[str] | None, asked: Sequence[Sequence[str]] | None
) -> list[tuple[str, ...]]:
    first = known if own is None else tuple(own)
    if asked is None:
        asked = [EIGHT_LEADS] if set(EIGHT_LEADS) < set(first) else []
    for names in (first, *asked):
        if not names or len(set(names)) != len(names) or not set(names) <= set(known):
            raise ConfigError(
                f"a set of leads must name some of {', '.join(known)}, each once; found {', '.join(names) or 'none'}"
            )
    return [first, *map(tuple, asked)]


def _of(sums: list[Tensor], group: str = "all") -> Tensor:
    """Return ``[studies]`` of a group."""
    return torch.cat(sums, dim=1)[GROUPS.index(group)]


def _ratio(own: Tensor, every: Tensor) -> tuple[float, float]:
    some = every > 0
    fractions = own[some] / every[some]
    if not len(fractions):
        return 0.0, 0.0
    error = float(fractions.std() / len(fractions) ** 0.5) if len(fractions) > 1 else 0.0
    return float(fractions.mean()), error
