"""Parameters and floating point operations by part, so that a control can be matched."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lamae.batch import Instances, StudyBatch
from lamae.models.config import MaskedAutoencoderConfig
from lamae.models.masked_autoencoder import MaskedAutoencoder
from lamae.nn.masks import draw_masks

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


def flops_per_step(config: MaskedAutoencoderConfig, batch: StudyBatch) -> dict[str, int]:
    """Floating point operations of one training step (forward and backward) on a batch, by part and in total.

    Matrix products and attention are counted, an addition and a multiplication as two; nothing is computed (the model
    and the batch are on torch's ``meta`` device).

    Args:
        config: The model.
        batch: Studies, on the CPU; masks are drawn as ``config.mask`` says.
    """
    plan = draw_masks(config.mask, batch, config.patch_shapes, torch.Generator().manual_seed(0))
    with torch.device("meta"):
        model = MaskedAutoencoder(config)
    with FlopCounterMode(display=False) as counter:
        output = model(batch.to("meta"), plan.to("meta"))
        predicted = [p.predicted.sum() for predictions in output.predictions.values() for p in predictions]
        torch.stack(predicted).sum().backward()
    counts = {name: sum(by_operation.values()) for name, by_operation in counter.get_flop_counts().items()}
    root, total = type(model).__name__, counter.get_total_flops()
    encoder = sum(counts.get(f"{root}.encoders.{name}", 0) for name in batch.streams)
    latent = counts.get(f"{root}.latent", 0)
    return {
        "encoder": encoder,
        "latent_attention": latent,
        "decoder": total - encoder - latent,
        "total": total,
    }


def example_batch(config: MaskedAutoencoderConfig, *, num_studies: int = 1) -> StudyBatch:
    """A batch of flat studies with every view once, for counting: it has the shapes of real data and no content."""
    streams = {}
    for name, stream in config.streams.items():
        num_views = len(stream.view_names)
        streams[name] = Instances(
            values=torch.zeros(num_studies * num_views, stream.channels, *stream.grid, dtype=torch.int16),
            scale=torch.ones(num_studies * num_views),
            valid=None,
            study_of=torch.arange(num_studies).repeat_interleave(num_views),
            view_of=torch.arange(num_views).repeat(num_studies),
            time_of=torch.zeros(num_studies * num_views),
            view_names=stream.view_names,
        )
    rows = torch.arange(num_studies)
    return StudyBatch(streams=streams, num_studies=num_studies, positions=rows, global_size=num_studies, index=rows)
