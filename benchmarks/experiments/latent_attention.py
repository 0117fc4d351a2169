"""Complete experiment of docs/experiments/latent-attention.md: does latent attention help? All steps are resumable.

    python benchmarks/experiments/latent_attention.py OUT --ptb-xl DATA --challenge-2011 DATA [--stage ...]

Without the two real data sets only the simulated cohort is run. Every job takes one thread, ``--jobs`` run at once.
"""

import argparse
import json
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

SIMULATED, REAL = "simulated", "real"
NUM_STUDIES, COHORT_SEED = 5000, 1
STEPS = {SIMULATED: 700, REAL: 500}
LABELS = {SIMULATED: "icd10-chapter-ix", REAL: "superclass"}
SEEDS, FRESH_SEEDS = (0, 1, 2), (10, 11, 12)
ALL_LABELS = (1.0, 0)
FRACTIONS, DRAWS = (0.25, 0.05), (0, 1, 2)
READOUTS = ("view-concat", "mean")

LAMAE, INDEPENDENT, RANDOM, HANDMADE = "lamae", "independent", "random", "hand-made"
VARIANTS = {
    "tube": "LAMAE, tube",
    "tube-cls": "LAMAE, tube, CLS",
    "views": "LAMAE, views",
    "latent-mask": "LAMAE, latent mask",
}
RECIPES = {
    LAMAE: "ecg-lamae-tiny",
    INDEPENDENT: "ecg-independent-tiny",
    "mmvm": "ecg-mmvm-tiny",
    "joint": "ecg-joint-tiny",
}
SUPERVISED = {"scratch": LAMAE, "independent-scratch": INDEPENDENT, "independent-latent": INDEPENDENT}
"""Supervised systems, and the run that defines their architecture."""


@dataclass(frozen=True)
class Job:
    """One system on one data set from one seed."""

    out: Path
    data: str
    system: str
    seed: int

    @property
    def run(self) -> Path:
        return self.out / "runs" / f"{self.data}-{self.system}-{self.seed}"

    @property
    def packs(self) -> list[Path]:
        names = ["simulated"] if self.data == SIMULATED else ["ptb-xl", "challenge-2011"]
        return [self.out / "packs" / name for name in names]

    def result(self, readout: str, fraction: float = 1.0, draw: int = 0) -> Path:
        share = f"{round(100 * fraction)}percent-draw{draw}"
        return self.out / "results" / f"{self.data}-{self.system}-{self.seed}-{readout}-{share}"


def configuration(job: Job) -> Any:
    """Return the settings of a run: a recipe, the one change of a variant, and the steps of the experiment."""
    from lamae import recipes

    config = recipes.get(RECIPES.get(job.system, RECIPES[LAMAE]))
    model, mask = config.model, config.model.mask
    if job.system.startswith("tube"):
        model = replace(model, mask=replace(mask, strategy="tube"))
    if job.system == "views":
        model = replace(model, decoder_context="cls", mask=replace(mask, strategy="view", hidden_views=6))
    if job.system == "tube-cls":
        model = replace(model, decoder_context="cls")
    if job.system == "latent-mask":
        model = replace(model, mask=replace(mask, latent_ratio=0.25))
    data = config.data
    if job.data == REAL:
        data = replace(data, train_splits=("train", "validation", "test"), validation_splits=())
    optim = replace(config.optim, steps=STEPS[job.data])
    return replace(config, model=model, data=data, optim=optim, seed=job.seed, eval_every=10_000, save_every=10_000)


def settings(job: Job, fraction: float = 1.0, draw: int = 0) -> Any:
    """Return the task settings: the splits of the simulated cohort, or PTB-XL's folds 1 to 9."""
    from lamae.evals import EvalSettings

    if job.data == SIMULATED:
        return EvalSettings(label_fraction=fraction, label_draw=draw, min_count=25)
    return EvalSettings(label_fraction=fraction, label_draw=draw, folds=tuple(range(1, 10)), allow_leak=True)


def do(job: Job) -> str:
    """Pretrain and evaluate one system, skipping finished parts."""
    import torch

    torch.set_num_threads(1)
    started = time.monotonic()
    if job.system in SUPERVISED:
        learn_from_labels(job)
    elif job.system == HANDMADE:
        measure(job)
    else:
        if job.system != RANDOM:
            pretrain(job)
        judge(job)
    return f"{job.run.name}: {time.monotonic() - started:.0f} s"


def pretrain(job: Job) -> None:
    from lamae import train

    info = job.run / "run.json"
    done = json.loads(info.read_text()) if info.exists() else {}
    if done.get("status") != "finished" or "card" not in done:
        name = RECIPES.get(job.system, f"{RECIPES[LAMAE]}, {job.system}")
        train.pretrain(configuration(job), job.packs, job.run, recipe_name=name, progress=False)


def judge(job: Job) -> None:
    """Probe the frozen encoder with each read-out and fraction of labels."""
    from lamae.evals import probe

    how: dict[str, Any] = {"system": VARIANTS.get(job.system)}
    run = job.run
    if job.system == RANDOM:
        how["weights"], run = "random", replace(job, system=LAMAE).run
    # LAMAE_E: the same run with latent attention bypassed
    bypassed = [f"encoder-{one}" for one in READOUTS] if job.system == LAMAE else []
    for readout in [*READOUTS, *bypassed]:
        for fraction, draw in shares(job) if readout in READOUTS else [ALL_LABELS]:
            out = job.result(readout, fraction, draw)
            if not (out / "result.json").exists():
                given = settings(job, fraction, draw)
                given = replace(given, seed=job.seed) if job.system == RANDOM else given
                probe(run, job.packs[0], LABELS[job.data], out, readout=readout, settings=given, **how)


def measure(job: Job) -> None:
    from lamae.evals import handmade

    for fraction, draw in shares(job):
        out = job.result("none", fraction, draw)
        if not (out / "result.json").exists():
            handmade(job.packs[0], LABELS[job.data], out, settings=settings(job, fraction, draw))


def learn_from_labels(job: Job) -> None:
    """Train Scratch, Ind_S, and Ind with latent attention added, on all labels and concatenated per-view features."""
    from lamae.evals import FinetuneConfig, finetune

    run = replace(job, system=SUPERVISED[job.system]).run
    how: dict[str, Any] = {"config": FinetuneConfig(epochs=4, patience=3, lr=1e-3, precision="bf16"), "init": "scratch"}
    if job.system == "independent-latent":
        how = {"config": FinetuneConfig(epochs=4, patience=3, precision="bf16", added_latent=2)}
    out = job.result(READOUTS[0])
    if not (out / "result.json").exists():
        given = replace(settings(job), seed=job.seed)
        finetune(run, job.packs[0], LABELS[job.data], out, readout=READOUTS[0], settings=given, **how)


def shares(job: Job) -> Iterator[tuple[float, int]]:
    """Return fractions of labels with their draws; variants and fresh seeds are evaluated with all labels only."""
    yield ALL_LABELS
    if job.seed in SEEDS and job.system not in VARIANTS:
        yield from ((fraction, draw) for fraction in FRACTIONS for draw in DRAWS)


def best_variant(out: Path) -> str:
    """Return the variant with the highest macro AUROC on the validation patients; the test patients are not read."""
    reached = {system: validation_auroc(Job(out, SIMULATED, system, 0)) for system in (LAMAE, *VARIANTS)}
    (out / "validation.json").write_text(json.dumps(reached, indent=1))
    print("macro AUROC on the validation patients:", {name: round(value, 4) for name, value in reached.items()})
    return max(VARIANTS, key=lambda name: reached[name])


def validation_auroc(job: Job) -> float:
    import numpy as np

    from lamae.evals.probes.encoder import FrozenEncoder, run_cache
    from lamae.evals.probes.features import features_of_task
    from lamae.evals.probes.linear_probe import predict_linearly
    from lamae.evals.tasks.task import make_task
    from lamae.metrics import auroc

    task = make_task(job.packs[0], LABELS[job.data], settings(job))
    table = features_of_task(FrozenEncoder(run=job.run, cache=run_cache(job.run)), task, readout=READOUTS[0])
    _, _, (scores,) = predict_linearly(table.values, task, settings(job))
    return float(np.nanmean(auroc(task.targets[task.parts[0].validation], scores)))


def prepare_data(out: Path, real: dict[str, Path]) -> None:
    from lamae.cohorts import open_cohort
    from lamae.ecg.simulate import simulate_ecg_cohort
    from lamae.prepare import prepare

    folder = out / "cohort"
    if not folder.exists():
        simulate_ecg_cohort(folder, num_studies=NUM_STUDIES, seed=COHORT_SEED)
    cohorts = {name: open_cohort(name, root) for name, root in real.items()}
    cohorts["simulated"] = open_cohort("mimic-iv-ecg", folder, num_validation_folds=3, num_test_folds=6)
    for name, cohort in cohorts.items():
        if not (out / "packs" / name / "pack.json").exists():
            prepare(cohort, out / "packs" / name)


def tables(out: Path) -> None:
    """Write a comparison for each question from the available results."""
    from lamae.compare import Settings, compare

    primary = [LAMAE, INDEPENDENT, RANDOM, HANDMADE]
    questions: list[tuple[str, str, list[str], tuple[int, ...], str, str]] = [
        (f"{data}-{readout}", data, primary, SEEDS, readout, "Ind_P")
        for data in (SIMULATED, REAL)
        for readout in READOUTS
    ]
    questions += [(f"{data}-six-seeds-{r}", data, [LAMAE, INDEPENDENT], SEEDS + FRESH_SEEDS, r, "Ind_P")
                  for data in (SIMULATED, REAL) for r in READOUTS]  # fmt: skip
    questions += [(f"{data}-fresh", data, [LAMAE, INDEPENDENT, *VARIANTS], FRESH_SEEDS, READOUTS[0], "LAMAE")
                  for data in (SIMULATED, REAL)]  # fmt: skip
    everything = [LAMAE, *(s for s in RECIPES if s != LAMAE), *SUPERVISED, RANDOM, HANDMADE]
    questions.append(("simulated-all-systems", SIMULATED, everything, (0,), READOUTS[0], "Ind_P"))
    for name, data, systems, seeds, readout, reference in questions:
        found = list(_results(out, data, systems, seeds, readout, bypassed=name.endswith("all-systems")))
        if len({path.name.removeprefix(f"{data}-") for path in found}) > 1:
            compare(found, out / "comparisons" / name, settings=Settings(reference=reference), overwrite=True)
            print(out / "comparisons" / name / "comparison.html", flush=True)


def _results(
    out: Path, data: str, systems: Iterable[str], seeds: Iterable[int], readout: str, *, bypassed: bool
) -> Iterator[Path]:
    for system in systems:
        for seed in seeds if system not in (RANDOM, HANDMADE) else (0,):
            reads = ["none"] if system == HANDMADE else [readout]
            reads += [f"encoder-{readout}"] if bypassed and system == LAMAE else []
            for read in reads:
                job = Job(out, data, system, seed)
                chosen = [ALL_LABELS] if bypassed else shares(job)
                paths = [job.result(read, fraction, draw) for fraction, draw in chosen]
                yield from (path for path in paths if (path / "result.json").exists())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--ptb-xl", type=Path, help="folder of PTB-XL as downloaded")
    parser.add_argument("--challenge-2011", type=Path, help="folder of the Challenge 2011's set A")
    parser.add_argument("--jobs", type=int, default=2, help="jobs side by side, a thread each (default: %(default)s)")
    parser.add_argument("--stage", choices=["main", "variants", "fresh", "systems", "tables"], action="append")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    real = {"ptb-xl": arguments.ptb_xl, "challenge-2011": arguments.challenge_2011}
    real = {name: root for name, root in real.items() if root is not None}
    out, stages = arguments.out, arguments.stage or ["main", "variants", "fresh", "systems", "tables"]
    kinds = (SIMULATED, REAL) if len(real) == 2 else (SIMULATED,)
    prepare_data(out, real)
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:

        def run(jobs: list[Job]) -> None:
            for told in pool.map(do, jobs):
                print(told, flush=True)

        if "main" in stages:
            run([Job(out, data, system, seed) for data in kinds for seed in SEEDS for system in (LAMAE, INDEPENDENT)])
            run([Job(out, data, system, 0) for data in kinds for system in (RANDOM, HANDMADE)])
        if "variants" in stages:
            run([Job(out, SIMULATED, system, 0) for system in VARIANTS])
        if "fresh" in stages:
            systems = (LAMAE, INDEPENDENT, best_variant(out))
            run([Job(out, data, system, seed) for data in kinds for seed in FRESH_SEEDS for system in systems])
        if "systems" in stages:
            run([Job(out, SIMULATED, system, 0) for system in ("mmvm", "joint", *SUPERVISED)])
    if "tables" in stages:
        tables(out)


if __name__ == "__main__":
    main()
