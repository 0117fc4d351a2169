"""The preparation as a whole: plan the shards, do those that are not done, finish the pack."""

import logging
import math
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from lamae.allocator import keep_freed_memory
from lamae.cohorts import Cohort
from lamae.errors import DataError, check_choice
from lamae.modality import find_modality
from lamae.pack import Pack
from lamae.pack.layout import INFO_FILE
from lamae.prepare.finish import finish, remove_leftovers
from lamae.prepare.settings import begun_or_resumed, begun_salt, check_same, describe
from lamae.prepare.shard_note import PARTS_FOLDER, part_file, read_note, studies_by_shard
from lamae.prepare.shard_task import ShardOutcome, ShardTask, run_shard
from lamae.prepare.summary import PrepareSummary, summarise
from lamae.prepare.torn_patients import TORN_PATIENTS, TornPatients
from lamae.progress import Moment, Progress
from lamae.reading import FILE_TIMEOUT_S
from lamae.splits import check_disjoint

_TASKS_AHEAD = 2
"""Tasks handed out for each worker at a time: one in work, one waiting, however many studies there are."""

_PLAIN_CLUSTER: dict[str, Any] = {"dashboard_address": None, "memory_limit": 0, "silence_logs": logging.CRITICAL}
"""No web page, no killing of workers by Dask's own idea of the machine's memory (theirs stays), no last words."""

Work: TypeAlias = Callable[[ShardTask], ShardOutcome]

_ANSWER_S, _LOOK_S, _SAY_AGAIN_S = 10, 5.0, 60.0
"""Seconds: until a scheduler must have answered, between two looks for workers, and between two words about them."""

_LOG = logging.getLogger("lamae.prepare")


def prepare(
    cohort: Cohort,
    pack_path: str | Path,
    *,
    preprocessing: Any | None = None,
    workers: int = 2,
    scheduler: str | None = None,
    shard_size: int = 256,
    salt: str | None = None,
    torn_patients: TornPatients = "refuse",
    file_timeout_s: float | None = FILE_TIMEOUT_S,
    progress: bool = True,
) -> PrepareSummary:
    """Prepare every study of a cohort into a pack.

    Each shard is a task of its own and is written whole or not at all. Stopped at any point, even by ``kill -9``, the
    same call goes on and redoes only the shards that were not finished. A file that cannot be used becomes a row of
    ``rejected.parquet`` and does not stop the run.

    Args:
        cohort: Where the studies come from; it is sent to the workers.
        pack_path: Folder of the pack. All workers must see it under this path.
        preprocessing: Every parameter of the modality's preprocessing; defaults if None.
        workers: Processes on this machine; 0 works in this process.
        scheduler: Address of a running Dask scheduler (``"tcp://host:8786"``) to use instead of own processes.
        shard_size: Studies of one task; a task that writes much cuts its file in several.
        salt: Salt of the hashes of patients; None for that of the begun pack, or else for `lamae.splits.user_salt`.
        torn_patients: What to do when files show that studies of several given splits are one patient's: refuse to
            finish (the same call with ``"redraw"`` goes on there), or draw one split for each such patient.
        file_timeout_s: Seconds that reading and preparing one file may take, see `lamae.reading.read_files`; None sets
            no limit, and a file that crashes its reader then ends the run.
        progress: Whether to show how far it is.

    Returns:
        What is in the pack and how it went; ``already_finished`` when there was nothing left to do.

    Raises:
        ConfigError: The folder holds something else, a pack begun with other settings or from another table, or a
            pack that another process is preparing; or the user's salt can be neither read nor made.
        DataError: The cohort's table cannot be used: a study twice, or a patient in two splits (also where only the
            files show it, at the end; their studies are listed in ``torn_patients.parquet``). As ``FormatError``: the
            note of a finished shard is damaged, or its shard is not as it was written.
        OSError: Writing failed (a full disk, for instance); nothing half-written counts as done. As
            ``ChildProcessError`` when a shard brings down every worker that tries it; as ``ConnectionError`` when no
            scheduler answers.
    """
    started = time.monotonic()
    check_choice("torn_patients", torn_patients, TORN_PATIENTS)
    pack = Path(pack_path).absolute()
    config = preprocessing or find_modality(cohort.modality).preprocessing()
    table = cohort.table()
    _check_table(table, cohort.name)
    salt = begun_salt(pack) if salt is None else salt
    settings = describe(cohort, table, config, shard_size=shard_size, salt=salt)
    if (pack / INFO_FILE).exists():
        check_same(pack, settings)
        opened = Pack.open(pack)
        if (pack / PARTS_FOLDER).exists():  # killed after ``pack.json`` was written
            with begun_or_resumed(pack, settings):
                remove_leftovers(pack, opened.info)
        return summarise(opened, seconds=0.0, num_resumed=table.num_rows, already_finished=True)
    with begun_or_resumed(pack, settings):
        tasks, num_resumed = _plan(table, pack, shard_size)
        num_done, num_rejected = num_resumed, 0
        work = partial(run_shard, cohort, str(pack), config, file_timeout_s=file_timeout_s)
        with (
            _shown(table.num_rows, num_resumed, show=progress) as shown,
            _outcomes(work, tasks, workers=workers, scheduler=scheduler) as outcomes,
        ):
            for outcome in outcomes:
                num_done += outcome.num_studies
                num_rejected += outcome.num_studies - outcome.num_kept
                shown.advance(num_done, f"{num_rejected} refused")
        finish(cohort, table, pack, config, shard_size=shard_size, salt=salt, torn_patients=torn_patients)
    seconds = time.monotonic() - started
    return summarise(Pack.open(pack), seconds=seconds, num_resumed=num_resumed, already_finished=False)


def _shown(total: int, done: int, *, show: bool) -> Progress:
    def line(at: Moment) -> str:
        return f"{at.done} of {at.total} studies, {at.rate:.0f} a second, {at.left_s:.0f} s left, {at.note}"

    return Progress(
        "studies", total=total, done=done, show=show, line=line, every_s=30.0, show_rate=True, log="lamae.prepare"
    )


def _check_table(table: pa.Table, cohort: str) -> None:
    absent = [name for name in ("study_id", "path") if name not in table.column_names]
    if absent:
        raise DataError(f"cohort {cohort}: its table lacks the column {', '.join(absent)}", reason="missing-column")
    num_repeated = table.num_rows - len(table.column("study_id").unique())
    if num_repeated:
        raise DataError(
            f"cohort {cohort}: {num_repeated} study ids occur more than once in its table", reason="duplicated-study"
        )
    if {"patient_key", "split"} <= set(table.column_names):
        check_disjoint(table, where=f"cohort {cohort}")


def _plan(table: pa.Table, pack: Path, shard_size: int) -> tuple[Iterable[ShardTask], int]:
    """Return the tasks that are left, made one at a time, and the number of studies that are done."""
    sizes = studies_by_shard(table.num_rows, shard_size)
    left = [number for number in range(len(sizes)) if not part_file(pack, number).exists()]
    done = sorted(set(range(len(sizes))) - set(left))
    for number in done:
        read_note(pack, number, num_studies=sizes[number])
    return (_task(table, number, shard_size) for number in left), sum(sizes[number] for number in done)


def _task(table: pa.Table, number: int, shard_size: int) -> ShardTask:
    rows = table.slice(number * shard_size, shard_size)
    records = rows.column("record").to_pylist() if "record" in rows.column_names else [None] * rows.num_rows
    return ShardTask(
        number=number,
        first_row=number * shard_size,
        study_ids=tuple(rows.column("study_id").to_pylist()),
        paths=tuple(rows.column("path").to_pylist()),
        records=tuple(records),
    )


@contextmanager
def _outcomes(
    work: Work, tasks: Iterable[ShardTask], *, workers: int, scheduler: str | None
) -> Iterator[Iterable[ShardOutcome]]:
    if workers == 0 and scheduler is None:
        yield map(work, tasks)
        return
    with _client(workers, scheduler) as client:
        yield _distribute(client, work, tasks)


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=_ANSWER_S)
        except (OSError, ValueError) as error:
            raise ConnectionError(
                f"no Dask scheduler answers at {scheduler}: start one with `dask scheduler`, or correct the address"
            ) from error
        with client:
            yield client
        return
    settings: dict[str, Any] = {"n_workers": workers, "threads_per_worker": 1, "processes": True} | _PLAIN_CLUSTER
    with _interrupts_for_this_process_alone():
        cluster = LocalCluster(**settings)
    with cluster, Client(cluster) as client:
        client.run(keep_freed_memory)
        yield client


@contextmanager
def _interrupts_for_this_process_alone() -> Iterator[None]:
    """Keep Ctrl-C from the processes that are started: each would print a traceback.

    They inherit what is blocked, and one that comes meanwhile is waiting here.
    """
    resource_tracker.ensure_running()  # unblocks it in the thread that starts it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _distribute(client: Any, work: Work, tasks: Iterable[ShardTask]) -> Iterator[ShardOutcome]:
    """Hand out tasks as workers become free; Dask gives the task of a killed worker to another one."""
    waiting, running = iter(tasks), set()
    said_at = -math.inf
    while True:
        most = _TASKS_AHEAD * max(sum(client.nthreads().values()), 1)
        running |= {client.submit(work, task, pure=False) for task in islice(waiting, max(most - len(running), 0))}
        if not running:
            return
        done = _first_done(running)
        if not done and not client.nthreads() and time.monotonic() - said_at >= _SAY_AGAIN_S:
            said_at = time.monotonic()
            _LOG.info("waiting for workers at %s: start some with `dask worker ADDRESS`", client.scheduler.address)
        for future in done:
            yield _outcome(future)
        running -= done


def _first_done(running: set[Any]) -> set[Any]:
    """Return the tasks that are done, none where that takes long."""
    from distributed import TimeoutError, wait

    try:
        found: Any = wait(running, timeout=_LOOK_S, return_when="FIRST_COMPLETED")
        return set(found.done)
    except TimeoutError:
        return set()


def _outcome(future: Any) -> ShardOutcome:
    from distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        raise ChildProcessError(
            "one shard brought down every worker that tried it: the memory may be too small for its files. Run the "
            "same command with --workers 0 (workers=0) to see which"
        ) from error
