"""Where images come from. To add a source: write the class in a file of its own and name it in `SourceConfig`."""

from typing import Annotated

from pydantic import Field

from components.data.sources.archive import ZipSource
from components.data.sources.folder import FolderSource
from components.data.sources.http_list import HttpListSource
from components.data.sources.item import ContentDigest, Listed, ListedSource, Problem, RawItem, Source
from components.data.sources.openmoji import OpenMojiSource
from components.data.sources.parquet import ParquetSource
from components.data.sources.s3 import S3Source
from components.data.sources.shapes import ShapesSource
from components.data.sources.torchvision_set import TorchvisionSource
from components.data.sources.webdataset import WebdatasetSource

SourceConfig = Annotated[
    OpenMojiSource
    | FolderSource
    | ZipSource
    | S3Source
    | WebdatasetSource
    | ParquetSource
    | HttpListSource
    | TorchvisionSource
    | ShapesSource,
    Field(discriminator="kind"),
]

__all__ = [
    "ContentDigest",
    "FolderSource",
    "HttpListSource",
    "Listed",
    "ListedSource",
    "OpenMojiSource",
    "ParquetSource",
    "Problem",
    "RawItem",
    "S3Source",
    "ShapesSource",
    "Source",
    "SourceConfig",
    "TorchvisionSource",
    "WebdatasetSource",
    "ZipSource",
]
