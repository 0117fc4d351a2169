"""The objective of masked autoencoders: squared error on target patches."""

import torch
from jaxtyping import Float
from torch import Tensor

from lamae.nn.output import MaskedOutput, MaskedPrediction


def masked_reconstruction(output: MaskedOutput, *, global_size: int) -> Float[Tensor, ""]:
    """Return the mean squared error over a study's recorded target elements, summed over studies / ``global_size``.

    Gradients add up: the sum over all micro-batches and ranks of one global batch is the mean over its studies, and a
    study of 40 views counts as much as one of 4.

    The ECG paper's objective (section 2.2) sums the squared error over the elements of all target patches, divides by
    the mask ratio and averages over the leads: with ``T`` patches of ``E`` elements and a ratio ``a``, that is
    ``T * E`` times the mean over target elements, so a constant times this loss where each lead has the same number of
    target elements. The echo paper's (section 2) divides by the numbers of views and of frames and is the same constant
    times this one. The mean does not depend on the patch size, and neither does a good learning rate.

    Args:
        output: Predictions of a `lamae.models.MaskedAutoencoder`. Several masks are averaged; with several streams, all
            elements of a study count alike.
        global_size: Number of studies in the global batch.

    Returns:
        A scalar; a study without any recorded element in them adds 0.
    """
    num_masks = len(next(iter(output.predictions.values())))
    total = torch.zeros((), device=output.summary.device)
    for index in range(num_masks):
        error, count = _sums(output, [predictions[index] for predictions in output.predictions.values()])
        total = total + (error / count.clamp_min(1)).sum()
    return total / (num_masks * global_size)


def _sums(output: MaskedOutput, predictions: list[MaskedPrediction]) -> tuple[Tensor, Tensor]:
    """Return the sum of squared errors and number of elements by study."""
    error = torch.zeros(output.num_studies, device=output.summary.device)
    count = torch.zeros_like(error)
    for prediction in predictions:
        predicted, target = prediction.predicted.float(), prediction.target
        if prediction.valid is None:
            number = torch.full((len(target),), float(target[0].numel()), device=target.device)
        else:
            predicted = torch.where(prediction.valid, predicted, target)
            number = prediction.valid.flatten(1).sum(1).float()
        squared = torch.linalg.vector_norm((predicted - target).flatten(1), dim=1) ** 2
        error = error.index_add(0, prediction.study_of, squared)
        count = count.index_add(0, prediction.study_of, number)
    return error, count
