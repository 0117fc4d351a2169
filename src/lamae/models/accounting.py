"""Parameters and floating point operations by part, so that a control can be matched."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lamae.batch import Instances, StudyBatch
from lamae.models.config import MaskedAutoencoderConfig
from lamae.models.masked_autoencoder import MaskedAutoencoder
from lamae.nn.masks import draw_masks
from lamae.nn.output import MaskedOutput

PARTS = {"encoders": "encoder", "latent": "latent_attention", "decoders": "decoder"}


def count_parameters(model: nn.Module) -> dict[str, int]:
    """Number of parameters of each part of a masked autoencoder (``encoder, latent_attention, decoder``) and in total.

    Args:
        model: A `lamae.models.MaskedAutoencoder`; parts with other names keep their names.
    """
    counts = dict.fromkeys(PARTS.values(), 0) if isinstance(model, MaskedAutoencoder) else {}
    for name, parameter in model.named_parameters():
        part = PARTS.get(name.split(".")[0], name.split(".")[0])
        counts[part] = counts.get(part, 0) + parameter.numel()
    return counts | {"total": sum(counts.values())}


def flops_per_step(
    config: MaskedAutoencoderConfig,
    batch: StudyBatch,
    *,
    alignment: Callable[[MaskedOutput], Tensor] | None = None,
) -> dict[str, int]:
    """Floating point operations of one training step (forward and backward) on a batch, by part and in total.

    Matrix products and attention are counted, an addition and a multiplication as two; nothing is computed (the model
    and the batch are on torch's ``meta`` device). A product costs as much again for each of its factors that needs a
    gradient: the backward pass twice the forward one, but once where the other factor is data. Private encoders share
    the instances out among equal encoders, which costs what one encoder for all costs, and are counted so. Attention is
    counted as its two explicit products whatever the kernel: the counter does not know every fused one (on CPUs it
    finds nothing), and for others it adds what they compute again in the backward pass.

    Args:
        config: The model.
        batch: Studies, on the CPU; masks are drawn as ``config.mask`` says.
        alignment: A second objective whose operations are counted beside the model's; the part then has its name.
    """
    plan = draw_masks(config.mask, batch, config.patch_shapes, torch.Generator().manual_seed(0))
    with torch.device("meta"):
        model = MaskedAutoencoder(replace(config, encoder_weights="shared", attention_kernel="matmul"))
    aligned = 0
    with FlopCounterMode(display=False) as counter:
        output = model(batch.to("meta"), plan.to("meta"))
        predicted = [p.predicted.sum() for predictions in output.predictions.values() for p in predictions]
        torch.stack(predicted).sum().backward()
    if alignment is not None:
        aligned = _flops_of(alignment, output)
    counts = {name: sum(by_operation.values()) for name, by_operation in counter.get_flop_counts().items()}
    root, total = type(model).__name__, counter.get_total_flops()
    encoder = sum(counts.get(f"{root}.encoders.{name}", 0) for name in batch.streams)
    latent = counts.get(f"{root}.latent", 0)
    parts = {"encoder": encoder, "latent_attention": latent, "decoder": total - encoder - latent}
    if alignment is not None:
        parts["alignment"] = aligned
    return parts | {"total": total + aligned}


def _flops_of(objective: Callable[[MaskedOutput], Tensor], output: MaskedOutput) -> int:
    """Operations of an objective itself, down to the encoder's tokens and no further."""
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
    config: MaskedAutoencoderConfig,
    *,
    num_studies: int = 1,
    views: Mapping[str, Sequence[str] | None] | None = None,
) -> StudyBatch:
    """A batch of flat studies with every view once, for counting: it has the shapes of real data and no content.

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
        streams[name] = Instances(
            values=torch.zeros(num_studies * num_views, stream.channels, *stream.grid, dtype=torch.int16),
            scale=torch.ones(num_studies * num_views),
            valid=None,
            study_of=torch.arange(num_studies).repeat_interleave(num_views),
            recording_of=torch.arange(num_views).repeat(num_studies),
            view_of=torch.arange(num_views).repeat(num_studies),
            time_of=torch.zeros(num_studies * num_views),
            view_names=stream.view_names,
        )
    rows = torch.arange(num_studies)
    return StudyBatch(streams=streams, num_studies=num_studies, positions=rows, global_size=num_studies, index=rows)
