"""Pretraining: from packs to a run folder, resumable at any step."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lamae.checkpoint import checkpoints, load_train_state, load_weights, read_meta, save_checkpoint
from lamae.data import PackDataset
from lamae.models import build_model
from lamae.models.accounting import count_parameters
from lamae.pack import Pack
from lamae.progress import Moment, Progress, format_seconds
from lamae.provenance import UNTRAINED, num_patients
from lamae.train.choose_studies import choose_studies
from lamae.train.config import PretrainConfig
from lamae.train.data_card import data_card, trained_patients
from lamae.train.environment import environment
from lamae.train.examples import write_examples
from lamae.train.metrics import MetricsLog
from lamae.train.nonfinite import refuse_nonfinite
from lamae.train.optim import make_optimiser
from lamae.train.run_card import run_card, with_seconds
from lamae.train.run_folder import RunFolder
from lamae.train.step import Augment, Trainer, dry_run, read_ahead, train_step, validation_loss
from lamae.train.stopping import StopRequest, stop_requests
from lamae.train.workers import Workers, join_workers


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """The end of a run.

    Attributes:
        path: Folder of the run.
        status: ``"finished"``, or ``"interrupted"`` when SIGTERM or SIGINT asked to stop; the same call goes on.
        step: Steps done.
        steps: Steps of the whole run.
        loss: Last logged training loss; None when nothing was logged.
        validation_loss: Last measured validation loss; None without validation studies.
        seconds: Time of training, all its parts together.
    """

    path: Path
    status: Literal["finished", "interrupted"]
    step: int
    steps: int
    loss: float | None
    validation_loss: float | None
    seconds: float

    def __str__(self) -> str:
        losses = [("loss", self.loss), ("validation loss", self.validation_loss)]
        told = "".join(f", {name} {value:.4f}" for name, value in losses if value is not None)
        return f"{self.path}: {self.status} at step {self.step} of {self.steps}{told}, {format_seconds(self.seconds)}"


def pretrain(
    config: PretrainConfig,
    packs: Sequence[str | Path],
    out: str | Path,
    *,
    recipe_name: str = "custom",
    augment: Augment | None = None,
    progress: bool = True,
) -> RunSummary:
    """Pretrain a model, or go on with a run that was stopped; its weights do not depend on how often it was stopped.

    Under `torchrun` all processes call this with the same arguments and share each global batch.

    Args:
        config: Every setting.
        packs: Folders of packs that agree in their preprocessing.
        out: Folder of the run; an existing one is resumed.
        recipe_name: Name for the run's own records.
        augment: Changes training batches on the device, see `lamae.train.step.Augment`; None changes nothing. It is no
            part of the configuration: a run must be resumed with the same one.
        progress: Whether to show progress.

    Returns:
        How the run ended.

    Raises:
        ConfigError: The packs do not fit the model, or ``out`` holds another run.
        DataError: The loss became non-finite; the rows are in ``nonfinite.json``, the weights before are kept.
        CheckpointError: The checkpoint to go on from is damaged.
        OSError: Writing failed, for instance on a full disk; the checkpoints before are kept.
    """
    folder = RunFolder(Path(out))
    opened = [Pack.open(path) for path in packs]
    with join_workers(config.device) as workers:
        training, validation = choose_studies(config, opened)
        trainer = replace(make_trainer(config, training, workers), augment=augment)
        dry_run(trainer)
        cards = [data_card(pack) for pack in opened]
        with folder.claimed(config, cards) if workers.is_main else nullcontext():
            workers.wait()
            run = _Run(folder, trainer, validation, workers)
            with run.recorded(recipe_name, cards), run.reading_ahead(), stop_requests() as stop:
                return run.train(stop, progress=progress and workers.is_main)


def make_trainer(config: PretrainConfig, dataset: PackDataset, workers: Workers) -> Trainer:
    """Build the model and its optimiser, with weights drawn from the seed."""
    model = build_model(config.model, generator=torch.Generator().manual_seed(config.seed)).to(workers.device)
    forward: nn.Module = torch.compile(model) if config.compile else model  # type: ignore[assignment]
    if workers.world_size > 1:
        several = len(config.model.streams) > 1  # a stream that no pack holds has no gradients
        forward = DistributedDataParallel(forward, find_unused_parameters=several)
    return Trainer(
        config=config,
        model=model,
        forward=forward,
        optimiser=make_optimiser(model, config.optim),
        dataset=dataset,
        workers=workers,
    )


class _Run:
    """The state of a run between steps."""

    def __init__(self, folder: RunFolder, trainer: Trainer, validation: PackDataset | None, workers: Workers) -> None:
        self.folder, self.trainer, self.validation, self.workers = folder, trainer, validation, workers
        self.config = trainer.config
        self.step = self._resume()
        if workers.is_main:
            folder.cut_metrics(self.step)

    def _resume(self) -> int:
        self.log = MetricsLog(self.folder, self.config, self.workers)
        found = checkpoints(self.folder.checkpoints)
        if not found:
            return 0
        meta = read_meta(found[-1])
        load_weights(found[-1], meta, self.trainer.model)
        load_train_state(found[-1], meta, self.trainer.model, self.trainer.optimiser)
        self.log.load_state(meta.loop)
        return meta.step

    @contextmanager
    def recorded(self, recipe_name: str, cards: list[dict[str, Any]]) -> Iterator[None]:
        """Keep ``run.json`` true: running, and how it ended."""
        if not self.workers.is_main:
            yield
            return
        patients = trained_patients(self.trainer.dataset)
        self._info = {
            "recipe": recipe_name,
            "status": "running",
            "packs": cards,
            "training": {
                "studies": len(self.trainer.dataset),
                "patients": num_patients(patients),
                "without_views": self.trainer.dataset.num_without_views,
                "without_targets": self.trainer.dataset.num_without_targets,
            },
            "validation": {"studies": len(self.validation) if self.validation is not None else 0},
            "parameters": count_parameters(self.trainer.model),
            "readout": self.config.readout,
            "card": run_card(
                self.config,
                modality=self.trainer.dataset.modality,
                num_studies=len(self.trainer.dataset),
                workers=self.workers,
                seconds=self.log.seconds or None,
            ),
            "environment": environment(self.workers),
        }
        self._provenance = UNTRAINED.then(self._trained_on(), patients)
        self.folder.write_info(self._info)
        went_well = False
        try:
            yield
            went_well = True
        finally:
            if not went_well:
                self.folder.write_info(self._info | {"status": "failed", "step": self.step})

    def _trained_on(self) -> dict[str, Any]:
        """Return what a checkpoint says of the training so far."""
        packs = self._info["packs"]
        return {
            "verb": "pretrain",
            "recipe": self._info["recipe"],
            "packs": [{key: pack[key] for key in ("cohort", "version", "simulated", "content_hash")} for pack in packs],
            **{key: self._info["training"][key] for key in ("studies", "patients")},
            "card": with_seconds(self._info["card"], self.log.seconds, self.workers),
        }

    @contextmanager
    def reading_ahead(self) -> Iterator[None]:
        """Read one batch ahead within the block."""
        with read_ahead(self.trainer) as ahead:
            self.trainer = replace(self.trainer, ahead=ahead)
            yield

    def train(self, stop: StopRequest, *, progress: bool) -> RunSummary:
        """Do the steps that are left."""
        steps = self.config.optim.steps
        with Progress(
            "pretraining", total=steps, done=self.step, show=progress, line=_line, log="lamae.train"
        ) as shown:
            shown.say(self._opening())
            interrupted = False
            while self.step < steps and not interrupted:
                self._do_step(shown)
                interrupted = self.workers.sum(float(bool(stop)))[0] > 0
                if interrupted or self.step == steps or self.step % self.config.save_every == 0:
                    self._save()
        status = "interrupted" if self.step < steps else "finished"
        if status == "finished" and self.workers.is_main:
            write_examples(self.folder.path / "examples", self.trainer, self.validation)
        return self._close(status)

    def _do_step(self, shown: Progress) -> None:
        began = time.perf_counter()
        result = train_step(self.trainer, self.step)
        if not result.finite:
            refuse_nonfinite(self.folder, self.trainer, self.step, result)
        self.step += 1
        self.log.add(result, seconds=time.perf_counter() - began)
        shown.advance(self.step)
        if self.workers.is_main and (self.step % self.config.log_every == 0 or self.step == self.config.optim.steps):
            due = self.step % self.config.eval_every == 0 or self.step == self.config.optim.steps
            measured = validation_loss(self.trainer, self.validation) if due and self.validation is not None else None
            shown.advance(self.step, self.log.write(self.step, result, validation=measured))

    def _save(self) -> None:
        if self.workers.is_main:
            save_checkpoint(
                self.folder.checkpoints,
                model=self.trainer.model,
                modality=self.trainer.dataset.modality,
                preprocessing=self.trainer.dataset.preprocessing,
                readout=self.config.readout,
                step=self.step,
                optimiser=self.trainer.optimiser,
                loop=self.log.state(),
                provenance=replace(self._provenance, trained_on=(self._trained_on(),)),
                keep=self.config.keep,
            )
        self.workers.wait()

    def _opening(self) -> str:
        start = f"goes on at step {self.step}" if self.step else "starts"
        left_out = self.trainer.dataset.num_without_targets
        said = f" ({left_out} more are left out: they have nothing to predict)" if left_out else ""
        return (
            f"{self.folder.path}: {start}; {len(self.trainer.dataset)} studies{said}, "
            f"{sum(p.numel() for p in self.trainer.model.parameters()) / 1e6:.2f} million parameters, "
            f"{self.workers.device} x {self.workers.world_size}, {self.config.precision}"
        )

    def _close(self, status: Literal["finished", "interrupted"]) -> RunSummary:
        summary = RunSummary(
            path=self.folder.path,
            status=status,
            step=self.step,
            steps=self.config.optim.steps,
            loss=self.log.loss,
            validation_loss=self.log.validation_loss,
            seconds=self.log.seconds,
        )
        if self.workers.is_main:
            ending = {"status": status, "step": self.step, "loss": summary.loss, "seconds": round(summary.seconds, 1)}
            card = with_seconds(self._info["card"], summary.seconds, self.workers)
            self.folder.write_info(self._info | ending | {"validation_loss": summary.validation_loss, "card": card})
            self.log.close()
        return summary


def _line(moment: Moment) -> str:
    left = format_seconds(moment.left_s)
    return f"step {moment.done}/{moment.total}  {moment.note}  {left} left"
