"""From packs to batches: the sampler chooses rows, the data set reads them."""

from lamae.data.dataset import PackDataset
from lamae.data.sampler import Share, global_batch, shares

__all__ = ["PackDataset", "Share", "global_batch", "shares"]
