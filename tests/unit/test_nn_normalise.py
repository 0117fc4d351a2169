import math

import pytest
import torch

from lamae.batch import Instances
from lamae.nn.normalise import measure, normalise
from lamae.nn.patches import cut_patches, patchify, take_patches
from lamae.nn.targets import element_validity, normalised_patches


def leads(values, *, scale=0.001, valid=None, study_of=None) -> Instances:
    values = torch.tensor(values, dtype=torch.int16).unsqueeze(1)
    num = len(values)
    return Instances(
        values=values,
        scale=torch.full((num,), scale),
        valid=None if valid is None else torch.tensor(valid),
        study_of=torch.zeros(num, dtype=torch.int64) if study_of is None else torch.tensor(study_of),
        recording_of=torch.arange(num),
        view_of=torch.arange(num),
        time_of=torch.zeros(num),
        view_names=tuple(f"lead {n}" for n in range(num)),
    )


def run(instances, how, *, fixed_scale=1.0, std_floor=0.01, num_studies=1):
    return normalise(instances, how=how, fixed_scale=fixed_scale, std_floor=std_floor, num_studies=num_studies)


def test_fixed_divides_millivolts():
    found = run(leads([[500, -1000, 250]]), "fixed", fixed_scale=0.5)
    torch.testing.assert_close(found.values, torch.tensor([[[1.0, -2.0, 0.5]]]))
    assert found.gain.tolist() == [0.5]
    assert found.shift.tolist() == [0.0]


def test_view_by_hand():
    found = run(leads([[1000, 3000], [0, 4000]]), "view")  # means 2 mV, deviations 1 and 2 mV
    torch.testing.assert_close(found.values, torch.tensor([[[-1.0, 1.0]], [[-1.0, 1.0]]]))
    torch.testing.assert_close(found.gain, torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(found.shift, torch.tensor([2.0, 2.0]))


def test_study_by_hand_keeps_ratios_between_leads():
    found = run(leads([[1000, 3000], [0, 4000], [7, 9]], study_of=[0, 0, 1]), "study", num_studies=2)
    deviation = math.sqrt((1 + 1 + 4 + 4) / 4)
    expected = torch.tensor([[[-1.0, 1.0]], [[-2.0, 2.0]]]) / deviation
    torch.testing.assert_close(found.values[:2], expected)
    torch.testing.assert_close(found.gain[:2], torch.full((2,), deviation))


@pytest.mark.parametrize("how", ["fixed", "view", "study"])
def test_what_was_not_recorded_is_zero_and_without_influence(how):
    valid = [[True, True, False], [True, True, True]]
    one = run(leads([[1000, 3000, -32768], [0, 4000, 11]], valid=valid), how)
    other = run(leads([[1000, 3000, 32767], [0, 4000, 11]], valid=valid), how)
    assert one.values[0, 0, 2] == 0
    torch.testing.assert_close(one.values, other.values, rtol=0, atol=0)
    torch.testing.assert_close(one.gain, other.gain, rtol=0, atol=0)


def test_statistics_are_over_recorded_places():
    found = run(leads([[1000, 3000, -32768]], valid=[[True, True, False]]), "view")
    torch.testing.assert_close(found.values, torch.tensor([[[-1.0, 1.0, 0.0]]]))


@pytest.mark.parametrize("how", ["view", "study"])
def test_a_flat_lead_stays_flat_and_a_nearly_flat_one_small(how):
    found = run(leads([[5, 5, 5, 5]]), how)
    assert found.values.abs().max() == 0
    found = run(leads([[5, 6, 5, 6]]), how)
    assert found.values.abs().max() < 0.1


@pytest.mark.parametrize("how", ["fixed", "view", "study"])
def test_the_way_back(how):
    instances = leads([[1000, 3000, 5], [7, 4000, 11]])
    found = run(instances, how, fixed_scale=0.25)
    back = found.values * found.gain.view(-1, 1, 1) + found.shift.view(-1, 1, 1)
    torch.testing.assert_close(back, instances.values * 0.001, rtol=1e-6, atol=1e-6)


def test_a_lead_without_any_sample_gives_no_nan():
    found = run(leads([[3, 4, 5]], valid=[[False, False, False]]), "view")
    assert found.values.abs().max() == 0
    assert bool(found.gain.isfinite().all())


def test_a_large_offset_costs_no_precision():
    ripple = [30000 + 10 * (n % 2) for n in range(1000)]
    found = run(leads([ripple]), "view", std_floor=1e-6)
    torch.testing.assert_close(found.gain, torch.tensor([0.005]), rtol=1e-3, atol=0)


GRIDS = [((77,), (7,), 1), ((77,), (7,), 3), ((15, 14), (5, 7), 2), ((6, 15, 14), (2, 5, 7), 3)]


@pytest.mark.parametrize(("grid", "patch", "channels"), GRIDS)
@pytest.mark.parametrize("how", ["fixed", "view", "study"])
@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("some", [False, True])
def test_patches_cut_before_they_are_normalised_have_the_same_bits(grid, patch, channels, how, gaps, some):
    generator = torch.Generator().manual_seed(3)
    instances = Instances(
        values=torch.randint(-997, 997, (5, channels, *grid), generator=generator).to(torch.int16),
        scale=torch.rand(5, generator=generator) / 100 + 0.001,
        valid=torch.rand(5, *grid, generator=generator) < 0.8 if gaps else None,
        study_of=torch.tensor([0, 0, 1, 1, 1]),
        recording_of=torch.arange(5),
        view_of=torch.zeros(5, dtype=torch.int64),
        time_of=torch.zeros(5),
        view_names=("I",),
    )
    settings = {"how": how, "fixed_scale": 0.7, "std_floor": 0.01, "num_studies": 2}
    whole = patchify(normalise(instances, **settings).values, patch)
    places = torch.rand(5, whole.shape[1], generator=generator).argsort(dim=1)[:, :3]
    rows = torch.tensor([1, 4]) if some else None
    found, valid = normalised_patches(instances, measure(instances, **settings), patch, places, rows)
    expected, recorded = take_patches(whole, places), element_validity(instances, patch, places)
    assert torch.equal(found, expected if rows is None else expected[rows])
    if gaps:
        assert torch.equal(valid, recorded if rows is None else recorded[rows])
    else:
        assert valid is recorded is None
    assert found.dtype == torch.float32


@pytest.mark.parametrize(("grid", "patch", "channels"), GRIDS)
def test_cutting_takes_integers_as_they_are(grid, patch, channels):
    values = torch.arange(2 * channels * math.prod(grid)).view(2, channels, *grid).to(torch.int16)
    places = torch.tensor([[2, 0], [1, 1]])
    found = cut_patches(values, patch, places)
    assert torch.equal(found, take_patches(patchify(values, patch), places))
    assert found.dtype == torch.int16


def test_float_values_are_not_changed_in_place():
    instances = leads([[1000, 3000], [0, 4000]])
    floats = Instances(**{**vars(instances), "values": instances.values.float()})
    before = floats.values.clone()
    run(floats, "study")
    assert torch.equal(floats.values, before)
