"""Frozen tokens of studies of a pack in a memory-mapped file, for heads that attend to all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import nn

from lamae.checkpoint import find_checkpoint, read_meta
from lamae.data import for_known_views
from lamae.errors import ConfigError
from lamae.evals.identity import Weights, describe_encoder
from lamae.evals.probes.feature_cache import cache_key, growing_npy, open_npy
from lamae.evals.probes.features import check_preprocessing, encoder, features_of, refuse_non_finite, views_of
from lamae.evals.settings import Precision, Progress, silent
from lamae.evals.tasks.task import Task
from lamae.models import Features, MaskedAutoencoder
from lamae.models.heads import tokens_by_study
from lamae.pack import Pack

TokenReadout = Literal["tokens", "encoder-tokens"]


@dataclass(frozen=True, kw_only=True)
class TokenTable:
    """All tokens of studies, padded to the most that a study can have.

    Attributes:
        values: ``[studies, tokens, dim]`` float16, a read-only memory map; 0 where there is no token.
        valid: ``[studies, tokens]`` bool, which of them stand for something recorded.
    """

    values: np.ndarray
    valid: np.ndarray


@dataclass(frozen=True, kw_only=True)
class TaskTokens:
    """The tokens of a task's studies.

    Attributes:
        tables: One for each pack of the task.
        readout: ``"tokens"``, or ``"encoder-tokens"`` of the encoder with latent attention bypassed.
        num_heads: Heads of the model's attention.
        description: Where they come from: recipe, hashes, weights, precision.
    """

    tables: tuple[TokenTable, ...]
    readout: TokenReadout
    num_heads: int
    description: dict[str, Any]

    @property
    def dim(self) -> int:
        """Width of a token."""
        return self.tables[0].values.shape[2]

    def take(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return tokens and validity of some studies of the task, by their positions in ``task.rows``."""
        if len(self.tables) == 1:
            return self.tables[0].values[positions], self.tables[0].valid[positions]
        ends = np.cumsum([len(table.valid) for table in self.tables])
        table_of = np.searchsorted(ends, positions, side="right")
        _, count, dim = self.tables[0].values.shape
        values, valid = np.empty((len(positions), count, dim), np.float16), np.empty((len(positions), count), bool)
        for number, table in enumerate(self.tables):
            here = table_of == number
            rows = positions[here] - (ends[number] - len(table.valid))
            values[here], valid[here] = table.values[rows], table.valid[rows]
        return values, valid


def tokens_of_task(
    task: Task,
    run: str | Path,
    cache: Path,
    *,
    readout: str | None = None,
    weights: Weights = "pretrained",
    seed: int = 0,
    precision: Precision = "fp32",
    batch_size: int = 64,
    device: str = "cpu",
    progress: Progress = silent,
) -> TaskTokens:
    """Extract the tokens of the studies of a task once, or take them from the cache.

    The file takes 2 bytes a value: 3.7 GB for 20,000 twelve-lead studies of 480 tokens of width 192. In memory there
    is a batch at a time. CLS tokens are not among them: a model without latent attention has none.

    Args:
        task: Whose studies.
        run: Folder of a run or of a checkpoint.
        cache: Folder in which tokens are kept under a hash of weights, pack, rows, read-out and precision.
        readout: ``"tokens"``, or ``"encoder-tokens"`` to bypass latent attention; None for the first.
        weights: ``"random"`` draws new weights for the same model.
        seed: Seed of the random weights.
        precision: ``"bf16"`` computes in autocast.
        batch_size: Studies at once.
        device: Where to compute.
        progress: Called after each batch.

    Raises:
        CheckpointError: There is no whole checkpoint.
        ConfigError: A pack was prepared differently, or there is no such read-out.
        DataError: Tokens are not finite, or too large for 16 bits: the studies are counted, the first ones named.
        OSError: The cache cannot be written.
    """
    how = _chosen(readout)
    path = find_checkpoint(run)
    meta = read_meta(path)
    description = describe_encoder(run, meta, weights=weights, seed=seed) | {"precision": precision}
    model = encoder(path, meta, weights=weights, seed=seed).to(device).eval()
    tables = []
    for pack, rows in task.pieces:
        check_preprocessing(meta, pack)
        files = [cache / f"{cache_key(description, pack, rows, f'{how}-{part}')}.npy" for part in ("values", "valid")]
        if any(open_npy(file, len(rows)) is None for file in files):
            _write(model, pack, rows, files, how, precision, batch_size, device, progress)
        values, valid = (open_npy(file, len(rows)) for file in files)
        assert values is not None
        assert valid is not None
        tables.append(TokenTable(values=values, valid=valid))
    num_heads = model.config.encoder.num_heads
    found = TaskTokens(tables=tuple(tables), readout=how, num_heads=num_heads, description=description)
    _check_finite(found, task, batch_size)
    return found


def _chosen(readout: str | None) -> TokenReadout:
    for known in get_args(TokenReadout):
        if readout in (known, None):
            return known
    raise ConfigError(
        f"attention-pool reads all tokens, so it has no read-out {readout!r}: leave it out, or give 'encoder-tokens' "
        "to bypass latent attention"
    )


def _write(
    model: MaskedAutoencoder,
    pack: Pack,
    rows: np.ndarray,
    files: Sequence[Path],
    how: TokenReadout,
    precision: Precision,
    batch_size: int,
    device: str,
    progress: Progress,
) -> None:
    views = views_of(model, pack.info.modality)
    dataset = for_known_views(pack, view_names=views, rows=rows)
    num_tokens = len(views) * model.config.streams[pack.info.modality].num_patches
    with growing_npy(files[0], len(rows)) as values, growing_npy(files[1], len(rows)) as valid:
        for features in features_of(model, dataset, precision, batch_size, device, progress):
            tokens, there = _laid_out(features, how, num_tokens)
            values(tokens)
            valid(there)


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


def _check_finite(tokens: TaskTokens, task: Task, batch_size: int) -> None:
    refuse_non_finite(task, np.fromiter(_non_finite(tokens, len(task.rows), batch_size), dtype=np.int64))


def _non_finite(tokens: TaskTokens, num_rows: int, batch_size: int) -> Iterator[int]:
    for start in range(0, num_rows, batch_size):
        positions = np.arange(start, min(start + batch_size, num_rows))
        values, _ = tokens.take(positions)
        yield from positions[~np.isfinite(values).all(axis=(1, 2))].tolist()
