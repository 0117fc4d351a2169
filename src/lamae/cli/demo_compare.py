"""`lamae demo --compare`: two matched systems pretrained on a simulated cohort, judged, and compared."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lamae.cli.compare import told
from lamae.cli.demo_stages import LABELS, MIN_COUNT, READOUT, RECIPES, make_pack, pretrain_recipe, say
from lamae.progress import TaskProgress

DRAWS = 3
FRACTIONS = (0.05, 0.25, 1.0)
RANDOM, HAND_MADE = "random", "hand-made"
DEFAULT_STEPS = 400
"""Fewer than in the recipes: four runs, their features and all probes should take a quarter of an hour."""


def run(
    out: Path,
    *,
    num_studies: int,
    workers: int,
    steps: int | None,
    seeds: int,
    min_count: int = MIN_COUNT,
    fractions: Sequence[float] = FRACTIONS,
    **how: Any,
) -> int:
    """Run every stage; a stage that an earlier call finished is not done again.

    Args:
        out: Folder to write.
        num_studies: Number of studies to simulate.
        workers: Number of processes that prepare.
        steps: Number of steps of each pretraining; None for `DEFAULT_STEPS`.
        seeds: Pretraining seeds of each system.
        min_count: Minimum number of positive training studies of a label.
        fractions: Fractions of the training patients whose labels are used.
        how: Device, precision and batch size of the models, as far as given.

    Returns:
        0, whatever the differences are: no result of a comparison is a failure.
    """
    from lamae.compare import compare

    started = time.monotonic()
    pack = make_pack(out, num_studies=num_studies, workers=workers)
    runs = {
        f"{recipe}-seed-{seed}": pretrain_recipe(
            recipe, pack, out / "runs" / f"{recipe}-seed-{seed}", steps=steps or DEFAULT_STEPS, seed=seed, **how
        )
        for seed in range(seeds)
        for recipe in RECIPES
    }
    results = judge(runs, pack, out / "results", min_count=min_count, fractions=fractions, **how)
    say("5. Compare")
    comparison = compare(results, out / "comparison", overwrite=True)
    print(f"\n{told(comparison, out / 'comparison')}")
    print(f"Simulated data: it shows that the machinery works, and nothing about patients. Took {_since(started)}.")
    return 0


def judge(
    runs: dict[str, Path], pack: Path, out: Path, *, min_count: int, fractions: Sequence[float], **how: Any
) -> list[Path]:
    """Judge every run, random weights and hand-crafted features with each fraction of the labels.

    Returns:
        The RESULT folders.
    """
    from lamae.evals import EvalSettings
    from lamae.evals.sweeps.label_efficiency import label_efficiency

    shared: dict[str, Any] = {"fractions": fractions, "draws": DRAWS, "overwrite": True}
    shared["settings"] = EvalSettings(min_count=min_count)
    frozen = {"readout": READOUT, **shared, **how}
    first = next(iter(runs.values()))
    say(f"4. Judge on {LABELS} with {', '.join(f'{100 * fraction:g} %' for fraction in fractions)} of the labels")
    with TaskProgress() as progress:
        for name, folder in runs.items():
            label_efficiency(folder, pack, LABELS, out / name, progress=progress, **frozen)
        label_efficiency(first, pack, LABELS, out / RANDOM, initialisation="random", progress=progress, **frozen)
        label_efficiency(None, pack, LABELS, out / HAND_MADE, protocol="hand-made", progress=progress, **shared)
    names = [*runs, RANDOM, HAND_MADE]
    return [file.parent for name in names for file in sorted((out / name).glob("*/result.json"))]


def _since(started: float) -> str:
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    return f"{minutes} min {seconds} s"
