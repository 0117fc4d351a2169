from collections.abc import Callable, Sequence

import pytest

LIMB = ("I", "II", "III", "aVR", "aVL", "aVF")


@pytest.fixture
def ecg_batch() -> Callable:
    """Make small ECG batches for models: a list of leads for each study, int16 noise that depends on study and lead."""
    import torch

    from lamae.batch import Instances, StudyBatch

    def make(
        studies: Sequence[Sequence[str]] = (LIMB[:5], LIMB[:5], LIMB[:5]),
        *,
        num_samples: int = 77,
        names: tuple[str, ...] = LIMB,
        valid: torch.Tensor | None = None,
        positions: Sequence[int] | None = None,
        global_size: int | None = None,
    ) -> StudyBatch:
        positions = list(range(len(studies))) if positions is None else list(positions)
        rows = [(study, lead) for study, leads in enumerate(studies) for lead in leads]
        values = []
        for study, lead in rows:
            seed = 1009 * positions[study] + LIMB.index(lead)
            noise = torch.randint(-997, 997, (1, num_samples), generator=torch.Generator().manual_seed(seed))
            values.append(noise.to(torch.int16))
        instances = Instances(
            values=torch.stack(values),
            scale=torch.full((len(rows),), 0.001),
            valid=valid,
            study_of=torch.tensor([study for study, _ in rows]),
            recording_of=torch.tensor([names.index(lead) for _, lead in rows]),
            view_of=torch.tensor([names.index(lead) for _, lead in rows]),
            time_of=torch.zeros(len(rows)),
            view_names=names,
        )
        return StudyBatch(
            streams={"ecg": instances},
            num_studies=len(studies),
            positions=torch.tensor(positions),
            global_size=len(studies) if global_size is None else global_size,
            index=torch.tensor(positions) + 101,
        )

    return make
