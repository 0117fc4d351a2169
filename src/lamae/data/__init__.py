"""From packs to batches: the sampler chooses rows, the data set reads them."""

from lamae.data.dataset import PackDataset
from lamae.data.known_views import for_known_views, only_known_views
from lamae.data.patients import patient_keys, rows_by_pack, rows_of_some_patients
from lamae.data.prepared import batch_of
from lamae.data.sampler import Share, global_batch, shares

__all__ = [
    "PackDataset",
    "Share",
    "batch_of",
    "for_known_views",
    "global_batch",
    "only_known_views",
    "patient_keys",
    "rows_by_pack",
    "rows_of_some_patients",
    "shares",
]
