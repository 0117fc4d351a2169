"""A frozen encoder, opened once: its weights and metadata, and device, precision and batch size of its features."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

import numpy as np
import torch

from lamae.batch import StudyBatch
from lamae.checkpoint import CheckpointMeta, find_checkpoint, load_model, read_meta
from lamae.config import difference
from lamae.errors import ConfigError, check_choice
from lamae.evals.identity import Weights, describe_encoder
from lamae.evals.probes.feature_cache import CACHE_FOLDER, cache_key
from lamae.models import Features, MaskedAutoencoder, Readout, StreamConfig, build_model
from lamae.nn.precision import Precision, autocast, choose_device
from lamae.pack import Pack

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class FrozenEncoder:
    """The encoder of a run whose weights do not change; its files are read once, when they are first needed.

    Attributes:
        run: Folder of a run or of a checkpoint.
        weights: ``"pretrained"``, or ``"random"`` for new weights of the same model.
        seed: Seed of the random weights.
        device: Device to compute on; ``"auto"`` takes a GPU when there is one.
        precision: ``"bf16"`` computes in autocast; features are float32 either way. None takes the run's own.
        batch_size: Studies at once; features do not depend on it beyond rounding. None takes the run's own, at most 64.
        cache: Folder in which features are kept; None for none.

    Raises:
        ConfigError: ``weights`` or ``precision`` is another word, there is no such device here, or no such batch.
        CheckpointError: There is no whole checkpoint.
    """

    run: str | Path
    weights: Weights = "pretrained"
    seed: int = 0
    device: str = "auto"
    precision: Precision | None = None
    batch_size: int | None = None
    cache: str | Path | None = None

    def __post_init__(self) -> None:
        check_choice("weights", self.weights, get_args(Weights))
        object.__setattr__(self, "device", str(choose_device(self.device)))
        object.__setattr__(self, "precision", self.meta.precision(self.precision))
        self.meta.batch_size(self.batch_size)

    @cached_property
    def checkpoint(self) -> Path:
        """Folder of the checkpoint."""
        return find_checkpoint(self.run)

    @cached_property
    def meta(self) -> CheckpointMeta:
        """The metadata of the checkpoint."""
        return read_meta(self.checkpoint)

    @cached_property
    def description(self) -> dict[str, Any]:
        """The entry ``run`` of a result: recipe, hashes, weights, precision, kind of device."""
        said = describe_encoder(self.meta, weights=self.weights, seed=self.seed)
        return said | {"precision": self.precision, "device": self.device.partition(":")[0]}

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that its features, and their name, depend on."""
        said = {name: self.description[name] for name in ("weights", "trained_on", "precision")}
        return {"encoder": self.meta.weights_sha256, **said}

    @cached_property
    def model(self) -> MaskedAutoencoder:
        """The model on its device, in evaluation mode."""
        return load_encoder(self.checkpoint, weights=self.weights, seed=self.seed).to(self.device).eval()

    @property
    def stream(self) -> StreamConfig:
        """The stream of the studies: patches, views, and how instances are cut."""
        return stream_of(self.model.config.streams, self.meta.modality)

    @property
    def num_at_once(self) -> int:
        """Studies at once, as asked or as the run's own."""
        return self.meta.batch_size(self.batch_size)

    @property
    def view_names(self) -> tuple[str, ...]:
        """Names of the views that the model knows."""
        return tuple(stream_of(self.meta.model_config["streams"], self.meta.modality)["view_names"])

    @torch.inference_mode()
    def features(self, batch: StudyBatch) -> Features:
        """Return what the model knows of studies, nothing hidden."""
        with autocast(self.precision, self.device):
            return self.model.features(batch.to(self.device))

    def cache_file(self, pack: Pack, rows: np.ndarray, readout: str) -> Path:
        """Return the file in the cache that keeps the features of some rows of a pack."""
        assert self.cache is not None
        return Path(self.cache) / f"{cache_key(self.description, pack, rows, readout)}.npy"


def run_cache(run: str | Path) -> Path | None:
    """Return the folder in which the features of a run are kept; None for a checkpoint without a run's folder."""
    folder = find_checkpoint(run).resolve().parent
    return folder.parent / CACHE_FOLDER if folder.name == "checkpoint" else None


def load_encoder(checkpoint: Path, *, weights: Weights, seed: int) -> Any:
    """Return the model of a checkpoint with its own weights, or with new ones drawn from a seed."""
    model, _ = load_model(checkpoint)
    if weights == "random":
        return build_model(model.config, generator=torch.Generator().manual_seed(seed))
    return model


def chosen_readout(meta: CheckpointMeta, readout: str | None) -> Readout:
    """Return the asked read-out, or the run's own.

    Raises:
        ConfigError: There is no such read-out.
    """
    chosen = meta.readout if readout is None else readout
    check_choice("read-out", chosen, get_args(Readout))
    return cast(Readout, chosen)


def check_preprocessing(meta: CheckpointMeta, pack: Pack) -> None:
    """Check that a pack was prepared as a model's training data.

    Raises:
        ConfigError: It was not; the message lists where.
    """
    differing = difference(dict(meta.preprocessing), json.loads(json.dumps(pack.info.preprocessing)))
    if meta.modality != pack.info.modality or differing:
        raise ConfigError(
            f"{pack.path}: prepared differently from the data of the model (model != pack): "
            f"{'; '.join(differing) or f'modality: {meta.modality} != {pack.info.modality}'}. Prepare it with the same "
            "settings"
        )


def stream_of(streams: Mapping[str, T], modality: str) -> T:
    """Return the settings of a model's stream of a modality.

    Raises:
        ConfigError: The model has no such stream.
    """
    if modality not in streams:
        raise ConfigError(f"the model has no stream {modality!r}, only {', '.join(streams)}")
    return streams[modality]
