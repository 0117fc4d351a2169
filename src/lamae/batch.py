"""The batch: the only thing that passes between the data side and the models.

Integers travel to the device; they become normalised floats there (`lamae.nn.normalise`). A view that a study does not
have is absent, so nothing is computed for it. The table of fields with units is in ``docs/batch.md``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float32, Int64, Shaped
from torch import Tensor

from lamae.errors import ConfigError

VALUE_DTYPES = (torch.int16, torch.uint8, torch.float32, torch.float64)


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """The cut of videos into the instances of a model: part of the model, so it is stored with it.

    Attributes:
        frames: Frames of each clip.
        window: Frames that a clip spans, of which every ``window // frames``-th is taken; None: ``frames``.
        instances: ``"clip"``: one instance a clip, with a time axis. ``"frame"``: one instance a frame, without.
        max_recordings: Maximum number of recordings of each study, drawn anew in each training step; None for all.

    Raises:
        ConfigError: A number is out of its range.
    """

    frames: int
    window: int | None = None
    instances: Literal["clip", "frame"] = "clip"
    max_recordings: int | None = None

    def __post_init__(self) -> None:
        if self.frames < 1 or (self.window is not None and (self.window < 1 or self.window % self.frames)):
            raise ConfigError(f"clip.frames must be above 0 and clip.window a multiple of it, found {self}")
        if self.max_recordings is not None and self.max_recordings < 1:
            raise ConfigError(f"clip.max_recordings must be above 0, found {self.max_recordings}")

    @property
    def stride(self) -> int:
        """Frames from one that is taken to the next."""
        return 1 if self.window is None else self.window // self.frames


@dataclass(frozen=True, kw_only=True)
class Instances:
    """All instances of one kind in a batch: what one shared encoder sees, one at a time.

    Attributes:
        values: Samples or grey levels; ``values * scale`` is in physical units (mV, grey level). For an ECG there is
            one channel and ``grid`` is ``(samples,)``; for an echo frame ``(height, width)``.
        scale: Physical units for one integer step, above 0.
        valid: Which places were recorded; None when all were. What stands in ``values`` elsewhere is never read.
        study_of: Study of each instance, ``0 .. num_studies - 1``, non-decreasing.
        recording_of: Number of each instance's recording within its study, from 0. Instances with the same study and
            number come from one recording (frames of one video); two recordings may have the same view.
        view_of: View of each instance, as an index into ``view_names``.
        time_of: Start of the instance within its study in seconds; 0 where all views are simultaneous, NaN where the
            rate of its recording is unknown.
        view_names: Names that ``view_of`` points to; ``"unknown"`` may be one of them.

    Raises:
        ValueError: A shape, a dtype or a value does not fit; values are looked at on the CPU only.
    """

    values: Shaped[Tensor, "instances channel *grid"]
    scale: Float32[Tensor, " instances"]
    valid: Bool[Tensor, "instances *grid"] | None
    study_of: Int64[Tensor, " instances"]
    recording_of: Int64[Tensor, " instances"]
    view_of: Int64[Tensor, " instances"]
    time_of: Float32[Tensor, " instances"]
    view_names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.values.ndim < 3 or self.values.dtype not in VALUE_DTYPES:
            raise ValueError(
                "values must be [instances, channel, *grid] of int16, uint8 or float, "
                f"found {tuple(self.values.shape)} {self.values.dtype}"
            )
        num_instances = len(self.values)
        for name, dtype in (
            ("scale", torch.float32),
            ("study_of", torch.int64),
            ("recording_of", torch.int64),
            ("view_of", torch.int64),
            ("time_of", torch.float32),
        ):
            _check_tensor(name, getattr(self, name), (num_instances,), dtype)
        if self.valid is not None:
            _check_tensor("valid", self.valid, (num_instances, *self.grid), torch.bool)
        if not self.view_names or len(set(self.view_names)) != len(self.view_names):
            raise ValueError(f"view_names must be one or more distinct names, found {self.view_names}")
        if self.values.device.type == "cpu":
            self._check_values()

    def _check_values(self) -> None:
        if len(self) == 0:
            return
        if not bool((self.scale > 0).all()) or not bool(self.scale.isfinite().all()):
            raise ValueError(f"scale must be finite and above 0, found a minimum of {self.scale.min().item()}")
        if int(self.study_of[0]) < 0 or bool((self.study_of.diff() < 0).any()):
            raise ValueError("study_of must be non-decreasing from 0 on: sort the instances by study")
        if int(self.recording_of.min()) < 0:
            raise ValueError(f"recording_of must not be negative, found {int(self.recording_of.min())}")
        if int(self.view_of.min()) < 0 or int(self.view_of.max()) >= len(self.view_names):
            raise ValueError(
                f"view_of must lie in 0 .. {len(self.view_names) - 1} (view_names has {len(self.view_names)}), "
                f"found {int(self.view_of.min())} .. {int(self.view_of.max())}"
            )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def grid(self) -> tuple[int, ...]:
        """Extent of one instance without its channels, such as ``(samples,)``."""
        return tuple(self.values.shape[2:])

    def recordings(self) -> tuple[Int64[Tensor, " instances"], Int64[Tensor, " recordings"]]:
        """Return which recording of the batch each instance comes from, and which study each recording belongs to.

        Recordings are numbered through the batch, study by study.
        """
        return number_recordings(self.study_of, self.recording_of)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Instances":
        """Return the same instances on ``device``."""
        return to_device(self, device, non_blocking=non_blocking)


@dataclass(frozen=True, kw_only=True)
class StudyBatch:
    """Some of the studies of one global batch, as streams of instances.

    Attributes:
        streams: Instances by name of the stream, such as ``{"ecg": ...}``.
        num_studies: Number of studies in this batch; each has an instance in at least one stream.
        positions: Position of each study within the global batch (all ranks, all micro-batches), each one once. Masks
            depend on it, so that they do not depend on how the global batch was cut.
        global_size: Number of studies in the global batch; losses are divided by it.
        index: Row of each study in its data set, for error reports.
        targets: Labels or other targets a study, None in pretraining.

    Raises:
        ValueError: A shape, a dtype or a value does not fit.
    """

    streams: Mapping[str, Instances]
    num_studies: int
    positions: Int64[Tensor, " studies"]
    global_size: int
    index: Int64[Tensor, " studies"]
    targets: Shaped[Tensor, "studies ..."] | None = None

    def __post_init__(self) -> None:
        if self.num_studies < 1 or not self.streams:
            raise ValueError(f"a batch needs a study and a stream, found {self.num_studies} and {len(self.streams)}")
        _check_tensor("positions", self.positions, (self.num_studies,), torch.int64)
        _check_tensor("index", self.index, (self.num_studies,), torch.int64)
        if self.targets is not None and len(self.targets) != self.num_studies:
            raise ValueError(f"targets must have one row a study ({self.num_studies}), found {len(self.targets)}")
        if self.positions.device.type == "cpu":
            self._check_values()

    def _check_values(self) -> None:
        low, high = int(self.positions.min()), int(self.positions.max())
        if low < 0 or high >= self.global_size or len(self.positions.unique()) != self.num_studies:
            raise ValueError(
                f"positions must be distinct and lie in 0 .. {self.global_size - 1} (global_size {self.global_size}), "
                f"found {low} .. {high}, {len(self.positions.unique())} distinct of {self.num_studies}"
            )
        present = torch.cat([instances.study_of for instances in self.streams.values()]).unique()
        if len(present) != self.num_studies or int(present[-1]) != self.num_studies - 1:
            raise ValueError(
                f"each of the {self.num_studies} studies needs an instance in some stream, "
                f"found instances of {len(present)} studies, the highest {int(present[-1]) if len(present) else None}"
            )

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "StudyBatch":
        """Return the same batch on ``device``."""
        return to_device(self, device, non_blocking=non_blocking)


def number_recordings(
    study_of: Int64[Tensor, " instances"], recording_of: Int64[Tensor, " instances"]
) -> tuple[Int64[Tensor, " instances"], Int64[Tensor, " recordings"]]:
    """Return which recording of the batch each instance comes from, numbered study by study, and its study."""
    if not len(study_of):
        return study_of, study_of
    width = int(recording_of.max()) + 1
    found, group_of = torch.unique(study_of * width + recording_of, return_inverse=True)
    return group_of, found // width


def to_device(value: Any, device: torch.device | str, *, non_blocking: bool = False) -> Any:
    """Return a tensor, or a dataclass, tuple or mapping with tensors at any depth, on ``device``."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=non_blocking)
    if isinstance(value, Mapping):
        return {key: to_device(item, device, non_blocking=non_blocking) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(to_device(item, device, non_blocking=non_blocking) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        held = {field.name: getattr(value, field.name) for field in fields(value)}
        return replace(value, **to_device(held, device, non_blocking=non_blocking))
    return value


def _check_tensor(name: str, tensor: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    if tuple(tensor.shape) != shape or tensor.dtype != dtype:
        raise ValueError(
            f"{name} must have shape {shape} and dtype {dtype}, found {tuple(tensor.shape)} and {tensor.dtype}"
        )
