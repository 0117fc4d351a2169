"""One file read and prepared: in pieces, so that memory does not grow with the size of a study."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

from lamae.boundary import check_name, faults_of_the_file
from lamae.errors import DataError
from lamae.studies import PreparedRecording, PreparedStudy, Study

Words: TypeAlias = Sequence[Any]
"""Arguments of `Source.read` for one study, the path first."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is done to every file; it can be sent to another process.

    Attributes:
        read: Reads a study, such as ``cohort.read`` or ``modality.read``.
        preprocess: Prepares it, such as ``modality.preprocess``.
        config: Parameters of the preprocessing.
    """

    read: Callable[..., Study]
    preprocess: Callable[[Study, Any], PreparedStudy]
    config: Any


class End(NamedTuple):
    """What is known of a study after its last recording.

    Attributes:
        study_id: Identifier as the file tells it.
        told: What the file tells of the patient, in plain JSON types.
        prepared: The prepared study without its recordings.
    """

    study_id: str
    told: dict[str, Any]
    prepared: PreparedStudy


class Piece(NamedTuple):
    """Some recordings of a study; the last piece also has its end, or why there is none."""

    recordings: Sequence[PreparedRecording]
    end: End | DataError | OSError | None


class ReadStudy:
    """A study that is read now: first its recordings are taken, then what stands at its end.

    Args:
        pieces: Its pieces.
    """

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self._pieces = pieces
        self._end: End | None = None

    def recordings(self) -> Iterator[PreparedRecording]:
        """Yield the recordings, which can be taken once.

        Raises:
            DataError: The file cannot be used.
            OSError: A fault of the system, not of the file.
        """
        for recordings, end in self._pieces:
            yield from recordings
            if isinstance(end, Exception):
                raise end
            self._end = end

    @property
    def end(self) -> End:
        """What is known after the last recording."""
        assert self._end is not None, "the recordings come first"
        return self._end

    def held(self) -> PreparedStudy:
        """Return the study with all of its recordings in memory; errors as of `recordings`."""
        recordings = tuple(self.recordings())
        return replace(self.end.prepared, recordings=recordings)

    def skip(self) -> None:
        """Let go of what has not been taken."""
        for _ in self._pieces:
            pass


def pieces_of(source: Source, words: Words) -> Iterator[Piece]:
    """Read and prepare a study; whatever fails in that is its last piece."""
    path = words[0]
    try:
        with faults_of_the_file(path):
            check_name(path)
            study = source.read(*words)
            told = _told_by(study)
            prepared = source.preprocess(study, source.config)
            held = tuple(prepared.recordings) if isinstance(prepared.recordings, Sequence) else ()
            waiting = iter(prepared.recordings if not held else ())
        while True:
            with faults_of_the_file(path):
                recording = next(waiting, None)
            if recording is None:
                break
            yield Piece((recording,), None)
        with faults_of_the_file(path):
            flags = {name: tuple(found) for name, found in prepared.flags.items()}
            without = PreparedStudy(recordings=(), flags=flags, study_flags=tuple(prepared.study_flags))
        yield Piece(held, End(study.study_id, told, without))
    except (DataError, OSError) as error:
        yield Piece((), error)


def _told_by(study: Study) -> dict[str, Any]:
    """Return what the file itself tells about the patient, which fills gaps of the cohort's table."""
    age_years, sex, patient_id = study.metadata.get("age_years"), study.metadata.get("sex"), study.patient_id
    codes: Mapping[str, Sequence[str]] = study.metadata.get("codes", {})
    told = {
        "patient_id": None if patient_id is None else str(patient_id),
        "acquired_at": study.acquired_at.replace(tzinfo=None).isoformat() if study.acquired_at else None,
        "age_years": None if age_years is None else float(age_years),
        "sex": None if sex is None else str(sex),
        "codes": {system: [str(code) for code in listed] for system, listed in codes.items()},
    }
    json.dumps([study.study_id, told], ensure_ascii=False).encode()  # a study that no table can hold is refused here
    return told
