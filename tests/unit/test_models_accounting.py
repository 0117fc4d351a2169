"""Operations against figures worked out by hand, and what the counter counts."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lamae.batch import ClipConfig
from lamae.models import MaskedAutoencoder, MaskedAutoencoderConfig, StreamConfig
from lamae.models.accounting import example_batch, flops_per_step
from lamae.nn.masks import draw_masks
from lamae.nn.transformer import TransformerConfig
from lamae.objectives import AlignmentConfig, alignment, masked_reconstruction

LEADS = ("I", "II", "III", "aVR", "aVL")


def config(**changes) -> MaskedAutoencoderConfig:
    """Five leads of 11 patches of 7 samples, of which 3 are visible."""
    settings = {
        "streams": {"ecg": StreamConfig(patch=(7,), grid=(77,), view_names=LEADS)},
        "encoder": TransformerConfig(dim=22, depth=2, num_heads=2),
        "latent": TransformerConfig(dim=22, depth=1, num_heads=2),
        "decoder": TransformerConfig(dim=15, depth=1, num_heads=3),
    }
    return MaskedAutoencoderConfig(**(settings | changes))


def test_a_step_of_three_studies_worked_by_hand():
    """A product [m, k] x [k, n] takes 2 m k n operations; each factor that needs a gradient takes as many again.

    Encoder, one lead (3 tokens of width 22):
        patches to tokens  2 * 3 * 7 * 22 = 924; backward for the weights only, the patches are data      2 *    924
        a block:  qkv 2*3*22*66 = 8,712;  query x key 2*3*3*22 = 396;  weights x value 396;
                  out 2*3*22*22 = 2,904;  MLP 2*3*22*88 + 2*3*88*22 = 23,232;  sum 35,640          3 * 35,640 a block
        two blocks: 1,848 + 2 * 106,920 = 215,688; 15 leads: 3,235,320
    Latent attention, one study (15 tokens and CLS, 16):
        qkv 2*16*22*66 = 46,464;  query x key and weights x value 2 * 2*16*16*22 = 22,528;  out 2*16*22*22 = 15,488;
        MLP 2 * 2*16*22*88 = 123,904;  sum 208,384;  forward and backward 625,152;  3 studies: 1,875,456
    Decoder, one lead (width 15; 3 visible, 8 hidden; the block computes the 8 only, which see all 11):
        to its width 2*3*22*15 = 1,980;  qkv 2*11*15*45 = 14,850;  query x key and weights x value 2 * 2*8*11*15 = 5,280;
        out 2*8*15*15 = 3,600;  MLP 2 * 2*8*15*60 = 28,800;  head 2*8*15*7 = 1,680;  sum 56,190
        forward and backward 168,570; 15 leads: 2,528,550
    """  # noqa: E501
    assert flops_per_step(config(), example_batch(config(), num_studies=3)) == {
        "encoder": 3_235_320,
        "latent_attention": 1_875_456,
        "decoder": 2_528_550,
        "total": 7_639_326,
    }


def counted(model, batch, objective) -> int:
    """What the counter sees of a real step."""
    plan = draw_masks(model.config.mask, batch, model.config.patch_shapes, torch.Generator().manual_seed(0))
    with FlopCounterMode(display=False) as counter:
        objective(model(batch, plan)).backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("weights", ["shared", "private"])
def test_the_figure_without_values_is_that_of_a_real_step(weights):
    """With explicit attention: the counter does not know the fused kernel of CPUs and would leave attention out."""
    settings = config(encoder_weights=weights, attention_kernel="matmul")
    batch = example_batch(settings, num_studies=3)
    found = counted(MaskedAutoencoder(settings), batch, lambda output: masked_reconstruction(output, global_size=3))
    assert flops_per_step(settings, batch)["total"] == found == 7_639_326


def test_joint_tokens_have_nearly_nothing_before_latent_attention():
    joint = config(encoder=TransformerConfig(dim=22, depth=0, num_heads=2))
    flops = flops_per_step(joint, example_batch(joint, num_studies=3))
    assert flops["encoder"] == 15 * 2 * 924
    assert flops["latent_attention"] == 1_875_456


@pytest.mark.parametrize(("metric", "expected"), [("mse", 0), ("simclr", 3 * 2 * 15 * 15 * 22)])
def test_alignment_is_counted_beside_the_model(metric, expected):
    """Contrast has one product, of all 15 views with each other; both factors need a gradient. mse has none."""

    def aligned(output):
        return alignment(output, AlignmentConfig(metric=metric), global_size=3)

    def both(output):
        return masked_reconstruction(output, global_size=3) + aligned(output)

    settings = config(attention_kernel="matmul")
    batch = example_batch(settings, num_studies=3)
    flops = flops_per_step(settings, batch, alignment=aligned)
    assert flops["alignment"] == expected
    assert flops["total"] == 7_639_326 + expected == counted(MaskedAutoencoder(settings), batch, both)


def test_chosen_views_only():
    some = example_batch(config(), num_studies=2, views={"ecg": ("I", "aVL")})
    assert len(some.streams["ecg"]) == 4
    two = replace(config(), streams={"ecg": replace(config().streams["ecg"], view_names=("I", "II"))})
    assert flops_per_step(config(), some) == flops_per_step(two, example_batch(two, num_studies=2))


def test_each_frame_of_a_clip_is_an_instance():
    """A model of frames costs as much as one of which each study has a view for each frame."""
    frames = ClipConfig(frames=3, instances="frame")
    stream = StreamConfig(patch=(4, 5), grid=(8, 15), view_names=("A4C", "PLAX"), clip=frames)
    many = replace(stream, clip=None, view_names=tuple("abcdef"))
    of_frames, of_views = (config(streams={"echo": one}, view_identity="none") for one in (stream, many))
    echo = example_batch(of_frames, num_studies=2).streams["echo"]
    assert echo.study_of.tolist() == [0] * 6 + [1] * 6
    assert echo.recording_of.tolist() == echo.view_of.tolist() == [0, 0, 0, 1, 1, 1] * 2
    assert echo.time_of.tolist() == [0, 1, 2] * 4
    batches = (example_batch(one, num_studies=2) for one in (of_frames, of_views))
    assert flops_per_step(of_frames, next(batches)) == flops_per_step(of_views, next(batches))
