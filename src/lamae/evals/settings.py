"""Settings of every evaluation, and those of fine-tuning."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from lamae.errors import ConfigError, check_batch_size, check_choice
from lamae.labels import Statements
from lamae.metrics import AbsentPolicy
from lamae.nn.precision import Precision

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

L2_GRID = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Penalties to choose from, highest last; they stand beside the mean loss of a row, so they do not grow with rows."""

SelectBy = Literal["macro-auroc", "log-loss", "mae"]
HeadKind = Literal["linear", "attentive", "mlp"]

_CHOICES = {
    "statements": get_args(Statements),
    "icd9": ("drop", "map"),
    "vocabulary": ("train", "all"),
    "test_part": ("all", "test"),
    "f1_threshold": ("0.5", "validation"),
    "absent": get_args(AbsentPolicy),
    "select_by": ("macro-auroc", "log-loss"),
}
"""Allowed values of the settings that are words."""


@dataclass(frozen=True, kw_only=True)
class EvalSettings:
    """Settings of the task that is made from a pack, and of the judging of predictions.

    Attributes:
        folds: Cross-validate over these values of the column ``fold``: each is the test set once, the next one (after
            the last the first) the validation set, the others the training set. None uses the pack's splits.
        label_fraction: Fraction of the training patients whose labels may be used; smaller fractions are parts of
            larger ones of the same draw. The validation set stays whole.
        label_count: Exact size of the labelled subset in training studies, in place of a fraction: whole patients in
            the order of the draw, of the last one only as many studies as are wanted. None for no limit.
        label_draw: Seed of the draw of labelled patients, apart from ``seed``, so that several draws can be judged with
            the same weights.
        min_count: Minimum number of positive training studies of a label; None takes the label set's own.
        max_labels: Keep the most frequent labels only.
        statements: The studies that take part, see `lamae.labels.make_labels`; None takes the label set's own.
        icd9: Leave ICD-9-CM codes out, or translate them by ``icd9_map``.
        icd9_map: File of a general equivalence map, ``icd_9,icd_10,flags``.
        vocabulary: The studies that decide what labels there are: ``"train"``, or ``"all"`` as in published benchmarks,
            which lets the test studies have a say; the result calls it a leak.
        test_part: Of another pack that is tested on: all of its studies, or its test split.
        f1_threshold: Where a score becomes a yes for F1: at 0.5, or where F1 is best on the validation studies.
        seed: Seed of random encoders, of fine-tuning and of the bootstrap.
        l2_grid: Penalties of the linear probe.
        select_by: Measure to choose the penalty by on the validation set: log loss averaged over labels, each at the
            best spread of its scores, or their mean AUROC, which is unsteady when few validation patients have a label.
            A regression always uses ``"mae"``.
        draws: Draws of patients for the intervals.
        level: Coverage of the intervals.
        absent: Policy for a label without positives or negatives in the test set.
        allow_leak: Test on patients of the pretraining data all the same; the result says so.

    Raises:
        ConfigError: A setting is outside its range.
    """

    folds: tuple[int, ...] | None = None
    label_fraction: float = 1.0
    label_count: int | None = None
    label_draw: int = 0
    min_count: int | None = None
    max_labels: int | None = None
    statements: Statements | None = None
    icd9: Literal["drop", "map"] = "drop"
    icd9_map: str | Path | None = None
    vocabulary: Literal["train", "all"] = "train"
    test_part: Literal["all", "test"] = "all"
    f1_threshold: Literal["0.5", "validation"] = "validation"
    seed: int = 0
    l2_grid: tuple[float, ...] = L2_GRID
    select_by: Literal["macro-auroc", "log-loss"] = "log-loss"
    draws: int = 1000
    level: float = 0.95
    absent: AbsentPolicy = "skip"
    allow_leak: bool = False

    def __post_init__(self) -> None:
        if self.folds is not None and (len(self.folds) < 3 or len(set(self.folds)) != len(self.folds)):
            raise ConfigError(
                f"folds must be at least three different numbers (test, validation, training), found {self.folds}"
            )
        if not 0 < self.label_fraction <= 1:
            raise ConfigError(f"label_fraction must lie above 0 and up to 1, found {self.label_fraction}")
        if self.label_count is not None and self.label_fraction != 1:
            raise ConfigError(
                f"give label_count or label_fraction, not both; found {self.label_count} and {self.label_fraction}"
            )
        for name in ("label_count", "min_count", "max_labels"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, found {value}")
        if self.label_draw < 0:
            raise ConfigError(f"label_draw is a seed of at least 0, found {self.label_draw}")
        for name, choices in _CHOICES.items():
            if (name, getattr(self, name)) != ("statements", None):
                check_choice(name, getattr(self, name), choices)
        if (self.icd9 == "map") != (self.icd9_map is not None):
            raise ConfigError("icd9='map' and icd9_map, a CSV file with icd_9, icd_10 and flags, need each other")
        if not self.l2_grid or min(self.l2_grid) <= 0:
            raise ConfigError(f"l2_grid must hold penalties above 0, found {self.l2_grid}")
        if self.draws < 1 or not 0 < self.level < 1:
            raise ConfigError(f"draws must be above 0 and level between 0 and 1, found {self.draws} and {self.level}")

    def plain(self) -> dict[str, Any]:
        """Return the settings as JSON can hold them."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """Settings of fine-tuning.

    Attributes:
        epochs: Maximum number of epochs.
        patience: Early-stopping patience, in epochs.
        batch_size: Studies in a step.
        lr: Highest learning rate, that of the head and the last block.
        layer_decay: Factor on the rate from each block to the one below it; 1 for the same rate everywhere. Training
            from scratch uses 1.
        weight_decay: Decoupled weight decay; not on parameters of one axis.
        warmup_fraction: Fraction of the steps over which the rate rises; then half a cosine down to zero.
        clip: Largest norm of the gradient.
        precision: ``"bf16"`` trains in autocast; None takes the run's own precision.
        device: Device to train on; ``"auto"`` takes a GPU when there is one.
        train: Weights that learn: ``"all"`` but the decoder's, or the ``"head"`` on a frozen encoder (and the latent
            attention that was added).
        head: ``"linear"`` and ``"mlp"`` (one hidden layer) stand on the read-out, ``"attentive"`` on all tokens.
        added_latent: Layers of latent attention with a CLS token that are put on the encoder of a run without any, and
            learned from the labels.

    Raises:
        ConfigError: A setting is outside its range.
    """

    epochs: int = 30
    patience: int = 6
    batch_size: int = 32
    lr: float = 5e-4
    layer_decay: float = 0.75
    weight_decay: float = 0.05
    warmup_fraction: float = 0.1
    clip: float = 1.0
    precision: Precision | None = None
    device: str = "auto"
    train: Literal["all", "head"] = "all"
    head: HeadKind = "linear"
    added_latent: int = 0

    def __post_init__(self) -> None:
        check_choice("train", self.train, ("all", "head"))
        check_choice("head", self.head, get_args(HeadKind))
        check_batch_size(self.batch_size)
        if self.added_latent < 0:
            raise ConfigError(f"added_latent must not be below 0, found {self.added_latent}")
        for name in ("epochs", "patience", "lr", "clip"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} of fine-tuning must be above 0, found {getattr(self, name)}")
        if not 0 < self.layer_decay <= 1 or not 0 <= self.warmup_fraction < 1 or self.weight_decay < 0:
            raise ConfigError(
                "layer_decay must lie in (0, 1], warmup_fraction in [0, 1) and weight_decay not below 0, found "
                f"{self.layer_decay}, {self.warmup_fraction} and {self.weight_decay}"
            )


def silent(what: str, done: int, total: int) -> None:
    """Report no progress."""
