"""The fill of one who knows how the training images' pixels go together: their mean and covariance, and no more."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import PrivateAttr

from components.baselines.restoration import FillSection, Images, Levels, Masks
from components.data.statistics import Statistics
from components.deferred.torch import inference_mode, torch
from components.models.gaussian import GaussianFill


class TrainingGaussian(FillSection):
    """The mean of missing pixels given the known ones, under a Gaussian like that of the training images.

    No classical method, for it knows the training images, though nothing of it is trained by steps. At least as many
    of them as each has pixels are needed, up to 1,024.
    """

    kind: Literal["training_gaussian"] = "training_gaussian"
    needs_statistics: ClassVar[bool] = True

    _told: GaussianFill | None = PrivateAttr(default=None)

    def knowing(self, statistics: Statistics | None) -> Self:
        """Return the baseline that was told the statistics of the training images.

        Raises:
            ValueError: There are none.
        """
        if statistics is None:
            raise ValueError("the baseline training_gaussian needs the statistics of the training images")
        told = self.model_copy()
        told._told = GaussianFill(len(statistics["spectrum"]))
        told._told.know(statistics)
        return told

    @inference_mode
    def _fill(self, images: Images, missing: Masks) -> Levels:
        if self._told is None:
            raise ValueError("the baseline training_gaussian was not told the statistics of the training images")
        values = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
        holes = torch.from_numpy(missing)[:, None].float()
        # One by one, for sums over a batch are rounded otherwise than those of one image.
        filled = torch.cat([self._told(*pair) for pair in zip(values.split(1), holes.split(1), strict=True)])
        return np.asarray((filled.permute(0, 2, 3, 1) + 1) * 127.5)
