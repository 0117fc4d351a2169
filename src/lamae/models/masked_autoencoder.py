"""The latent attention masked autoencoder (LAMAE) and its relatives with independent views (MAE)."""

from collections.abc import Mapping

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
from lamae.nn.normalise import Normalised, normalise
from lamae.nn.output import EncodedInstances, MaskedOutput, MaskedPrediction
from lamae.nn.patches import patchify
from lamae.nn.plan import LatentPlan, MaskPlan, StreamMask, full_plan
from lamae.nn.targets import element_validity, make_targets
from lamae.nn.transformer import initialise, initialise_mimetic, initialise_tokens


class MaskedAutoencoder(nn.Module):
    """Predicts the hidden patches of each view of a study from what is visible in all of them.

    1. Integers become normalised values, and each instance is cut into patches.
    2. The encoder of the stream sees the visible patches of each instance, and nothing else.
    3. Latent attention mixes the visible tokens of all instances of a study (none at depth 0: MAE).
    4. The decoder of the stream decodes each instance from its mixed tokens, with a mask token where it has none.
    5. The hidden patches are predicted and stand beside their true values.

    Sources: He et al. 2022 (MAE); the LAMAE papers on ECG (section 2) and on echocardiography (section 2).

    Args:
        config: Everything about the model.
        generator: Source of the initial weights; None is torch's default generator.
    """

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
        patches = {name: patchify(self.normalised(batch, name).values, s.patch) for name, s in self._streams(batch)}
        predictions: dict[str, list[MaskedPrediction]] = {name: [] for name in patches}
        encoded: dict[str, list[EncodedInstances]] = {name: [] for name in patches}
        summaries = []
        for index in range(plan.num_masks):
            masks = {name: plan.streams[name][index] for name in patches}
            latent = plan.latent[index]
            hidden = {name: self.encode(name, batch, patches[name], masks[name]) for name in patches}
            cls, mixed, own_cls = self.mix(hidden, latent, batch.num_studies)
            summaries.append(_mean_token(mixed.detach(), latent))
            slots = self.decode(batch, masks, latent, cls=cls, mixed=mixed, own_cls=own_cls)
            for name, mask in masks.items():
                prediction = self._predict(name, batch.streams[name], patches[name], mask, slots[name])
                predictions[name].append(prediction)
                encoded[name].append(self._encoded(batch.streams[name], hidden[name], mask))
        return MaskedOutput(
            predictions={name: tuple(found) for name, found in predictions.items()},
            num_studies=batch.num_studies,
            summary=summaries[0],
            encoded={name: tuple(found) for name, found in encoded.items()},
        )

    def features(self, batch: StudyBatch, *, stream: str | None = None) -> Features:
        """Encode all recorded patches, nothing hidden; tokens before and after latent attention in one pass.

        Args:
            batch: Studies, on the model's device.
            stream: Whose tokens to return; None: the only stream of the batch. Latent attention sees all of them.

        Raises:
            ConfigError: The batch does not fit the model, or there are several streams and none was named.
        """
        name = _chosen_stream(batch, stream)
        plan = self.full_plan(batch).to(batch.positions.device)
        hidden = self._encode_all(batch, plan)
        cls, mixed, _ = self.mix(hidden, plan.latent[0], batch.num_studies)
        instances, mask = batch.streams[name], plan.streams[name][0]
        put = None if plan.latent[0].put is None else plan.latent[0].put[name]
        shape = (len(instances), mask.context.shape[1])
        tokens = scatter_instances(mixed, put, absent=mixed.new_zeros(mixed.shape[-1]), shape=shape)
        valid = torch.ones(shape, dtype=torch.bool, device=tokens.device)
        return Features(
            tokens=tokens,
            token_valid=valid if mask.slot_valid is None else mask.slot_valid,
            cls=cls,
            encoder_tokens=None if self.latent is None else self._of_instances(hidden[name], mask),
            study_of=instances.study_of,
            view_of=instances.view_of,
            time_of=instances.time_of,
            view_names=instances.view_names,
            num_studies=batch.num_studies,
        )

    @torch.no_grad()
    def reconstruct(self, batch: StudyBatch, plan: MaskPlan, *, stream: str | None = None) -> Reconstruction:
        """Predict what the first mask of the plan hides and return it in physical units (mV, grey level).

        A device for looking at, no measure of quality: with patch-normalised targets the model predicts only the shape
        of a patch, and the mean and deviation that it is drawn with are the true ones.

        Args:
            batch: Studies, on the model's device.
            plan: Masks of this batch, on the model's device.
            stream: Which stream; None: the only one.
        """
        name = _chosen_stream(batch, stream)
        masks = {n: plan.streams[n][0] for n, _ in self._streams(batch)}
        cls, mixed, own_cls = self.mix(self._encode_all(batch, plan), plan.latent[0], batch.num_studies)
        slots = self.decode(batch, masks, plan.latent[0], cls=cls, mixed=mixed, own_cls=own_cls, targets_only=False)
        mask, config, normalised = masks[name], self.config.streams[name], self.normalised(batch, name)
        places = torch.cat([mask.context, mask.target], dim=1)
        valid = element_validity(batch.streams[name], config.patch, places)
        patches = take_patches(patchify(normalised.values, config.patch), places)
        targets = make_targets(patches, valid, how=self.config.target)
        predicted = self.decoder(name).predict(slots[name])
        return fill_in(predicted, targets, normalised, batch.streams[name], mask, config)

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
        plan = self.full_plan(batch).to(batch.positions.device)
        latent, hidden = plan.latent[0], self._encode_all(batch, plan)
        views = []
        for other, tokens in hidden.items():
            view_of = _encoded_rows(batch.streams[other].view_of, plan.streams[other][0])
            view_of = view_of if other == name else torch.full_like(view_of, -1)
            views.append(view_of[:, None, None].expand(*tokens.shape[:2], 1))
        token_view = gather_studies(views, latent, batch.num_studies).squeeze(-1)
        if latent.take_valid is not None:
            token_view = token_view.masked_fill(~latent.take_valid, -1)
        studies = gather_studies(list(hidden.values()), latent, batch.num_studies)
        weights = self.latent.weights(studies, latent.take_valid)
        return summarise_attention(weights, token_view, batch.streams[name].view_names)

    def normalised(self, batch: StudyBatch, name: str) -> Normalised:
        """Sentence 1 for one stream, before the cut: normalised values and the way back to physical units."""
        stream = self.config.streams[name]
        return normalise(
            batch.streams[name],
            how=stream.normalise,
            fixed_scale=stream.fixed_scale,
            std_floor=stream.std_floor,
            num_studies=batch.num_studies,
        )

    def full_plan(self, batch: StudyBatch) -> MaskPlan:
        """The plan, on the CPU, in which everything recorded is visible."""
        valid = {name: patches_with_data(batch.streams[name], s.patch) for name, s in self._streams(batch)}
        return full_plan(batch, valid, {name: s.num_patches for name, s in self._streams(batch)})

    def encode(self, name: str, batch: StudyBatch, patches: Tensor, mask: StreamMask) -> Tensor:
        """Sentence 2 for one stream: ``[encoded instances, tokens, dim]``."""
        stream = self.config.streams[name]
        named = self.config.view_identity == "learned" or self.config.encoder_weights == "private"
        view_of = known_views(batch.streams[name], stream, needed=named)
        patches, context, view_of = (_encoded_rows(rows, mask) for rows in (patches, mask.context, view_of))
        return self.encoders[name](take_patches(patches, context), context, view_of, mask.context_valid)

    def mix(
        self, hidden: Mapping[str, Tensor], plan: LatentPlan, num_studies: int
    ) -> tuple[Tensor | None, Float[Tensor, "studies kept dim"], dict[str, Tensor]]:
        """Sentence 3: CLS token of each study (None at depth 0), mixed tokens, and CLS tokens of the instances."""
        own_cls = {name: tokens[:, :1] for name, tokens in hidden.items()} if self.config.instance_cls else {}
        tokens = [tokens[:, 1:] if self.config.instance_cls else tokens for tokens in hidden.values()]
        studies = gather_studies(tokens, plan, num_studies)
        if self.latent is None:
            return None, studies, own_cls
        cls, mixed = self.latent(studies, plan.take_valid)
        return cls, mixed, own_cls

    def decode(
        self,
        batch: StudyBatch,
        masks: Mapping[str, StreamMask],
        plan: LatentPlan,
        *,
        cls: Tensor | None,
        mixed: Tensor,
        own_cls: Mapping[str, Tensor],
        targets_only: bool = True,
    ) -> dict[str, Float[Tensor, "instances slots dim"]]:
        """Sentence 4: decoded target slots (or context slots, then target slots) of each instance by stream."""
        tokens = {}
        for name, mask in masks.items():
            decoder = self.decoder(name)
            put = None if plan.put is None else plan.put[name]
            embedded = decoder.embed(mixed)
            tokens[name] = scatter_instances(
                embedded, put, absent=decoder.mask_token, shape=(mask.context.shape[0], mask.context.shape[1])
            )
        slots = {}
        for name, mask in masks.items():
            instances, decoder = batch.streams[name], self.decoder(name)
            view_of = known_views(instances, self.config.streams[name], needed=decoder.identity is not None)
            front, front_valid = study_context(
                self.config.decoder_context, decoder, instances, masks, plan, cls=cls, tokens=tokens
            )
            if self.config.instance_cls:
                front = _of_all_instances(decoder, own_cls[name], mask)
            skip = mask.context.shape[1] if targets_only else 0
            slots[name] = decoder(tokens[name], mask, view_of, front, front_valid, skip=skip)
        return slots

    def decoder(self, name: str) -> InstanceDecoder:
        """The decoder of a stream."""
        decoder = self.decoders[name]
        assert isinstance(decoder, InstanceDecoder)
        return decoder

    def _encode_all(self, batch: StudyBatch, plan: MaskPlan) -> dict[str, Tensor]:
        """Sentences 1 and 2 for all streams under the first mask of the plan."""
        hidden = {}
        for name, stream in self._streams(batch):
            patches = patchify(self.normalised(batch, name).values, stream.patch)
            hidden[name] = self.encode(name, batch, patches, plan.streams[name][0])
        return hidden

    def _encoded(self, instances: Instances, hidden: Tensor, mask: StreamMask) -> EncodedInstances:
        """What sentence 2 made of one stream, for objectives."""
        has_cls = self.config.instance_cls
        return EncodedInstances(
            tokens=hidden[:, 1:] if has_cls else hidden,
            valid=mask.context_valid,
            cls=hidden[:, 0] if has_cls else None,
            study_of=_encoded_rows(instances.study_of, mask),
        )

    def _of_instances(self, hidden: Tensor, mask: StreamMask) -> Float[Tensor, "instances visible dim"]:
        """The encoder's tokens of all instances; zeros for instances that were not encoded."""
        tokens = hidden[:, 1:] if self.config.instance_cls else hidden
        if mask.encoded is None:
            return tokens
        return tokens.new_zeros(len(mask.context), *tokens.shape[1:]).index_copy(0, mask.encoded, tokens)

    def _predict(
        self, name: str, instances: Instances, patches: Tensor, mask: StreamMask, slots: Tensor
    ) -> MaskedPrediction:
        """Sentence 5 for one stream."""
        valid = element_validity(instances, self.config.streams[name].patch, mask.target)
        return MaskedPrediction(
            predicted=self.decoder(name).predict(slots),
            target=make_targets(take_patches(patches, mask.target), valid, how=self.config.target).values,
            valid=valid,
            study_of=instances.study_of,
        )

    def _streams(self, batch: StudyBatch) -> list[tuple[str, StreamConfig]]:
        """The streams of the batch with their configuration, in the batch's order."""
        unknown = set(batch.streams) - set(self.config.streams)
        if unknown:
            raise ConfigError(
                f"the batch has streams {sorted(unknown)}, the model was made for {list(self.config.streams)}"
            )
        for name, instances in batch.streams.items():
            stream = self.config.streams[name]
            if instances.grid != stream.grid or instances.values.shape[1] != stream.channels:
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


def take_patches(
    patches: Float[Tensor, "instances patches elements"], places: Tensor
) -> Float[Tensor, "instances some elements"]:
    """The patches of each instance at the given places."""
    N, P, _ = patches.shape
    rows = torch.arange(N, device=patches.device).unsqueeze(1) * P + places
    return patches.flatten(0, 1).index_select(0, rows.flatten()).unflatten(0, rows.shape)


def _encoded_rows(rows: Tensor, mask: StreamMask) -> Tensor:
    """The rows of the instances that enter the encoder."""
    return rows if mask.encoded is None else rows[mask.encoded]


def _mean_token(mixed: Float[Tensor, "studies kept dim"], plan: LatentPlan) -> Float[Tensor, "studies dim"]:
    if plan.take_valid is None:
        return mixed.float().mean(dim=1)
    weight = plan.take_valid.unsqueeze(-1).float()
    return (mixed.float() * weight).sum(1) / weight.sum(1).clamp_min(1)


def _of_all_instances(decoder: InstanceDecoder, own_cls: Tensor, mask: StreamMask) -> Tensor:
    """The instances' own CLS tokens for the decoder; the mask token for instances that were not encoded."""
    embedded = decoder.embed(own_cls)
    if mask.encoded is None:
        return embedded
    absent = decoder.mask_token.to(embedded.dtype).expand(len(mask.context), 1, -1)
    return absent.index_copy(0, mask.encoded, embedded)
