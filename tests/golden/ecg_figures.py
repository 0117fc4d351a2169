"""Figures of a small ECG job, through the command line: samples of a pack, losses, features, a probe.

``python tests/golden/ecg_figures.py FOLDER > tests/golden/ecg.json`` writes them anew; a change that alters them needs
a reason in ``LOG.md``.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from lamae.cli.main import main
from lamae.pack import Pack

MICRO = {
    "model.encoder.dim": 32, "model.encoder.depth": 2, "model.encoder.num_heads": 2,
    "model.latent.dim": 32, "model.latent.depth": 1, "model.latent.num_heads": 2,
    "model.decoder.dim": 16, "model.decoder.depth": 1, "model.decoder.num_heads": 2,
    "optim.steps": 50, "optim.warmup_steps": 10, "optim.batch_size": 8,
    "precision": "fp32", "device": "cpu", "log_every": 1, "eval_every": 25,
}  # fmt: skip


def figures(folder: Path) -> dict[str, Any]:
    """Return the figures of the job, which works in ``folder``."""
    cohort, pack, run = folder / "cohort", folder / "pack", folder / "run"
    _lamae("simulate", "ecg", cohort, "--studies", 96, "--seed", 5, "--workers", 1)
    _lamae("prepare", "mimic-iv-ecg", cohort, pack, "--workers", 0, "--salt", "")
    settings = [word for name, value in MICRO.items() for word in (f"--{name}", value)]
    _lamae("pretrain", "ecg-lamae-tiny", "--data", pack, "--out", run, *settings)
    _lamae("embed", run, pack, "--out", folder / "embeddings.parquet")
    labels = ("--labels", "icd10-chapter-ix", "--min-count", 12, "--draws", 20)
    _lamae("probe", run, "--data", pack, *labels, "--out", folder / "probe")
    opened = Pack.open(pack)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    vectors = np.array(pq.read_table(folder / "embeddings.parquet")["embedding"].to_pylist())
    scores = pq.read_table(folder / "probe" / "predictions.parquet")
    return {
        "samples": [int(np.abs(opened.study(row).values.astype(np.int64)).sum()) for row in range(len(opened))],
        "first_samples": opened.study(7).values[:, 100:105].tolist(),
        "losses": [line["loss"] for line in lines],
        "validation_losses": [line["validation_loss"] for line in lines if "validation_loss" in line],
        "features": vectors[::31, ::97].tolist(),
        "scores": {name: scores[name].to_pylist()[:6] for name in scores.column_names if name.startswith("score")},
    }


def _lamae(*words: object) -> None:
    code = main([str(word) for word in words])
    if code:
        raise SystemExit(f"lamae {words[0]} ended with {code}")


if __name__ == "__main__":
    import contextlib

    with contextlib.redirect_stdout(sys.stderr):
        found = figures(Path(sys.argv[1]))
    print(json.dumps(found, indent=None))
