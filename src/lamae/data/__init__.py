"""From packs to batches: the sampler chooses rows, the data set reads them."""

from lamae.data.dataset import PackDataset
from lamae.data.known_views import for_known_views, only_known_views
from lamae.data.patients import check_apart, rows_by_pack, rows_of_some_patients
from lamae.data.prefetch import Prefetch
from lamae.data.prepared import batch_of
from lamae.data.sampler import MicroBatch, global_batch, in_order, micro_batches

__all__ = [
    "MicroBatch",
    "PackDataset",
    "Prefetch",
    "batch_of",
    "check_apart",
    "for_known_views",
    "global_batch",
    "in_order",
    "micro_batches",
    "only_known_views",
    "rows_by_pack",
    "rows_of_some_patients",
]
