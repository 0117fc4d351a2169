"""Damage good files at random and read them: each must be read, or refused by an error of ours, in time and memory.

``python tests/faults/fuzz.py --files 20000 --seed 7`` prints what became of them. The files of a seed are always the
same; ``--only N`` reads the N-th alone and prints its traceback.
"""

import argparse
import contextlib
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))  # where run as a command; pytest has it on its path

from mutate import mutate
from reader_seeds import Seed, all_seeds

from lamae.ecg.readers import read_code15_row
from lamae.ecg.readers.any_format import read
from lamae.errors import DataError, MissingExtraError
from lamae.studies import Study

TIME_LIMIT_S = 30.0
"""Time for one file, after which it counts as hung."""

MEMORY_BYTES = 2 * 1024**3
"""What a reading process may allocate beyond what it has after its imports."""

MAX_MESSAGE = 2000


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Attributes:
        number: Number of the file; with the seed, it makes the same file again.
        seed_name: The good file that was damaged.
        kind: ``"read"``, ``"refused"``, ``"other"``, ``"memory"``, ``"hang"`` or ``"crash"``.
        detail: Reason of the refusal, or type and place of another exception.
        seconds: Processor time that reading took.
    """

    number: int
    seed_name: str
    kind: str
    detail: str
    seconds: float

    @property
    def is_clean(self) -> bool:
        """Return True if the file was read, or refused by an error of ours."""
        return self.kind in ("read", "refused")


def pick_seed(seeds: Sequence[Seed], number: int) -> Seed:
    """Return the seed of a file: all readers in turn, and the seeds of each reader in turn."""
    readers = sorted({seed.reader for seed in seeds})
    of_reader = [seed for seed in seeds if seed.reader == readers[number % len(readers)]]
    return of_reader[number // len(readers) % len(of_reader)]


def chosen_seeds(readers: Sequence[str]) -> list[Seed]:
    """Return the seeds of some readers; of all if there are none."""
    return [seed for seed in all_seeds() if not readers or seed.reader in readers]


def damaged(seed: Seed, run_seed: int, number: int) -> Seed:
    """Return a good file with damage that depends on the two numbers alone."""
    return replace(seed, files=mutate(seed, np.random.default_rng([run_seed, number])))


def read_seed(seed: Seed, folder: Path) -> Study:
    """Read a file as its reader is called."""
    path = folder / seed.target
    return read(path) if seed.exam_id is None else read_code15_row(path, seed.exam_id)


def check_study(study: Study) -> None:
    """Check that values are finite or missing, and that texts can be written."""
    for view in study.views.values():
        assert view.values.dtype == np.float32
        assert not np.isinf(view.values).any()
    for text in (study.study_id, study.patient_id or "", repr(study.metadata)):
        text.encode()


def judge(seed: Seed, folder: Path) -> tuple[str, str]:
    """Read a file and return the kind and the detail of its outcome.

    The boundary of ``read``, which turns any error into one of ours, is taken away: a reader names its faults itself.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # of numpy: overflow, division by 0
            with mock.patch("lamae.ecg.readers.any_format.faults_of_the_file", return_value=nullcontext()):
                check_study(read_seed(seed, folder))
    except (DataError, MissingExtraError) as error:
        message = str(error)
        try:
            message.encode()
        except UnicodeEncodeError:
            return "other", "a message that cannot be written"
        if len(message) > MAX_MESSAGE:
            return "other", f"a message of more than {MAX_MESSAGE} characters ({getattr(error, 'reason', '')})"
        return "refused", getattr(error, "reason", "missing-extra")
    except MemoryError:
        return "memory", _place(sys.exc_info()[1])
    except Exception as error:  # noqa: BLE001 - what is not ours is what is looked for
        return "other", f"{type(error).__name__}: {str(error)[:80]!r} at {_place(error)}"
    return "read", ""


def _place(error: BaseException | None) -> str:
    frames = traceback.extract_tb(error.__traceback__ if error else None)
    ours = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames if "/lamae/" in frame.filename]
    return " < ".join(reversed(ours[-2:]))


def run(
    numbers: Sequence[int], run_seed: int, *, readers: Sequence[str] = (), time_limit_s: float = TIME_LIMIT_S
) -> Iterator[Outcome]:
    """Yield the outcome of each file; a process that hangs or falls is replaced by another.

    Args:
        numbers: Numbers of the files.
        run_seed: Seed of the damage.
        readers: Readers to try; all if empty.
        time_limit_s: Time for one file, after which its process is killed and it counts as hung.
    """
    seeds = chosen_seeds(readers)
    with Worker() as worker:
        for number in numbers:
            seed = pick_seed(seeds, number)
            yield Outcome(number, seed.name, *worker.ask(damaged(seed, run_seed, number), time_limit_s))


class Worker:
    """A process that reads files under limits of memory and time; one that hangs or falls is replaced."""

    def __enter__(self) -> "Worker":
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        if not self._pipe.poll(120) or self._pipe.recv() != "ready":
            raise RuntimeError("the reading process did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def ask(self, seed: Seed, time_limit_s: float = TIME_LIMIT_S) -> tuple[str, str, float]:
        """Read files and return kind, detail and seconds of the outcome."""
        self._pipe.send(seed)
        try:
            if self._pipe.poll(time_limit_s):
                return self._pipe.recv()
            found = ("hang", f"more than {time_limit_s:g} s", time_limit_s)
        except (EOFError, ConnectionResetError):
            self._process.join()
            found = ("crash", f"exit code {self._process.exitcode}", 0.0)
        self.__exit__()
        self.__enter__()
        return found


def _serve(pipe: Connection) -> None:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for seed in all_seeds():  # imports what each reader needs before the memory is limited
            _write(Path(folder), seed.on_disk)
            with contextlib.suppress(*([DataError] if "-real" in seed.name else [])):  # some real files are no ECGs
                read_seed(seed, Path(folder))
        limit_memory(MEMORY_BYTES)
        pipe.send("ready")
        while True:
            seed = pipe.recv()
            _write(Path(folder), seed.on_disk)
            began = time.process_time()  # of the processor: other processes may share the cores
            kind, detail = judge(seed, Path(folder))
            pipe.send((kind, detail, time.process_time() - began))


def limit_memory(more_bytes: int) -> None:
    """Limit this process to so many bytes beyond what it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + more_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for old in folder.iterdir():
        old.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def summarise(outcomes: Sequence[Outcome]) -> str:
    """Return a table of the kinds for each reader, the reasons, and how to make each bad outcome again."""
    kinds = ("read", "refused", "other", "memory", "hang", "crash")
    lines = [f"{'reader':10}" + "".join(f"{kind:>9}" for kind in kinds) + "  slowest (s)"]
    readers = sorted({outcome.seed_name.partition("-")[0] for outcome in outcomes})
    for reader in [*readers, ""]:
        own = [outcome for outcome in outcomes if outcome.seed_name.startswith(f"{reader}-" if reader else "")]
        counts = Counter(outcome.kind for outcome in own)
        slowest = max(outcome.seconds for outcome in own)
        lines.append(f"{reader or 'all':10}" + "".join(f"{counts[kind]:9,}" for kind in kinds) + f"{slowest:10.2f}")
    reasons = Counter(outcome.detail for outcome in outcomes if outcome.kind == "refused")
    lines.append("refused: " + ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common()))
    seen: Counter[str] = Counter()
    for outcome in outcomes:
        if not outcome.is_clean:
            about = f"{outcome.seed_name.partition('-')[0]} {outcome.kind} {outcome.detail}"
            seen[about] += 1
            if seen[about] <= 2:
                lines.append(f"--only {outcome.number}: {outcome.seed_name}: {outcome.kind} {outcome.detail}")
    return "\n".join(lines)


def main() -> int:
    """Run as a command; the exit status is 1 if any file was neither read nor refused cleanly."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000, help="number of damaged files")
    parser.add_argument("--seed", type=int, default=7, help="seed of the damage")
    parser.add_argument("--readers", nargs="*", default=[], help="readers to try: wfdb dicom aecg npy npz …")
    parser.add_argument("--only", type=int, help="read this file alone, in this process, with its traceback")
    parser.add_argument("--keep", type=Path, help="with --only: folder to write the damaged file to")
    asked = parser.parse_args()
    if asked.only is not None:
        seed = damaged(pick_seed(chosen_seeds(asked.readers), asked.only), asked.seed, asked.only)
        folder = asked.keep or Path(tempfile.mkdtemp(prefix="fuzz-"))
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, seed.on_disk)
        print(seed.name, folder / seed.target)
        print(read_seed(seed, folder))
        return 0
    outcomes = list(run(range(asked.files), asked.seed, readers=asked.readers))
    print(summarise(outcomes))
    return 0 if all(outcome.is_clean for outcome in outcomes) else 1


if __name__ == "__main__":
    raise SystemExit(main())
