"""Checkpoints: weights, configuration, preprocessing, position in the data and state of the loop, without pickle.

A checkpoint is a folder ``step-00000100`` with ``meta.json`` (everything that a person may want to read),
``weights.safetensors``, ``patients.parquet`` (hashes of those that the weights were trained on), and
``train_state.safetensors`` for going on with training. It is written beside its place
and renamed, so that it is there whole or not at all.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from lamae._version import __version__
from lamae.config import from_dict, to_dict
from lamae.errors import CheckpointError, check_batch_size, check_choice
from lamae.files import TEMPORARY_MARK, read_json, sync_folder, write_atomically, write_json
from lamae.models import MODELS, Pretrainable, Readout, build_model
from lamae.nn.precision import Precision
from lamae.provenance import NOT_KNOWN, PATIENTS_FILE, Provenance

FORMAT = "lamae-checkpoint"
FORMAT_VERSION = 2
META_FILE, WEIGHTS_FILE, TRAIN_STATE_FILE = "meta.json", "weights.safetensors", "train_state.safetensors"

MOST_AT_ONCE = 64
"""Largest number of studies that a model is given at once where none is asked for."""

_DIGEST_BYTES = hashlib.sha256().digest_size
_NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True, kw_only=True)
class CheckpointMeta:
    """Content of ``meta.json``.

    Attributes:
        model: Kind of the model, a key of `lamae.models.MODELS`.
        model_config: Configuration of the model.
        modality: Modality of the studies, which names the stream of a batch.
        preprocessing: Every parameter of the preprocessing of the training data.
        readout: How this model's features are read out by default, see `lamae.models.read_out`.
        step: Training steps done; the next one starts at study ``step * batch_size`` of the sampler's sequence.
        loop: State of the training loop; empty when only the weights are meant to be used.
        trained_on: Every training of the weights, oldest first, see `lamae.provenance.Provenance`.
        files: Size and SHA-256 by file name.
        lamae_version: Version that wrote it.
        format_version: Version of the format.
    """

    model: str
    model_config: dict[str, Any]
    modality: str
    preprocessing: dict[str, Any]
    readout: Readout
    step: int
    loop: dict[str, Any] = field(default_factory=dict)
    trained_on: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    lamae_version: str = __version__
    format_version: int = FORMAT_VERSION

    @property
    def weights_sha256(self) -> str:
        """Return the SHA-256 of the weights, hexadecimal."""
        return self.files[WEIGHTS_FILE]["sha256"]

    def precision(self, asked: Precision | None = None) -> Precision:
        """Return the precision that is asked, or that of the last training; ``"fp32"`` where nobody says which.

        Raises:
            ConfigError: There is no such precision.
        """
        said = [one.get("precision") or (one.get("card") or {}).get("precision") for one in self.trained_on]
        chosen = asked or next((one for one in reversed(said) if one), "fp32")
        check_choice("precision", chosen, get_args(Precision))
        return cast(Precision, chosen)

    def batch_size(self, asked: int | None = None) -> int:
        """Return how many studies to take at once: as asked, or as in a step of pretraining, at most ``MOST_AT_ONCE``.

        Raises:
            ConfigError: What is asked is no whole number of at least 1.
        """
        if asked is not None:
            check_batch_size(asked)
            return asked
        said = [one["card"]["batch_size"] for one in self.trained_on if (one.get("card") or {}).get("batch_size")]
        return min([MOST_AT_ONCE, *said[-1:]])


def save_checkpoint(
    folder: Path,
    *,
    model: Pretrainable,
    modality: str,
    preprocessing: Mapping[str, Any],
    readout: Readout,
    step: int,
    optimiser: torch.optim.Optimizer | None = None,
    loop: Mapping[str, Any] | None = None,
    provenance: Provenance = NOT_KNOWN,
    keep: int | None = None,
) -> Path:
    """Write a checkpoint and remove old ones.

    Args:
        folder: Folder of checkpoints; made if it is not there.
        model: The model; its configuration is stored too.
        modality: Modality of the studies.
        preprocessing: Every parameter of the preprocessing.
        readout: Default read-out.
        step: Training steps done.
        optimiser: Its state is stored, so that training can go on.
        loop: State of the training loop, of plain JSON types.
        provenance: What the weights were trained on.
        keep: Number of newest checkpoints to keep; None for all.

    Returns:
        The checkpoint's folder.

    Raises:
        OSError: Writing failed, for instance on a full disk; the checkpoints that were there are untouched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    path = folder / f"step-{step:08d}"
    if not path.exists():
        meta = CheckpointMeta(
            model=model.config.kind,
            model_config=to_dict(model.config),
            modality=modality,
            preprocessing=dict(preprocessing),
            readout=readout,
            step=step,
            loop=dict(loop or {}),
            trained_on=[dict(entry) for entry in provenance.trained_on],
        )
        files = {WEIGHTS_FILE: tensors_content(dict(model.state_dict()))}
        if optimiser is not None:
            files[TRAIN_STATE_FILE] = tensors_content(optimiser_tensors(optimiser, model))
        if provenance.patients is not None:
            files[PATIENTS_FILE] = provenance.patients
        _write_folder(path, meta, files)
    if keep is not None:
        for old in checkpoints(folder)[:-keep]:
            _remove(old)
    return path


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, oldest first."""
    found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def find_checkpoint(path: str | Path) -> Path:
    """Return the newest checkpoint of a run, of a folder of checkpoints, or the checkpoint that ``path`` itself is.

    Raises:
        CheckpointError: There is none.
    """
    path = Path(path)
    if (path / META_FILE).is_file():
        return path
    found = checkpoints(path / "checkpoint") or checkpoints(path)
    if not found:
        raise CheckpointError(
            f"{path}: no {'checkpoint there' if path.exists() else 'such folder'}; give the folder of a run that "
            "`lamae pretrain` wrote, or one of its checkpoint/step-... folders"
        )
    return found[-1]


def read_meta(path: Path) -> CheckpointMeta:
    """Read ``meta.json`` of one checkpoint.

    Raises:
        CheckpointError: It is missing, damaged, of an unknown version, or of a model that is not known here.
    """
    try:
        content = read_json(path / META_FILE, of=(FORMAT, FORMAT_VERSION))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: {META_FILE} is missing, so this is no whole checkpoint") from error
    except ValueError as error:
        raise CheckpointError(f"{path / META_FILE}: not readable as JSON ({error})") from error
    if content.pop("format", None) != FORMAT:
        raise CheckpointError(f'{path / META_FILE}: expected "format": "{FORMAT}", so this is no checkpoint of lamae')
    if (version := content.get("format_version")) != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: checkpoint format version {version}, but this version of lamae reads {FORMAT_VERSION}: "
            f"use the version that wrote it (lamae {content.get('lamae_version', 'unknown')})"
        )
    if (kind := content.get("model")) not in MODELS:
        raise CheckpointError(f"{path}: holds a model of the kind {kind!r}; known is {', '.join(map(repr, MODELS))}")
    if (readout := content.get("readout")) not in get_args(Readout):
        raise CheckpointError(f"{path / META_FILE}: unknown read-out {readout!r}")
    try:
        return CheckpointMeta(**content)
    except TypeError as error:
        raise CheckpointError(f"{path / META_FILE}: entries are missing or unknown ({error})") from error


def load_model(path: str | Path, *, device: torch.device | str = "cpu") -> tuple[Any, CheckpointMeta]:
    """Load the model of a checkpoint, in evaluation mode: a `lamae.models.Pretrainable` of the kind that it is of.

    Args:
        path: A run, a folder of checkpoints, or one checkpoint.
        device: Where the weights go.

    Raises:
        CheckpointError: The checkpoint is missing, damaged, of an unknown version, or its weights are of another model.
    """
    path = find_checkpoint(path)
    meta = read_meta(path)
    config_class = MODELS[meta.model].config_class
    model = build_model(from_dict(config_class, meta.model_config, source=str(path / META_FILE)))
    load_weights(path, meta, model)
    return model.to(device).eval(), meta


def load_weights(path: Path, meta: CheckpointMeta, model: nn.Module | Pretrainable) -> None:
    """Copy the weights and persistent buffers of a checkpoint into a model.

    Raises:
        CheckpointError: They are damaged, or of another model.
    """
    found, expected = _read_tensors(path, meta, WEIGHTS_FILE), model.state_dict()
    problems = [f"{name} is missing" for name in expected if name not in found]
    problems += [f"{name} is unknown" for name in sorted(found) if name not in expected]  # files have no order
    problems += [
        f"{name} has shape {tuple(found[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in expected
        if name in found and found[name].shape != expected[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise CheckpointError(f"{path}: the weights are of another model: {'; '.join(problems[:3])}{more}")
    model.load_state_dict(found)


def load_train_state(
    path: Path, meta: CheckpointMeta, model: nn.Module | Pretrainable, optimiser: torch.optim.Optimizer
) -> None:
    """Copy the optimiser's state of a checkpoint into an optimiser of the same model.

    Parameters that never had a gradient have no state, such as those of a stream that no pack of the run holds.

    Raises:
        CheckpointError: The checkpoint holds no such state, or it is damaged or of another model.
    """
    tensors = _read_tensors(path, meta, TRAIN_STATE_FILE)
    restore_optimiser(optimiser, model, tensors, source=str(path / TRAIN_STATE_FILE))


def optimiser_tensors(optimiser: torch.optim.Optimizer, model: nn.Module | Pretrainable) -> dict[str, Tensor]:
    """Return the state of an optimiser by kind and name of the parameter: ``"exp_avg/encoder.norm.weight"``."""
    states = optimiser.state_dict()["state"]
    return {
        f"{key}/{name}": value
        for index, name in enumerate(_parameter_names(optimiser, model))
        for key, value in states.get(index, {}).items()
    }


def restore_optimiser(
    optimiser: torch.optim.Optimizer, model: nn.Module | Pretrainable, tensors: Mapping[str, Tensor], *, source: str
) -> None:
    """Put the state of `optimiser_tensors` back; parameters that have none, such as unused ones, begin anew.

    Raises:
        CheckpointError: It is of other parameters; the message begins with ``source``.
    """
    by_name: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        kind, name = key.split("/", 1)
        by_name.setdefault(name, {})[kind] = tensor
    names = _parameter_names(optimiser, model)
    if unknown := sorted(set(by_name) - set(names)):
        raise CheckpointError(f"{source}: the state is of another model's parameters, such as {unknown[0]!r}")
    state = {index: by_name[name] for index, name in enumerate(names) if name in by_name}
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def write_state(file: Path, about: Mapping[str, Any], parts: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write named tensors and what there is to say about them as one file, whole or not at all: safetensors, SHA-256.

    Args:
        file: File to write; one that is there is replaced.
        about: Plain JSON types, such as the state of a loop.
        parts: Tensors by part and name, such as ``{"weights": ..., "optimiser": ...}``.

    Raises:
        OSError: Writing failed, for instance on a full disk; what was there is untouched.
    """
    tensors = {f"{part}/{name}": tensor for part, named in parts.items() for name, tensor in named.items()}
    told = torch.frombuffer(bytearray(json.dumps(about).encode()), dtype=torch.uint8)
    content = tensors_content(tensors | {"about": told})
    write_atomically(file, content + hashlib.sha256(content).digest())


def read_state(file: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """Read what `write_state` wrote: what is said about the tensors, and these by part and name.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: It is damaged.
    """
    content = file.read_bytes()
    content, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        raise CheckpointError(f"{file}: damaged, its content is not what was written (the hash differs)")
    try:
        tensors = load(content)
        about = json.loads(bytes(tensors.pop("about").numpy()))
    except (SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{file}: damaged ({error})") from error
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        part, name = key.split("/", 1)
        parts.setdefault(part, {})[name] = tensor
    return about, parts


def tensors_content(tensors: Mapping[str, Tensor]) -> bytes:
    """Return what a safetensors file of named tensors contains."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def _parameter_names(optimiser: torch.optim.Optimizer, model: nn.Module | Pretrainable) -> list[str]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [names[id(parameter)] for group in optimiser.param_groups for parameter in group["params"]]


def _write_folder(path: Path, meta: CheckpointMeta, files: Mapping[str, bytes]) -> None:
    temporary = path.with_name(f"{path.name}{TEMPORARY_MARK}{os.getpid()}")
    temporary.mkdir()
    try:
        for name, content in files.items():
            meta.files[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            write_atomically(temporary / name, content)
        write_json(temporary / META_FILE, {"format": FORMAT} | asdict(meta))
        os.replace(temporary, path)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(path.parent)


def read_provenance(path: Path, meta: CheckpointMeta) -> Provenance:
    """Read what the weights of a checkpoint were trained on; the patients are None if it does not say.

    Raises:
        CheckpointError: The list of patients is missing or damaged.
    """
    known = PATIENTS_FILE in meta.files
    return Provenance(tuple(meta.trained_on), _read_file(path, meta, PATIENTS_FILE) if known else None)


def _read_file(path: Path, meta: CheckpointMeta, name: str) -> bytes:
    """Return the content of a file of a checkpoint whose hash is the one that its metadata say."""
    expected = meta.files.get(name)
    if expected is None or not (path / name).is_file():
        raise CheckpointError(f"{path}: {name} is missing from the checkpoint")
    content = (path / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != expected["sha256"]:
        raise CheckpointError(
            f"{path / name}: damaged, its content is not what was written (the hash differs); "
            "remove this checkpoint's folder to use the one before it"
        )
    return content


def _read_tensors(path: Path, meta: CheckpointMeta, name: str) -> dict[str, Tensor]:
    try:
        return load(_read_file(path, meta, name))
    except SafetensorError as error:
        raise CheckpointError(f"{path / name}: not readable as safetensors ({error})") from error


def _remove(path: Path) -> None:
    """Remove a checkpoint such that it is never seen half-removed."""
    doomed = path.with_name(f"{path.name}{TEMPORARY_MARK}removed")
    os.replace(path, doomed)
    shutil.rmtree(doomed)


def _remove_leftovers(folder: Path) -> None:
    for leftover in folder.glob(f"*{TEMPORARY_MARK}*"):
        shutil.rmtree(leftover, ignore_errors=True)
