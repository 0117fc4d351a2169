"""RUN and RESULT folders as training and evaluation leave them, small and made up, for the tests of the report."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from lamae.files import sha256, write_json
from lamae.run_files import write_metrics, write_run_info

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
LABELS = ("I48", "I44", "I45", "I21", "I50", "I25", "I10")

_PROTOCOLS = {
    "probe": "linear probe on frozen features: standardised, L2 logistic regression for each label",
    "finetune": "supervised from random weights",
    "handmade": "linear probe on hand-made features: medians for missing ones, otherwise as on frozen features",
}
_SELECTIONS = {
    "probe": {"l2": 10.0, "on": "validation", "metric": "macro-auroc", "grid": [1, 10, 100], "at_edge_of_grid": 0},
    "finetune": {"on": "validation", "early_stopping": [{"best_epoch": 7, "metric": "macro-auroc"}]},
    "handmade": {"l2": 100.0, "on": "validation", "metric": "macro-auroc", "grid": [1, 10, 100], "at_edge_of_grid": 1},
}

# What a lead sees of a beat: P, Q, R, S, T in mV.
_WAVES_MV = {
    "I": (0.08, -0.05, 0.7, -0.1, 0.22),
    "II": (0.14, -0.06, 1.1, -0.15, 0.3),
    "V1": (0.05, 0.0, 0.2, -0.9, -0.05),
    "V2": (0.06, 0.0, 0.4, -1.3, 0.35),
    "V3": (0.07, 0.0, 0.8, -0.9, 0.4),
    "V4": (0.08, -0.08, 1.4, -0.4, 0.42),
    "V5": (0.08, -0.1, 1.5, -0.2, 0.35),
    "V6": (0.08, -0.1, 1.1, -0.1, 0.28),
}
_CENTRES_S, _WIDTHS_S = (-0.17, -0.03, 0.0, 0.03, 0.26), (0.022, 0.009, 0.011, 0.011, 0.045)


def fake_ecg(*, rate_hz: float = 100.0, duration_s: float = 10.0) -> np.ndarray:
    """Return [12, samples] mV of a regular heart at 71 beats a minute; limb leads obey Einthoven and Goldberger."""
    time_s = np.arange(round(rate_hz * duration_s)) / rate_hz
    phase_s = (time_s + 0.31) % 0.845 - 0.42
    bumps = [np.exp(-(((phase_s - c) / w) ** 2) / 2) for c, w in zip(_CENTRES_S, _WIDTHS_S, strict=True)]
    of = {lead: np.einsum("w,ws->s", waves, bumps) for lead, waves in _WAVES_MV.items()}
    one, two = of["I"], of["II"]
    of |= {"III": two - one, "aVR": -(one + two) / 2, "aVL": one - two / 2, "aVF": two - one / 2}
    noise = np.random.default_rng(3).normal(scale=0.012, size=(12, len(time_s)))
    return (np.stack([of[lead] for lead in LEADS]) + noise).astype(np.float32)


def write_run(
    folder: Path,
    *,
    recipe: str = "ecg-lamae-tiny",
    steps: int = 1201,
    simulated: bool = True,
    examples: bool = True,
    attention: bool = True,
) -> Path:
    """Write a RUN folder and return it."""
    (folder / "examples").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(_config(recipe), sort_keys=False))
    metrics = _metrics(steps, floor=0.42 if attention else 0.47)
    write_run_info(folder, run_info(recipe, simulated=simulated) | {"step": metrics[-1]["step"]})
    write_metrics(folder / "metrics.jsonl", metrics)
    if examples:
        _write_reconstruction(folder / "examples/reconstruction.npz", simulated=simulated)
    if attention:
        _write_attention(folder / "examples/attention.npz")
    return folder


def run_info(recipe: str, *, simulated: bool = True) -> dict:
    return {
        "format": "lamae-run",
        "format_version": 2,
        "recipe": recipe,
        "status": "finished",
        "step": 1200,
        "training": {"studies": 1249, "patients": 811, "without_views": 0},
        "validation": {"studies": 181},
        "packs": [
            {
                "cohort": "mimic-iv-ecg",
                "version": "simulated-1" if simulated else "1.0",
                "simulated": simulated,
                "modality": "ecg",
                "studies": 1787,
                "patients": 1163,
                "studies_by_split": {"test": 357, "train": 1249, "validation": 181},
                "content_hash": "9f2c64d1a07be355" * 4,
                "preprocessing": {
                    "rate_hz": 100.0,
                    "duration_s": 10.0,
                    "crop": "start",
                    "bandpass_hz": [0.5, 40.0],
                    "notch_hz": None,
                    "nan": "interpolate-short",
                    "flat": "keep",
                    "lead_identity": "report",
                },
                "rejected": 16,
                "rejected_by_reason": {"too-few-leads": 11, "truncated-file": 3, "missing-file": 2},
                "flags": {"flat": 61, "saturated": 23, "interpolated": 17, "limb-leads-reversed": 5},
            }
        ],
        "parameters": {"encoders": 449_472, "latent": 223_488, "decoders": 74_304, "total": 747_264},
        "environment": {
            "python": "3.12.4",
            "torch": "2.13.0",
            "device": "cpu",
            "num_threads": 2,
            "hostname": "ward-7-pc",
            "user": "jane",
        },
    }


def _config(recipe: str) -> dict:
    transformer = {"dim": 96, "depth": 4, "num_heads": 4, "mlp_ratio": 4}
    return {
        "recipe": recipe,
        "seed": 7,
        "precision": "bf16",
        "model": {
            "streams": {"ecg": {"patch": [25], "grid": [1000], "view_names": list(LEADS), "normalise": "study"}},
            "encoder": transformer,
            "latent": transformer | {"depth": 2 if "independent" not in recipe else 0},
            "decoder": transformer | {"dim": 48, "depth": 2},
            "target": "patch-normalised",
        },
        "mask": {"strategy": "random", "ratio": 0.75, "latent_ratio": 0.25},
        "optim": {"lr": 1e-3, "weight_decay": 0.05, "betas": [0.9, 0.95], "warmup_steps": 100, "batch_size": 64},
    }


def _metrics(steps: int, *, floor: float) -> list[dict]:
    noise = np.random.default_rng(5).normal(size=(steps, 3))
    rows = []
    for step in range(0, steps, 10):
        done = step / steps
        rows.append(
            {
                "step": step,
                "loss": floor + 0.6 * np.exp(-5 * done) + 0.015 * noise[step, 0],
                "lr": 1e-3 * min(1, (step + 1) / 100) * 0.5 * (1 + np.cos(np.pi * done)),
                "grad_norm": 1 + 0.2 * noise[step, 1],
                "studies_per_s": 410.0,
                "feature_std": 0.2 + 0.5 * done,
                "effective_rank": 6 + 70 * floor * done + 0.5 * noise[step, 2],
                "seconds": 0.15 * step,
            }
        )
        if step % 200 == 0:
            rows.append({"step": step, "validation_loss": floor + 0.02 + 0.6 * np.exp(-5 * done)})
    return rows


def _write_reconstruction(path: Path, *, simulated: bool) -> None:
    original = fake_ecg()
    generator = np.random.default_rng(11)
    masked = np.repeat(generator.random((12, 40)) < 0.75, 25, axis=1)
    smooth = np.stack([np.convolve(row, np.ones(3) / 3, mode="same") for row in original])
    drift = np.repeat(generator.normal(scale=0.03, size=(12, 40)), 25, axis=1)
    np.savez(
        path,
        leads=np.array(LEADS),
        rate_hz=100.0,
        original=original,
        reconstructed=(smooth + drift).astype(np.float32),
        masked=masked,
        simulated=simulated,
    )


def _write_attention(path: Path) -> None:
    scores = np.random.default_rng(13).normal(size=(2, 12, 12)) + 1.2 * np.eye(12)
    weights = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    np.savez(path, leads=np.array(LEADS), weights=weights.astype(np.float32), cls=weights[0].mean(axis=0))


def write_result(
    folder: Path,
    *,
    system: str = "LAMAE",
    skill: float = 1.6,
    recipe: str | None = "ecg-lamae-tiny",
    studies: int = 357,
    simulated: bool = True,
    labels: tuple[str, ...] = LABELS,
    predictions: bool = True,
    kind: str = "probe",
) -> Path:
    """Write a RESULT folder and return it. The greater the skill, the better the predictions."""
    from lamae.metrics import patient_bootstrap

    folder.mkdir(parents=True)
    generator = np.random.default_rng(17)
    patients = generator.integers(studies // 2, size=studies)
    rates = np.linspace(0.3, 0.04, len(labels))
    targets = (generator.random((studies, len(labels))) < rates).astype(np.float32)
    ease = np.linspace(1.3, 0.5, len(labels))
    noise = np.random.default_rng(len(system)).normal(size=targets.shape)
    scores = skill * ease * targets + noise
    outcome = patient_bootstrap(targets, scores, patients, draws=199, seed=1)
    info = result_info(system, recipe, labels, studies, len(np.unique(patients)), kind=kind, simulated=simulated)
    info["metrics"] = {f"macro_{name}": vars(interval) for name, interval in outcome.macro.items()}
    info["per_label"] = [
        {
            "label": label,
            "positives": int(targets[:, index].sum()),
            "studies": studies,
            "auroc": vars(outcome.per_label["auroc"][index]),
            "auprc": vars(outcome.per_label["auprc"][index]),
        }
        for index, label in enumerate(labels)
    ]
    if predictions:
        _write_predictions(folder / "predictions.parquet", patients, labels, targets, scores)
        info["predictions_sha256"] = sha256(folder / "predictions.parquet")
    write_json(folder / "result.json", info)
    return folder


def result_info(
    system: str, recipe: str | None, labels: tuple[str, ...], studies: int, patients: int, *, kind: str, simulated: bool
) -> dict:
    weights = "random, seed 1" if kind == "finetune" or "Random" in system else "pretrained"
    return {
        "format": "lamae-result",
        "format_version": 2,
        "kind": kind,
        "system": system,
        "protocol": _PROTOCOLS[kind],
        "readout": "view-concat",
        "labels": {"set": "icd10-chapter-ix", "names": list(labels), "kind": "multilabel"},
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
            "label_fraction": 1.0,
        },
        "absent_policy": "skip",
        "skipped_labels": [{"label": "I97", "reason": "no positives among the test studies"}],
        "bootstrap": {"unit": "patient", "draws": 199, "seed": 1, "level": 0.95},
        "selection": _SELECTIONS[kind],
        "run": None if recipe is None else {"recipe": recipe, "config_hash": "a1", "weights": weights},
        "leak": {"checked": True, "patients_pretrained_on": 0, "records_pretrained_on": 0, "allowed": False},
        "seed": 1,
        "environment": {"python": "3.12.4"},
        "quality": {},
    }


def _write_predictions(
    path: Path, patients: np.ndarray, labels: tuple[str, ...], targets: np.ndarray, scores: np.ndarray
) -> None:
    columns = {
        "study_hash": [f"{index * 7919:016x}" for index in range(len(patients))],
        "patient_hash": [f"{patient * 104_729:016x}" for patient in patients],
        "fold": np.zeros(len(patients), dtype=np.int32),
    }
    columns |= {f"target_{label}": targets[:, index] for index, label in enumerate(labels)}
    columns |= {f"score_{label}": scores[:, index].astype(np.float32) for index, label in enumerate(labels)}
    pq.write_table(pa.table(columns), path)


def write_demo(folder: Path) -> list[Path]:
    """Write two runs and five results, as a whole demonstration leaves them."""
    return [
        write_run(folder / "lamae"),
        write_run(folder / "independent", recipe="ecg-independent-tiny", attention=False),
        write_result(folder / "r1", system="LAMAE", skill=1.7),
        write_result(folder / "r2", system="Independent leads", skill=1.6, recipe="ecg-independent-tiny"),
        write_result(folder / "r3", system="Random init (frozen)", skill=0.9),
        write_result(folder / "r4", system="Scratch (supervised)", skill=1.3, kind="finetune"),
        write_result(folder / "r5", system="Hand-made features", skill=1.9, kind="handmade", recipe=None),
    ]
