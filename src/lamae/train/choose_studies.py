"""Choice of the studies that a run trains on, and of those that measure its validation loss."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from lamae.data import PackDataset, check_apart, rows_by_pack, rows_of_some_patients
from lamae.errors import ConfigError
from lamae.pack import Pack
from lamae.train.config import PretrainConfig


def choose_studies(config: PretrainConfig, packs: Sequence[Pack]) -> tuple[PackDataset, PackDataset | None]:
    """Return the training and validation studies; None when the packs have no studies in the validation splits.

    Raises:
        ConfigError: The packs do not agree or do not fit the model, or no study or too few patients are left.
        DataError: A patient or a record trains in one pack and validates in another.
    """
    modality = packs[0].info.modality if packs else ""
    if packs and modality not in config.model.streams:
        raise ConfigError(
            f"{packs[0].path} holds {modality!r}, the model has streams {', '.join(config.model.streams)}"
        )
    view_names = config.model.streams[modality].view_names if packs else ()
    clip = config.model.streams[modality].clip if packs else None
    data = config.data
    among = partial(
        PackDataset,
        packs,
        view_names=view_names,
        split=data.train_splits,
        views=data.views,
        min_views=data.min_views,
        clip=clip,
        random_clips=True,
        seed=config.seed,
        verify=data.verify,
    )
    training = among()
    if data.max_patients is not None:
        training = among(rows=rows_of_some_patients(training, data.max_patients, seed=data.patients_seed))
    if not config.model.streams[modality].any_grid:
        _check_grid(training, config.model.streams[modality].grid)
    if not {name for pack in packs for name in pack.splits()}.intersection(data.validation_splits):
        return training, None
    validation = PackDataset(
        packs,
        view_names=view_names,
        split=data.validation_splits,
        views=data.views,
        clip=clip,
        verify=data.verify,
    )
    check_apart(
        rows_by_pack(training),
        rows_by_pack(validation),
        what="validation",
        use="trained on",
        remedy="prepare the packs again with splits that agree, from one table of patients, or leave one out",
    )
    return training, validation


def _check_grid(dataset: PackDataset, grid: tuple[int, ...]) -> None:
    """Check that the studies are as long and as large as the model takes them."""
    found, (pack, _) = dataset.batch(np.array([0])).streams[dataset.modality].grid, dataset.locate(0)
    if found == grid:
        return
    setting = f"model.streams.{dataset.modality}.grid to {list(found)}"
    if len(found) == len(grid) == 1 and pack.info.rate_hz is not None:
        duration_s = found[0] / pack.info.rate_hz
        raise ConfigError(
            f"{pack.path}: {found[0]} samples a lead ({pack.info.rate_hz:g} Hz x {duration_s:g} s), but the model "
            f"takes {grid[0]}: prepare the data with --rate-hz {grid[0] / duration_s:g} (or another --duration-s), or "
            f"change {setting}"
        )
    raise ConfigError(
        f"{pack.path}: instances of {' x '.join(map(str, found))}, but the model takes {' x '.join(map(str, grid))}: "
        f"change its clip, prepare the data anew, or change {setting}"
    )
