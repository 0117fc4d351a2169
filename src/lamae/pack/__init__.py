"""Prepared data sets on disk: written once shard by shard, memory-mapped, open to any Arrow reader."""

from lamae.pack.layout import FORMAT_VERSION, PackInfo, ShardInfo
from lamae.pack.reader import Gathered, Pack
from lamae.pack.verify import verify
from lamae.pack.writer import write_pack

__all__ = ["FORMAT_VERSION", "Gathered", "Pack", "PackInfo", "ShardInfo", "verify", "write_pack"]
