"""From a pile of files to batches of tensors: sources, checks, shards, splits, order and frozen corruptions."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
