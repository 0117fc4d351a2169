"""Choice of the studies that a run trains on, and of those that measure its validation loss."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from lamae.data import PackDataset, check_apart, in_order, rows_by_pack, rows_of_some_patients
from lamae.errors import ConfigError
from lamae.pack import Pack
from lamae.train.config import PretrainConfig
from lamae.train.without_targets import without_targets


def choose_studies(config: PretrainConfig, packs: Sequence[Pack]) -> tuple[PackDataset, PackDataset | None]:
    """Return the training and validation studies; None when the packs have no studies in the validation splits.

    Studies in which there is nothing to predict are left out and counted.

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
    stream, mask = config.model.streams[modality], config.model.mask
    if not stream.any_grid:
        _check_grid(training, stream.grid)
    elif mask.noise == "by-name":
        _check_one_length(training)
    whole = among(rows=training.rows, min_views=None, random_clips=False)
    training = training.leave_out(without_targets(whole, stream, mask))
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
    return training, validation.leave_out(without_targets(validation, stream, mask))


def _check_one_length(dataset: PackDataset) -> None:
    """Check that all recordings are equally long: noise by name depends on the longest one of a batch."""
    lengths: set[int] = set()
    for rows in in_order(len(dataset), 256):
        for number, selection in dataset.choose(rows).parts:
            lengths.update(np.unique(dataset.packs[number].lengths_of(selection)).tolist())
    if len(lengths) > 1:
        raise ConfigError(
            f"{dataset.packs[0].path}: recordings of {min(lengths)} to {max(lengths)} samples, with which masks would "
            "depend on the other studies of their batch: set model.mask.noise to by-recording, or prepare the data "
            "with a fixed duration"
        )


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
