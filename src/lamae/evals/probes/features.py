"""Frozen features of studies: one vector a study, or all of its tokens for heads that attend to them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import nn

from lamae.data import for_known_views, in_order
from lamae.errors import ConfigError, DataError
from lamae.evals.identity import Weights
from lamae.evals.probes.encoder import FrozenEncoder, check_preprocessing, chosen_readout
from lamae.evals.probes.feature_cache import open_npy, write_npy_files
from lamae.evals.settings import Progress, silent
from lamae.evals.tasks.task import Task
from lamae.models import Features, Readout, by_view, read_out
from lamae.models.heads import tokens_by_study
from lamae.nn.precision import Precision
from lamae.pack import Pack

TokenReadout = Literal["tokens", "encoder-tokens"]

BESIDE_BYTES = 2**31
"""Read-outs that were not asked for are kept from the same pass while all together stay below this size."""


@dataclass(frozen=True, kw_only=True)
class FeatureTable:
    """One vector a study.

    Attributes:
        values: ``[studies, features]`` float32, in the order of the asked rows; may be a read-only memory map.
        readout: How tokens became vectors.
        description: Where they come from: recipe, hashes, weights, precision, kind of device.
    """

    values: np.ndarray
    readout: Readout
    description: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class TaskTokens:
    """The tokens of a task's studies.

    Attributes:
        tables: For each pack of the task all tokens of its studies, padded to the same number:
            ``[studies, tokens, dim]`` float16, a read-only memory map, 0 where there is no token; and
            ``[studies, tokens]`` bool, true for those that stand for something recorded.
        readout: ``"tokens"``, or ``"encoder-tokens"`` of the encoder with latent attention bypassed.
        num_heads: Heads of the model's attention.
    """

    tables: tuple[tuple[np.ndarray, np.ndarray], ...]
    readout: TokenReadout
    num_heads: int

    @property
    def dim(self) -> int:
        """Width of a token."""
        return self.tables[0][0].shape[2]

    def take(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return tokens and validity of some studies of the task, by their positions in ``task.rows``."""
        if len(self.tables) == 1:
            return self.tables[0][0][positions], self.tables[0][1][positions]
        ends = np.cumsum([len(table_valid) for _, table_valid in self.tables])
        table_of = np.searchsorted(ends, positions, side="right")
        most = max(table_valid.shape[1] for _, table_valid in self.tables)
        values, valid = np.zeros((len(positions), most, self.dim), np.float16), np.zeros((len(positions), most), bool)
        for number, (table_values, table_valid) in enumerate(self.tables):
            here, width = table_of == number, table_valid.shape[1]
            rows = positions[here] - (ends[number] - len(table_valid))
            values[here, :width], valid[here, :width] = table_values[rows], table_valid[rows]
        return values, valid


def extract(
    run: str | Path,
    pack: Pack,
    *,
    rows: np.ndarray | None = None,
    weights: Weights = "pretrained",
    readout: Readout | None = None,
    seed: int = 0,
    precision: Precision | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    cache: Path | None = None,
    progress: Progress = silent,
) -> FeatureTable:
    """Return the features of studies of a pack, nothing hidden, nothing trained.

    Args:
        run: Folder of a run or of a checkpoint.
        pack: Prepared as the run's packs were.
        rows: ``[studies]`` which rows of the pack; None for all.
        weights: ``"random"`` draws new weights for the same model: the control that everything must beat.
        readout: None takes the run's own.
        seed: Seed of the random weights.
        precision: ``"bf16"`` computes in autocast; features are float32 either way. None takes the run's own.
        batch_size: Studies at once; the features do not depend on it beyond rounding. None takes the run's own.
        device: Where to compute; ``"auto"`` takes a GPU when there is one.
        cache: Folder in which features are kept under a hash of weights, pack, rows, read-out, precision and device.
        progress: Called after each batch.

    Raises:
        CheckpointError: There is no whole checkpoint.
        ConfigError: The pack was prepared differently, or the model has no such read-out.
        DataError: Studies have none of the views that the model knows.
        OSError: The cache cannot be written.
    """
    encoder = FrozenEncoder(
        run=run, weights=weights, seed=seed, device=device, precision=precision, batch_size=batch_size, cache=cache
    )
    return features_of_pack(encoder, pack, rows, readout=readout, progress=progress)


def features_of_pack(
    encoder: FrozenEncoder,
    pack: Pack,
    rows: np.ndarray | None = None,
    *,
    readout: str | None = None,
    progress: Progress = silent,
) -> FeatureTable:
    """Return the features of studies of a pack; arguments and errors as of `extract`.

    With a cache, one pass over the studies keeps all read-outs of the model (up to ``BESIDE_BYTES``), so that a second
    read-out of the same studies costs nothing.
    """
    check_preprocessing(encoder.meta, pack)
    how = chosen_readout(encoder.meta, readout)
    rows = np.arange(len(pack)) if rows is None else np.asarray(rows, dtype=np.int64)
    values = None if encoder.cache is None else open_npy(encoder.cache_file(pack, rows, how), len(rows))
    if values is None:
        kept: list[Readout] = [how] if encoder.cache is None else _kept_readouts(encoder, how, len(rows))
        batches = (
            [read_out(features, one, encoder.view_names).float().cpu().numpy() for one in kept]
            for features in _encoded(encoder, pack, rows, progress)
        )
        if encoder.cache is None:
            values = np.concatenate([first for (first,) in batches])
        else:
            values = write_npy_files(batches, [encoder.cache_file(pack, rows, one) for one in kept], len(rows))[0]
    return FeatureTable(values=values, readout=how, description=encoder.description)


def features_of_task(
    encoder: FrozenEncoder, task: Task, *, readout: str | None = None, progress: Progress = silent
) -> FeatureTable:
    """Return the features of the studies of a task, rows as in ``task.rows``.

    Raises:
        DataError: Features are not finite: the studies are counted, and the first ones named by their hash.
        As `extract`.
    """
    tables = [features_of_pack(encoder, pack, rows, readout=readout, progress=progress) for pack, rows in task.pieces]
    values = tables[0].values if len(tables) == 1 else np.concatenate([table.values for table in tables])
    bad = np.concatenate([~np.isfinite(values[at : at + 4096]).all(axis=1) for at in range(0, len(values), 4096)])
    _refuse_non_finite(task, np.flatnonzero(bad))
    return FeatureTable(values=values, readout=tables[0].readout, description=encoder.description)


def tokens_of_task(
    encoder: FrozenEncoder, task: Task, *, readout: str | None = None, progress: Progress = silent
) -> TaskTokens:
    """Extract the tokens of the studies of a task once, or take them from the cache.

    The file takes 2 bytes a value: 3.7 GB for 20,000 twelve-lead studies of 480 tokens of width 192. In memory there
    is a batch at a time. CLS tokens are not among them: a model without latent attention has none.

    Args:
        encoder: Encoder of the tokens; it has a cache.
        task: Whose studies.
        readout: ``"tokens"``, or ``"encoder-tokens"`` to bypass latent attention; None for the first.
        progress: Called after each batch.

    Raises:
        CheckpointError: There is no whole checkpoint.
        ConfigError: A pack was prepared differently, or there is no such read-out.
        DataError: Tokens are not finite, or too large for 16 bits: the studies are counted, the first ones named.
        OSError: The cache cannot be written.
    """
    how = _chosen_tokens(readout)
    tables = []
    for pack, rows in task.pieces:
        check_preprocessing(encoder.meta, pack)
        files = [encoder.cache_file(pack, rows, f"{how}-{part}") for part in ("values", "valid")]
        found = [array for file in files if (array := open_npy(file, len(rows))) is not None]
        if len(found) < len(files):
            num_patches = encoder.stream.num_patches
            num_tokens = _most_instances(encoder, pack, rows) * num_patches
            batches = (_laid_out(features, how, num_tokens) for features in _encoded(encoder, pack, rows, progress))
            found = write_npy_files(batches, files, len(rows))
        tables.append((found[0], found[1]))
    tokens = TaskTokens(tables=tuple(tables), readout=how, num_heads=encoder.model.config.encoder.num_heads)
    _refuse_non_finite(task, np.fromiter(_non_finite(tokens, len(task.rows), encoder.num_at_once), dtype=np.int64))
    return tokens


@torch.inference_mode()
def _encoded(encoder: FrozenEncoder, pack: Pack, rows: np.ndarray, progress: Progress) -> Iterator[Features]:
    """Yield what a model knows of rows of a pack, batch by batch, nothing hidden."""
    dataset = for_known_views(pack, view_names=encoder.view_names, rows=rows, clip=encoder.stream.clip)
    for indices in in_order(len(dataset), encoder.num_at_once):
        yield encoder.features(dataset.batch(indices))
        progress("extracting features", int(indices[-1]) + 1, len(dataset))


def _kept_readouts(encoder: FrozenEncoder, how: Readout, num_rows: int) -> list[Readout]:
    """Return the read-outs that one pass keeps, the asked one first; those equal to another one are left out."""
    config = encoder.model.config
    mixes = config.has_latent_attention
    held: list[Readout] = [one for one in get_args(Readout) if mixes or not one.startswith(("cls", "encoder-"))]
    width = sum(len(encoder.view_names) if by_view(one) else 1 for one in held) * config.encoder.dim
    if 4 * num_rows * width > BESIDE_BYTES:
        return [how]
    return [how, *(one for one in held if one != how)]


def _refuse_non_finite(task: Task, positions: np.ndarray) -> None:
    """Raise `DataError` if there are positions in ``task.rows`` of studies whose features are not finite."""
    if not len(positions):
        return
    named = ", ".join(task.study_hash[positions[:3]].tolist()) + (", ..." if len(positions) > 3 else "")
    raise DataError(
        f"the encoder gives features that are not finite for {len(positions)} of {len(task.rows)} studies (by study "
        f"hash: {named}): its weights have diverged, or values overflow in this precision; use an earlier checkpoint, "
        "or fp32",
        reason="non-finite-feature",
    )


def _chosen_tokens(readout: str | None) -> TokenReadout:
    for known in get_args(TokenReadout):
        if readout in (known, None):
            return known
    raise ConfigError(
        f"attention-pool reads all tokens, so it has no read-out {readout!r}: leave it out, or give 'encoder-tokens' "
        "to bypass latent attention"
    )


def _most_instances(encoder: FrozenEncoder, pack: Pack, rows: np.ndarray) -> int:
    """Return the instances of the longest study, at least one for each view name, so that most packs share a width."""
    known = set(encoder.view_names)
    held = pack.studies.column("views").take(rows).to_pylist()
    clip = encoder.stream.clip
    instances = clip.frames if clip is not None and clip.instances == "frame" else 1  # of a recording
    return instances * max(len(known), *(sum(name in known for name in names or ()) for names in held))


@torch.inference_mode()
def _laid_out(features: Features, how: TokenReadout, num_tokens: int) -> tuple[np.ndarray, np.ndarray]:
    bypass = how == "encoder-tokens" and features.encoder_tokens is not None
    tokens = features.encoder_tokens if bypass else features.tokens
    assert tokens is not None
    laid, valid = tokens_by_study(tokens, features.token_valid, features.study_of, features.num_studies)
    laid = laid.float().masked_fill(~valid.unsqueeze(-1), 0.0)
    missing = num_tokens - laid.shape[1]
    laid, valid = nn.functional.pad(laid, (0, 0, 0, missing)), nn.functional.pad(valid, (0, missing))
    return laid.half().cpu().numpy(), valid.cpu().numpy()


def _non_finite(tokens: TaskTokens, num_rows: int, batch_size: int) -> Iterator[int]:
    for positions in in_order(num_rows, batch_size):
        values, _ = tokens.take(positions)
        yield from positions[~np.isfinite(values).all(axis=(1, 2))].tolist()
