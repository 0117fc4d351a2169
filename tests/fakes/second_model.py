"""A second kind of model, small: it predicts what an EMA of its encoder makes of the target patches."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from lamae.models import Features, StreamConfig
from lamae.nn.masks import MaskConfig
from lamae.nn.normalise import measure
from lamae.nn.output import LossPart
from lamae.nn.plan import full_plan
from lamae.nn.positions import MAE_WAVELENGTHS, SinCosPositions, rotary
from lamae.nn.targets import normalised_patches
from lamae.nn.transformer import Transformer, TransformerConfig, initialise, initialise_tokens, token_parameter


@dataclass(frozen=True, kw_only=True)
class LatentPredictionConfig:
    streams: Mapping[str, StreamConfig]
    encoder: TransformerConfig
    predictor: TransformerConfig
    kind: Literal["latent-prediction"] = "latent-prediction"
    mask: MaskConfig = field(default_factory=MaskConfig)
    momentum: float = 0.8
    has_latent_attention: ClassVar[bool] = False
    instance_cls: ClassVar[bool] = False

    @property
    def patch_shapes(self):
        return {name: stream.patch for name, stream in self.streams.items()}

    def system_name(self, *, aligned: bool) -> str:
        return "Latent prediction" + (" + alignment" if aligned else "")

    def card(self) -> dict[str, Any]:
        return {"momentum": self.momentum}

    def for_counting(self):
        return self


@dataclass(frozen=True, kw_only=True)
class Predicted:
    predicted: list[Tensor]
    target: list[Tensor]
    study_of: Tensor
    num_studies: int
    summary: Tensor


class Encoder(nn.Module):
    """A ViT whose attention turns by place, so that the hook for rotary positions is used."""

    def __init__(self, config: LatentPredictionConfig, stream: StreamConfig) -> None:
        super().__init__()
        dim = config.encoder.dim
        self.embed = nn.Linear(stream.num_elements, dim)
        self.transformer = Transformer(config.encoder, kernel="sdpa")
        self.norm = nn.LayerNorm(dim)
        self.counts, self.head_dim = stream.counts, dim // config.encoder.num_heads

    def forward(self, patches: Tensor, places: Tensor) -> Tensor:
        rotate = rotary(places, self.counts, self.head_dim)
        return self.norm(self.transformer(self.embed(patches), rotate=rotate))


class LatentPrediction(nn.Module):
    config_class: ClassVar[type] = LatentPredictionConfig
    parts: ClassVar[Mapping[str, str]] = {"encoder": "encoder", "target": "target_encoder", "predictor": "predictor"}

    def __init__(self, config: LatentPredictionConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        (self.name,) = config.streams
        self.config, stream, dim = config, config.streams[self.name], config.encoder.dim
        self.encoder = Encoder(config, stream)
        self.predictor = Transformer(config.predictor, kernel="sdpa")
        self.mask_token = token_parameter(dim)
        self.positions = SinCosPositions(stream.counts, dim, wavelengths=MAE_WAVELENGTHS)
        initialise(self, generator=generator)
        initialise_tokens(self.mask_token, generator=generator)
        self.target = deepcopy(self.encoder).requires_grad_(False)
        self.register_buffer("num_moves", torch.zeros((), dtype=torch.int64))

    def forward(self, batch, plan) -> Predicted:
        instances, counts = batch.streams[self.name], self.config.streams[self.name].counts
        predicted, target, summary = [], [], None
        for mask in plan.streams[self.name]:
            context = self.encoder(self._patches(batch, mask.context), mask.context)
            queries = self.mask_token.to(context.dtype).expand(len(context), mask.target.shape[1], -1)
            places = torch.cat([mask.context, mask.target], dim=1)
            slots = torch.cat([context, queries], dim=1) + self.positions(places, counts)
            predicted.append(self.predictor(slots, skip=mask.context.shape[1]))
            with torch.no_grad():
                every = torch.arange(self.config.streams[self.name].num_patches, device=places.device)
                every = every.expand(len(context), -1)
                tokens = self.target(self._patches(batch, every), every)
                target.append(tokens.gather(1, mask.target.unsqueeze(-1).expand(-1, -1, tokens.shape[-1])))
            summary = self._by_study(context.detach().float().mean(dim=1), batch) if summary is None else summary
        return Predicted(
            predicted=predicted,
            target=target,
            study_of=instances.study_of,
            num_studies=batch.num_studies,
            summary=summary,
        )

    def losses(self, output: Predicted, *, global_size: int) -> dict[str, LossPart]:
        pairs = list(zip(output.predicted, output.target, strict=True))
        errors = [(p.float() - t.float()).abs().mean(dim=(1, 2)) for p, t in pairs]
        spreads = [p.float().std(dim=2).mean(dim=1) for p, _ in pairs]
        counts = _counts(output.study_of, output.num_studies)[output.study_of]
        share = len(pairs) * global_size * counts
        return {
            "prediction": LossPart(value=sum((error / share).sum() for error in errors)),
            "spread": LossPart(value=sum((spread / share).sum() for spread in spreads), weight=0.01),
        }

    @torch.no_grad()
    def after_step(self, step: int, *, steps: int) -> None:
        momentum = self.config.momentum + (1 - self.config.momentum) * step / steps
        for slow, fast in zip(self.target.parameters(), self.encoder.parameters(), strict=True):
            slow.lerp_(fast, 1 - momentum)
        self.num_moves += 1

    @torch.no_grad()
    def features(self, batch, *, stream: str | None = None) -> Features:
        """Of the EMA encoder."""
        instances = batch.streams[self.name]
        num_patches = self.config.streams[self.name].num_patches
        plan = full_plan(batch, {self.name: None}, {self.name: num_patches}).to(batch.positions.device)
        places = plan.streams[self.name][0].context
        tokens = self.target(self._patches(batch, places), places)
        valid = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        names = ("study_of", "recording_of", "view_of", "time_of", "view_names")
        known = {name: getattr(instances, name) for name in names}
        return Features(tokens=tokens, token_valid=valid, cls=None, num_studies=batch.num_studies, **known)

    def _patches(self, batch, places: Tensor) -> Tensor:
        instances, stream = batch.streams[self.name], self.config.streams[self.name]
        by = measure(
            instances,
            how=stream.normalise,
            fixed_scale=stream.fixed_scale,
            std_floor=stream.std_floor,
            num_studies=batch.num_studies,
        )
        return normalised_patches(instances, by, stream.patch, places)[0]

    def _by_study(self, vectors: Tensor, batch) -> Tensor:
        study_of = batch.streams[self.name].study_of
        total = vectors.new_zeros(batch.num_studies, vectors.shape[1]).index_add(0, study_of, vectors)
        return total / _counts(study_of, batch.num_studies).unsqueeze(1)


def _counts(study_of: Tensor, num_studies: int) -> Tensor:
    ones = torch.ones(len(study_of), device=study_of.device)
    return torch.zeros(num_studies, device=study_of.device).index_add(0, study_of, ones)


def second_config(config):
    """Return a run of the second model in place of the first one, with two families of masks."""
    from lamae.nn.masks import MaskFamily

    families = (MaskFamily(strategy="block", num_blocks=2, block_ratio=0.3, ratio=0.5), MaskFamily(ratio=0.7))
    model = LatentPredictionConfig(
        streams=config.model.streams,
        encoder=TransformerConfig(dim=20, depth=2, num_heads=2),
        predictor=TransformerConfig(dim=20, depth=1, num_heads=2),
        mask=MaskConfig(families=families, noise="by-recording"),
    )
    return replace(config, model=model)
