"""Restoring: a trained inpainter behind the interface that evaluation and serving use."""

from __future__ import annotations

from typing import Literal

import numpy as np

from components.deferred.torch import inference_mode, torch
from components.models.network import Inpainter
from components.pictures.pixels import to_pixels, to_tensor
from components.recipes.recipe import Images, Missing, device_of, row_blocks

REACH_PX = 6.0
"""How far from known pixels networks are trusted that learnt on small images."""


class InpainterProducer:
    """Pictures mended by a trained network."""

    def __init__(
        self, network: Inpainter, restores: Literal["missing", "everything"] = "missing", reach_px: float = REACH_PX
    ) -> None:
        self.network = network.eval()
        self.stride = network.stride
        self.reach_px = reach_px
        self.restores_known = restores == "everything"

    @inference_mode
    def restore(self, corrupted: Images, missing: Missing) -> Images:
        """Return mended pictures; pixels that are not missing are untouched unless the model restores everything."""
        device = device_of(self.network)
        blocks = []
        for rows in row_blocks(len(corrupted)):
            holes = torch.from_numpy(np.array(missing[rows], order="C")).to(device).unsqueeze(1).float()
            blocks.append(to_pixels(self.network(to_tensor(corrupted[rows], device), holes)))
        restored = np.concatenate(blocks)
        return restored if self.restores_known else np.where(missing[..., None], restored, corrupted)
