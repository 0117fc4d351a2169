"""From packs to batches: the sampler chooses rows, the data set reads them."""

from lamae.data.dataset import PackDataset
from lamae.data.prepared import batch_of
from lamae.data.sampler import Share, global_batch, shares

__all__ = ["PackDataset", "Share", "batch_of", "global_batch", "shares"]
