"""From a file to an embedding in one call, the same way as through a pack."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from lamae.batch import StudyBatch
from lamae.checkpoint import CheckpointMeta, load_model
from lamae.config import difference, from_dict
from lamae.data import batch_of, for_known_views, in_order, only_known_views
from lamae.errors import CheckpointError, ConfigError
from lamae.modality import MODALITIES
from lamae.models import MaskedAutoencoder, Readout, read_out
from lamae.nn.precision import Precision, autocast, choose_device
from lamae.pack import Pack
from lamae.provenance import taught
from lamae.studies import PreparedStudy, Study

OneStudy: TypeAlias = Study | PreparedStudy | str | os.PathLike[str]


def load(run: str | os.PathLike[str], *, device: str = "auto", precision: Precision | None = None) -> "Embedder":
    """Load a pretrained model together with the preprocessing that it was trained with.

    Args:
        run: A run's folder (its newest checkpoint is taken), or a checkpoint's folder.
        device: Where the model computes; ``"auto"`` takes a GPU when there is one.
        precision: ``"bf16"`` computes in autocast, ``"fp32"`` does not; None takes the run's own.

    Raises:
        CheckpointError: There is no checkpoint, or it is damaged, of an unknown version, or of another model.
        ConfigError: There is no such device here, or no such precision.
    """
    return Embedder(*load_model(Path(run)), device=device, precision=precision)


class Embedder:
    """A pretrained model that turns studies into vectors.

    Args:
        model: The model.
        meta: What its checkpoint says.
        device: Where the model computes, see `load`; the model goes there.
        precision: The precision in which it computes, see `load`.

    Attributes:
        model: The model, in evaluation mode.
        meta: What its checkpoint says.
        device: Where it computes.
        precision: The precision in which it computes; vectors are float32 either way.
        modality: The modality of its studies.
        preprocessing: What is done to every study; the same as was done to the training data.
        readout: The read-out that is used when none is asked.
        view_names: Views that the model knows; a study may have any of them, in any order. Others are left out.
        weights: Which weights these are, in words.
    """

    def __init__(
        self,
        model: MaskedAutoencoder,
        meta: CheckpointMeta,
        *,
        device: str = "auto",
        precision: Precision | None = None,
    ) -> None:
        if meta.modality not in MODALITIES:
            raise CheckpointError(
                f"holds a model of {meta.modality!r} studies; this version of lamae knows {', '.join(MODALITIES)}"
            )
        self.device = choose_device(device)
        self.precision: Precision = meta.precision(precision)
        self.model, self.modality = model.to(self.device), MODALITIES[meta.modality]
        self.meta = meta
        self.preprocessing = self._configured(meta.preprocessing, source="the checkpoint's preprocessing")
        self.readout: Readout = meta.readout
        self._stream = model.config.streams[meta.modality]
        self.view_names = self._stream.view_names
        self.weights = (
            f"trained weights after {meta.step} steps{taught(meta.trained_on)}, SHA-256 {meta.weights_sha256[:16]}"
        )

    def embed(
        self,
        studies: OneStudy | Pack | Sequence[OneStudy],
        *,
        readout: Readout | None = None,
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Embed a study, several, or a whole pack.

        Args:
            studies: A study, a path of a file that `lamae.read` reads, a list of both, or a pack.
            readout: As `lamae.models.read_out` names them; None for the model's own.
            batch_size: Studies at once; None takes the run's own, at most 64.

        Returns:
            ``[features]`` float32 for one study, ``[studies, features]`` for a list or a pack.

        Raises:
            DataError: A file cannot be read, its preprocessing refuses it, or a study has no lead that the model knows.
            ConfigError: The pack was prepared differently, the model has no such read-out, or the batch no size.
        """
        batch_size = self.meta.batch_size(batch_size)
        if isinstance(studies, Pack):
            batches = self._pack_batches(studies, batch_size)
        elif isinstance(studies, Study | PreparedStudy | str | os.PathLike):
            return self.embed([studies], readout=readout)[0]
        else:
            batches = self._study_batches(studies, batch_size)
        vectors = [self._vectors(batch, readout) for batch in batches]
        if not vectors:
            raise ConfigError("no study was given to embed: name at least one")
        return np.concatenate(vectors)

    def prepare(self, study: OneStudy) -> PreparedStudy:
        """Read a study, when it is a path, and prepare it as the training data were; of its leads the known ones stay.

        Raises:
            DataError: A file cannot be read, its preprocessing refuses it, or it has no lead that the model knows.
        """
        if not isinstance(study, PreparedStudy):
            study = study if isinstance(study, Study) else self.modality.read(study)
            study = self.modality.preprocess(study, self.preprocessing)
        return only_known_views(study.held(), self.view_names)

    def _study_batches(self, studies: Sequence[OneStudy], batch_size: int) -> Iterator[StudyBatch]:
        for start in range(0, len(studies), batch_size):
            prepared = [self.prepare(study) for study in studies[start : start + batch_size]]
            yield batch_of(prepared, view_names=self.view_names, modality=self.modality.name, clip=self._stream.clip)

    def _pack_batches(self, pack: Pack, batch_size: int) -> Iterator[StudyBatch]:
        theirs = self._configured(pack.info.preprocessing, source=f"{pack.path}: preprocessing")
        if differing := difference(self.preprocessing, theirs):
            raise ConfigError(
                f"{pack.path}: prepared differently from the model's data (model != pack): {'; '.join(differing)}"
            )
        dataset = for_known_views(pack, view_names=self.view_names, clip=self._stream.clip)
        yield from map(dataset.batch, in_order(len(dataset), batch_size))

    def _configured(self, preprocessing: Mapping[str, Any], *, source: str) -> Any:
        return from_dict(self.modality.preprocessing, preprocessing, source=source)

    @torch.inference_mode()
    def _vectors(self, batch: StudyBatch, readout: Readout | None) -> np.ndarray:
        with autocast(self.precision, self.device):
            features = self.model.features(batch.to(self.device), stream=self.modality.name)
        return read_out(features, readout or self.readout, self.view_names).float().cpu().numpy()
