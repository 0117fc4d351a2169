"""Recipes for 12-lead ECGs: 10 s at 100 Hz, as `lamae prepare` makes them by default.

The shared choices, and why: targets normalised by patch (the largest gain of all choices in small trials); random masks
and a decoder that sees its own lead only, as in the paper; mimetic initialisation and positions whose wavelengths fit
the grid, without which a training of some thousand steps stays at predicting each patch's mean (``LOG.md``); views read
out side by side. The independent models differ in nothing but latent attention: the same number of layers of the same
width, the same data, masks and steps. The aligned ones (MMVM) add the alignment of leads to these, the joint ones
move all layers behind the point where leads meet. What each stands for in the papers: ``docs/systems.md``.
"""

from dataclasses import replace

from lamae.ecg.leads import LEADS
from lamae.models import MaskedAutoencoderConfig, StreamConfig
from lamae.models.sizes import Size, base, independent, joint, small, tiny
from lamae.nn.masks import MaskConfig
from lamae.nn.positions import MAE_WAVELENGTHS
from lamae.objectives import AlignmentConfig
from lamae.train import OptimConfig, PretrainConfig

STREAM = StreamConfig(patch=(25,), grid=(1000,), view_names=LEADS)
"""Patches of 0.25 s at 100 Hz, 40 in each lead."""

WAVELENGTHS = (4.0, 160.0)
"""Of the positions, in patches: 1 s to 40 s, so that every number of a position differs along ten seconds."""


def lamae_tiny() -> PretrainConfig:
    """LAMAE with 0.8 million parameters, to see everything work on a laptop.

    Data: a thousand ECGs or more. Machine: 2 CPU cores. Time: about 2 minutes.
    Score: a frozen linear probe clearly above random weights; no claim against other models.
    Command: lamae pretrain ecg-lamae-tiny --data PACK --out RUN
    """
    return PretrainConfig(
        model=_model(tiny()),
        optim=OptimConfig(steps=500, batch_size=16, optimiser="muon", lr=2e-3, warmup_steps=30),
        readout="view-concat",
        log_every=20,
        eval_every=200,
        save_every=200,
    )


def lamae_small() -> PretrainConfig:
    """LAMAE with a ViT-S encoder.

    Data: MIMIC-IV-ECG (800,000 ECGs; 16 epochs) or of that order. Machine: one H200 or the like. Time: a quarter of an
    hour by arithmetic (24 GFLOP a study at 40 % of 790 TFLOP/s), not measured. Score: not measured.
    Command: lamae pretrain ecg-lamae-small --data PACK --out RUN
    """
    return PretrainConfig(
        model=_model(small()),
        optim=OptimConfig(steps=50_000, batch_size=256, lr=5e-4, warmup_steps=2_500),
        readout="view-concat",
        log_every=50,
        eval_every=1_000,
        save_every=1_000,
    )


def lamae_base() -> PretrainConfig:
    """LAMAE with a ViT-B encoder.

    Data: MIMIC-IV-ECG (800,000 ECGs; 32 epochs) or of that order. Machine: one H200 or the like. Time: an hour and a
    half by arithmetic (82 GFLOP a study at 50 % of 790 TFLOP/s), not measured. Score: not measured.
    Command: torchrun --nproc-per-node 8 -m lamae pretrain ecg-lamae-base --data PACK --out RUN
    """
    return PretrainConfig(
        model=_model(base()),
        optim=OptimConfig(steps=100_000, batch_size=256, lr=3e-4, warmup_steps=5_000),
        readout="view-concat",
        log_every=50,
        eval_every=1_000,
        save_every=1_000,
    )


def independent_tiny() -> PretrainConfig:
    """The control of ecg-lamae-tiny without latent attention: the same data, machine, steps and number of layers.

    Time: about 2 minutes on 2 CPU cores.
    Command: lamae pretrain ecg-independent-tiny --data PACK --out RUN
    """
    return _independent(lamae_tiny(), tiny())


def independent_small() -> PretrainConfig:
    """The control of ecg-lamae-small without latent attention: the same data, machine, steps and number of layers.

    Command: lamae pretrain ecg-independent-small --data PACK --out RUN
    """
    return _independent(lamae_small(), small())


def independent_base() -> PretrainConfig:
    """The control of ecg-lamae-base without latent attention: the same data, machine, steps and number of layers.

    Command: lamae pretrain ecg-independent-base --data PACK --out RUN
    """
    return _independent(lamae_base(), base())


def mmvm_tiny() -> PretrainConfig:
    """MMVM / MVMAE: ecg-independent-tiny whose leads are aligned beside being reconstructed, nothing else changed.

    Squared error of unit vectors, of all pairs of present leads, at a weight that rises from 0 to 2 (docs/systems.md).
    Other metrics: --alignment.metric cosine, simclr or mix.
    Time: not measured; by its operations (0.78 GFLOP a study) that of ecg-independent-tiny.
    Command: lamae pretrain ecg-mmvm-tiny --data PACK --out RUN
    """
    return replace(independent_tiny(), alignment=AlignmentConfig())


def mmvm_small() -> PretrainConfig:
    """MMVM / MVMAE: ecg-independent-small whose leads are aligned beside being reconstructed, nothing else changed.

    Squared error of unit vectors, of all pairs of present leads, at a weight that rises from 0 to 2 (docs/systems.md).
    Other metrics: --alignment.metric cosine, simclr or mix.
    Command: lamae pretrain ecg-mmvm-small --data PACK --out RUN
    """
    return replace(independent_small(), alignment=AlignmentConfig())


def mmvm_base() -> PretrainConfig:
    """MMVM / MVMAE: ecg-independent-base whose leads are aligned beside being reconstructed, nothing else changed.

    Squared error of unit vectors, of all pairs of present leads, at a weight that rises from 0 to 2 (docs/systems.md).
    Other metrics: --alignment.metric cosine, simclr or mix.
    Command: lamae pretrain ecg-mmvm-base --data PACK --out RUN
    """
    return replace(independent_base(), alignment=AlignmentConfig())


def joint_tiny() -> PretrainConfig:
    """The control of ecg-lamae-tiny whose leads are never apart: all tokens meet in every layer (ST-MEM's idea).

    The layers of the encoder become layers of latent attention; data, masks, steps and number of layers are the same.
    A step costs 7 % more operations (0.87 against 0.81 GFLOP a study): attention is over all leads in every layer.
    Time: not measured; by these operations little more than ecg-lamae-tiny.
    Command: lamae pretrain ecg-joint-tiny --data PACK --out RUN
    """
    return _joint(lamae_tiny(), tiny())


def joint_small() -> PretrainConfig:
    """The control of ecg-lamae-small whose leads are never apart: all tokens meet in every layer (ST-MEM's idea).

    The layers of the encoder become layers of latent attention; data, masks, steps and number of layers are the same.
    A step costs 4 % more operations (25.4 against 24.5 GFLOP a study). Time and score: not measured.
    Command: lamae pretrain ecg-joint-small --data PACK --out RUN
    """
    return _joint(lamae_small(), small())


def joint_base() -> PretrainConfig:
    """The control of ecg-lamae-base whose leads are never apart: all tokens meet in every layer (ST-MEM's idea).

    The layers of the encoder become layers of latent attention; data, masks, steps and number of layers are the same.
    A step costs 2 % more operations (84.3 against 82.3 GFLOP a study). Time and score: not measured.
    Command: lamae pretrain ecg-joint-base --data PACK --out RUN
    """
    return _joint(lamae_base(), base())


def lamae_paper() -> PretrainConfig:
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
    mask = MaskConfig(strategy="random", ratio=0.75, latent_ratio=0.25)
    return PretrainConfig(
        model=replace(
            _model(base()), target="raw", mask=mask, position_wavelengths=MAE_WAVELENGTHS, initialisation="mae"
        ),
        optim=OptimConfig(steps=100_000, batch_size=256, lr=1e-4, warmup_steps=5_000, betas=(0.9, 0.999)),
        readout="cls",
        log_every=50,
        eval_every=1_000,
        save_every=1_000,
    )


def _model(size: Size) -> MaskedAutoencoderConfig:
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


def _independent(config: PretrainConfig, size: Size) -> PretrainConfig:
    apart = independent(size)
    model = replace(config.model, encoder=apart.encoder, latent=apart.latent)
    return replace(config, model=model)


def _joint(config: PretrainConfig, size: Size) -> PretrainConfig:
    together = joint(size)
    model = replace(config.model, encoder=together.encoder, latent=together.latent)
    return replace(config, model=model)
