"""Studies of one or several packs as batches. The data set reads rows; the sampler chooses them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from lamae.batch import ClipConfig, Instances, StudyBatch
from lamae.data.clips import cut_clips, fewer_recordings
from lamae.data.view_dropout import kept_views
from lamae.errors import ConfigError, DataError
from lamae.pack import Gathered, Pack, Selection
from lamae.studies import MISSING_CODE


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The studies and slices that one batch reads.

    Attributes:
        parts: Number of each pack that takes part, and what is read of it.
        index: ``[studies]`` int64, which studies of the data set.
        positions: ``[studies]`` int64, their positions in the global batch.
        global_size: Number of studies in the global batch.
    """

    parts: tuple[tuple[int, Selection], ...]
    index: np.ndarray
    positions: np.ndarray
    global_size: int


class PackDataset:
    """Rows of packs, one after another, that batches are made of.

    Recordings of different lengths are padded to the longest of their batch, and what is padded is marked.

    Args:
        packs: Opened packs; they must agree in modality, rate and preprocessing.
        view_names: View names that the model knows; ``view_of`` of the batches points into them.
        split: Use the rows of this split, or of these splits; None for all rows.
        rows: Use these rows only, counted over all packs one after another.
        views: Use these views only; None for all.
        min_views: Drop recordings at random, keeping at least so many of each study; None drops nothing.
        clip: How clips are cut from recordings; None reads recordings whole.
        random_clips: Draw recordings and the start of each clip; False takes all recordings and the middle.
        seed: Seed of everything that is drawn.
        verify: Hash each shard before its first read, so that a file changed on disk is found (a slower start).

    Attributes:
        rows: ``[studies]`` int64, row of each study, counted over all packs one after another.
        num_without_views: Studies left out because they have none of the asked ``views``.
        num_without_targets: Studies left out because there is nothing to predict in them.

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
        clip: ClipConfig | None = None,
        random_clips: bool = False,
        seed: int = 0,
        verify: bool = False,
    ) -> None:
        self._verify = verify
        self.packs = tuple(packs)
        check_agreement(self.packs)
        self.view_names = tuple(view_names)
        self.min_views, self.clip, self.random_clips, self._seed = min_views, clip, random_clips, seed
        self._wanted = [_model_views(pack, self.view_names, views) for pack in self.packs]
        self._first_rows = np.cumsum([0, *(len(pack) for pack in self.packs)])
        chosen = np.arange(self._first_rows[-1]) if rows is None else np.asarray(rows, dtype=np.int64)
        if split is not None:
            chosen = chosen[_in_splits(self.packs, (split,) if isinstance(split, str) else tuple(split))[chosen]]
        has_views = _has_any(self.packs, views)[chosen]
        self.rows, self.num_without_views = chosen[has_views], int((~has_views).sum())
        self.num_without_targets = 0
        if not len(self.rows):
            raise ConfigError(_no_rows(self.packs, split, views))

    def __len__(self) -> int:
        return len(self.rows)

    def leave_out(self, without_targets: np.ndarray) -> "PackDataset":
        """Return the same without the studies ``[studies]`` bool in which there is nothing to predict, and count them.

        Raises:
            ConfigError: No study is left.
        """
        if without_targets.all():
            raise ConfigError(
                f"{self.packs[0].path}: none of the {len(self)} studies has anything to predict, because no recording "
                f"has two recorded patches: use a smaller patch (model.streams.{self.modality}.patch) or longer data"
            )
        found = copy(self)
        found.rows, found.num_without_targets = self.rows[~without_targets], int(without_targets.sum())
        return found

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

    def choose(
        self,
        indices: np.ndarray,
        *,
        positions: np.ndarray | None = None,
        global_size: int | None = None,
        step: int = 0,
    ) -> Choice:
        """Choose what a batch reads of some studies of one training step; nothing of their values is read yet.

        The choice depends on the seed, the step, the positions and the recordings, not on how the batch was cut.
        Studies of the same pack stand together, otherwise in the order asked; ``index`` and ``positions`` say which is
        which.

        Args:
            indices: ``[studies]`` which studies of this data set.
            positions: Their positions in the global batch; by default this is the global batch.
            global_size: Number of studies in the global batch.
            step: Number of the training step, from which everything random grows.

        Raises:
            DataError: A shard is not as it was written (with ``verify``).
        """
        indices = np.asarray(indices, dtype=np.int64)
        positions = np.arange(len(indices)) if positions is None else positions
        global_size = len(indices) if global_size is None else global_size
        rows = self.rows[indices]
        pack_of = np.searchsorted(self._first_rows, rows, side="right") - 1
        order = np.argsort(pack_of, kind="stable")
        parts = []
        for number in np.unique(pack_of).tolist():
            inside = pack_of == number
            whole = self.packs[number].whole(rows[inside] - self._first_rows[number], verify=self._verify)
            parts.append((number, self._chosen(number, whole, positions[inside], global_size, step)))
        return Choice(parts=tuple(parts), index=indices[order], positions=positions[order], global_size=global_size)

    def read(self, choice: Choice) -> StudyBatch:
        """Read what was chosen, and nothing else; it may be called in another thread.

        Raises:
            DataError: Recordings of several packs differ in length, frames in size, or a shard is not as it was written
                (with ``verify``).
        """
        parts, starts, first = [], [], 0
        for number, selection in choice.parts:
            gathered = self.packs[number].read(selection, verify=self._verify)
            parts.append(_named_as_the_model_does(gathered, self._wanted[number]))
            starts.append(first)
            first += len(selection.studies)
        return StudyBatch(
            streams={self.modality: to_instances(_joined(parts, starts), self.view_names)},
            num_studies=len(choice.index),
            positions=torch.from_numpy(choice.positions),
            global_size=choice.global_size,
            index=torch.from_numpy(choice.index),
        )

    def batch(
        self,
        indices: np.ndarray,
        *,
        positions: np.ndarray | None = None,
        global_size: int | None = None,
        step: int = 0,
    ) -> StudyBatch:
        """Choose and read in one; arguments and errors as of `choose` and `read`."""
        return self.read(self.choose(indices, positions=positions, global_size=global_size, step=step))

    def _chosen(self, number: int, whole: Selection, positions: np.ndarray, global_size: int, step: int) -> Selection:
        """Leave out unknown views and what is dropped at random, then cut clips."""
        wanted, pack, key = self._wanted[number], self.packs[number], (self._seed, step)
        if (wanted < 0).any():
            whole = whole.keep(wanted[pack.views_of(whole)] >= 0)
        if self.min_views is not None:
            keep = kept_views(
                positions[whole.study_of],
                wanted[pack.views_of(whole)],
                num_views=len(self.view_names),
                min_views=self.min_views,
                global_size=global_size,
                seed=key,
            )
            whole = whole.keep(keep)
        if self.clip is None:
            return whole
        if self.clip.max_recordings is not None and self.random_clips:
            whole = whole.keep(fewer_recordings(whole, self.clip.max_recordings, positions, key))
        return cut_clips(whole, pack.lengths_of(whole), self.clip, positions, key if self.random_clips else None)


def check_agreement(packs: Sequence[Pack]) -> None:
    """Check that packs can be used together.

    Raises:
        ConfigError: There is none, or they differ in modality, rate or preprocessing; the message lists where.
    """
    if not packs:
        raise ConfigError("no pack was given: name at least one")
    first = packs[0]
    for other in packs[1:]:
        ours, theirs = ({"modality": p.info.modality, **p.info.preprocessing} for p in (first, other))
        if None not in (rates := (first.info.rate_hz, other.info.rate_hz)):
            ours["rate_hz"], theirs["rate_hz"] = rates
        differing = [key for key in ours | theirs if ours.get(key) != theirs.get(key)]
        if differing:
            listed = "; ".join(f"{key}: {ours.get(key)!r} and {theirs.get(key)!r}" for key in differing)
            raise ConfigError(
                f"{first.path} and {other.path} were prepared differently, so cannot be joined: {listed}. Prepare one "
                "of them again with the settings of the other"
            )


def to_instances(gathered: Gathered, view_names: tuple[str, ...]) -> Instances:
    """Wrap gathered recordings as tensors without copying the values; ``view_of`` must point into ``view_names``."""
    values = torch.from_numpy(gathered.values)
    valid = values != MISSING_CODE if gathered.has_missing else None
    if gathered.recorded is not None:
        valid = torch.from_numpy(gathered.recorded)[:, :, None, None].expand(values.shape)
    return Instances(
        values=values.unsqueeze(1),
        scale=torch.from_numpy(gathered.scale),
        valid=valid,
        study_of=torch.from_numpy(gathered.study_of),
        recording_of=torch.from_numpy(gathered.recording_of),
        view_of=torch.from_numpy(gathered.view_of),
        time_of=torch.from_numpy(gathered.time_s),
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
    return np.isin(np.array([name for pack in packs for name in pack.splits()], dtype=object), splits)


def _has_any(packs: Sequence[Pack], views: Sequence[str] | None) -> np.ndarray:
    if views is None:
        return np.ones(sum(len(pack) for pack in packs), dtype=bool)
    return np.array(
        [not set(views).isdisjoint(names or ()) for pack in packs for names in pack.studies.column("views").to_pylist()]
    )


def _no_rows(packs: Sequence[Pack], split: object, views: Sequence[str] | None) -> str:
    found = Counter(name for pack in packs for name in pack.splits())
    listed = ", ".join(f"{name} ({count})" for name, count in found.items()) if any(found) else "none at all"
    asked = f" with any of the views {', '.join(views)}" if views is not None else ""
    return f"no studies are left in the split {split!r}{asked}; splits of the packs: {listed}"


def _named_as_the_model_does(gathered: Gathered, wanted: np.ndarray) -> Gathered:
    """Let ``view_of`` point into the model's names, and leave out recordings of names that it does not know."""
    renamed = replace(gathered, view_of=wanted[gathered.view_of])
    known = renamed.view_of >= 0
    return renamed if known.all() else renamed.keep(known)


def _joined(parts: Sequence[Gathered], starts: Sequence[int]) -> Gathered:
    """Join what was read of several packs; ``starts`` is the number of studies before each."""
    if len(parts) == 1:
        return parts[0]
    shapes = {part.values.shape[1:] for part in parts}
    if len(shapes) > 1:
        if any(len(shape) > 1 for shape in shapes):
            raise DataError(f"videos of one batch have the shapes {sorted(shapes)}; cut clips (the stream's clip)")
        found = sorted(shape[0] for shape in shapes)
        raise DataError(f"studies of one batch have {found} samples; prepare with a fixed duration")
    of_all = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("values", "scale", "recording_of", "view_of", "time_s")
    }
    recorded = None
    if any(part.recorded is not None for part in parts):
        recorded = np.concatenate(
            [np.ones(part.values.shape[:2], bool) if part.recorded is None else part.recorded for part in parts]
        )
    return Gathered(
        **of_all,
        study_of=np.concatenate([part.study_of + start for part, start in zip(parts, starts, strict=True)]),
        has_missing=any(part.has_missing for part in parts),
        recorded=recorded,
    )
