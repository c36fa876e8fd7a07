"""Damage to images: masks, degradations and the mix of them; pure functions of an image and a random generator."""

from components.corruption.degradation import Degraded
from components.corruption.mix import Corrupted, CorruptionMix
from components.corruption.registry import DegradationConfig, MaskConfig

__all__ = ["Corrupted", "CorruptionMix", "DegradationConfig", "Degraded", "MaskConfig"]
