"""From integers to normalised floats, on the device."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from lamae.batch import Instances

Normalisation = Literal["study", "view", "fixed"]


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Numbers that turn the integers of each instance into normalised values, and these into physical units again.

    Attributes:
        scale: What integers are multiplied by.
        gain: Physical units for one normalised unit.
        shift: Physical value of a normalised 0.
        centred: Whether ``shift`` is subtracted and ``gain`` divided by after scaling; else ``scale`` is all.
    """

    scale: Float[Tensor, " instances"]
    gain: Float[Tensor, " instances"]
    shift: Float[Tensor, " instances"]
    centred: bool

    def of(self, rows: Int64[Tensor, " some"]) -> "Statistics":
        """Return the statistics of some of the instances."""
        return replace(self, scale=self.scale[rows], gain=self.gain[rows], shift=self.shift[rows])


@dataclass(frozen=True, kw_only=True)
class Normalised:
    """Normalised values and the way back: ``values * gain + shift`` is in physical units (mV, grey level).

    Attributes:
        values: Normalised values, 0 where nothing was recorded.
        gain: Physical units for one normalised unit, by instance.
        shift: Physical value of a normalised 0, by instance.
    """

    values: Float[Tensor, "instances channel *grid"]
    gain: Float[Tensor, " instances"]
    shift: Float[Tensor, " instances"]


def normalise(
    instances: Instances, *, how: Normalisation, fixed_scale: float, std_floor: float, num_studies: int
) -> Normalised:
    """Scale all integers to physical units and normalise them; places that were not recorded become 0.

    Args:
        instances: Values as integers (or floats) with their scale.
        how: As of `measure`.
        fixed_scale: As of `measure`.
        std_floor: As of `measure`.
        num_studies: Number of studies in the batch.
    """
    measured = measure(instances, how=how, fixed_scale=fixed_scale, std_floor=std_floor, num_studies=num_studies)
    return normalised_by(instances, measured)


def normalised_by(instances: Instances, by: Statistics) -> Normalised:
    """Normalise all integers by what `measure` found for these instances."""
    valid = None if instances.valid is None else instances.valid.unsqueeze(1)
    return Normalised(values=apply_statistics(instances.values, by, valid), gain=by.gain, shift=by.shift)


def measure(
    instances: Instances, *, how: Normalisation, fixed_scale: float, std_floor: float, num_studies: int
) -> Statistics:
    """Measure by what the values of each instance are normalised, over all that was recorded.

    Args:
        instances: Values as integers (or floats) with their scale.
        how: ``"fixed"``: physical value / ``fixed_scale``; nothing is measured. ``"view"``: z-score of each instance by
            its own mean and standard deviation. ``"study"``: z-score by those of all instances of the study, which
            keeps the ratios of amplitudes between leads (voltage criteria, electrical axis).
        fixed_scale: Physical units that become 1 when ``how`` is ``"fixed"``.
        std_floor: Least standard deviation in physical units by which values are divided, so that the noise of a flat
            lead is not blown up.
        num_studies: Number of studies in the batch.
    """
    valid, scale = instances.valid, instances.scale
    if how == "fixed":
        gain = torch.full_like(scale, fixed_scale)
        return Statistics(scale=scale / fixed_scale, gain=gain, shift=torch.zeros_like(gain), centred=False)
    values = instances.values.float() * _by_instance(scale, instances.values)
    if valid is not None:
        values = torch.where(valid.unsqueeze(1), values, 0.0)
    counts = _counts(values, valid)
    groups, num_groups = (instances.study_of, num_studies) if how == "study" else (None, len(instances))
    mean = _group_mean(values.flatten(1).sum(1), counts, groups, num_groups)
    centred = values - _by_instance(mean, values)
    if valid is not None:
        centred = torch.where(valid.unsqueeze(1), centred, 0.0)
    flat = centred.flatten(1)
    variance = _group_mean((flat * flat).sum(1), counts, groups, num_groups)
    return Statistics(scale=scale, gain=variance.sqrt().clamp_min(std_floor), shift=mean, centred=True)


def apply_statistics(
    values: Shaped[Tensor, "instances ..."], by: Statistics, valid: Bool[Tensor, "instances ..."] | None
) -> Float[Tensor, "instances ..."]:
    """Normalise all or some of the integers of each instance.

    Args:
        values: Integers, of any shape behind the first axis, such as some patches of each instance.
        by: Statistics of the same instances.
        valid: Which values were recorded, of a shape that goes with theirs; None: all. Others become 0.
    """
    normalised = values.float() * _by_instance(by.scale, values)
    if by.centred:
        normalised = normalised.sub_(_by_instance(by.shift, values))
    if valid is not None:
        normalised = torch.where(valid, normalised, 0.0)
    return normalised.div_(_by_instance(by.gain, values)) if by.centred else normalised


def _counts(values: Float[Tensor, "n c *grid"], valid: Bool[Tensor, "n *grid"] | None) -> Float[Tensor, " n"]:
    if valid is None:
        return values.new_full((len(values),), float(values[0].numel()) if len(values) else 0.0)
    return valid.flatten(1).sum(1).float() * values.shape[1]


def _group_mean(
    sums: Float[Tensor, " n"], counts: Float[Tensor, " n"], groups: Tensor | None, num_groups: int
) -> Float[Tensor, " n"]:
    """Mean by group (None: each instance is its own), one value for each instance."""
    if groups is None:
        return sums / counts.clamp_min(1)
    total = sums.new_zeros(num_groups).index_add(0, groups, sums)
    count = counts.new_zeros(num_groups).index_add(0, groups, counts)
    return (total / count.clamp_min(1))[groups]


def _by_instance(numbers: Float[Tensor, " n"], like: Shaped[Tensor, "n ..."]) -> Tensor:
    return numbers.view(-1, *[1] * (like.ndim - 1))
