"""Some studies of a pack under a condition, read as a pack is read; nothing is written."""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from lamae.config import from_dict
from lamae.ecg.noise.perturb import add_noise
from lamae.ecg.preprocess.settings import EcgPreprocessing
from lamae.errors import ConfigError, DataError
from lamae.evals.sweeps.conditions import Condition
from lamae.pack import Gathered, Pack, Selection, gather_studies
from lamae.studies import PreparedStudy

_NONE = np.zeros(0, dtype=np.int64)


class ConditionedPack(Pack):
    """Rows of a pack, each study changed as a condition says when it is read.

    It counts what happened to the studies that were read (`tally`), and has a content hash of its own.

    Args:
        pack: Where the studies are.
        rows: ``[studies]`` the chosen ones; they become rows 0 and on.
        condition: The change.

    Raises:
        ConfigError: The pack has no such leads, or noise was asked for and the pack's preprocessing is none of an ECG.
        DataError: Studies have none of the leads that are left; they are counted.
    """

    def __init__(self, pack: Pack, rows: np.ndarray, condition: Condition) -> None:
        self._pack, self._rows, self._condition = pack, np.asarray(rows, dtype=np.int64), condition
        digest = hashlib.sha256(f"{pack.info.content_hash}\n{condition!r}\n".encode())
        digest.update(self._rows.astype("<i8").tobytes())
        super().__init__(pack.path, replace(pack.info, num_studies=len(self._rows), content_hash=digest.hexdigest()))
        self._config = _preprocessing(pack) if condition.noise is not None else None
        self._arrived: list[np.ndarray] = []
        self._counts = {"leads_without_signal": 0, "leads_rescaled": 0}
        self.num_incomplete = _check_leads(pack, self._rows, condition)

    def __reduce__(self) -> tuple[object, ...]:
        return ConditionedPack, (self._pack, self._rows, self._condition)

    @property
    def studies(self) -> pa.Table:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The table of the chosen studies, their leads as the condition leaves them."""
        table = self._pack.studies.take(pa.array(self._rows))
        if self._condition.leads is None or "views" not in table.column_names:
            return table
        kept = [[name for name in names or () if name in self._condition.leads] for names in _lead_lists(table)]
        place = table.column_names.index("views")
        return table.set_column(place, "views", pa.array(kept, pa.list_(pa.string())))

    def study(self, index: int) -> PreparedStudy:
        """Return one study under the condition.

        Raises:
            IndexError: There is no such row.
        """
        if not 0 <= index < len(self._rows):
            raise IndexError(f"{self.path}: no study {index}; {len(self._rows)} were chosen")
        row = int(self._rows[index])
        study, key = self._pack.study(row), self._pack.study_id(row)
        if self._condition.noise is None or self._config is None:
            return _chosen(study, self._condition, key=key)
        changed = add_noise(study, self._condition.noise, self._config, key=key)
        self._arrived.append(changed.arrived_snr_db)
        self._counts["leads_without_signal"] += changed.num_silent
        self._counts["leads_rescaled"] += changed.num_rescaled
        return changed.study

    def study_id(self, index: int) -> str:
        """Return the identifier of a study."""
        return self._pack.study_id(int(self._rows[index]))

    def whole(self, indices: np.ndarray, *, verify: bool = False) -> Selection:
        """Return the selection of all recordings of some studies, as `Pack.whole`."""
        del verify  # hashes are checked where the pack itself is read
        indices = np.asarray(indices, dtype=np.int64)
        return Selection(studies=indices, recording=_NONE, study_of=_NONE, recording_of=_NONE)

    def read(self, selection: Selection, *, verify: bool = False) -> Gathered:
        """Put all recordings of the selected studies into one array, as `Pack.read`.

        Raises:
            ConfigError: The model cuts clips, which conditions do not know.
        """
        del verify
        if selection.length is not None:
            raise ConfigError(f"{self._condition.name}: conditions are for recordings that a model takes whole")
        return gather_studies([self.study(row) for row in selection.studies.tolist()], self.info.view_names)

    def tally(self) -> dict[str, Any]:
        """Return counts of what happened to the studies that were read so far, for ``result.json``."""
        if self._condition.leads is not None:
            return {"studies_without_some_of_the_leads": self.num_incomplete}
        if self._condition.noise is None:
            return {}
        arrived = np.concatenate([np.zeros(0), *self._arrived])
        arrived = arrived[~np.isnan(arrived)]
        return {"arrived_snr_db": float(np.median(arrived)) if len(arrived) else None, **self._counts}


def _chosen(study: PreparedStudy, condition: Condition, *, key: str) -> PreparedStudy:
    """Return a study with the leads of a condition, in its order; leads that an order does not name come last."""
    rows = list(range(len(study.view_names)))
    if condition.leads is not None:
        rows = [row for row in rows if study.view_names[row] in condition.leads]
    elif condition.order == "reversed":
        rows.reverse()
    elif condition.order == "shuffled":
        digest = hashlib.sha256(f"{condition.seed}\n{key}".encode()).digest()
        rows = np.random.default_rng(list(digest)).permutation(len(rows)).tolist()
    else:
        wanted = list(condition.order or ())
        place = [wanted.index(name) if name in wanted else len(wanted) for name in study.view_names]
        rows.sort(key=lambda row: place[row])
    return study.keep(rows)


def _preprocessing(pack: Pack) -> EcgPreprocessing:
    if pack.info.modality != "ecg":
        raise ConfigError(f"{pack.path}: noise is known for ECGs, this pack holds {pack.info.modality}")
    return from_dict(EcgPreprocessing, pack.info.preprocessing, source=f"{pack.path}: preprocessing")


def _check_leads(pack: Pack, rows: np.ndarray, condition: Condition) -> int:
    """Return the number of studies that lack some of the leads that the condition leaves."""
    named = condition.leads or (condition.order if isinstance(condition.order, tuple) else ())
    if unknown := [name for name in named if name not in pack.info.view_names]:
        raise ConfigError(
            f"{condition.name}: {pack.path} has no lead {', '.join(unknown)}, only {', '.join(pack.info.view_names)}"
        )
    if condition.leads is None:
        return 0
    held = [set(names or ()) for names in _lead_lists(pack.studies.take(pa.array(rows)))]
    if num_without := sum(names.isdisjoint(condition.leads) for names in held):
        raise DataError(
            f"{condition.name}: {num_without} of {len(rows)} studies of {pack.path} have none of these leads; choose "
            "leads that all have, or leave these studies out of the pack",
            reason="no-known-leads",
        )
    return sum(not names.issuperset(condition.leads) for names in held)


def _lead_lists(table: pa.Table) -> list[list[str] | None]:
    return table.column("views").to_pylist()
