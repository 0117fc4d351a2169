"""Fine-tuning: an encoder and a head, or parts of them, learn a label set; the same from scratch as a control."""

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path, PurePath
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import torch

from lamae.checkpoint import find_checkpoint, read_meta, read_provenance
from lamae.errors import ConfigError, check_choice
from lamae.evals.finetuning.classifier import HeadConfig, StudyClassifier, readout_width, save_classifier
from lamae.evals.finetuning.state import FinetuneState
from lamae.evals.finetuning.training import fit, predict
from lamae.evals.identity import describe_encoder, system_name, without_training
from lamae.evals.probes.encoder import check_preprocessing, chosen_readout, load_encoder, stream_of
from lamae.evals.probes.head_training import offset_and_scale
from lamae.evals.requests import answered, claim, request_of
from lamae.evals.results import Evaluation, judge
from lamae.evals.settings import EvalSettings, FinetuneConfig, Progress, silent
from lamae.evals.tasks.leak_guard import check_pretraining
from lamae.evals.tasks.task import Part, Task, make_task
from lamae.models import MaskedAutoencoder, Readout
from lamae.nn.precision import choose_device
from lamae.pack import Pack
from lamae.provenance import UNTRAINED, num_patients, seen

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
    overwrite: bool = False,
    progress: Progress = silent,
) -> Evaluation:
    """Train an encoder with a head on the labels of a pack, test it once, and write a RESULT folder.

    Training stops when the validation value (macro AUROC, or MAE) no longer improves; the weights of the best epoch are
    the ones that are tested and kept (`load_classifier` reads them; a cross-validation keeps none). With a RESULT
    folder, a training that was cut off goes on after its last whole epoch when the same call is made again.

    Args:
        run: Folder of a run or of a checkpoint, which also says what the model is.
        pack: The labelled pack, prepared as the run's data.
        labels: A label set, see `lamae.labels.make_labels`.
        out: RESULT folder; None writes nothing.
        init: ``"scratch"`` draws new weights for the same model: the supervised control.
        readout: Read-out that the head stands on; None takes the run's own, and ``"cls"`` with added latent attention.
            An attentive head takes none.
        config: Settings of the training.
        settings: Settings of the task and of its judging.
        test_pack: Test on the studies of this pack in place of the first one's own, see `make_task`.
        system: Name to show; None names it after the model.
        overwrite: Replace the result of another request in ``out``.
        progress: Called after each epoch.

    Raises:
        DataError: The task cannot be made, tested patients were pretrained on, or the loss stopped being finite.
        CheckpointError: There is no whole checkpoint, or what is left of a training that was cut off is damaged.
        ConfigError: Settings, device, label set or preprocessing do not fit, or the folder holds a training of other
            settings, or something else.
        OSError: The result cannot be written.
    """
    settings, config = settings or EvalSettings(), config or FinetuneConfig()
    _check(config, init, readout)
    task = make_task(pack, labels, settings, test_pack=test_pack)
    leak = check_pretraining(run, task, settings, weights=weights_name(init))
    checkpoint = find_checkpoint(run)
    meta = read_meta(checkpoint)
    check_preprocessing(meta, task.pack)
    config = replace(config, precision=meta.precision(config.precision), device=str(choose_device(config.device)))
    how = chosen_readout(meta, "cls" if config.added_latent and readout is None else readout)
    description = describe_encoder(meta, weights=weights_name(init), seed=settings.seed)
    learned = _fingerprint(task, description, init, how, config, settings)
    request = request_of(task, settings, learned | {"system": system})
    claim(out, request, overwrite=overwrite, checkpoint=checkpoint)
    state = None if out is None else FinetuneState(Path(out), learned, overwrite=overwrite)
    scores, chosen, in_validation, model = _learn(checkpoint, task, how, init, config, settings, state, progress)
    name = system or system_name(description, init, readout=how, added_latent=config.added_latent)
    if config.added_latent:
        description |= {"latent_depth": config.added_latent, "added_latent": config.added_latent}
    evaluation = judge(
        task,
        scores,
        settings,
        kind="finetune",
        system=name,
        protocol=protocol_words(config, init),
        selection={"on": "validation", "early_stopping": chosen},
        validation_scores=in_validation,
        readout="tokens" if config.head == "attentive" else how,
        run=description,
        leak=leak,
        details={"protocol_id": "fine-tune", "initialisation": init, "finetune": asdict(config) | {"init": init}},
    )
    if out is not None and model is not None:
        known = read_provenance(checkpoint, meta) if init == "pretrained" else UNTRAINED
        provenance = known.then(*_training(task, description, init, config))
        save_classifier(Path(out), model, meta=meta, step=description["step"], provenance=provenance)
    evaluation = answered(evaluation, request, out)
    if state is not None:
        state.remove()
    return evaluation


def _learn(
    checkpoint: Path,
    task: Task,
    readout: Readout,
    init: Init,
    config: FinetuneConfig,
    settings: EvalSettings,
    state: FinetuneState | None,
    progress: Progress,
) -> tuple[np.ndarray, list[dict[str, Any]], list[np.ndarray], StudyClassifier | None]:
    """Return test scores, choices and validation scores of all divisions, and the model of the only one."""
    scores = np.full((len(task.rows), len(task.label_names)), np.nan)
    chosen: list[dict[str, Any]] = []
    in_validation: list[np.ndarray] = []
    several, model = len(task.parts) > 1, None
    for number, part in enumerate(task.parts):
        held = state.finished(number) if state is not None and several else None
        if held is None:
            seed = settings.seed + number
            start = load_encoder(checkpoint, weights=weights_name(init), seed=seed)
            model = make_classifier(start, task, part, readout, config, seed=seed)
            best = fit(
                model,
                task,
                part,
                config,
                layer_decay=config.layer_decay if init == "pretrained" else 1.0,
                seed=seed,
                progress=progress,
                begun=None if state is None else state.training(number),
                keep=None if state is None else partial(state.keep, number),
            )
            held = best, predict(model, task, part.test, config), predict(model, task, part.validation, config)
            if state is not None and several:
                state.finish(number, *held)
        chosen.append(held[0])
        scores[part.test] = held[1]
        in_validation.append(held[2])
    return scores[task.tested], chosen, in_validation, None if several else model


def make_classifier(
    start: MaskedAutoencoder, task: Task, part: Part, readout: Readout, config: FinetuneConfig, *, seed: int
) -> StudyClassifier:
    """Return the classifier that a training starts from; the weights that do not learn require no gradient.

    Raises:
        ConfigError: Latent attention cannot be added to this model.
    """
    if config.added_latent:
        start = with_added_latent(start, config.added_latent, seed=seed)
    view_names = stream_of(start.config.streams, task.pack.info.modality).view_names
    head = replace(head_config(task, part, readout, view_names), head=config.head)
    model = StudyClassifier(start, head, width=readout_width(start, readout, view_names), seed=seed)
    if config.train == "head":
        for name, parameter in model.encoder.named_parameters():
            parameter.requires_grad_(bool(config.added_latent) and name.startswith("latent."))
    return model.to(choose_device(config.device))


def with_added_latent(model: MaskedAutoencoder, depth: int, *, seed: int) -> MaskedAutoencoder:
    """Return a model with the encoder of another one and new latent attention with a CLS token on it (Ind + LA).

    It is a masked autoencoder like any other: it is kept, loaded, read out and embedded as one.

    Args:
        model: A model without latent attention.
        depth: Number of layers; width and heads are the encoder's.
        seed: Seed of the new weights.

    Raises:
        ConfigError: The model has latent attention, or instances with CLS tokens of their own.
    """
    if model.config.latent.depth > 0:
        raise ConfigError(
            f"added_latent is for a run without latent attention; this one has {model.config.latent.depth} layers of it"
        )
    encoder = model.config.encoder
    latent = replace(model.config.latent, depth=depth, dim=encoder.dim, num_heads=encoder.num_heads)
    generator = torch.Generator().manual_seed(seed)
    extended = MaskedAutoencoder(replace(model.config, latent=latent), generator=generator)
    extended.load_state_dict({**extended.state_dict(), **model.state_dict()})
    return extended.train(model.training)


def protocol_words(config: FinetuneConfig, init: Init) -> str:
    """Return the words of a result for a fine-tuning."""
    head = {"linear": "a linear head", "mlp": "a perceptron as head", "attentive": "an attentive head"}[config.head]
    if config.added_latent:
        head = f"{config.added_latent} layers of added latent attention and {head}"
    if init == "scratch":
        return f"supervised from random weights: all weights and {head}"
    return f"all weights and {head}" if config.train == "all" else f"{head} on a frozen encoder"


def _check(config: FinetuneConfig, init: Init, readout: str | None) -> None:
    check_choice("initialisation", init, get_args(Init))
    if init == "scratch" and config.train == "head":
        raise ConfigError("train='head' freezes the encoder, so from scratch there would be nothing learned in it")
    if init == "scratch" and config.added_latent:
        raise ConfigError(
            "added_latent from scratch is the architecture of LAMAE: fine-tune a LAMAE run from scratch in its place"
        )
    if config.head == "attentive" and readout is not None:
        raise ConfigError(f"the attentive head reads all tokens, so it has no read-out {readout!r}: leave it out")


def _training(
    task: Task, description: dict[str, Any], init: Init, config: FinetuneConfig
) -> tuple[dict[str, Any], pa.Table]:
    """Return what a checkpoint says of this training, and the patients that were trained or selected on."""
    (part,), info = task.parts, task.pack.info
    used = np.concatenate([part.train, part.validation])
    patients = seen(task.patient_hash[used], task.record_hash[used], info.salt)
    pack = {"cohort": info.cohort, "version": info.cohort_version, "simulated": info.simulated}
    entry = {
        "verb": "finetune",
        "labels": PurePath(task.label_set).name,  # a label set of one's own is a path
        "initialisation": init,
        "added_latent": config.added_latent,
        "precision": config.precision,
        "packs": [pack | {"content_hash": info.content_hash}],
        "studies": len(part.train),
        "validation_studies": len(part.validation),
        "patients": num_patients(patients),
    }
    if init == "scratch" and description["card"]:
        entry["card"] = without_training(description["card"], seed=description["seed"])
    return entry, patients


def _fingerprint(
    task: Task, description: dict[str, Any], init: Init, readout: str, config: FinetuneConfig, settings: EvalSettings
) -> dict[str, Any]:
    """Return all that the weights and scores depend on."""
    return {
        "run": {name: description[name] for name in ("config_hash", "checkpoint_hash", "weights")},
        "packs": [pack.info.content_hash for pack in task.packs],
        "labels": {"set": task.label_set, "names": list(task.label_names)},
        "init": init,
        "readout": readout,
        "finetune": asdict(config),
        "settings": settings.plain(),
    }


def head_config(task: Task, part: Part, readout: Readout, view_names: tuple[str, ...]) -> HeadConfig:
    """Return the configuration of the head; values are standardised on the training studies."""
    offset, scale = offset_and_scale(task, part)
    return HeadConfig(
        label_names=task.label_names,
        kind=task.kind,
        readout=readout,
        view_names=view_names,
        offset=tuple(offset.tolist()),
        scale=tuple(scale.tolist()),
    )


def weights_name(init: Init) -> Literal["pretrained", "random"]:
    """Return the weights that a training starts from."""
    return "pretrained" if init == "pretrained" else "random"
