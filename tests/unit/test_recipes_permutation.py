"""For every recipe: leads are known by their names, never by their order or number."""

from dataclasses import replace
from typing import get_args

import pytest
import torch

from lamae import recipes
from lamae.batch import Instances, StudyBatch
from lamae.ecg.leads import LEADS
from lamae.models import MaskedAutoencoder, Readout, by_view, read_out
from lamae.models.pretrainable import total_loss
from lamae.nn.masks import draw_masks
from lamae.nn.transformer import TransformerConfig
from lamae.train import PretrainConfig
from lamae.train.objective import pretraining_losses

EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")

TABLE = {
    "ecg-lamae-tiny": LEADS,
    "ecg-lamae-small": LEADS,
    "ecg-lamae-base": LEADS,
    "ecg-independent-tiny": LEADS,
    "ecg-independent-small": LEADS,
    "ecg-independent-base": LEADS,
    "ecg-mmvm-tiny": LEADS,
    "ecg-mmvm-small": LEADS,
    "ecg-mmvm-base": LEADS,
    "ecg-joint-tiny": LEADS,
    "ecg-joint-small": LEADS,
    "ecg-joint-base": LEADS,
    "ecg-lamae-paper": LEADS,
    "ecg-lamae-8lead-tiny": EIGHT,
    "ecg-lamae-8lead-small": EIGHT,
    "ecg-lamae-8lead-base": EIGHT,
    "ecg-independent-8lead-tiny": EIGHT,
    "ecg-independent-8lead-small": EIGHT,
    "ecg-independent-8lead-base": EIGHT,
}
"""Leads of each recipe; a recipe that is not in this table fails."""

OPTIONS = {
    "as it is": {},
    "private encoders": {"encoder_weights": "private"},
    "CLS to the decoder": {"decoder_context": "cls"},
    "summaries to the decoder": {"decoder_context": "summaries"},
}


def shrunk(config: PretrainConfig, **changes) -> PretrainConfig:
    """The same system with at most two layers of width 22 in each part; depth 0 stays."""

    def smaller(size: TransformerConfig, dim: int) -> TransformerConfig:
        return TransformerConfig(dim=dim, depth=min(size.depth, 2), num_heads=2)

    model = config.model
    sizes = {"encoder": smaller(model.encoder, 22), "latent": smaller(model.latent, 22)}
    return replace(config, model=replace(model, **sizes, decoder=smaller(model.decoder, 14), **changes))


def build(config: PretrainConfig) -> MaskedAutoencoder:
    return MaskedAutoencoder(config.model, generator=torch.Generator().manual_seed(3)).eval()


def batch_of(studies, *, names) -> StudyBatch:
    """Studies as lists of leads; what a lead holds depends on the study and its name only."""
    rows = [(study, lead) for study, leads in enumerate(studies) for lead in leads]
    values = [
        torch.randint(-997, 997, (1, 1000), generator=torch.Generator().manual_seed(101 * study + LEADS.index(lead)))
        for study, lead in rows
    ]
    instances = Instances(
        values=torch.stack(values).to(torch.int16),
        scale=torch.full((len(rows),), 0.001),
        valid=None,
        study_of=torch.tensor([study for study, _ in rows]),
        recording_of=torch.tensor([names.index(lead) for _, lead in rows]),
        view_of=torch.tensor([names.index(lead) for _, lead in rows]),
        time_of=torch.zeros(len(rows)),
        view_names=names,
    )
    index = torch.arange(len(studies))
    return StudyBatch(
        streams={"ecg": instances}, num_studies=len(studies), positions=index, global_size=len(studies), index=index
    )


def loss_of(config: PretrainConfig, model: MaskedAutoencoder, batch: StudyBatch) -> torch.Tensor:
    """The whole loss of the last step, in which the weight of alignment is highest."""
    plan = draw_masks(config.model.mask, batch, config.model.patch_shapes, torch.Generator().manual_seed(5))
    output = model(batch, plan)
    parts = pretraining_losses(config, model, output, global_size=batch.global_size, step=config.optim.steps - 1)
    return total_loss(parts)


def readouts(config: PretrainConfig) -> list[Readout]:
    return [how for how in get_args(Readout) if how != "cls" or config.model.latent.depth > 0]


def shuffled(leads, seed) -> tuple[str, ...]:
    order = torch.randperm(len(leads), generator=torch.Generator().manual_seed(seed))
    return tuple(leads[place] for place in order)


def test_every_recipe_is_in_the_table():
    assert sorted(recipes.names()) == sorted(TABLE)
    for name, leads in TABLE.items():
        assert recipes.get(name).model.streams["ecg"].view_names == leads


def cases() -> list[tuple[str, str]]:
    """Each recipe, and each option of the tiny ones that it can have."""
    found = []
    for name in recipes.names():
        independent = recipes.get(name).model.latent.depth == 0
        for option, changes in OPTIONS.items():
            fits = not changes or (name.endswith("tiny") and not (independent and "decoder_context" in changes))
            found += [(name, option)] if fits else []
    return found


@pytest.mark.parametrize(("name", "option"), cases())
def test_the_order_of_leads_does_not_matter(name, option):
    """Shuffled in each study, and in the names of the batch: read-outs and loss stay within 1e-5."""
    config = shrunk(recipes.get(name), **OPTIONS[option])
    leads = config.model.streams["ecg"].view_names
    studies = [leads, leads[:5], leads[2:]]
    one = batch_of(studies, names=leads)
    other = batch_of([shuffled(own, seed) for seed, own in enumerate(studies)], names=shuffled(leads, 7))
    assert not torch.equal(one.streams["ecg"].view_of, other.streams["ecg"].view_of)
    model = build(config)
    with torch.no_grad():
        features = [model.features(batch) for batch in (one, other)]
        for how in readouts(config):
            vectors = [read_out(found, how, leads) for found in features]
            torch.testing.assert_close(*vectors, rtol=0, atol=1e-5)
        losses = [loss_of(config, model, batch) for batch in (one, other)]
    torch.testing.assert_close(*losses, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", recipes.names())
def test_names_without_their_leads_do_matter(name):
    """What keeps the test above from passing on a model that knows no names."""
    config = shrunk(recipes.get(name))
    leads = config.model.streams["ecg"].view_names
    batch = batch_of([leads], names=leads)
    swapped = replace(batch.streams["ecg"], view_of=batch.streams["ecg"].view_of.flip(0))
    model = build(config)
    with torch.no_grad():
        one, other = (model.features(b) for b in (batch, replace(batch, streams={"ecg": swapped})))
    linear = config.model.encoder.depth == 0  # a mean of patches plus identities is the same however they are paired
    for how in readouts(config):
        if not (linear and how == "encoder-mean"):
            assert (read_out(one, how, leads) - read_out(other, how, leads)).abs().max() > 1e-4, how


@pytest.mark.parametrize("name", recipes.names())
def test_dropping_leads_changes_no_shape(name):
    config = shrunk(recipes.get(name))
    leads = config.model.streams["ecg"].view_names
    model = build(config)
    for num in (len(leads), len(leads) - 1, 6, 3, 2, 1):
        batch = batch_of([leads[-num:], leads[:1]], names=leads)
        with torch.no_grad():
            features = model.features(batch)
            loss = loss_of(config, model, batch)
        for how in readouts(config):
            vectors = read_out(features, how, leads)
            assert vectors.shape == (2, 22 * (len(leads) if by_view(how) else 1)), how
            assert bool(vectors.isfinite().all())
        absent = read_out(features, "view-concat", leads)[0].view(len(leads), 22).abs().sum(dim=1) == 0
        assert int(absent.sum()) == len(leads) - num
        assert bool(loss.isfinite())


@pytest.mark.parametrize(("name", "option"), cases())
def test_every_parameter_gets_a_gradient(name, option):
    config = shrunk(recipes.get(name), **OPTIONS[option])
    leads = config.model.streams["ecg"].view_names
    model = build(config)
    loss_of(config, model, batch_of([leads, leads[1:]], names=leads)).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    assert without == []
