"""From a pile of files to batches of tensors: sources, checks, shards, splits, order and frozen corruptions."""

from components.data.batch import Batch
from components.data.cache import DecodedPixels, PixelSource, StreamedPixels, decoded_pixels
from components.data.dataset import SPLITS, DatasetConfig, SplitConfig
from components.data.encoding import EncodingConfig, JpegEncoding, PngEncoding, WebpEncoding
from components.data.frozen import (
    CorruptionSet,
    FrozenImages,
    FrozenSample,
    FrozenSetConfig,
    find_corruption_set,
    frozen_samples,
    read_corruption_set,
    write_corruption_set,
)
from components.data.loader import Loader, Samples, Share, sample_order
from components.data.reader import ShardReader
from components.data.shards import plan_shards, write_shards
from components.data.shardset import ShardFacts, ShardSet, SplitFacts
from components.data.sources import (
    FolderSource,
    OpenMojiSource,
    RawItem,
    ShapesSource,
    Source,
    SourceConfig,
    TorchvisionSource,
    ZipSource,
)

__all__ = [
    "SPLITS",
    "Batch",
    "CorruptionSet",
    "DatasetConfig",
    "DecodedPixels",
    "EncodingConfig",
    "FolderSource",
    "FrozenImages",
    "FrozenSample",
    "FrozenSetConfig",
    "JpegEncoding",
    "Loader",
    "OpenMojiSource",
    "PixelSource",
    "PngEncoding",
    "RawItem",
    "Samples",
    "ShapesSource",
    "ShardFacts",
    "ShardReader",
    "ShardSet",
    "Share",
    "Source",
    "SourceConfig",
    "SplitConfig",
    "SplitFacts",
    "StreamedPixels",
    "TorchvisionSource",
    "WebpEncoding",
    "ZipSource",
    "decoded_pixels",
    "find_corruption_set",
    "frozen_samples",
    "plan_shards",
    "read_corruption_set",
    "sample_order",
    "write_corruption_set",
    "write_shards",
]
