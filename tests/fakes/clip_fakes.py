"""Batches of small grey clips: several recordings a study, two of one name, one without a known name."""

import torch

from lamae.batch import Instances, StudyBatch

NAMES = ("A4C", "PLAX", "unknown")


def clip_batch(
    recordings, *, grid=(6, 10, 14), channels=1, positions=None, global_size=None, seed=3, instances_each=2
) -> StudyBatch:
    """Return a batch with a stream ``"echo"``.

    Args:
        recordings: For each study the numbers of its recordings; number ``r`` has the name ``NAMES[r % 3]``.
        grid: Extent of an instance.
        channels: Channels of an instance.
        positions: Positions of the studies; None: in order.
        global_size: Size of the global batch.
        seed: Seed of the values.
        instances_each: Instances of each recording.
    """
    study_of = [s for s, numbers in enumerate(recordings) for _ in numbers for _ in range(instances_each)]
    recording_of = [r for numbers in recordings for r in numbers for _ in range(instances_each)]
    num, positions = len(study_of), list(range(len(recordings))) if positions is None else positions
    values = torch.randint(0, 255, (num, channels, *grid), generator=torch.Generator().manual_seed(seed))
    echo = Instances(
        values=values.to(torch.uint8),
        scale=torch.ones(num),
        valid=None,
        study_of=torch.tensor(study_of),
        recording_of=torch.tensor(recording_of),
        view_of=torch.tensor(recording_of) % 3,
        time_of=torch.arange(num) / 8.0,
        view_names=NAMES,
    )
    return StudyBatch(
        streams={"echo": echo},
        num_studies=len(recordings),
        positions=torch.tensor(positions),
        global_size=len(recordings) if global_size is None else global_size,
        index=torch.arange(len(recordings)),
    )
