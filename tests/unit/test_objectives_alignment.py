import math
from itertools import combinations, permutations

import pytest
import torch
from torch.nn.functional import normalize

from lamae.errors import ConfigError
from lamae.nn.output import EncodedInstances, MaskedOutput
from lamae.objectives import AlignmentConfig, alignment
from lamae.objectives.alignment import cosine, mse, simclr

STUDY_OF = torch.tensor([0, 0, 0, 0, 0, 1, 2, 2, 2])
"""Five views, one view, three views."""


def vectors(seed=3, *, dim=7) -> torch.Tensor:
    return 5 * torch.randn(len(STUDY_OF), dim, generator=torch.Generator().manual_seed(seed))


def output(values, study_of, num_studies, *, valid=None, cls=None, num_masks=1) -> MaskedOutput:
    tokens = values if values.ndim == 3 else values.unsqueeze(1)
    encoded = EncodedInstances(tokens=tokens, valid=valid, cls=cls, study_of=study_of)
    return MaskedOutput(
        predictions={},
        num_studies=num_studies,
        summary=torch.zeros(num_studies, 3),
        encoded={"ecg": (encoded,) * num_masks},
    )


def of(metric, **settings):
    return lambda v, s, n: alignment(output(v, s, n), AlignmentConfig(metric=metric, **settings), global_size=n)


def pairs_of(study):
    rows = (study == STUDY_OF).nonzero().flatten().tolist()
    return list(combinations(rows, 2))


def test_mse_by_hand():
    """Directions (1, 0), (0, 1), (-1, 0): squared differences 2, 2 and 4 in sum, half of that as mean over 2 dims."""
    found = mse(torch.tensor([[3.0, 0], [0, 0.5], [-2, 0]]), torch.tensor([0, 0, 0]), 1)
    assert found.tolist() == pytest.approx([(1 + 1 + 2) / 3])


def test_mse_is_the_mean_over_pairs_of_present_views():
    unit = normalize(vectors(), dim=1)
    found = mse(vectors(), STUDY_OF, 3)
    for study in (0, 2):
        by_pair = [(unit[a] - unit[b]).square().mean() for a, b in pairs_of(study)]
        torch.testing.assert_close(found[study], torch.stack(by_pair).mean())
    assert found[1] == 0


def test_an_absent_view_is_not_taken_for_an_aligned_one():
    """The sibling code divides by all pairs, so that dropping views lowers its loss; here it stays a mean."""
    two = torch.tensor([[1.0, 0], [0, 1]])
    alone = mse(two, torch.tensor([0, 0]), 1)
    assert alone.item() == pytest.approx(1)
    among_others = mse(torch.cat([two, vectors(dim=2)]), torch.cat([torch.tensor([0, 0]), STUDY_OF + 1]), 4)
    assert among_others[0].item() == pytest.approx(1)


def test_cosine_is_minus_the_mean_cosine():
    unit = normalize(vectors(), dim=1)
    found = cosine(vectors(), STUDY_OF, 3)
    for study in (0, 2):
        by_pair = [unit[a] @ unit[b] for a, b in pairs_of(study)]
        torch.testing.assert_close(found[study], -torch.stack(by_pair).mean(), rtol=1e-5, atol=1e-6)
    assert found[1] == 0


def test_simclr_is_the_cross_entropy_of_each_pair_against_other_studies():
    unit, temperature = normalize(vectors(), dim=1), 0.5
    found = simclr(vectors(), STUDY_OF, 3, temperature=temperature)
    for study in (0, 2):
        others = (study != STUDY_OF).nonzero().flatten().tolist()
        losses = []
        for a, b in [p for pair in pairs_of(study) for p in permutations(pair)]:
            logits = torch.stack([unit[a] @ unit[j] for j in (b, *others)]) / temperature
            losses.append(-logits.log_softmax(dim=0)[0])
        torch.testing.assert_close(found[study], torch.stack(losses).mean())
    assert found[1] == 0


def test_simclr_of_one_study_has_nothing_to_tell_apart():
    values = vectors()[:5].requires_grad_()
    loss = simclr(values, STUDY_OF[:5], 1, temperature=0.5)
    loss.sum().backward()
    assert loss.tolist() == [0]
    assert values.grad.abs().max() == 0


def test_mix_is_a_third_of_each():
    args = (vectors(), STUDY_OF, 3)
    thirds = [of(metric)(*args) for metric in ("mse", "cosine", "simclr")]
    torch.testing.assert_close(of("mix")(*args), sum(thirds) / 3)


@pytest.mark.parametrize("metric", ["mse", "cosine", "simclr", "mix"])
def test_length_and_order_do_not_matter(metric):
    whole = of(metric)(vectors(), STUDY_OF, 3)
    scaled = vectors() * torch.arange(1, 10).unsqueeze(1)
    torch.testing.assert_close(of(metric)(scaled, STUDY_OF, 3), whole, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(of(metric)(vectors().flip(0), STUDY_OF.flip(0), 3), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("metric", ["mse", "cosine"])
def test_parts_of_a_global_batch_add_up(metric):
    config = AlignmentConfig(metric=metric)
    whole = alignment(output(vectors(), STUDY_OF, 3), config, global_size=3)
    parts = [(slice(0, 5), 0, 1), (slice(5, 9), 1, 2)]
    found = sum(
        alignment(output(vectors()[rows], STUDY_OF[rows] - first, num), config, global_size=3)
        for rows, first, num in parts
    )
    torch.testing.assert_close(found, whole)


def test_several_masks_are_averaged():
    one = output(vectors(), STUDY_OF, 3)
    twice = output(vectors(), STUDY_OF, 3, num_masks=2)
    losses = [alignment(found, AlignmentConfig(), global_size=3) for found in (one, twice)]
    torch.testing.assert_close(*losses)


def test_tokens_without_anything_recorded_do_not_count_and_views_of_all_streams_are_aligned():
    tokens = torch.tensor([[[1.0, 0], [9, 9]], [[0.0, 1], [0, 3]]])
    valid = torch.tensor([[True, False], [True, True]])
    found = output(tokens, torch.tensor([0, 0]), 1, valid=valid)
    assert alignment(found, AlignmentConfig(), global_size=1).item() == pytest.approx(1)
    halves = [EncodedInstances(tokens=tokens[i : i + 1], valid=valid[i : i + 1], cls=None, study_of=torch.tensor([0]))
              for i in (0, 1)]  # fmt: skip
    streams = MaskedOutput(
        predictions={}, num_studies=1, summary=torch.zeros(1, 3), encoded={"ecg": (halves[0],), "echo": (halves[1],)}
    )
    assert alignment(streams, AlignmentConfig(), global_size=1).item() == pytest.approx(1)


def test_a_view_without_any_recorded_token_is_finite():
    """It stands for no direction: the mean of unit vectors (1, 0), (0, 1), (0, 0) is (1/3, 1/3)."""
    tokens = torch.tensor([[[1.0, 0], [9, 9]], [[0.0, 1], [0, 3]], [[7.0, 7], [7, 7]]])
    valid = torch.tensor([[True, False], [True, True], [False, False]])
    found = alignment(output(tokens, torch.tensor([0, 0, 0]), 1, valid=valid), AlignmentConfig(), global_size=1)
    apart = (4 / 9 + 1 / 9) * 2 + (1 / 9 + 1 / 9)
    assert found.item() == pytest.approx(apart / 2 * 2 / 2)  # mean over 2 dimensions, twice over the 2 other views


def test_the_cls_token_of_the_instance_is_aligned():
    found = output(vectors(5), STUDY_OF, 3, cls=vectors())
    config = AlignmentConfig(tokens="cls")
    torch.testing.assert_close(alignment(found, config, global_size=3), of("mse")(vectors(), STUDY_OF, 3))
    with pytest.raises(ConfigError, match=r"alignment.tokens 'cls' needs model.instance_cls"):
        alignment(output(vectors(), STUDY_OF, 3), config, global_size=3)


@pytest.mark.parametrize("metric", ["mse", "cosine", "simclr", "mix"])
def test_descending_aligns_the_views(metric):
    values = vectors().requires_grad_()
    before = mse(values, STUDY_OF, 3)
    for _ in range(500):
        (gradient,) = torch.autograd.grad(of(metric)(values, STUDY_OF, 3), values)
        values = (values - 20 * gradient).detach().requires_grad_()
    assert bool(values.isfinite().all())
    after = mse(values, STUDY_OF, 3)
    assert bool((after[[0, 2]] < 0.5 * before[[0, 2]]).all())


@pytest.mark.parametrize("metric", ["mse", "cosine", "simclr", "mix"])
def test_views_that_are_the_same_or_nothing_give_finite_gradients(metric):
    for values in (torch.ones(9, 7), torch.zeros(9, 7)):
        values.requires_grad_()
        loss = of(metric)(values, STUDY_OF, 3)
        loss.backward()
        assert bool(loss.isfinite())
        assert bool(values.grad.isfinite().all())


def test_simclr_is_computed_in_full_precision_under_autocast():
    exact = of("simclr")(vectors(), STUDY_OF, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert of("simclr")(vectors(), STUDY_OF, 3).item() == exact.item()


def test_the_weight_by_hand():
    """Warm-up to step 10, then 10 steps from 0 to the end; half-way the logistic function is at its midpoint."""
    config = AlignmentConfig(final_weight=3.0, steepness=4.0)
    at = {step: config.weight(step, warmup_steps=10, steps=21) for step in (0, 10, 15, 17, 20)}
    assert (at[0], at[10]) == (0, 0)
    assert at[15] == pytest.approx(1.5)
    first, last = 1 / (1 + math.exp(2)), 1 / (1 + math.exp(-2))
    assert at[17] == pytest.approx(3 * (1 / (1 + math.exp(-0.8)) - first) / (last - first))
    assert at[20] == pytest.approx(3)


def test_the_weight_is_relative_to_the_length_of_the_run():
    config = AlignmentConfig()
    short, long = (config.weight(step, warmup_steps=0, steps=num) for step, num in ((25, 101), (2500, 10001)))
    assert short == pytest.approx(long)
    assert config.weight(0, warmup_steps=0, steps=1) == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"final_weight": 0}, r"alignment.final_weight must be above 0, found 0"),
        ({"steepness": -1.0}, "alignment.steepness must be above 0"),
        ({"temperature": 0.0}, "alignment.temperature must be above 0"),
        ({"midpoint": 300}, r"alignment.midpoint is a share of the run and must lie in \[0, 1\], found 300"),
        ({"final_weight": math.nan}, "alignment.final_weight must be above 0"),
    ],
)
def test_wrong_settings(settings, words):
    with pytest.raises(ConfigError, match=words):
        AlignmentConfig(**settings)


def test_frames_of_one_recording_are_no_views_to_align():
    """Two recordings of two frames each: the same as two views with the mean of their frames."""
    tokens = torch.randn(4, 3, 7, generator=torch.Generator().manual_seed(2))
    study_of = torch.zeros(4, dtype=torch.int64)
    frames = EncodedInstances(
        tokens=tokens, valid=None, cls=None, study_of=study_of, recording_of=torch.tensor([0, 0, 1, 1])
    )
    means = tokens.mean(dim=1).view(2, 2, 7).mean(dim=1, keepdim=True)
    views = EncodedInstances(tokens=means, valid=None, cls=None, study_of=study_of[:2])

    def found(encoded):
        output = MaskedOutput(predictions={}, num_studies=1, summary=torch.zeros(1, 7), encoded={"echo": (encoded,)})
        return alignment(output, AlignmentConfig(), global_size=1)

    torch.testing.assert_close(found(frames), found(views))
    assert found(frames) > 0
