"""An encoder with a head that predicts labels of studies, kept with its checkpoint for use later."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from lamae.batch import StudyBatch
from lamae.checkpoint import CheckpointMeta, load_model, save_checkpoint, tensors_content
from lamae.config import from_dict, to_dict
from lamae.errors import CheckpointError, ConfigError
from lamae.evals.probes.head_training import last_linear
from lamae.evals.settings import HeadKind
from lamae.files import read_json, write_atomically, write_json
from lamae.metrics import sigmoid
from lamae.models import MaskedAutoencoder, Readout, by_view, read_out
from lamae.models.heads import AttentiveHead, MLPHead, tokens_by_study
from lamae.provenance import Provenance

FORMAT, FORMAT_VERSION = "lamae-head", 2
HEAD_FILE, HEAD_WEIGHTS_FILE = "head.json", "head.safetensors"
_WEIGHTS_HASH = "weights_sha256"
HIDDEN_DIM = 256
"""Width of the hidden layer of the head ``"mlp"``."""


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """Configuration of a head: what it predicts, and from what.

    Attributes:
        label_names: Names of the labels.
        kind: ``"multilabel"``, ``"binary"`` or ``"regression"``.
        readout: Read-out that the head stands on, and that the encoder is embedded with.
        view_names: Views and their order for ``"view-concat"``.
        offset: ``labels`` values that predictions are shifted by (0 for classes).
        scale: ``labels`` values that predictions are multiplied by (1 for classes).
        head: ``"linear"`` or ``"mlp"`` on the read-out, or ``"attentive"`` on all tokens.
    """

    label_names: tuple[str, ...]
    kind: Literal["multilabel", "regression", "binary"]
    readout: Readout
    view_names: tuple[str, ...]
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    head: HeadKind = "linear"


class StudyClassifier(nn.Module):
    """A study's labels from an encoder.

    1. The encoder turns the study into tokens, nothing hidden.
    2. They are read out as one vector and normed (layer norm); an attentive head takes them all.
    3. The head gives one logit, or one standardised value, a label.

    Args:
        encoder: A masked autoencoder; its decoder is not used.
        config: Configuration of the head.
        width: Width of the read-out.
        seed: Seed of the head's first weights; those of a linear head are 0.
    """

    def __init__(self, encoder: MaskedAutoencoder, config: HeadConfig, *, width: int, seed: int = 0) -> None:
        super().__init__()
        self.encoder, self.config = encoder, config
        self.norm = nn.LayerNorm(width) if config.head == "linear" else nn.Identity()  # the other heads have their own
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = self._make_head(width)

    @property
    def last_layer(self) -> nn.Linear:
        """The linear layer that gives the outputs."""
        return last_linear(self.head)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.last_layer.weight.device

    def forward(self, batch: StudyBatch) -> Tensor:
        """Return ``[studies, labels]`` float32 logits or standardised values."""
        features = self.encoder.features(batch)
        if self.config.head == "attentive":
            of = (features.tokens, features.token_valid, features.study_of, features.num_studies)
            return self.head(*tokens_by_study(*of))
        return self.head(self.norm(read_out(features, self.config.readout, self.config.view_names)))

    def _make_head(self, width: int) -> nn.Module:
        num_outputs, encoder = len(self.config.label_names), self.encoder.config.encoder
        if self.config.head == "attentive":
            return AttentiveHead(dim=encoder.dim, num_heads=encoder.num_heads, num_outputs=num_outputs)
        if self.config.head == "mlp":
            return MLPHead(dim=width, hidden_dim=HIDDEN_DIM, num_outputs=num_outputs)
        head = nn.Linear(width, num_outputs)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        return head

    @torch.inference_mode()
    def predict(self, batch: StudyBatch) -> np.ndarray:
        """Return ``[studies, labels]`` float64: probabilities, or values in the unit of the targets."""
        raw = self(batch).cpu().double().numpy()
        if self.config.kind != "regression":
            return sigmoid(raw)
        return raw * np.array(self.config.scale) + np.array(self.config.offset)


def readout_width(model: MaskedAutoencoder, readout: Readout, view_names: tuple[str, ...]) -> int:
    """Return the width of a read-out of a model."""
    return model.config.encoder.dim * (len(view_names) if by_view(readout) else 1)


def save_classifier(
    folder: Path, model: StudyClassifier, *, meta: CheckpointMeta, step: int, provenance: Provenance
) -> None:
    """Write the encoder as a checkpoint, and the head beside it; those of an earlier fine-tuning are replaced.

    Args:
        folder: RESULT folder.
        model: The classifier.
        meta: Metadata of the checkpoint it started from.
        step: Steps of pretraining.
        provenance: What the encoder was trained on, this fine-tuning included.

    Raises:
        OSError: Writing failed.
    """
    for old in (folder / HEAD_FILE, folder / HEAD_WEIGHTS_FILE):
        old.unlink(missing_ok=True)
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    save_checkpoint(
        folder / "checkpoint",
        model=model.encoder,
        modality=meta.modality,
        preprocessing=meta.preprocessing,
        readout=model.config.readout,
        step=step,
        provenance=provenance,
    )
    head = {name: value for name, value in model.state_dict().items() if not name.startswith("encoder.")}
    weights = tensors_content(head)
    write_atomically(folder / HEAD_WEIGHTS_FILE, weights)
    said = {"format": FORMAT, "format_version": FORMAT_VERSION, _WEIGHTS_HASH: hashlib.sha256(weights).hexdigest()}
    write_json(folder / HEAD_FILE, said | to_dict(model.config))


def load_classifier(folder: str | Path, *, device: str = "cpu") -> tuple[StudyClassifier, CheckpointMeta]:
    """Load what `finetune` left in its RESULT folder, in evaluation mode.

    Raises:
        CheckpointError: The folder holds no head, one of an unknown version, or damaged weights.
    """
    folder = Path(folder)
    config, weights_hash = _read_head(folder)
    encoder, meta = load_model(folder)
    model = StudyClassifier(encoder, config, width=readout_width(encoder, config.readout, config.view_names))
    try:
        weights = (folder / HEAD_WEIGHTS_FILE).read_bytes()
        if hashlib.sha256(weights).hexdigest() != weights_hash:
            raise OSError("damaged: the hash differs")
        found = load(weights)
        model.load_state_dict({**{f"encoder.{k}": v for k, v in encoder.state_dict().items()}, **found})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{folder / HEAD_WEIGHTS_FILE}: the weights of the head do not fit ({error})") from error
    return model.to(device).eval(), meta


def _read_head(folder: Path) -> tuple[HeadConfig, str]:
    """Return the configuration of a head, and the hash of its weights."""
    try:
        content = read_json(folder / HEAD_FILE, of=(FORMAT, FORMAT_VERSION))
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: no {HEAD_FILE} in it; give the folder that a fine-tuning wrote") from error
    except ValueError as error:
        raise CheckpointError(f"{folder / HEAD_FILE}: not readable as JSON ({error})") from error
    if content.get("format") != FORMAT or content.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(f"{folder / HEAD_FILE}: expected {FORMAT} of version {FORMAT_VERSION}")
    fields = {key: value for key, value in content.items() if key not in ("format", "format_version", _WEIGHTS_HASH)}
    try:
        return from_dict(HeadConfig, fields, source=str(folder / HEAD_FILE)), str(content.get(_WEIGHTS_HASH))
    except ConfigError as error:
        raise CheckpointError(str(error)) from error
