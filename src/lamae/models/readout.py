"""Features of a batch, and one vector a study from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from lamae.batch import number_recordings
from lamae.errors import ConfigError, check_choice
from lamae.nn.noise import first_of

Readout = Literal["cls", "mean", "view-concat", "encoder-mean", "encoder-view-concat"]

BEFORE_LATENT_ATTENTION = "encoder-"
"""Prefix of the names of read-outs that bypass latent attention (LAMAE_E)."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """Tokens of the studies of a batch when nothing is hidden.

    Attributes:
        tokens: One token a patch after latent attention (after the encoder at depth 0).
        token_valid: Which patches hold anything recorded; the tokens of others carry no meaning.
        cls: CLS token of each study; None for models without latent attention.
        encoder_tokens: The same tokens before latent attention; None where ``tokens`` are the encoder's already.
        study_of: Study of each instance.
        recording_of: Number of each instance's recording within its study.
        view_of: View of each instance, as an index into ``view_names``.
        time_of: Start of each instance within its study in seconds.
        view_names: Names of the views.
        num_studies: Number of studies.
    """

    tokens: Float[Tensor, "instances patches dim"]
    token_valid: Bool[Tensor, "instances patches"]
    cls: Float[Tensor, "studies dim"] | None
    study_of: Int64[Tensor, " instances"]
    recording_of: Int64[Tensor, " instances"]
    view_of: Int64[Tensor, " instances"]
    time_of: Float32[Tensor, " instances"]
    view_names: tuple[str, ...]
    num_studies: int
    encoder_tokens: Float[Tensor, "instances patches dim"] | None = None


def read_out(features: Features, how: Readout, view_names: Sequence[str]) -> Float[Tensor, "studies width"]:
    """Return one float32 vector a study; gradients pass through.

    Args:
        features: Features of a batch.
        how: ``"cls"``: the CLS token of latent attention (ECG paper). ``"mean"``: the mean of the tokens of each
            instance, averaged over the instances of each recording, then over the recordings of the study (echo paper,
            eq. 3), so that a recording counts once however many instances it has. ``"view-concat"``: the same for the
            recordings of each view name, concatenated in the order of ``view_names``; zeros for a view that the study
            does not have.
            ``"encoder-mean"``, ``"encoder-view-concat"``: the same two of the encoder's tokens, latent attention
            bypassed; at latent depth 0 equal to them.
        view_names: Names and order of the views for the ``"view-concat"`` read-outs; others do not read it.

    Raises:
        ConfigError: There is no such read-out, or the model has no CLS token.
    """
    check_choice("read-out", how, get_args(Readout))
    if how == "cls":
        if features.cls is None:
            raise ConfigError(
                "the read-out 'cls' needs latent attention, but this model's latent depth is 0: "
                "use 'mean' or 'view-concat'"
            )
        return features.cls.float()
    if by_view(how) and not view_names:
        raise ConfigError(f"the read-out {how!r} needs the names of the views, found none")
    bypass = how.startswith(BEFORE_LATENT_ATTENTION)
    tokens = features.encoder_tokens if bypass and features.encoder_tokens is not None else features.tokens
    means, weight, study_of, view_of = _mean_by_recording(features, tokens)
    if not by_view(how):
        return _mean_by_group(means, weight, study_of, features.num_studies)[0]
    groups = []
    for name in view_names:
        of_view = weight * (view_of == _index(features, name))
        groups.append(_mean_by_group(means, of_view, study_of, features.num_studies)[0])
    return torch.cat(groups, dim=1)


def by_view(how: Readout) -> bool:
    """Return whether a read-out concatenates per-view features, so that its width grows with the number of views."""
    return how.endswith("view-concat")


def _index(features: Features, name: str) -> int:
    return features.view_names.index(name) if name in features.view_names else -1


def _mean_by_recording(
    features: Features, tokens: Float[Tensor, "instances patches dim"]
) -> tuple[Float[Tensor, "recordings dim"], Float[Tensor, " recordings"], Tensor, Tensor]:
    """Return each recording's mean over its instances' mean tokens, 1 where it has any recorded patch, study and view.

    Where each recording has one instance these are the instances, in their own order.
    """
    valid = features.token_valid.unsqueeze(-1).float()
    means = (tokens.float() * valid).sum(dim=1) / valid.sum(dim=1).clamp_min(1)
    weight = features.token_valid.any(dim=1).float()
    group_of, study_of = number_recordings(features.study_of, features.recording_of)
    if len(study_of) == len(means):
        return means, weight, features.study_of, features.view_of
    means, count = _mean_by_group(means, weight, group_of, len(study_of))
    return means, (count > 0).float(), study_of, features.view_of[first_of(group_of)]


def _mean_by_group(
    values: Float[Tensor, "items dim"], weight: Float[Tensor, " items"], groups: Tensor, num_groups: int
) -> tuple[Float[Tensor, "groups dim"], Float[Tensor, " groups"]]:
    """Return the weighted mean of each group, 0 where it has no weight, and its weight."""
    total = values.new_zeros(num_groups, values.shape[1]).index_add(0, groups, values * weight.unsqueeze(1))
    count = weight.new_zeros(num_groups).index_add(0, groups, weight)
    return total / count.clamp_min(1).unsqueeze(1), count
