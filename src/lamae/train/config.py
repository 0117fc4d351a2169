"""Every setting of a pretraining run."""

from dataclasses import dataclass, field
from typing import Literal

from lamae.errors import ConfigError
from lamae.models import PretrainableConfig, Readout, model_configs
from lamae.nn.precision import Precision
from lamae.objectives import AlignmentConfig


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """The optimiser and the schedule of its rate.

    Attributes:
        steps: Number of training steps of the whole run.
        batch_size: Studies in a step, all processes and micro-batches together.
        optimiser: ``"adamw"``; ``"muon"`` moves the matrices of the transformer blocks by Muon and the rest by AdamW,
            and learns more from a short training.
        lr: Highest learning rate.
        schedule: How the rate falls after a linear warm-up: ``"cosine"`` down to zero at the end, or ``"constant"``
            until the cool-down.
        warmup_steps: Steps over which the rate rises to the highest.
        cooldown_steps: Last steps, over which a constant rate falls linearly to zero; 0: it stays.
        weight_decay: Decoupled weight decay; not on biases, norms and single tokens (parameters of one axis).
        betas: AdamW's averages of the gradient and its square.
        clip: Largest norm of the gradient; None for no clipping.
        accumulation: Micro-batches that each process takes one after another in a step.
    """

    steps: int = 1000
    batch_size: int = 64
    optimiser: Literal["adamw", "muon"] = "adamw"
    lr: float = 1e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_steps: int = 50
    cooldown_steps: int = 0
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float | None = 1.0
    accumulation: int = 1

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "lr", "accumulation"):
            _check(getattr(self, name) > 0, f"optim.{name} must be above 0, found {getattr(self, name)}")
        _check(
            0 <= self.warmup_steps <= self.steps,
            f"optim.warmup_steps must lie between 0 and optim.steps ({self.steps}), found {self.warmup_steps}",
        )
        _check(
            0 <= self.cooldown_steps <= self.steps - self.warmup_steps,
            f"optim.cooldown_steps must fit between the warm-up ({self.warmup_steps}) and the end ({self.steps}), "
            f"found {self.cooldown_steps}",
        )
        _check(
            self.schedule == "constant" or self.cooldown_steps == 0,
            f"optim.cooldown_steps is for optim.schedule 'constant', found {self.schedule!r}",
        )
        _check(self.weight_decay >= 0, f"optim.weight_decay must not be negative, found {self.weight_decay}")
        _check(all(0 <= beta < 1 for beta in self.betas), f"optim.betas must lie in [0, 1), found {self.betas}")
        _check(self.clip is None or self.clip > 0, f"optim.clip must be above 0 or null, found {self.clip}")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Studies and leads that a run uses.

    Attributes:
        train_splits: Splits of the packs that are trained on.
        validation_splits: Splits whose loss is measured; none when the packs have no such studies.
        validation_studies: Studies used for that loss, the first ones of these splits.
        views: Leads to use; None for all of the packs.
        min_views: Drop recordings at random in training, keeping at least so many of those that a study has (all, where
            it has no more); None drops nothing.
        verify: Hash each file of views before its first read; sizes are checked in any case.
        max_patients: Train on so many of the patients only, with all of their studies; None for all. A smaller choice
            is part of a larger one.
        patients_seed: Seed of that choice, apart from the run's seed: runs of several seeds share their patients.
    """

    train_splits: tuple[str, ...] = ("train",)
    validation_splits: tuple[str, ...] = ("validation",)
    validation_studies: int = 256
    views: tuple[str, ...] | None = None
    min_views: int | None = None
    verify: bool = False
    max_patients: int | None = None
    patients_seed: int = 0

    def __post_init__(self) -> None:
        _check(bool(self.train_splits), "data.train_splits must name a split")
        shared = set(self.train_splits) & set(self.validation_splits)
        _check(not shared, f"data.train_splits and data.validation_splits share {', '.join(sorted(shared))}")
        _check(self.validation_studies > 0, f"data.validation_studies must be above 0, found {self.validation_studies}")
        _check(self.views is None or bool(self.views), "data.views must name a lead, or be null for all")
        for name in ("min_views", "max_patients"):
            value = getattr(self, name)
            _check(value is None or value > 0, f"data.{name} must be above 0, found {value}")
        _check(self.patients_seed >= 0, f"data.patients_seed must not be negative, found {self.patients_seed}")


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """A pretraining run, whole: with the packs it determines the weights.

    Attributes:
        model: The model and its masks; its ``kind`` says which model of `lamae.models.MODELS`.
        optim: Optimiser and length of the run.
        data: Studies and leads.
        alignment: Draws the views of a study together beside reconstructing them (MMVM); None: reconstruction alone.
        readout: Default read-out of the pretrained model, see `lamae.models.read_out`.
        precision: ``"bf16"``: autocast, on CPUs too; ``"fp32"``.
        compile: Whether to use `torch.compile` (about a minute at the start).
        device: ``"auto"`` takes a GPU when there is one.
        seed: Seed of weights, order of studies and masks.
        log_every: Steps between lines of metrics.
        eval_every: Steps between measurements of the validation loss.
        save_every: Steps between checkpoints.
        keep: Number of newest checkpoints that are kept.
        tensorboard: Whether to write TensorBoard files as well (needs ``lamae[tracking]``).
    """

    model: PretrainableConfig = field(metadata={"kinds": model_configs})
    optim: OptimConfig = field(default_factory=OptimConfig)
    data: DataConfig = field(default_factory=DataConfig)
    alignment: AlignmentConfig | None = None
    readout: Readout = "mean"
    precision: Precision = "bf16"
    compile: bool = False
    device: str = "auto"
    seed: int = 0
    log_every: int = 20
    eval_every: int = 100
    save_every: int = 200
    keep: int = 2
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for name in ("log_every", "eval_every", "save_every", "keep"):
            _check(getattr(self, name) > 0, f"{name} must be above 0, found {getattr(self, name)}")
        _check(self.seed >= 0, f"seed must not be negative, found {self.seed}")
        _check(
            self.readout != "cls" or self.model.has_latent_attention,
            "readout 'cls' needs latent attention, but model.latent.depth is 0: use 'mean' or 'view-concat'",
        )
        if self.alignment is not None:
            self._check_alignment(self.alignment)

    def _check_alignment(self, config: AlignmentConfig) -> None:
        _check(
            config.tokens != "cls" or self.model.instance_cls,
            "alignment.tokens 'cls' needs model.instance_cls: otherwise a view has no CLS token of its own",
        )
        num_views = sum(len(stream.view_names) for stream in self.model.streams.values())
        num_views = num_views if self.data.views is None else len(self.data.views)
        _check(num_views > 1, "alignment needs two views or more to align, found one: set alignment to null")


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise ConfigError(message)
