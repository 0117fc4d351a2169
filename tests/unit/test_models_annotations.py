"""The shapes in the annotations hold: a whole step with every annotated function checked at each call."""

import subprocess
import sys

CHECKED_STEP = """
import warnings
from jaxtyping import install_import_hook

packages = ["lamae.batch", "lamae.nn", "lamae.models", "lamae.objectives"]
with warnings.catch_warnings(), install_import_hook(packages, "beartype.beartype"):
    warnings.simplefilter("ignore")
    import lamae.models.masked_autoencoder

import pytest
import torch
from lamae.batch import Instances, StudyBatch
from lamae.models import MaskedAutoencoder, MaskedAutoencoderConfig, StreamConfig, read_out
from lamae.nn.masks import MaskConfig, draw_masks
from lamae.nn.patches import patchify
from lamae.nn.transformer import TransformerConfig
from lamae.objectives import AlignmentConfig, alignment, masked_reconstruction

names = ("I", "II", "III")
study_of, view_of = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 1, 2, 2, 0])
valid = torch.ones(5, 77, dtype=torch.bool)
valid[1, 50:] = False
instances = Instances(
    values=torch.randint(-997, 997, (5, 1, 77)).to(torch.int16), scale=torch.full((5,), 0.001), valid=valid,
    study_of=study_of, recording_of=view_of, view_of=view_of, time_of=torch.zeros(5), view_names=names,
)
batch = StudyBatch(
    streams={"ecg": instances}, num_studies=2, positions=torch.arange(2), global_size=2, index=torch.arange(2)
)
for context, mask, depth, weights in (
    ("none", MaskConfig(latent_ratio=0.3), 1, "shared"),
    ("summaries", MaskConfig(strategy="view", hidden_views=1), 0, "shared"),
    ("cls", MaskConfig(strategy="view", hidden_views=1), 1, "private"),
):
    config = MaskedAutoencoderConfig(
        streams={"ecg": StreamConfig(patch=(7,), grid=(77,), view_names=names)},
        encoder=TransformerConfig(dim=22, depth=depth, num_heads=2),
        latent=TransformerConfig(dim=22, depth=1, num_heads=2),
        decoder=TransformerConfig(dim=15, depth=1, num_heads=3),
        decoder_context=context,
        encoder_weights=weights,
        mask=mask,
    )
    model = MaskedAutoencoder(config)
    plan = draw_masks(mask, batch, config.patch_shapes, torch.Generator().manual_seed(3))
    output = model(batch, plan)
    masked_reconstruction(output, global_size=2).backward(retain_graph=True)
    alignment(output, AlignmentConfig(metric="mix"), global_size=2).backward()
    for how in ("cls", "mean", "view-concat", "encoder-mean", "encoder-view-concat"):
        read_out(model.features(batch), how, names)
    model.reconstruct(batch, plan)
    model.latent_attention_maps(batch)
try:
    patchify(torch.zeros(3), (1,))
except Exception as error:
    print("refused", type(error).__name__)
"""


def test_a_whole_step_keeps_to_the_annotated_shapes():
    done = subprocess.run(
        [sys.executable, "-c", CHECKED_STEP], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "refused TypeCheckError"
