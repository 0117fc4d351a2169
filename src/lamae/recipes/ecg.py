"""Recipes for 12-lead ECGs: 10 s at 100 Hz, as `lamae prepare` makes them by default.

The shared choices, and why: targets normalised by patch (the largest gain of all choices in small trials); random masks
and a decoder that sees its own lead only, as in the paper; mimetic initialisation and positions whose wavelengths fit
the grid, without which a training of some thousand steps stays at predicting each patch's mean (``LOG.md``);
concatenated per-view features as read-out. The independent models differ in nothing but latent attention: the same
number of layers of the same width, the same data, masks and steps. The aligned ones (MMVM) add the alignment of leads
to these, the joint ones move all layers behind the point where leads meet. What each stands for in the papers:
``docs/systems.md``.

A recipe is a system at a size. The docstring of the system is what the recipe says of itself; lines that begin with
the name of a size are said at that size only.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from lamae.ecg.leads import LEADS
from lamae.ecg.same_time import EIGHT_LEADS
from lamae.models import MaskedAutoencoderConfig, StreamConfig, sizes
from lamae.nn.masks import MaskConfig
from lamae.nn.positions import MAE_WAVELENGTHS
from lamae.objectives import AlignmentConfig
from lamae.train import OptimConfig, PretrainConfig

STREAM = StreamConfig(patch=(25,), grid=(1000,), view_names=LEADS)
"""Patches of 0.25 s at 100 Hz, 40 in each lead."""

WAVELENGTHS = (4.0, 160.0)
"""Of the positions, in patches: 1 s to 40 s, so that every number of a position differs along ten seconds."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Settings that the systems of one size share.

    Attributes:
        size: Sizes of the three parts of the model.
        optim: Optimiser and length of the run.
        log_every: Steps between lines of metrics.
        eval_every: Steps between measurements of the validation loss, and between checkpoints.
    """

    size: sizes.Size
    optim: OptimConfig
    log_every: int = 50
    eval_every: int = 1_000


SCALES = {
    "tiny": Scale(
        size=sizes.tiny(),
        optim=OptimConfig(steps=500, batch_size=16, optimiser="muon", lr=2e-3, warmup_steps=30),
        log_every=20,
        eval_every=200,
    ),
    "small": Scale(size=sizes.small(), optim=OptimConfig(steps=50_000, batch_size=256, lr=5e-4, warmup_steps=2_500)),
    "base": Scale(size=sizes.base(), optim=OptimConfig(steps=100_000, batch_size=256, lr=3e-4, warmup_steps=5_000)),
}


def lamae(size: str) -> PretrainConfig:
    """LAMAE, a model of {size} size.

    tiny: 0.8 million parameters, to see everything work on a laptop.
    tiny: Data: a thousand ECGs or more. Machine: 2 CPU cores. Time: about 2 minutes.
    tiny: Score: a frozen linear probe clearly above random weights; no claim against other models.
    small: The encoder is a ViT-S.
    small: Data: MIMIC-IV-ECG (800,000 ECGs; 16 epochs) or of that order. Machine: one H200 or the like.
    small: Time: a quarter of an hour by arithmetic (24 GFLOP a study at 40 % of 790 TFLOP/s). Score: not measured.
    base: The encoder is a ViT-B.
    base: Data: MIMIC-IV-ECG (800,000 ECGs; 32 epochs) or of that order. Machine: one H200 or the like.
    base: Time: an hour and a half by arithmetic (82 GFLOP a study at 50 % of 790 TFLOP/s). Score: not measured.
    Command: {command} ecg-lamae-{size} --data PACK --out RUN
    """
    scale = SCALES[size]
    return PretrainConfig(
        model=_model(scale.size),
        optim=scale.optim,
        readout="view-concat",
        log_every=scale.log_every,
        eval_every=scale.eval_every,
        save_every=scale.eval_every,
    )


def independent(size: str) -> PretrainConfig:
    """The control of ecg-lamae-{size} without latent attention: the same data, machine, steps and number of layers.

    tiny: Time: about 2 minutes on 2 CPU cores.
    Command: lamae pretrain ecg-independent-{size} --data PACK --out RUN
    """
    return _with_layers(lamae(size), sizes.independent(SCALES[size].size))


def mmvm(size: str) -> PretrainConfig:
    """MMVM / MVMAE: ecg-independent-{size} whose leads are aligned beside being reconstructed, nothing else changed.

    Squared error of unit vectors, of all pairs of present leads, at a weight that rises from 0 to 2 (docs/systems.md).
    Other metrics: --alignment.metric cosine, simclr or mix.
    tiny: Time: not measured; by its operations (0.78 GFLOP a study) that of ecg-independent-tiny.
    Command: lamae pretrain ecg-mmvm-{size} --data PACK --out RUN
    """
    return replace(independent(size), alignment=AlignmentConfig())


def joint(size: str) -> PretrainConfig:
    """The control of ecg-lamae-{size} whose leads are never apart: all tokens meet in every layer (ST-MEM's idea).

    The layers of the encoder become layers of latent attention; data, masks, steps and number of layers are the same.
    tiny: A step costs 7 % more operations (0.87 against 0.81 GFLOP a study): attention is over all leads in each layer.
    tiny: Time: not measured; by these operations little more than ecg-lamae-tiny.
    small: A step costs 4 % more operations (25.4 against 24.5 GFLOP a study). Time and score: not measured.
    base: A step costs 2 % more operations (84.3 against 82.3 GFLOP a study). Time and score: not measured.
    Command: lamae pretrain ecg-joint-{size} --data PACK --out RUN
    """
    return _with_layers(lamae(size), sizes.joint(SCALES[size].size))


def lamae_8lead(size: str) -> PretrainConfig:
    """The eight leads of ecg-lamae-{size}, I, II and V1 to V6: two thirds of its tokens, no lead a copy of others.

    Nothing else differs from the recipe for twelve leads, so the pair shows what the copies are worth. Packs and files
    of twelve leads need no other preparation: the model takes its own eight from them (docs/pretext-audit.md).
    tiny: Time: about a minute and a half on 2 CPU cores.
    small: Time and score: not measured.
    base: Time and score: not measured.
    Command: {command} ecg-lamae-8lead-{size} --data PACK --out RUN
    """
    return eight_leads(lamae(size))


def independent_8lead(size: str) -> PretrainConfig:
    """The control of ecg-lamae-8lead-{size} without latent attention.

    Command: lamae pretrain ecg-independent-8lead-{size} --data PACK --out RUN
    """
    return eight_leads(independent(size))


def lamae_paper(size: str) -> PretrainConfig:
    """ECG-LAMAE as the paper states it (section 2), with our choice wherever it states nothing.

    Stated: twelve leads, encoder and decoder shared by all leads and applied to each apart; random masks; the encoder
    sees visible patches only; latent attention with a CLS token over the tokens of all leads behind a random mask of
    its own; squared error of the raw signal on the hidden patches; the CLS token is read out.
    Not stated, our choice: rate and length (100 Hz, 10 s), patch (0.25 s), normalisation (by study), both mask ratios
    (0.75; 0.25 in latent space), sizes (ViT-B, 3 layers of latent attention, decoder 192 x 4 as in the echo paper),
    positions (sines and cosines) and initialisation (both as in MAE), the leads' identity (learned), optimiser (AdamW
    0.9, 0.999 and a rate of 1e-4 as in the echo paper; decay 0.05), batch (256), steps (100,000), warm-up, clipping.

    Data: MIMIC-IV-ECG. Machine: one H200 or the like. Time: an hour and a half by arithmetic. Score: not reproduced
    here; the paper reports an AUROC of 0.834 for chapter IX by linear probing (table 1).
    Command: lamae pretrain ecg-lamae-paper --data PACK --out RUN
    """
    recipe = lamae(size)
    mask = replace(recipe.model.mask, latent_ratio=0.25)
    model = replace(recipe.model, target="raw", mask=mask, position_wavelengths=MAE_WAVELENGTHS, initialisation="mae")
    optim = OptimConfig(steps=100_000, batch_size=256, lr=1e-4, warmup_steps=5_000, betas=(0.9, 0.999))
    return replace(recipe, model=model, optim=optim, readout="cls")


def describe(system: Callable[[str], PretrainConfig], size: str) -> str:
    """Return the docstring of a system as it is at one size; lines that begin with another size are left out."""
    lines = []
    for line in (system.__doc__ or "").strip().splitlines():
        name, colon, rest = line.strip().partition(": ")
        if name not in SCALES or not colon:
            lines.append(line)
        elif name == size:
            lines.append(f"    {rest}")
    command = "torchrun --nproc-per-node 8 -m lamae pretrain" if size == "base" else "lamae pretrain"
    return "\n".join(lines).format(size=size, command=command)


def _model(size: sizes.Size) -> MaskedAutoencoderConfig:
    return MaskedAutoencoderConfig(
        streams={"ecg": STREAM},
        encoder=size.encoder,
        latent=size.latent,
        decoder=size.decoder,
        decoder_context="none",
        target="patch-normalised",
        position_wavelengths=WAVELENGTHS,
        initialisation="mimetic",
        mask=MaskConfig(strategy="random", ratio=0.75),
    )


def _with_layers(config: PretrainConfig, size: sizes.Size) -> PretrainConfig:
    return replace(config, model=replace(config.model, encoder=size.encoder, latent=size.latent))


def eight_leads(config: PretrainConfig) -> PretrainConfig:
    """Return a recipe for twelve leads as one for eight: the model knows no others, and training uses no others."""
    streams = {name: replace(stream, view_names=EIGHT_LEADS) for name, stream in config.model.streams.items()}
    return replace(config, model=replace(config.model, streams=streams), data=replace(config.data, views=EIGHT_LEADS))
