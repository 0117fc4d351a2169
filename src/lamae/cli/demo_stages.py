"""The stages that both demos share: simulate a cohort, prepare it, pretrain a recipe."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from lamae.cli.prepare import told

SIMULATION_SEED = 0
VALIDATION_FOLDS, TEST_FOLDS = 3, 6
LABELS, MIN_COUNT = "icd10-chapter-ix", 25
RECIPES = ("ecg-lamae-tiny", "ecg-independent-tiny")
READOUT = "view-concat"
SALT = ""
"""Simulated patients need no secret, and every machine shall draw the same ones in its intervals."""


def make_pack(out: Path, *, num_studies: int, workers: int) -> Path:
    """Simulate a cohort in the layout of MIMIC-IV-ECG and prepare it."""
    from lamae.cohorts import open_cohort
    from lamae.ecg.simulate import simulate_ecg_cohort
    from lamae.prepare import prepare

    say(f"1. Simulate {num_studies:,} ECGs as WFDB files")
    cohort_folder = out / "cohort"
    if not _is_simulated(cohort_folder, num_studies):
        simulate_ecg_cohort(cohort_folder, num_studies=num_studies, seed=SIMULATION_SEED)
    say("2. Prepare them into a pack")
    cohort = open_cohort(
        "mimic-iv-ecg", cohort_folder, num_validation_folds=VALIDATION_FOLDS, num_test_folds=TEST_FOLDS
    )
    print(told(prepare(cohort, out / "pack", workers=workers, salt=SALT)))
    return out / "pack"


def pretrain_recipe(
    recipe: str, pack: Path, run_folder: Path, *, steps: int | None, seed: int | None = None, **how: Any
) -> Path:
    """Pretrain a recipe on the pack, or go on with it; device and precision change, the batch size is the recipe's."""
    from lamae import recipes
    from lamae.train import pretrain

    say(f"3. Pretrain {recipe}" + ("" if seed is None else f", seed {seed}"))
    config = replace(recipes.get(recipe), **{name: how[name] for name in ("device", "precision") if name in how})
    if seed is not None:
        config = replace(config, seed=seed)
    if steps is not None:
        optim = replace(config.optim, steps=steps, warmup_steps=min(config.optim.warmup_steps, steps))
        config = replace(config, optim=optim)
    print(pretrain(config, [pack], run_folder, recipe_name=recipe))
    return run_folder


def _is_simulated(folder: Path, num_studies: int) -> bool:
    about = folder / "lamae_simulation.json"
    if not about.is_file():
        return False
    found = json.loads(about.read_text(encoding="utf-8"))
    return (found["num_studies"], found["seed"]) == (num_studies, SIMULATION_SEED)


def say(stage: str) -> None:
    """Print the heading of a stage."""
    print(f"\n{stage}", flush=True)
