"""Refusal of a step whose loss or gradient is not finite: the studies are named, nothing is changed."""

from typing import Any, NoReturn

from lamae.errors import DataError
from lamae.files import write_json
from lamae.train.run_folder import NONFINITE_FILE, RunFolder
from lamae.train.step import StepResult, Trainer, find_culprits, own_micro_batches


def refuse_nonfinite(folder: RunFolder, trainer: Trainer, step: int, result: StepResult) -> NoReturn:
    """Write the rows of the step and stop the run; the weights are those before the step.

    ``nonfinite.json`` names rows of packs (by the pack's content hash), not studies or patients: ``studies`` are all
    of this process's part of the step, ``suspects`` those whose loss is not finite when computed alone. Each process
    after the first writes ``nonfinite-rank<N>.json``.

    Raises:
        DataError: Always.
    """
    rows = [int(index) for micro in own_micro_batches(trainer, step) for index in micro.indices]
    suspects = find_culprits(trainer, step)
    rank = trainer.workers.rank
    file = folder.path / (NONFINITE_FILE if rank == 0 else f"nonfinite-rank{rank}.json")
    content = {
        "step": step,
        "loss": repr(result.loss),
        "grad_norm": repr(result.grad_norm),
        "suspects": [_place(trainer, row) for row in suspects],
        "studies": [_place(trainer, row) for row in rows],
    }
    write_json(file, content)
    raise DataError(
        f"step {step}: the loss is {result.loss} and the gradient's norm {result.grad_norm}, so the step was not done. "
        f"The rows of the batch are in {file} ({len(suspects)} of them give no finite loss alone). Look at these "
        "studies with `lamae verify`, or lower optim.lr; the checkpoints before are untouched",
        reason="non-finite-loss",
    )


def _place(trainer: Trainer, index: int) -> dict[str, Any]:
    pack, row = trainer.dataset.locate(index)
    return {"pack": pack.info.content_hash, "row": row}
