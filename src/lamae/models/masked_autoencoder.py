"""The latent attention masked autoencoder (LAMAE) and its relatives with independent views (MAE)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lamae.batch import Instances, StudyBatch
from lamae.errors import ConfigError
from lamae.models.attention_maps import LatentAttentionMaps, summarise_attention
from lamae.models.config import MaskedAutoencoderConfig, StreamConfig
from lamae.models.decoder import InstanceDecoder
from lamae.models.encoder import InstanceEncoder, known_views
from lamae.models.latent_attention import LatentAttention, gather_studies, scatter_instances
from lamae.models.private_encoders import PrivateEncoders
from lamae.models.readout import Features
from lamae.models.reconstruction import Reconstruction, fill_in
from lamae.models.study_context import study_context
from lamae.nn.masks import patches_with_data
from lamae.nn.normalise import Statistics, measure, normalised_by
from lamae.nn.output import EncodedInstances, LossPart, MaskedOutput, MaskedPrediction
from lamae.nn.patches import patch_grid
from lamae.nn.plan import LatentPlan, MaskPlan, StreamMask, full_plan
from lamae.nn.targets import make_targets, normalised_patches
from lamae.nn.transformer import initialise, initialise_mimetic, initialise_tokens
from lamae.objectives import masked_reconstruction


@dataclass(frozen=True, kw_only=True)
class MixedTokens:
    """Tokens after latent attention, or as they were encoded where there is none.

    Attributes:
        tokens: Mixed tokens, laid out by study.
        cls: CLS token of each study; None without latent attention.
        instance_cls: By stream the encoded instances' own CLS tokens, ``[encoded, 1, dim]``, for models with them.
    """

    tokens: Float[Tensor, "studies kept dim"]
    cls: Float[Tensor, "studies dim"] | None
    instance_cls: Mapping[str, Tensor] = field(default_factory=dict)


class MaskedAutoencoder(nn.Module):
    """Predicts the target patches of each view of a study from what is visible in all of them.

    1. Cut: the visible patches are cut from the integers of each instance and normalised.
    2. Encode: the encoder of the stream sees the visible patches of each instance, and nothing else.
    3. Mix: latent attention mixes the visible tokens of all instances of a study (none at depth 0: MAE).
    4. Decode: the decoder of the stream decodes each instance from its mixed tokens, with a mask token where it has
       none.
    5. Predict: the target patches are predicted and stand beside their true values.

    Sources: He et al. 2022 (MAE); the LAMAE papers on ECG (section 2) and on echocardiography (section 2).

    Args:
        config: Everything about the model.
        generator: Source of the initial weights; None is torch's default generator.
    """

    config_class: ClassVar[type] = MaskedAutoencoderConfig
    parts: ClassVar[Mapping[str, str]] = {"encoders": "encoder", "latent": "latent_attention", "decoders": "decoder"}

    def __init__(self, config: MaskedAutoencoderConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        kernel = config.attention_kernel
        kind = PrivateEncoders if config.encoder_weights == "private" else InstanceEncoder
        self.encoders = nn.ModuleDict({name: kind(config, s) for name, s in config.streams.items()})
        self.latent = LatentAttention(config.latent, kernel=kernel) if config.latent.depth > 0 else None
        self.decoders = nn.ModuleDict({name: InstanceDecoder(config, s) for name, s in config.streams.items()})
        initialise(self, generator=generator)
        if config.initialisation == "mimetic":
            initialise_mimetic(self, generator=generator)
            for name in config.streams:
                self.decoder(name).shrink_head()
        tokens = [p for name, p in self.named_parameters() if name.endswith(("cls", "identity", "mask_token"))]
        initialise_tokens(*tokens, generator=generator)

    def forward(self, batch: StudyBatch, plan: MaskPlan) -> MaskedOutput:
        """Predict the target patches of each mask of the plan.

        Args:
            batch: Studies, on the model's device.
            plan: Masks drawn for this batch by `lamae.nn.masks.draw_masks`, on the model's device.

        Raises:
            ConfigError: The batch has a stream, a grid or a view that the model is not made for.
        """
        statistics = self.measure(batch)
        predictions: dict[str, list[MaskedPrediction]] = {name: [] for name in statistics}
        encoded: dict[str, list[EncodedInstances]] = {name: [] for name in statistics}
        summaries = []
        for index in range(plan.num_masks):
            masks, latent = {name: plan.streams[name][index] for name in statistics}, plan.latent[index]
            visible = self.cut(batch, statistics, masks)
            tokens = self.encode(batch, visible, masks)
            mixed = self.mix(tokens, latent, batch.num_studies)
            slots = self.decode(batch, mixed, masks, latent)
            for name, prediction in self.predict(batch, statistics, slots, masks).items():
                predictions[name].append(prediction)
                encoded[name].append(self._encoded(name, batch.streams[name], tokens[name], masks[name]))
            summaries.append(_mean_token(mixed.tokens.detach(), latent))
        return MaskedOutput(
            predictions={name: tuple(found) for name, found in predictions.items()},
            num_studies=batch.num_studies,
            summary=summaries[0],
            encoded={name: tuple(found) for name, found in encoded.items()},
        )

    def measure(self, batch: StudyBatch) -> dict[str, Statistics]:
        """Measure by what each stream of the batch is normalised; check that the model is made for it."""
        return {
            name: measure(
                batch.streams[name],
                how=stream.normalise,
                fixed_scale=stream.fixed_scale,
                std_floor=stream.std_floor,
                num_studies=batch.num_studies,
            )
            for name, stream in self._streams(batch)
        }

    def cut(
        self, batch: StudyBatch, statistics: Mapping[str, Statistics], masks: Mapping[str, StreamMask]
    ) -> dict[str, Float[Tensor, "encoded visible elements"]]:
        """Sentence 1: normalised visible patches of the instances that have any, by stream."""
        return {
            name: normalised_patches(
                batch.streams[name], statistics[name], self.config.streams[name].patch, mask.context, mask.encoded
            )[0]
            for name, mask in masks.items()
        }

    def encode(
        self, batch: StudyBatch, patches: Mapping[str, Tensor], masks: Mapping[str, StreamMask]
    ) -> dict[str, Float[Tensor, "encoded tokens dim"]]:
        """Sentence 2: tokens of the visible patches by stream, after the instance's CLS token where it has one."""
        named = self.config.view_identity == "learned" or self.config.encoder_weights == "private"
        tokens = {}
        for name, mask in masks.items():
            instances, stream = batch.streams[name], self.config.streams[name]
            view_of = _encoded_rows(known_views(instances, stream, needed=named), mask)
            context, counts = _encoded_rows(mask.context, mask), patch_grid(instances.grid, stream.patch)
            tokens[name] = self.encoders[name](patches[name], context, view_of, mask.context_valid, counts)
        return tokens

    def mix(self, tokens: Mapping[str, Tensor], plan: LatentPlan, num_studies: int) -> MixedTokens:
        """Sentence 3: the tokens of all streams laid out by study, and mixed where there is latent attention."""
        has_cls = self.config.instance_cls
        own_cls = {name: stream[:, :1] for name, stream in tokens.items()} if has_cls else {}
        visible = [stream[:, 1:] if has_cls else stream for stream in tokens.values()]
        studies = gather_studies(visible, plan, num_studies)
        if self.latent is None:
            return MixedTokens(tokens=studies, cls=None, instance_cls=own_cls)
        cls, mixed = self.latent(studies, plan.gather_valid)
        return MixedTokens(tokens=mixed, cls=cls, instance_cls=own_cls)

    def decode(
        self,
        batch: StudyBatch,
        mixed: MixedTokens,
        masks: Mapping[str, StreamMask],
        plan: LatentPlan,
        *,
        targets_only: bool = True,
    ) -> dict[str, Float[Tensor, "instances slots dim"]]:
        """Sentence 4: decoded target slots (or context slots, then target slots) of each instance by stream."""
        tokens = {}
        for name, mask in masks.items():
            decoder = self.decoder(name)
            tokens[name] = _by_instance(decoder.embed(mixed.tokens), plan, name, mask, absent=decoder.mask_token)
        slots = {}
        for name, mask in masks.items():
            instances, stream, decoder = batch.streams[name], self.config.streams[name], self.decoder(name)
            view_of = known_views(instances, stream, needed=decoder.identity is not None)
            front, front_valid = study_context(
                self.config.decoder_context, decoder, instances, masks, plan, cls=mixed.cls, tokens=tokens
            )
            if self.config.instance_cls:
                front = _of_all_instances(decoder, mixed.instance_cls[name], mask)
            skip = mask.context.shape[1] if targets_only else 0
            counts = patch_grid(instances.grid, stream.patch)
            slots[name] = decoder(tokens[name], mask, view_of, front, front_valid, counts=counts, skip=skip)
        return slots

    def predict(
        self,
        batch: StudyBatch,
        statistics: Mapping[str, Statistics],
        slots: Mapping[str, Tensor],
        masks: Mapping[str, StreamMask],
    ) -> dict[str, MaskedPrediction]:
        """Sentence 5: predicted and true target patches by stream."""
        predictions = {}
        for name, mask in masks.items():
            instances, patch = batch.streams[name], self.config.streams[name].patch
            patches, valid = normalised_patches(instances, statistics[name], patch, mask.target)
            predictions[name] = MaskedPrediction(
                predicted=self.decoder(name).predict(slots[name]),
                target=make_targets(patches, valid, how=self.config.target).values,
                valid=valid,
                study_of=instances.study_of,
            )
        return predictions

    def losses(self, output: MaskedOutput, *, global_size: int) -> dict[str, LossPart]:
        """Return the only part of the loss, see `lamae.objectives.masked_reconstruction`."""
        return {"reconstruction": LossPart(value=masked_reconstruction(output, global_size=global_size))}

    def after_step(self, step: int, *, steps: int) -> None:
        """Do nothing: this model has no state besides its weights."""

    def features(self, batch: StudyBatch, *, stream: str | None = None) -> Features:
        """Encode all recorded patches, nothing hidden; tokens before and after latent attention in one pass.

        Args:
            batch: Studies, on the model's device.
            stream: Whose tokens to return; None: the only stream of the batch. Latent attention sees all of them.

        Raises:
            ConfigError: The batch does not fit the model, or there are several streams and none was named.
        """
        name = _chosen_stream(batch, stream)
        plan, tokens = self._encode_all(batch)
        mixed = self.mix(tokens, plan.latent[0], batch.num_studies)
        instances, mask = batch.streams[name], plan.streams[name][0]
        absent = mixed.tokens.new_zeros(mixed.tokens.shape[-1])
        valid = torch.ones_like(mask.context, dtype=torch.bool)
        return Features(
            tokens=_by_instance(mixed.tokens, plan.latent[0], name, mask, absent=absent),
            token_valid=valid if mask.slot_valid is None else mask.slot_valid,
            cls=mixed.cls,
            encoder_tokens=None if self.latent is None else self._of_instances(tokens[name], mask),
            study_of=instances.study_of,
            recording_of=instances.recording_of,
            view_of=instances.view_of,
            time_of=instances.time_of,
            view_names=instances.view_names,
            num_studies=batch.num_studies,
        )

    @torch.no_grad()
    def reconstruct(self, batch: StudyBatch, plan: MaskPlan, *, stream: str | None = None) -> Reconstruction:
        """Predict the targets of the first mask of the plan and return them in physical units (mV, grey level).

        A device for looking at, no measure of quality: with patch-normalised targets the model predicts only the shape
        of a patch, and the mean and deviation that it is drawn with are the true ones.

        Args:
            batch: Studies, on the model's device.
            plan: Masks of this batch, on the model's device.
            stream: Which stream; None: the only one.
        """
        name = _chosen_stream(batch, stream)
        statistics, latent = self.measure(batch), plan.latent[0]
        masks = {n: plan.streams[n][0] for n in statistics}
        tokens = self.encode(batch, self.cut(batch, statistics, masks), masks)
        mixed = self.mix(tokens, latent, batch.num_studies)
        slots = self.decode(batch, mixed, masks, latent, targets_only=False)
        mask, instances, patch = masks[name], batch.streams[name], self.config.streams[name].patch
        places = torch.cat([mask.context, mask.target], dim=1)
        targets = make_targets(*normalised_patches(instances, statistics[name], patch, places), how=self.config.target)
        predicted = self.decoder(name).predict(slots[name])
        return fill_in(predicted, targets, normalised_by(instances, statistics[name]), instances, mask, patch)

    @torch.no_grad()
    def latent_attention_maps(self, batch: StudyBatch, *, stream: str | None = None) -> LatentAttentionMaps:
        """Return how much each view's tokens, and the CLS token, attend to each view; nothing hidden.

        Args:
            batch: Studies, on the model's device.
            stream: Whose views; None: the only stream's.

        Raises:
            ConfigError: The model has no latent attention.
        """
        if self.latent is None:
            raise ConfigError("this model has no latent attention (latent.depth is 0), so there are no weights to show")
        name = _chosen_stream(batch, stream)
        plan, tokens = self._encode_all(batch)
        latent, views = plan.latent[0], []
        for other, found in tokens.items():
            view_of = _encoded_rows(batch.streams[other].view_of, plan.streams[other][0])
            view_of = view_of if other == name else torch.full_like(view_of, -1)
            views.append(view_of[:, None, None].expand(*found.shape[:2], 1))
        token_view = gather_studies(views, latent, batch.num_studies).squeeze(-1)
        if latent.gather_valid is not None:
            token_view = token_view.masked_fill(~latent.gather_valid, -1)
        studies = gather_studies(list(tokens.values()), latent, batch.num_studies)
        weights = self.latent.weights(studies, latent.gather_valid)
        return summarise_attention(weights, token_view, batch.streams[name].view_names)

    def full_plan(self, batch: StudyBatch) -> MaskPlan:
        """Return the plan, on the CPU, in which everything recorded is visible."""
        streams = self._streams(batch)
        valid = {name: patches_with_data(batch.streams[name], s.patch) for name, s in streams}
        counts = {name: patch_grid(batch.streams[name].grid, s.patch) for name, s in streams}
        return full_plan(batch, valid, {name: math.prod(found) for name, found in counts.items()})

    def decoder(self, name: str) -> InstanceDecoder:
        """Return the decoder of a stream."""
        decoder = self.decoders[name]
        assert isinstance(decoder, InstanceDecoder)
        return decoder

    def _encode_all(self, batch: StudyBatch) -> tuple[MaskPlan, dict[str, Tensor]]:
        """Sentences 1 and 2 with everything recorded visible, and the plan that says so."""
        plan = self.full_plan(batch).to(batch.positions.device)
        masks = {name: streams[0] for name, streams in plan.streams.items()}
        return plan, self.encode(batch, self.cut(batch, self.measure(batch), masks), masks)

    def _encoded(self, name: str, instances: Instances, tokens: Tensor, mask: StreamMask) -> EncodedInstances:
        """Return the tokens of sentence 2 for one stream, for objectives."""
        has_cls, clip = self.config.instance_cls, self.config.streams[name].clip
        of_frames = clip is not None and clip.instances == "frame"
        return EncodedInstances(
            tokens=tokens[:, 1:] if has_cls else tokens,
            valid=mask.context_valid,
            cls=tokens[:, 0] if has_cls else None,
            study_of=_encoded_rows(instances.study_of, mask),
            recording_of=_encoded_rows(instances.recording_of, mask) if of_frames else None,
        )

    def _of_instances(self, tokens: Tensor, mask: StreamMask) -> Float[Tensor, "instances visible dim"]:
        """Return the encoder's tokens of all instances; zeros for instances that were not encoded."""
        tokens = tokens[:, 1:] if self.config.instance_cls else tokens
        if mask.encoded is None:
            return tokens
        return tokens.new_zeros(len(mask.context), *tokens.shape[1:]).index_copy(0, mask.encoded, tokens)

    def _streams(self, batch: StudyBatch) -> list[tuple[str, StreamConfig]]:
        """Check the streams of the batch, and return them with their configuration in the batch's order."""
        unknown = set(batch.streams) - set(self.config.streams)
        if unknown:
            raise ConfigError(
                f"the batch has streams {sorted(unknown)}, the model was made for {list(self.config.streams)}"
            )
        for name, instances in batch.streams.items():
            stream = self.config.streams[name]
            fits = stream.any_grid or instances.grid == stream.grid
            if not fits or instances.values.shape[1] != stream.channels:
                raise ConfigError(
                    f"stream {name!r}: the model was made for {stream.channels} channels of {stream.grid}, "
                    f"found {instances.values.shape[1]} of {instances.grid}: prepare the data as for pretraining"
                )
        return [(name, self.config.streams[name]) for name in batch.streams]


def _chosen_stream(batch: StudyBatch, stream: str | None) -> str:
    names = list(batch.streams)
    if stream is None and len(names) == 1:
        return names[0]
    if stream not in names:
        raise ConfigError(f"name the stream whose tokens you want: one of {names}, found {stream!r}")
    return stream


def _encoded_rows(rows: Tensor, mask: StreamMask) -> Tensor:
    """Return the rows of the instances that enter the encoder."""
    return rows if mask.encoded is None else rows[mask.encoded]


def _by_instance(
    studies: Float[Tensor, "studies kept dim"], plan: LatentPlan, name: str, mask: StreamMask, *, absent: Tensor
) -> Float[Tensor, "instances visible dim"]:
    """Return the tokens of studies at the context slots of one stream's instances."""
    index = None if plan.scatter_index is None else plan.scatter_index[name]
    return scatter_instances(studies, index, absent=absent, shape=(mask.context.shape[0], mask.context.shape[1]))


def _mean_token(mixed: Float[Tensor, "studies kept dim"], plan: LatentPlan) -> Float[Tensor, "studies dim"]:
    if plan.gather_valid is None:
        return mixed.float().mean(dim=1)
    weight = plan.gather_valid.unsqueeze(-1).float()
    return (mixed.float() * weight).sum(1) / weight.sum(1).clamp_min(1)


def _of_all_instances(decoder: InstanceDecoder, own_cls: Tensor, mask: StreamMask) -> Tensor:
    """Return the instances' own CLS tokens for the decoder; the mask token where an instance was not encoded."""
    embedded = decoder.embed(own_cls)
    if mask.encoded is None:
        return embedded
    absent = decoder.mask_token.to(embedded.dtype).expand(len(mask.context), 1, -1)
    return absent.index_copy(0, mask.encoded, embedded)
