"""Fine-tuning: all weights of an encoder and a linear head learn a label set; the same from scratch as a control."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lamae.checkpoint import find_checkpoint, read_meta
from lamae.evals.classifier import HeadConfig, StudyClassifier, readout_width, save_classifier
from lamae.evals.features import check_preprocessing, chosen_readout, describe_encoder, encoder, views_of
from lamae.evals.leak import check_pretraining
from lamae.evals.results import Evaluation, judge, write_result
from lamae.evals.settings import EvalSettings, FinetuneConfig, Progress, silent
from lamae.evals.supervised import fit, predict
from lamae.evals.task import Part, Task, make_task
from lamae.models import Readout
from lamae.pack import Pack

Init = Literal["pretrained", "scratch"]


def finetune(
    run: str | Path,
    pack: str | Path | Pack,
    labels: str,
    out: str | Path | None = None,
    *,
    init: Init = "pretrained",
    readout: Readout | None = None,
    config: FinetuneConfig | None = None,
    settings: EvalSettings | None = None,
    test_pack: str | Path | Pack | None = None,
    system: str | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Train an encoder with a linear head on the labels of a pack, test it once, and write a RESULT folder.

    Training stops when the validation value (macro AUROC, or MAE) no longer improves; the weights of the best pass are
    the ones that are tested and kept (`load_classifier` reads them; a cross-validation keeps none).

    Args:
        run: Folder of a run or of a checkpoint, which also says what the model is.
        pack: The labelled pack, prepared as the run's data.
        labels: A label set, see `lamae.labels.make_labels`.
        out: RESULT folder; None writes nothing.
        init: ``"scratch"`` draws new weights for the same model: the supervised control.
        readout: Read-out that the head stands on; None takes the run's own.
        config: How to train.
        settings: How the task is made and judged.
        test_pack: Test on the studies of this pack in place of the first one's own, see `lamae.evals.task.make_task`.
        system: Name to show; None names it after the model.
        progress: Called after each pass.

    Raises:
        DataError: The task cannot be made, tested patients were pretrained on, or the loss stopped being finite.
        CheckpointError: There is no whole checkpoint.
        ConfigError: Settings, label set or preprocessing do not fit.
    """
    settings, config = settings or EvalSettings(), config or FinetuneConfig()
    task = make_task(pack, labels, settings, test_pack=test_pack)
    leak = check_pretraining(run, task, allow=settings.allow_leak) if init == "pretrained" else None
    path = find_checkpoint(run)
    meta = read_meta(path)
    check_preprocessing(meta, task.pack)
    how = chosen_readout(meta, readout)
    scores = np.full((len(task.rows), len(task.label_names)), np.nan)
    in_validation: list[np.ndarray] = []
    chosen: list[dict[str, Any]] = []
    model: StudyClassifier | None = None
    for number, part in enumerate(task.parts):
        start = encoder(path, meta, weights=weights_name(init), seed=settings.seed + number)
        view_names = views_of(start, task.pack.info.modality)
        head = head_config(task, part, how, view_names)
        model = StudyClassifier(start, head, width=readout_width(start, how, view_names)).to(config.device)
        decay = config.layer_decay if init == "pretrained" else 1.0
        chosen.append(fit(model, task, part, config, layer_decay=decay, seed=settings.seed + number, progress=progress))
        scores[part.test] = predict(model, task, part.test, config)
        in_validation.append(predict(model, task, part.validation, config))
    description = describe_encoder(run, meta, weights=weights_name(init), seed=settings.seed)
    evaluation = judge(
        task,
        scores[task.tested],
        settings,
        kind="finetune",
        system=system or system_name(description["latent_depth"], init),
        protocol="all weights and a linear head" if init == "pretrained" else "supervised from random weights",
        selection={"on": "validation", "early_stopping": chosen},
        validation_scores=in_validation,
        readout=how,
        run=description,
        leak=leak,
        details={"finetune": asdict(config) | {"init": init}},
    )
    if out is not None:
        if model is not None and task.num_folds is None:
            save_classifier(Path(out), model, meta=meta)
        write_result(out, evaluation)
    return evaluation


def head_config(task: Task, part: Part, readout: Readout, view_names: tuple[str, ...]) -> HeadConfig:
    """Return what the head predicts; values are standardised on the training studies."""
    num_labels = len(task.label_names)
    offset, scale = np.zeros(num_labels), np.ones(num_labels)
    if task.is_regression:
        train = task.targets[part.train]
        offset, scale = np.nanmean(train, axis=0), np.nanstd(train, axis=0)
    return HeadConfig(
        label_names=task.label_names,
        kind=task.kind,
        readout=readout,
        view_names=view_names,
        offset=tuple(offset.tolist()),
        scale=tuple(scale.tolist()),
    )


def weights_name(init: Init) -> Literal["pretrained", "random"]:
    """Return which weights a training starts from."""
    return "pretrained" if init == "pretrained" else "random"


def system_name(latent_depth: int, init: Init) -> str:
    """Return the name to show."""
    if init == "scratch":
        return "Scratch (supervised)"
    return "LAMAE, fine-tuned" if latent_depth > 0 else "Independent leads, fine-tuned"
