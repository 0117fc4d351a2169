"""RESULT folders of several systems, seeds, shares of labels and conditions, made up, for the tests of comparisons."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from lamae.metrics import patient_bootstrap
from lamae.results import Evaluation, write_result

CHAPTER = {
    "IX": ("Diseases of the circulatory system", []),
    "I20-I25": ("Ischemic heart diseases", ["IX"]),
    "I21": ("Acute myocardial infarction", ["IX", "I20-I25"]),
    "I210": ("ST elevation (STEMI) myocardial infarction of anterior wall", ["IX", "I20-I25", "I21"]),
    "I25": ("Chronic ischemic heart disease", ["IX", "I20-I25"]),
    "I30-I5A": ("Other forms of heart disease", ["IX"]),
    "I44": ("Atrioventricular and left bundle-branch block", ["IX", "I30-I5A"]),
    "I447": ("Left bundle-branch block, unspecified", ["IX", "I30-I5A", "I44"]),
    "I48": ("Atrial fibrillation and flutter", ["IX", "I30-I5A"]),
    "I50": ("Heart failure", ["IX", "I30-I5A"]),
    "I10-I1A": ("Hypertensive diseases", ["IX"]),
    "I10": ("Essential (primary) hypertension", ["IX", "I10-I1A"]),
}
"""Label to its title and its ancestors."""

NINE = {
    "LAMAE": 1.35,
    "LAMAE_E": 1.3,
    "Ind_P": 1.25,
    "Ind_S": 0.9,
    "Scratch": 0.95,
    "MMVM": 0.8,
    "Joint": 1.2,
    "Ind + LA": 1.22,
    "Random": 0.5,
}
"""The nine systems, and how good they are made."""

THRESHOLD = 0.4
_SUPERVISED, _READOUT = ("Ind_S", "Scratch"), "view-concat"


def card(system: str, seed: int, **changes: Any) -> dict[str, Any]:
    """Return what a run says of its pretraining."""
    latent = 0 if system.startswith("Ind") else 223_488
    encoder = 672_000 - latent
    return {
        "system": system,
        "parameters": {
            "encoder": encoder,
            "latent_attention": latent,
            "decoder": 74_304,
            "total": encoder + latent + 74_304,
        },
        "tokens": {"per_view": 40, "views": 12, "visible": 120, "total": 480},
        "mask": {"strategy": "random", "ratio": 0.75, "latent_ratio": 0.0, "hidden_views": 0, "num_masks": 1},
        "target": "patch-normalised",
        "decoder_context": "own view",
        "flops": {
            "step": 3_210_000_000_000,
            "total": 3_210_000_000_000 * 500,
            "by_part": {"encoder": 100_000_000, "latent_attention": 30_000_000, "decoder": 70_000_000},
        },
        "steps": 500,
        "batch_size": 16,
        "optimiser": "muon",
        "lr": 0.002,
        "schedule": "linear warm-up of 50 steps, cosine to 0",
        "warmup_steps": 50,
        "weight_decay": 0.05,
        "precision": "bf16",
        "seed": seed,
        "studies": 1249,
        "seconds": 88.0 + seed,
        "hardware": {"device": "cpu", "name": "Some CPU @ 2.5 GHz", "threads": 2, "processes": 1},
    } | changes


def tree(num_labels: int) -> dict[str, tuple[str, list[str]]]:
    """Return the chapter above, or as many labels as asked for, with long titles."""
    if num_labels <= len(CHAPTER):
        return dict(list(CHAPTER.items())[:num_labels])
    more = {
        f"I{70 + index // 10}{index % 10}": (
            f"Label number {index} with a title as long as ICD-10-CM has them, unspecified, without complication",
            ["IX", "I70-I79", f"I{70 + index // 10}"],
        )
        for index in range(num_labels - len(CHAPTER))
    }
    return CHAPTER | more


def fake_evaluation(
    system: str = "LAMAE",
    *,
    skill: float = 1.3,
    seed: int = 0,
    fraction: float = 1.0,
    draw: int = 0,
    studies: int = 199,
    num_labels: int = 12,
    simulated: bool = True,
    condition: str | None = None,
    draws: int = 19,
    card_changes: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Evaluation:
    """Return a result as an evaluation leaves it. ``changes`` replace entries of ``result.json``."""
    labels = tree(num_labels)
    common = np.random.default_rng(17)
    patients = common.integers(studies // 2, size=studies)
    targets = (common.random((studies, num_labels)) < np.linspace(0.45, 0.06, num_labels)).astype(np.float32)
    shared = common.normal(size=targets.shape)
    own = np.random.default_rng([seed, crc32(system.encode()), round(1000 * fraction), draw]).normal(size=targets.shape)
    strength = skill * (0.6 + 0.4 * fraction**0.3) * np.linspace(1.3, 0.6, num_labels)
    if condition:
        strength = 0.8 * strength
    logits = strength * targets + 0.8 * shared + 0.6 * own - 1.5
    scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
    outcome = patient_bootstrap(
        targets, scores, patients, kind="probabilities", thresholds=THRESHOLD, draws=draws, seed=1
    )
    info = _info(system, labels, studies, len(np.unique(patients)), seed=seed, draws=draws, simulated=simulated)
    info["split"] |= {"label_fraction": fraction, "label_count": None, "label_draw": draw, "test_uses": 1}
    info["split"]["train"] = {"studies": round(1249 * fraction), "patients": round(811 * fraction)}
    info["condition"] = None if condition is None else {"name": condition}
    info["metrics"] = {f"macro_{name}": vars(interval) for name, interval in outcome.macro.items()}
    info["metrics"]["macro_ece"] = {"value": 0.1 / skill, "low": None, "high": None}
    info["per_label"] = [
        {
            "label": label,
            "positives": int(targets[:, index].sum()),
            "positive_patients": len(np.unique(patients[targets[:, index] == 1])),
            "studies": studies,
            **{name: vars(found[index]) for name, found in outcome.per_label.items()},
        }
        for index, label in enumerate(labels)
    ]
    if card_changes and info["run"] and "card" in info["run"]:
        info["run"]["card"] |= card_changes
    return Evaluation(
        info=info | changes,
        study_hash=np.array([f"{index * 7919:016x}" for index in range(studies)]),
        patient_hash=np.array([f"{patient * 104_729:016x}" for patient in patients]),
        fold=np.full(studies, -1),
        targets=targets,
        scores=scores,
    )


def write_fake(folder: Path, system: str = "LAMAE", **options: Any) -> Path:
    """Write a RESULT folder and return it."""
    return write_result(folder, fake_evaluation(system, **options))


def write_many(
    folder: Path,
    systems: Mapping[str, float] = NINE,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    fractions: Sequence[float] = (0.05, 0.25, 1.0),
    conditions: Sequence[str] = (),
    **options: Any,
) -> list[Path]:
    """Write results of every system, seed, share of labels and condition."""
    written = []
    for number, (system, skill) in enumerate(systems.items()):
        for seed in seeds:
            shared = {"skill": skill, "seed": seed, **options}
            for fraction in fractions:
                at = folder / f"{number}-{seed}-{fraction}"
                written.append(write_fake(at, system, fraction=fraction, **shared))
            for index, condition in enumerate(conditions):
                at = folder / f"{number}-{seed}-condition-{index}"
                written.append(write_fake(at, system, condition=condition, **shared))
    return written


def _info(
    system: str,
    labels: Mapping[str, tuple[str, list[str]]],
    studies: int,
    patients: int,
    *,
    seed: int,
    draws: int,
    simulated: bool,
) -> dict[str, Any]:
    supervised, random = system in _SUPERVISED, system == "Random"
    tuned = supervised or system.endswith("+ LA")
    initialisation = "scratch" if supervised else "random" if random else "pretrained"
    run = {"recipe": "ecg-tiny", "weights": "pretrained" if initialisation == "pretrained" else f"random, seed {seed}"}
    run |= {"latent_depth": 0 if system.startswith("Ind_") else 2}
    if initialisation == "pretrained":
        run["card"] = card(system, seed)
    return {
        "format": "lamae-result",
        "format_version": 2,
        "kind": "finetune" if tuned else "probe",
        "system": system,
        "protocol": "supervised from random weights" if supervised else "linear probe on frozen features",
        "protocol_id": "fine-tune" if tuned else "linear",
        "initialisation": initialisation,
        "readout": f"encoder-{_READOUT}" if system == "LAMAE_E" else _READOUT,
        "labels": {
            "set": "icd10-chapter-ix",
            "names": list(labels),
            "kind": "multilabel",
            "titles": {name: title for name, (title, _) in labels.items()},
            "paths": {name: [*path, name] for name, (_, path) in labels.items()},
        },
        "data": {
            "cohort": "mimic-iv-ecg",
            "cohort_version": "simulated-1" if simulated else "1.0",
            "simulated": simulated,
            "pack_hash": "9f2c64d1a07be355",
        },
        "split": {
            "train": {"studies": 1249, "patients": 811},
            "validation": {"studies": 181, "patients": 113},
            "test": {"studies": studies, "patients": patients},
            "cross_validated_folds": None,
        },
        "absent_policy": "skip",
        "skipped_labels": [],
        "thresholds": {"policy": "validation", "values": {name: [THRESHOLD] for name in labels}},
        "bootstrap": {"unit": "patient", "draws": draws, "seed": 1, "level": 0.95},
        "selection": {"l2": 10.0, "on": "validation", "metric": "log-loss"},
        "run": run,
        "leak": {"checked": True, "patients_pretrained_on": 0, "records_pretrained_on": 0, "allowed": False}
        if initialisation == "pretrained"
        else None,
        "seed": seed,
        "environment": {"python": "3.12.4"},
        "quality": {},
    }
