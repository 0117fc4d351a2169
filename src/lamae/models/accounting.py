"""Parameters and floating point operations by part, so that a control can be matched."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from lamae.batch import Instances, StudyBatch
from lamae.models.kinds import build_model
from lamae.models.pretrainable import Pretrainable, PretrainableConfig, total_loss
from lamae.nn.masks import draw_masks
from lamae.nn.output import MaskedOutput


def count_parameters(model: Pretrainable) -> dict[str, int]:
    """Return the number of parameters of each part of a model (see its ``parts``) and in total."""
    counts = dict.fromkeys(model.parts.values(), 0)
    for name, parameter in model.named_parameters():
        part = model.parts.get(name.split(".")[0], name.split(".")[0])
        counts[part] = counts.get(part, 0) + parameter.numel()
    return counts | {"total": sum(counts.values())}


def flops_per_step(
    config: PretrainableConfig,
    batch: StudyBatch,
    *,
    alignment: Callable[[MaskedOutput], Tensor] | None = None,
) -> dict[str, int]:
    """Count the floating point operations of one training step (forward and backward) on a batch, by part and in total.

    Matrix products and attention are counted, an addition and a multiplication as two; nothing is computed (the model
    and the batch are on torch's ``meta`` device). A product costs as much again for each of its factors that needs a
    gradient: the backward pass twice the forward one, but once where the other factor is data. Private encoders share
    the instances out among equal encoders, which costs what one encoder for all costs, and are counted so. Attention is
    counted as its two explicit products whatever the kernel: the counter does not know every fused one (on CPUs it
    finds nothing), and for others it adds what they compute again in the backward pass.

    Args:
        config: The model.
        batch: Studies, on the CPU; masks are drawn as ``config.mask`` says.
        alignment: A second objective whose operations are counted beside the model's; the part then has its name. It
            sees no recordings without values, so for models of frames each frame is counted as a view of its own.
    """
    plan = draw_masks(config.mask, batch, config.patch_shapes, torch.Generator().manual_seed(0))
    with torch.device("meta"):
        model = build_model(config.for_counting())
    with FlopCounterMode(display=False) as counter:
        output = model(batch.to("meta"), plan.to("meta"))
        total_loss(model.losses(output, global_size=batch.global_size)).backward()
    total = counter.get_total_flops()
    counts = {name: sum(by_operation.values()) for name, by_operation in counter.get_flop_counts().items()}
    *called, (_, rest) = model.parts.items()
    parts = {part: _flops_under(f"{type(model).__name__}.{name}", counts) for name, part in called}
    parts[rest] = total - sum(parts.values())
    if alignment is not None:
        parts["alignment"] = _flops_of(alignment, output)
        total += parts["alignment"]
    return parts | {"total": total}


def _flops_under(path: str, counts: Mapping[str, int]) -> int:
    """Operations of a module, or of the members of a container, which is never called itself."""
    members = [name for name in counts if name.startswith(f"{path}.") and "." not in name.removeprefix(f"{path}.")]
    return counts[path] if path in counts else sum(counts[name] for name in members)


def _flops_of(objective: Callable[[MaskedOutput], Tensor], output: MaskedOutput) -> int:
    """Count the operations of an objective itself, down to the encoder's tokens and no further."""
    leaves = {
        name: tuple(
            replace(
                one,
                tokens=one.tokens.detach().requires_grad_(),
                cls=None if one.cls is None else one.cls.detach().requires_grad_(),
            )
            for one in masks
        )
        for name, masks in output.encoded.items()
    }
    with FlopCounterMode(display=False) as counter:
        objective(replace(output, encoded=leaves)).backward()
    return counter.get_total_flops()


def example_batch(
    config: PretrainableConfig,
    *,
    num_studies: int = 1,
    views: Mapping[str, Sequence[str] | None] | None = None,
) -> StudyBatch:
    """Return a batch of flat studies with every view once, for counting: it has the shapes of real data and no content.

    A stream whose instances are frames has all frames of a clip of each view.

    Args:
        config: The model.
        num_studies: Number of studies.
        views: Streams to use with their views, None for all views of a stream; None: all streams.
    """
    streams = {}
    for name, stream in config.streams.items():
        if views is not None and name not in views:
            continue
        chosen = None if views is None else views[name]
        num_views = len(stream.view_names if chosen is None else chosen)
        each = stream.instances_per_recording
        num = num_studies * num_views * each
        view_of = torch.arange(num_views).repeat_interleave(each).repeat(num_studies)
        streams[name] = Instances(
            values=torch.zeros(num, stream.channels, *stream.grid, dtype=torch.int16),
            scale=torch.ones(num),
            valid=None,
            study_of=torch.arange(num_studies).repeat_interleave(num_views * each),
            recording_of=view_of,
            view_of=view_of,
            time_of=torch.arange(each, dtype=torch.float32).repeat(num_studies * num_views),
            view_names=stream.view_names,
        )
    rows = torch.arange(num_studies)
    return StudyBatch(streams=streams, num_studies=num_studies, positions=rows, global_size=num_studies, index=rows)
