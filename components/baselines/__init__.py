"""What needs no training and must be beaten: fills for holes, and images made without a model."""

from components.baselines.registry import FillBaseline, FilterBaseline, GenerationBaseline, RestorationBaseline

__all__ = ["FillBaseline", "FilterBaseline", "GenerationBaseline", "RestorationBaseline"]
