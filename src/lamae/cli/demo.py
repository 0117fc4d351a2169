"""`lamae demo`: the main job, whole, on a simulated cohort and on the real ECG that ships with pydicom."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamae.cli import demo_compare
from lamae.cli.arguments import Verbs, count, positive_int
from lamae.cli.demo_stages import LABELS, MIN_COUNT, READOUT, RECIPES, make_pack, pretrain_recipe, say
from lamae.cli.evaluation_arguments import add_computing, computing
from lamae.errors import DataError
from lamae.progress import TaskProgress

if TYPE_CHECKING:
    from lamae.evals import Evaluation
    from lamae.metrics import Interval

NOT_BETTER = 1


def add_verbs(verbs: Verbs) -> None:
    """Add ``demo`` to the parser."""
    parser = verbs.add_parser("demo", help="the main job, whole: simulate, prepare, pretrain, probe, report")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder to write (default: %(default)s)")
    parser.add_argument("--studies", type=positive_int, default=2000, help="simulated studies (default: %(default)s)")
    parser.add_argument(
        "--steps", type=positive_int, help="pretraining steps (default: the recipe's; 400 with --compare)"
    )
    parser.add_argument("--workers", type=count, default=2, help="processes that prepare (default: %(default)s)")
    parser.add_argument(
        "--compare", action="store_true", help="compare two matched systems over seeds and shares of labels instead"
    )
    parser.add_argument(
        "--seeds", type=positive_int, default=2, help="pretraining seeds of --compare (default: %(default)s)"
    )
    add_computing(parser)
    parser.set_defaults(run=run, resumes=True)


def run(arguments: argparse.Namespace) -> int:
    """Run every stage; a stage that an earlier call finished is not done again.

    Returns:
        0, or 1 when the pretrained encoder is not better than the random one: the paired interval must lie above 0.
    """
    how = computing(arguments)
    if arguments.compare:
        return demo_compare.run(
            arguments.out,
            num_studies=arguments.studies,
            workers=arguments.workers,
            steps=arguments.steps,
            seeds=arguments.seeds,
            **how,
        )
    from lamae.evals import paired_difference

    started, out = time.monotonic(), arguments.out
    pack = make_pack(out, num_studies=arguments.studies, workers=arguments.workers)
    runs = [pretrain_recipe(recipe, pack, out / recipe, steps=arguments.steps, **how) for recipe in RECIPES]
    results = judge(runs, pack, out, **how)
    real = fill_in_real_ecg(runs[0])
    page = write_page(out, runs, results)
    gain = paired_difference(results["lamae"], results["random"])
    print(f"\n{as_table(results)}\n")
    print(f"LAMAE minus random init: {_interval(gain)}, paired over patients")
    print(f"Real ECG that ships with pydicom: {real}")
    print(f"All of the above but that ECG is simulated data. Took {time.monotonic() - started:.0f} s.")
    print(f"Report: {page}")
    if gain.low > 0:
        return 0
    print("FAILED: the pretrained encoder is not better than the random one")
    return NOT_BETTER


def judge(runs: list[Path], pack: Path, out: Path, **how: Any) -> dict[str, "Evaluation"]:
    """Judge both models and the three controls on the same test patients, with the same read-out."""
    from lamae.evals import EvalSettings, FinetuneConfig, finetune, handmade, probe

    lamae, independent = runs
    settings = EvalSettings(min_count=MIN_COUNT)
    from_scratch = FinetuneConfig(epochs=3, patience=2, lr=1e-3, **{k: v for k, v in how.items() if k != "batch_size"})
    say(f"4. Judge on {LABELS}: frozen probes, then the controls")
    with TaskProgress() as progress:
        shared = {"settings": settings, "progress": progress, "overwrite": True}
        read_out = {"readout": READOUT, **shared}
        frozen = {**how, **read_out}
        return {
            "lamae": probe(lamae, pack, LABELS, out / "results" / "lamae", **frozen),
            "independent": probe(independent, pack, LABELS, out / "results" / "independent", **frozen),
            "random": probe(lamae, pack, LABELS, out / "results" / "random", weights="random", **frozen),
            "scratch": finetune(
                lamae, pack, LABELS, out / "results" / "scratch", init="scratch", config=from_scratch, **read_out
            ),
            "handmade": handmade(pack, LABELS, out / "results" / "handmade", **shared),
        }


def fill_in_real_ecg(run_folder: Path) -> str:
    """Read, embed and reconstruct the real ECG of pydicom's test files; the report shows it."""
    import lamae
    from lamae.evals import write_reconstruction

    path = real_ecg()
    study, model = lamae.read(path), lamae.load(run_folder)
    vector = model.embed(study)
    write_reconstruction(model, study, run_folder / "examples" / "reconstruction-real.npz", title="A real 12-lead ECG")
    rate_hz = next(iter(study.views.values())).rate_hz
    return f"{len(study.views)} leads at {rate_hz:g} Hz read, embedded into {len(vector)} numbers, reconstructed"


def real_ecg() -> Path:
    """Return the DICOM ECG that every installation of pydicom holds."""
    from pydicom.data import get_testdata_file

    path = get_testdata_file("waveform_ecg.dcm", download=False)
    if not isinstance(path, str):
        raise DataError("pydicom's waveform_ecg.dcm is missing: install pydicom again", reason="missing-file")
    return Path(path)


def write_page(out: Path, runs: list[Path], results: dict[str, "Evaluation"]) -> Path:
    """Write the report on all runs and results."""
    from lamae.report import write_report

    say("5. Report")
    return write_report([*runs, *(out / "results" / name for name in results)], out / "report.html", overwrite=True)


def as_table(results: dict[str, "Evaluation"]) -> str:
    """Return one line a system: macro AUROC with its interval, and its paired difference to the random encoder."""
    from lamae.evals import paired_difference

    width = max(len(result.info["system"]) for result in results.values())
    lines = [f"{'system':{width}}  macro AUROC [95 % interval]  minus random init"]
    for name, result in results.items():
        against = "" if name == "random" else _interval(paired_difference(result, results["random"]))
        lines.append(f"{result.info['system']:{width}}  {_interval(result.metric('macro_auroc')):27}  {against}")
    tested, skipped = len(next(iter(results.values())).scores), next(iter(results.values())).info["skipped_labels"]
    return "\n".join([*lines, f"{tested} test studies, {len(skipped)} labels skipped; simulated data"])


def _interval(interval: "Interval") -> str:
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
