"""The linear probe on frozen features: what an encoder knows without being told the labels."""

from pathlib import Path
from typing import Any

from lamae.evals.features import CACHE_FOLDER, Weights, extract, run_folder
from lamae.evals.leak import check_pretraining
from lamae.evals.linear_probe import predict_linearly
from lamae.evals.results import Evaluation, judge, write_result
from lamae.evals.settings import EvalSettings, Precision, Progress, silent
from lamae.evals.task import make_task
from lamae.models import Readout
from lamae.pack import Pack

PROTOCOL = "linear probe on frozen features: standardised, L2 logistic regression for each label"
RIDGE_PROTOCOL = "linear probe on frozen features: standardised, ridge regression for each label"


def probe(
    run: str | Path,
    pack: str | Path | Pack,
    labels: str,
    out: str | Path | None = None,
    *,
    weights: Weights = "pretrained",
    readout: Readout | None = None,
    settings: EvalSettings | None = None,
    test_pack: str | Path | Pack | None = None,
    system: str | None = None,
    precision: Precision = "fp32",
    batch_size: int = 64,
    device: str = "cpu",
    cache: bool = True,
    progress: Progress = silent,
) -> Evaluation:
    """Probe a frozen encoder for a label set, and write a RESULT folder.

    The penalty is chosen on the validation studies; the test studies are predicted once, at the end.

    Args:
        run: Folder of a run or of a checkpoint.
        pack: The labelled pack, prepared as the run's data.
        labels: A label set, see `lamae.labels.make_labels`.
        out: RESULT folder; None writes nothing.
        weights: ``"random"`` for the control with random weights (no pretraining, hence no guard against leaks).
        readout: As `lamae.models.read_out` names them; None takes the run's own.
        settings: How the task is made and judged.
        test_pack: Test on the studies of this pack in place of the first one's own, see `lamae.evals.task.make_task`.
        system: Name to show; None names it after the model.
        precision: Precision in which features are computed.
        batch_size: Studies at once.
        device: Where features are computed.
        cache: Keep features in the run's folder and take them from there.
        progress: Called as the work goes on.

    Raises:
        DataError: The task cannot be made, or tested patients were pretrained on.
        CheckpointError: There is no whole checkpoint.
        ConfigError: Settings, label set or preprocessing do not fit.
    """
    settings = settings or EvalSettings()
    task = make_task(pack, labels, settings, test_pack=test_pack)
    leak = check_pretraining(run, task, allow=settings.allow_leak) if weights == "pretrained" else None
    folder = run_folder(run) if cache else None
    tables = [
        extract(
            run,
            one,
            weights=weights,
            readout=readout,
            seed=settings.seed,
            precision=precision,
            batch_size=batch_size,
            device=device,
            cache=None if folder is None else folder / CACHE_FOLDER,
            progress=progress,
        )
        for one in task.packs
    ]
    table, features = tables[0], task.gather([one.values for one in tables])
    scores, selection, in_validation = predict_linearly(features, task, settings, progress=progress)
    evaluation = judge(
        task,
        scores,
        settings,
        kind="probe",
        system=system or system_name(table.description, weights),
        protocol=RIDGE_PROTOCOL if task.is_regression else PROTOCOL,
        selection=selection,
        validation_scores=in_validation,
        readout=table.readout,
        run=table.description,
        leak=leak,
    )
    if out is not None:
        write_result(out, evaluation)
    return evaluation


def system_name(description: dict[str, Any], weights: Weights) -> str:
    """Return the name to show for an encoder: LAMAE, independent leads, or random weights."""
    if weights == "random":
        return "Random init (frozen)"
    return "LAMAE" if description["latent_depth"] > 0 else "Independent leads"
