from dataclasses import replace

import pytest
import torch

from lamae import recipes
from lamae.config import difference, from_dict, to_dict
from lamae.errors import ConfigError
from lamae.models import MaskedAutoencoder
from lamae.train import PretrainConfig

MILLIONS = {
    "ecg-lamae-tiny": (0.7, 0.9),
    "ecg-lamae-small": (28, 30),
    "ecg-lamae-base": (107, 111),
    "ecg-independent-tiny": (0.7, 0.9),
    "ecg-independent-small": (28, 30),
    "ecg-independent-base": (107, 111),
    "ecg-mmvm-tiny": (0.7, 0.9),
    "ecg-mmvm-small": (28, 30),
    "ecg-mmvm-base": (107, 111),
    "ecg-joint-tiny": (0.7, 0.9),
    "ecg-joint-small": (28, 30),
    "ecg-joint-base": (107, 111),
    "ecg-lamae-paper": (107, 111),
    "ecg-lamae-8lead-tiny": (0.7, 0.9),
    "ecg-lamae-8lead-small": (28, 30),
    "ecg-lamae-8lead-base": (107, 111),
    "ecg-independent-8lead-tiny": (0.7, 0.9),
    "ecg-independent-8lead-small": (28, 30),
    "ecg-independent-8lead-base": (107, 111),
}


def num_parameters(name):
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in MaskedAutoencoder(recipes.get(name).model).parameters())


def test_every_recipe_is_tested():
    assert recipes.names() == list(MILLIONS)


@pytest.mark.parametrize("name", MILLIONS)
def test_a_recipe_is_whole(name):
    config = recipes.get(name)
    assert from_dict(PretrainConfig, to_dict(config), source="here") == config
    low, high = MILLIONS[name]
    assert low < num_parameters(name) / 1e6 < high
    assert (
        f"Command: {'torchrun' if name in ('ecg-lamae-base', 'ecg-lamae-8lead-base') else 'lamae pretrain'} "
        in recipes.describe(name)
    )
    assert name in recipes.describe(name)


@pytest.mark.parametrize("kind", ["independent", "joint"])
@pytest.mark.parametrize("size", ["tiny", "small", "base"])
def test_controls_are_matched(size, kind):
    ours, control = recipes.get(f"ecg-lamae-{size}"), recipes.get(f"ecg-{kind}-{size}")
    keys = {line.split(":")[0] for line in difference(ours, control)}
    assert keys == {"model.encoder.depth", "model.latent.depth"}
    depths = [recipe.model.encoder.depth + recipe.model.latent.depth for recipe in (ours, control)]
    assert depths[0] == depths[1]
    assert num_parameters(f"ecg-lamae-{size}") == pytest.approx(num_parameters(f"ecg-{kind}-{size}"), rel=0.02)


@pytest.mark.parametrize("size", ["tiny", "small", "base"])
def test_alignment_is_all_that_mmvm_adds(size):
    control, ours = recipes.get(f"ecg-independent-{size}"), recipes.get(f"ecg-mmvm-{size}")
    assert ours.alignment is not None
    assert ours.alignment.metric == "mse"
    assert ours.alignment.final_weight == 2.0
    assert replace(ours, alignment=None) == control


@pytest.mark.parametrize("name", [name for name in MILLIONS if "8lead" in name])
def test_eight_leads_change_nothing_but_the_leads(name):
    keys = {line.split(":")[0] for line in difference(recipes.get(name.replace("8lead-", "")), recipes.get(name))}
    assert keys == {"model.streams.ecg.view_names", "data.views"}
    config = recipes.get(name)
    assert (
        config.data.views == config.model.streams["ecg"].view_names == ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
    )


def test_the_paper_recipe_holds_what_the_paper_states():
    config = recipes.get("ecg-lamae-paper")
    assert config.model.target == "raw"
    assert config.model.decoder_context == "none"
    assert config.model.mask.strategy == "random"
    assert config.model.mask.latent_ratio > 0
    assert config.model.initialisation == "mae"
    assert config.readout == "cls"


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(ConfigError, match="unknown recipe 'ecg-lamae-tinny': did you mean 'ecg-lamae-tiny'"):
        recipes.get("ecg-lamae-tinny")
