"""Who works on partitions of the data: threads and processes of this machine, or the workers of a Dask cluster."""

from typing import Annotated

from pydantic import Field

from components.executors.dask_cluster import DaskExecutor
from components.executors.executor import Answer, Crew, in_order
from components.executors.local import LocalExecutor
from components.executors.packed import Packed

ExecutorConfig = Annotated[LocalExecutor | DaskExecutor, Field(discriminator="kind")]

LOCAL = LocalExecutor()
"""Where none is named."""

__all__ = ["LOCAL", "Answer", "Crew", "DaskExecutor", "ExecutorConfig", "LocalExecutor", "Packed", "in_order"]
