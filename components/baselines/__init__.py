"""What needs no training and must be beaten: fills for holes, and images made without a model."""

from components.baselines.registry import GenerationBaseline, RestorationBaseline

__all__ = ["GenerationBaseline", "RestorationBaseline"]
