"""Prepared data sets on disk: written once shard by shard, memory-mapped, open to any Arrow reader."""

from lamae.pack.in_memory import gather_studies, whole_studies
from lamae.pack.layout import FORMAT_VERSION, PackInfo, ShardInfo
from lamae.pack.reader import Pack
from lamae.pack.selection import Gathered, Selection
from lamae.pack.shard_writer import ShardWriter
from lamae.pack.verify import verify
from lamae.pack.writer import write_pack

__all__ = [
    "FORMAT_VERSION",
    "Gathered",
    "Pack",
    "PackInfo",
    "Selection",
    "ShardInfo",
    "ShardWriter",
    "gather_studies",
    "verify",
    "whole_studies",
    "write_pack",
]
