"""Studies of one or several packs as batches. The data set reads rows; the sampler chooses them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from lamae.batch import Instances, StudyBatch
from lamae.data.view_dropout import kept_views
from lamae.errors import ConfigError, DataError
from lamae.pack import Gathered, Pack
from lamae.studies import MISSING_CODE


class PackDataset:
    """Rows of packs, one after another, that batches are made of.

    Args:
        packs: Opened packs; they must agree in modality, rate and preprocessing.
        view_names: View names that the model knows; ``view_of`` of the batches points into them.
        split: Use the rows of this split, or of these splits; None for all rows.
        rows: Use these rows only, counted over all packs one after another.
        views: Use these views (leads) only; None for all.
        min_views: Hide views at random, keeping at least so many of the present ones of each study; None for no hiding.
        seed: Seed of that hiding.
        verify: Hash each shard before its first read, so that a file changed on disk is found (a slower start).

    Attributes:
        rows: ``[studies]`` int64, row of each study, counted over all packs one after another.
        num_without_views: Studies left out because they have none of the asked ``views``.

    Raises:
        ConfigError: The packs do not agree, hold views that the model does not know, or no row is left.
    """

    def __init__(
        self,
        packs: Sequence[Pack],
        *,
        view_names: Sequence[str],
        split: str | Sequence[str] | None = None,
        rows: np.ndarray | None = None,
        views: Sequence[str] | None = None,
        min_views: int | None = None,
        seed: int = 0,
        verify: bool = False,
    ) -> None:
        self._verify = verify
        self.packs = tuple(packs)
        check_agreement(self.packs)
        self.view_names = tuple(view_names)
        self.min_views, self._seed = min_views, seed
        self._wanted = [_model_views(pack, self.view_names, views) for pack in self.packs]
        self._first_rows = np.cumsum([0, *(len(pack) for pack in self.packs)])
        chosen = np.arange(self._first_rows[-1]) if rows is None else np.asarray(rows, dtype=np.int64)
        if split is not None:
            chosen = chosen[_in_splits(self.packs, (split,) if isinstance(split, str) else tuple(split))[chosen]]
        has_views = _has_any(self.packs, views)[chosen]
        self.rows, self.num_without_views = chosen[has_views], int((~has_views).sum())
        if not len(self.rows):
            raise ConfigError(_no_rows(self.packs, split, views))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def modality(self) -> str:
        """Modality of all packs, which names the stream of the batches."""
        return self.packs[0].info.modality

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """Every parameter of the preprocessing that all packs share."""
        return self.packs[0].info.preprocessing

    def locate(self, index: int) -> tuple[Pack, int]:
        """Return the pack and the row in it of a study of this data set."""
        row = int(self.rows[index])
        number = int(np.searchsorted(self._first_rows, row, side="right")) - 1
        return self.packs[number], row - int(self._first_rows[number])

    def batch(
        self,
        indices: np.ndarray,
        *,
        positions: np.ndarray | None = None,
        global_size: int | None = None,
        step: int = 0,
    ) -> StudyBatch:
        """Read some studies of one training step.

        Studies of the same pack stand together in the batch, otherwise in the order asked; ``batch.index`` and
        ``batch.positions`` say which is which.

        Args:
            indices: ``[studies]`` which studies of this data set.
            positions: Their positions in the global batch; by default this is the global batch.
            global_size: Studies in the global batch.
            step: Number of the training step, for the random hiding of views.

        Raises:
            DataError: Studies differ in length, or (with ``verify``) a shard is not as it was written.
        """
        indices = np.asarray(indices, dtype=np.int64)
        positions = np.arange(len(indices)) if positions is None else positions
        global_size = len(indices) if global_size is None else global_size
        rows = self.rows[indices]
        pack_of = np.searchsorted(self._first_rows, rows, side="right") - 1
        order = np.argsort(pack_of, kind="stable")
        gathered = _joined(
            [
                _known_views(self.packs[number].gather(rows[pack_of == number] - first, verify=self._verify), wanted)
                for number, (first, wanted) in enumerate(zip(self._first_rows[:-1], self._wanted, strict=True))
                if (pack_of == number).any()
            ],
            np.unique(pack_of, return_counts=True)[1],
        )
        if self.min_views is not None:
            gathered = _only(gathered, self._not_hidden(gathered, positions[order], global_size, step))
        return StudyBatch(
            streams={self.modality: to_instances(gathered, self.view_names)},
            num_studies=len(indices),
            positions=torch.from_numpy(positions[order]),
            global_size=global_size,
            index=torch.from_numpy(indices[order]),
        )

    def _not_hidden(self, gathered: Gathered, positions: np.ndarray, global_size: int, step: int) -> np.ndarray:
        return kept_views(
            positions[gathered.study_of],
            gathered.view_of,
            num_views=len(self.view_names),
            min_views=self.min_views or 1,
            global_size=global_size,
            seed=(self._seed, step),
        )


def check_agreement(packs: Sequence[Pack]) -> None:
    """Check that packs can be used together.

    Raises:
        ConfigError: There is none, or they differ in modality, rate or preprocessing; the message lists where.
    """
    if not packs:
        raise ConfigError("no pack was given: name at least one")
    first = packs[0]
    for other in packs[1:]:
        ours, theirs = (
            {"modality": p.info.modality, "rate_hz": p.info.rate_hz, **p.info.preprocessing} for p in (first, other)
        )
        differing = [key for key in ours | theirs if ours.get(key) != theirs.get(key)]
        if differing:
            listed = "; ".join(f"{key}: {ours.get(key)!r} and {theirs.get(key)!r}" for key in differing)
            raise ConfigError(
                f"{first.path} and {other.path} were prepared differently, so cannot be joined: {listed}. Prepare one "
                "of them again with the settings of the other"
            )


def to_instances(gathered: Gathered, view_names: tuple[str, ...]) -> Instances:
    """Wrap gathered waveforms as tensors without copying the samples; ``view_of`` must point into ``view_names``."""
    values = torch.from_numpy(gathered.values)
    return Instances(
        values=values.unsqueeze(1),
        scale=torch.from_numpy(gathered.scale),
        valid=values != MISSING_CODE if gathered.has_missing else None,
        study_of=torch.from_numpy(gathered.study_of),
        recording_of=torch.from_numpy(gathered.view_of),  # a lead is there once
        view_of=torch.from_numpy(gathered.view_of),
        time_of=torch.zeros(len(gathered.scale)),
        view_names=view_names,
    )


def _model_views(pack: Pack, known: tuple[str, ...], views: Sequence[str] | None) -> np.ndarray:
    """Return for each view name of the pack its index in ``known``, -1 where it is not wanted."""
    wanted = pack.info.view_names if views is None else tuple(views)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ConfigError(
            f"{pack.path}: the model does not know the views {', '.join(unknown)}; it knows {', '.join(known)}. "
            "Choose the views to use with data.views, or add the names to the stream's view_names"
        )
    return np.array([known.index(name) if name in wanted else -1 for name in pack.info.view_names])


def _in_splits(packs: Sequence[Pack], splits: tuple[str, ...]) -> np.ndarray:
    parts = [
        np.isin(np.array(pack.studies.column("split").to_pylist(), dtype=object), splits)
        if "split" in pack.studies.column_names
        else np.zeros(len(pack), dtype=bool)
        for pack in packs
    ]
    return np.concatenate(parts)


def _has_any(packs: Sequence[Pack], views: Sequence[str] | None) -> np.ndarray:
    if views is None:
        return np.ones(sum(len(pack) for pack in packs), dtype=bool)
    return np.array(
        [not set(views).isdisjoint(names or ()) for pack in packs for names in pack.studies.column("leads").to_pylist()]
    )


def _no_rows(packs: Sequence[Pack], split: object, views: Sequence[str] | None) -> str:
    found = Counter(
        str(name)
        for pack in packs
        if "split" in pack.studies.column_names
        for name in pack.studies.column("split").to_pylist()
    )
    listed = ", ".join(f"{name} ({count})" for name, count in found.items()) or "none at all"
    asked = f" with any of the views {', '.join(views)}" if views is not None else ""
    return f"no studies are left in the split {split!r}{asked}; splits of the packs: {listed}"


def _known_views(gathered: Gathered, wanted: np.ndarray) -> Gathered:
    view_of = wanted[gathered.view_of]
    renamed = replace(gathered, view_of=view_of)
    return renamed if (wanted >= 0).all() else _only(renamed, view_of >= 0)


def _only(gathered: Gathered, keep: np.ndarray) -> Gathered:
    return replace(
        gathered,
        values=gathered.values[keep],
        scale=gathered.scale[keep],
        study_of=gathered.study_of[keep],
        view_of=gathered.view_of[keep],
    )


def _joined(parts: Sequence[Gathered], counts: np.ndarray) -> Gathered:
    if len(parts) == 1:
        return parts[0]
    lengths = {part.values.shape[1] for part in parts}
    if len(lengths) > 1:
        raise DataError(f"studies of one batch have {sorted(lengths)} samples; prepare with a fixed duration")
    starts = np.cumsum([0, *counts[:-1]])
    return Gathered(
        values=np.concatenate([part.values for part in parts]),
        scale=np.concatenate([part.scale for part in parts]),
        study_of=np.concatenate([part.study_of + start for part, start in zip(parts, starts, strict=True)]),
        view_of=np.concatenate([part.view_of for part in parts]),
        has_missing=any(part.has_missing for part in parts),
    )
