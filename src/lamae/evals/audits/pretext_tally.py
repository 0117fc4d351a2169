"""Losses of guesses and of a model on groups of hidden patches, averaged as the objective averages them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lamae.batch import StudyBatch
from lamae.ecg.same_time import LIMB_ROWS
from lamae.evals.audits.pretext_guesses import PUT_RIGHT, HiddenPatches

GROUPS = ("all", "follows", "limb, does not follow", "other leads")
"""Groups of hidden patches: all; those whose every recorded sample follows from other leads by Einthoven's law; the
other patches of limb leads; patches of all other leads."""


@dataclass
class Tally:
    """Sums over studies, batch after batch.

    Attributes:
        patches: For each group ``[studies]`` hidden patches with anything recorded.
        elements: For each group ``[studies]`` their recorded elements.
        following_elements: ``[studies]`` elements that follow, whatever the rest of their patch does.
        errors: For each guess and group ``[studies]`` squared errors.
        lead_errors: For each lead the squared error of Einthoven's solution, exchanged labels put right, and of 0
            where the lead follows.
    """

    patches: dict[str, list[Tensor]] = field(default_factory=lambda: {group: [] for group in GROUPS})
    elements: dict[str, list[Tensor]] = field(default_factory=lambda: {group: [] for group in GROUPS})
    following_elements: list[Tensor] = field(default_factory=list)
    errors: dict[str, dict[str, list[Tensor]]] = field(default_factory=dict)
    lead_errors: dict[str, list[float]] = field(default_factory=dict)

    def add(self, batch: StudyBatch, stream: str, found: HiddenPatches, guesses: Mapping[str, Tensor]) -> None:
        """Add one mask of a batch, with the guesses to be judged (a model's prediction is one)."""
        instances = batch.streams[stream]
        limb = torch.tensor([name in LIMB_ROWS for name in instances.view_names])[instances.view_of]
        there = found.recorded.any(dim=2)
        follows = there & (found.follows == found.recorded).all(dim=2)
        members = {
            "all": there,
            "follows": follows,
            "limb, does not follow": there & ~follows & limb[:, None],
            "other leads": there & ~follows & ~limb[:, None],
        }

        def by_study(numbers: Tensor) -> Tensor:
            return torch.zeros(batch.num_studies, dtype=torch.float64).index_add(
                0, instances.study_of, numbers.double().sum(dim=1)
            )

        count = found.recorded.sum(dim=2)
        self.following_elements.append(by_study(found.follows.sum(dim=2)))
        for group, member in members.items():
            self.patches[group].append(by_study(member))
            self.elements[group].append(by_study(count * member))
        for name, guess in guesses.items():
            squared = torch.where(found.recorded, guess.float() - found.target, 0.0).double().square()
            sums = self.errors.setdefault(name, {group: [] for group in GROUPS})
            for group, member in members.items():
                sums[group].append(by_study(squared.sum(dim=2) * member))
        self._add_leads(batch, stream, found)

    def _add_leads(self, batch: StudyBatch, stream: str, found: HiddenPatches) -> None:
        instances = batch.streams[stream]
        for guess, place in ((PUT_RIGHT, 0), ("zero", 1)):
            squared = torch.where(found.follows, found.guesses[guess] - found.target, 0.0).double().square()
            by_view = torch.zeros(len(instances.view_names), dtype=torch.float64)
            by_view.index_add_(0, instances.view_of, squared.sum(dim=(1, 2)))
            for name, total in zip(instances.view_names, by_view.tolist(), strict=True):
                self.lead_errors.setdefault(name, [0.0, 0.0])[place] += total

    def share_of_patches(self, group: str) -> tuple[float, float]:
        """Share of all hidden patches that a group has, and its standard error over studies."""
        return _ratio(self.patches[group], self.patches["all"])

    def share_of_elements(self) -> float:
        """Share of the hidden elements that follow."""
        return _ratio(self.following_elements, self.elements["all"])[0]

    def loss(self, guess: str, group: str = "all") -> float | None:
        """Mean squared error within each study's patches of a group, averaged over the studies that have any."""
        error, count = torch.cat(self.errors[guess][group]), torch.cat(self.elements[group])
        some = count > 0
        return float((error[some] / count[some]).mean()) if bool(some.any()) else None

    def explained(self, guess: str, group: str = "all") -> float | None:
        """Share of the target's variance (the loss of 0) that a guess explains."""
        total, left = self.loss("zero", group), self.loss(guess, group)
        return None if not total or left is None else 1 - left / total

    def unexplained_leads(self, limit: float) -> dict[str, float]:
        """Leads of which Einthoven's solution leaves more than a share, with that share."""
        shares = {name: error / total for name, (error, total) in self.lead_errors.items() if total > 0}
        return {name: share for name, share in shares.items() if share > limit}


def _ratio(part: list[Tensor], whole: list[Tensor]) -> tuple[float, float]:
    own, every = torch.cat(part), torch.cat(whole)
    some = every > 0
    shares = own[some] / every[some]
    if not len(shares):
        return 0.0, 0.0
    error = float(shares.std() / len(shares) ** 0.5) if len(shares) > 1 else 0.0
    return float(shares.mean()), error
