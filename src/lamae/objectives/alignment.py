"""Alignment of the views of a study: the objective of MMVM / MVMAE beside masked reconstruction.

After the sibling code `agostini335/MVMAE` (``mm_maes/mm_mae_mmvm.py``), with three things put right: a view that a
study does not have counts neither as aligned nor as apart (there, absent pairs add 0 and are counted); a view is not
paired with itself; the weight's midpoint is relative to the length of the run (there it is absolute and compared with a
relative step).
"""

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import normalize, softplus

from lamae.batch import number_recordings
from lamae.errors import ConfigError
from lamae.nn.output import EncodedInstances, MaskedOutput

Metric = Literal["mse", "cosine", "simclr", "mix"]


@dataclass(frozen=True, kw_only=True)
class AlignmentConfig:
    """Objective that draws the views of a study together, and its weight beside the model's own loss.

    The weight of a step is 0 until the warm-up of the learning rate has ended. With ``u`` from 0 there to 1 at the end
    of the run it is then ``final_weight * (s(u) - s(0)) / (s(1) - s(0))``, where ``s(u)`` is the logistic function of
    ``steepness * (u - midpoint)``: it starts at 0 and ends at ``final_weight``, whatever the length of the run.

    Attributes:
        metric: ``"mse"``, ``"cosine"``, ``"simclr"``, or ``"mix"``, a third of each.
        tokens: What stands for a view: ``"mean"`` of its visible tokens, or ``"cls"``, its own CLS token
            (``model.instance_cls``).
        final_weight: Weight at the end of the run.
        midpoint: Fraction of the annealing after which the logistic function is half-way up.
        steepness: Its slope; 10 rises from 10 % to 90 % over the middle 44 % of the annealing.
        temperature: Of ``"simclr"``.

    Raises:
        ConfigError: A number is out of its range.
    """

    metric: Metric = "mse"
    tokens: Literal["mean", "cls"] = "mean"
    final_weight: float = 2.0
    midpoint: float = 0.5
    steepness: float = 10.0
    temperature: float = 0.5

    def __post_init__(self) -> None:
        for name in ("final_weight", "steepness", "temperature"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"alignment.{name} must be above 0, found {getattr(self, name)}")
        if not 0 <= self.midpoint <= 1:
            raise ConfigError(
                f"alignment.midpoint is a share of the run and must lie in [0, 1], found {self.midpoint}: "
                "it is not a number of steps"
            )

    def weight(self, step: int, *, warmup_steps: int, steps: int) -> float:
        """Return the weight of a step (from 0) of a run of ``steps``; the last step has the final weight."""
        progress = (step - warmup_steps) / max(steps - 1 - warmup_steps, 1)
        first, now, last = (
            1 / (1 + math.exp(-self.steepness * (u - self.midpoint))) for u in (0.0, min(max(progress, 0.0), 1.0), 1.0)
        )
        return self.final_weight * (now - first) / (last - first)


def alignment(output: MaskedOutput, config: AlignmentConfig, *, global_size: int) -> Float[Tensor, ""]:
    """Return the alignment of the encoded views of each study, summed over studies / ``global_size``; not yet weighted.

    Like `masked_reconstruction` it adds up over micro-batches and ranks to the mean over the studies of the global
    batch. ``"simclr"`` (and its third of ``"mix"``) tells a study from the others of its micro-batch on its process, so
    there the figure depends on how the global batch is cut; the others do not.

    Args:
        output: What a `lamae.models.MaskedAutoencoder` returns. Views are those with a visible token, before latent
            attention, of all streams; several masks are averaged.
        config: Metric and tokens.
        global_size: Number of studies in the global batch.

    Returns:
        A scalar; a study with fewer than two views adds 0.
    """
    num_masks = len(next(iter(output.encoded.values())))
    total = torch.zeros((), device=output.summary.device)
    for index in range(num_masks):
        instances = [masks[index] for masks in output.encoded.values()]
        found = [_by_recording(encoded, _vectors(encoded, config.tokens)) for encoded in instances]
        vectors, study_of = (torch.cat(one) for one in zip(*found, strict=True))
        total = total + _by_study(vectors, study_of, output.num_studies, config).sum()
    return total / (num_masks * global_size)


def mse(
    vectors: Float[Tensor, "views dim"], study_of: Int64[Tensor, " views"], num_studies: int
) -> Float[Tensor, " studies"]:
    """Return the mean squared difference of unit vectors, over all pairs of views of a study and over dimensions.

    Over pairs ``|a - b|^2`` sums to the number of views times the squared distances to their mean, which needs no table
    of pairs. As a mean over dimensions of *unit* vectors it is at most ``4 / dim`` (0.005 at width 768), so that even
    a weight of 2 moves the encoder little.

    Args:
        vectors: A vector for each present view, of any length.
        study_of: Study of each of them.
        num_studies: Number of studies.

    Returns:
        For each study; 0 with fewer than two views.
    """
    unit = normalize(vectors.float(), dim=1)
    count = _count(study_of, num_studies, unit)
    mean = unit.new_zeros(num_studies, unit.shape[1]).index_add(0, study_of, unit) / count.clamp_min(1).unsqueeze(1)
    apart = (unit - mean.index_select(0, study_of)).square().mean(dim=1)
    return unit.new_zeros(num_studies).index_add(0, study_of, apart) * 2 / (count - 1).clamp_min(1)


def cosine(
    vectors: Float[Tensor, "views dim"], study_of: Int64[Tensor, " views"], num_studies: int
) -> Float[Tensor, " studies"]:
    """Return the negative mean cosine over all pairs of views of a study, from -1 (aligned) on; arguments as of `mse`.

    ``|a - b|^2 = 2 - 2 cos`` for unit vectors, so it is `mse` in another scale: ``dim / 2`` times it, minus 1.
    """
    paired = (_count(study_of, num_studies, vectors.float()) > 1).float()
    return mse(vectors, study_of, num_studies) * vectors.shape[1] / 2 - paired


def simclr(
    vectors: Float[Tensor, "views dim"], study_of: Int64[Tensor, " views"], num_studies: int, *, temperature: float
) -> Float[Tensor, " studies"]:
    """Return the contrastive loss (NT-Xent, Chen et al. 2020), mean over the ordered pairs of views of a study.

    For a view and one positive, another view of its study, it is minus the log fraction of the positive in the sum of
    ``exp(cosine / temperature)`` over it and all views of the *other studies* given. Further views of the same study
    are neither. Without another study there is nothing to tell apart, and the loss is 0.

    Args:
        vectors: A vector for each present view, of any length.
        study_of: Study of each of them.
        num_studies: Number of studies.
        temperature: Above 0; smaller is sharper.

    Returns:
        For each study; 0 with fewer than two views.
    """
    with _full_precision(vectors.device):
        unit = normalize(vectors.float(), dim=1)
        score = unit @ unit.T / temperature
    same = study_of.unsqueeze(0) == study_of.unsqueeze(1)
    others = score.masked_fill(same, torch.finfo(score.dtype).min / 2).logsumexp(dim=1, keepdim=True)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    by_pair = torch.where(same & ~itself, softplus(others - score), 0.0)
    count = _count(study_of, num_studies, unit)
    total = unit.new_zeros(num_studies).index_add(0, study_of, by_pair.sum(dim=1))
    return total / (count * (count - 1)).clamp_min(1)


def _full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Return a context without autocast, for sums over many nearly equal terms; ``meta`` has no autocast."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def _by_study(vectors: Tensor, study_of: Tensor, num_studies: int, config: AlignmentConfig) -> Tensor:
    if config.metric == "mse":
        return mse(vectors, study_of, num_studies)
    if config.metric == "cosine":
        return cosine(vectors, study_of, num_studies)
    contrast = simclr(vectors, study_of, num_studies, temperature=config.temperature)
    if config.metric == "simclr":
        return contrast
    return (mse(vectors, study_of, num_studies) + cosine(vectors, study_of, num_studies) + contrast) / 3


def _vectors(encoded: EncodedInstances, tokens: Literal["mean", "cls"]) -> Float[Tensor, "instances dim"]:
    """Return the vector that stands for each view."""
    if tokens == "cls":
        if encoded.cls is None:
            raise ConfigError("alignment.tokens 'cls' needs model.instance_cls: this model's views have no CLS token")
        return encoded.cls.float()
    if encoded.valid is None:
        return encoded.tokens.float().mean(dim=1)
    weight = encoded.valid.unsqueeze(-1).float()
    return (encoded.tokens.float() * weight).sum(dim=1) / weight.sum(dim=1).clamp_min(1)


def _by_recording(encoded: EncodedInstances, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean vector of each recording, and its study: frames of one video are no views to align."""
    if encoded.recording_of is None or vectors.device.type == "meta":
        return vectors, encoded.study_of
    group_of, study_of = number_recordings(encoded.study_of, encoded.recording_of)
    total = vectors.new_zeros(len(study_of), vectors.shape[1]).index_add(0, group_of, vectors)
    return total / torch.bincount(group_of).unsqueeze(1), study_of


def _count(study_of: Tensor, num_studies: int, like: Tensor) -> Float[Tensor, " studies"]:
    """Return the number of present views of each study."""
    return like.new_zeros(num_studies).index_add(0, study_of, like.new_ones(len(study_of)))
