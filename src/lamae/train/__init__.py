"""Training: configurations, the step, the loop."""

from lamae.train.config import DataConfig, OptimConfig, PretrainConfig
from lamae.train.loop import RunSummary, pretrain

__all__ = ["DataConfig", "OptimConfig", "PretrainConfig", "RunSummary", "pretrain"]
